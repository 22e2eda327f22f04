//! What the Go library wrote, read here: by a writer that adopts it, and by a reader that leaves it be.

use std::fs;

use walden::{Entry, LogReader, Origin, Wal};

use crate::vectors::{ALL, Expected, Vector, contents};

fn described(entries: impl Iterator<Item = walden::Result<Entry>>) -> Vec<Expected> {
    entries.map(|entry| Expected::from(&entry.unwrap())).collect()
}

/// Those that open: each but the one whose damage lies before sound records.
fn openable() -> impl Iterator<Item = Vector> {
    ALL.into_iter().filter(|name| *name != "flip-active").map(Vector::load)
}

#[test]
fn a_writer_finds_exactly_what_the_manifest_lists() {
    for vector in openable() {
        let dir = vector.copy();
        let wal = Wal::open(dir.path(), vector.config()).unwrap();
        assert_eq!(wal.recovery().origin, Origin::Adopted, "{}", vector.name);
        let sound = vector.sound();
        assert_eq!(described(wal.range(..).unwrap()), sound, "{}", vector.name);
        let mut backward = described(wal.range(..).unwrap().rev());
        backward.reverse();
        assert_eq!(backward, sound, "{} backward", vector.name);
        for expected in &sound {
            let entry = wal.get(expected.seq).unwrap().unwrap();
            assert_eq!(Expected::from(&entry), *expected, "{}", vector.name);
        }
        let first = sound.first().map_or(1, |record| record.seq);
        assert_eq!(wal.first_seq(), first, "{}", vector.name);
        assert_eq!(wal.durable_seq(), wal.next_seq() - 1, "{}: all found is durable", vector.name);
    }
}

#[test]
fn the_next_seq_id_is_the_one_that_go_would_give() {
    for vector in openable() {
        let dir = vector.copy();
        let wal = Wal::open(dir.path(), vector.config()).unwrap();
        // Where Go panics: one behind the last sound record.
        let next = vector.next_seq.unwrap_or(200);
        assert_eq!(wal.next_seq(), next, "{}", vector.name);
        assert_eq!(wal.append(b"one more").unwrap(), next, "{}", vector.name);
    }
}

#[test]
fn a_reader_finds_the_same_and_changes_nothing() {
    for vector in openable() {
        let before = contents(&vector.log());
        let log = LogReader::open(vector.log()).unwrap();
        let sound = vector.sound();
        assert_eq!(described(log.range(..).unwrap()), sound, "{}", vector.name);
        let mut backward = described(log.range(..).unwrap().rev());
        backward.reverse();
        assert_eq!(backward, sound, "{} backward", vector.name);
        assert_eq!(log.next_seq(), vector.next_seq.unwrap_or(200), "{}", vector.name);
        drop(log);
        assert_eq!(contents(&vector.log()), before, "{}: not even a lock file", vector.name);
    }
}

/// The lengths of the files are those that Go leaves, where Go opens the log: free space is cut off. A file
/// from which a torn record was cut is ended there, and a new, empty one begins.
#[test]
fn a_closed_log_has_the_lengths_that_go_leaves() {
    for vector in openable().filter(|vector| vector.name != "torn-header") {
        let dir = vector.copy();
        Wal::open(dir.path(), vector.config()).unwrap().close().unwrap();
        let mut lengths: Vec<(String, u64)> = contents(dir.path())
            .into_iter()
            .filter(|(name, _)| name.ends_with(".wal"))
            .map(|(name, bytes)| (name, bytes.len() as u64))
            .collect();
        if vector.name == "torn-tail" {
            assert_eq!(lengths.pop(), Some(("segment-0007.wal".to_owned(), 0)));
        }
        assert_eq!(lengths, vector.after_open.into_iter().collect::<Vec<_>>(), "{}", vector.name);
    }
}

#[test]
fn adopting_is_done_once() {
    for vector in openable() {
        let dir = vector.copy();
        Wal::open(dir.path(), vector.config()).unwrap().close().unwrap();
        let sound = vector.sound();
        let wal = Wal::open(dir.path(), vector.config()).unwrap();
        assert_eq!(wal.recovery().origin, Origin::Clean, "{}", vector.name);
        assert_eq!(described(wal.range(..).unwrap()), sound, "{}", vector.name);
    }
}

/// A log that begins at a seq id above 1, with an empty segment in front.
#[test]
fn an_empty_segment_before_and_a_first_seq_id_above_one() {
    let vector = Vector::load("truncated-front");
    let dir = vector.copy();
    fs::write(dir.path().join("segment-0009.wal"), b"").unwrap();
    let wal = Wal::open(dir.path(), vector.config()).unwrap();
    assert_eq!((wal.first_seq(), wal.next_seq()), (264, 501));
    assert_eq!(described(wal.range(..).unwrap()), vector.records);
}
