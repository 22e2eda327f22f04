use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::manifest::{Cut, Epoch, Manifest, ManifestFile, Mark, Place};
use crate::read::testing::{LOG_ID, append_to, edit, payload};
use crate::record::{encode, encode_packed};

fn vector(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(case).join("log")
}

/// A log written by hand.
struct Hand {
    dir: TempDir,
    names: Names,
    manifest: Manifest,
}

impl Hand {
    /// Segments 0 and 1 with ten entries each, segment 2 with five, in a file with free space.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path(), "segment");
        let manifest = Manifest {
            log_id: LOG_ID,
            generation: 1,
            epochs: vec![Epoch { first_seq: 1, id: 5 }],
            first_seq: 1,
            first_ordinal: 0,
            open_from: 2,
            open_seq: 21,
            sealed_count: 2,
            active: 2,
            next_ordinal: 3,
            lowest_next: 1,
            base: Some(Place { ordinal: 0, offset: 0, next_seq: 1 }),
            cut: None,
            losses: Vec::new(),
            meta: std::collections::BTreeMap::new(),
        };
        let hand = Self { dir, names, manifest };
        hand.write(0, 1..11);
        hand.write(1, 11..21);
        hand.write(2, 21..26);
        append_to(&hand.names.wal(2), &[0; 1000]);
        hand.save();
        hand
    }

    fn write(&self, ordinal: u64, seqs: std::ops::Range<u64>) {
        let mut bytes = Vec::new();
        seqs.for_each(|seq| encode(&mut bytes, seq, &[&payload(seq)]));
        append_to(&self.names.wal(ordinal), &bytes);
    }

    fn save(&self) {
        ManifestFile::create(&OsStorage::new(), &self.names, &self.manifest).unwrap();
    }

    /// Saves the next generation.
    fn change(&mut self, change: impl FnOnce(&mut Manifest)) {
        change(&mut self.manifest);
        self.manifest.generation += 1;
        self.save();
    }

    fn mark(&self, place: Place) {
        let (file, _) = ManifestFile::open(&OsStorage::new(), &self.names).unwrap();
        let (epoch, generation) = (self.manifest.epoch(), self.manifest.generation);
        file.mark(Mark { log_id: LOG_ID, epoch, generation, place, counter: 0 }).unwrap();
    }

    /// Where entry `seq` begins in the segment that begins with `first`.
    fn offset(first: u64, seq: u64) -> u64 {
        (first..seq).map(|seq| 28 + u64::try_from(payload(seq).len()).unwrap()).sum()
    }

    fn open(&self) -> LogReader {
        LogReader::open(self.dir.path()).unwrap()
    }
}

fn seqs(log: &LogReader) -> Vec<u64> {
    let entries = log.range(..).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .inspect(|e| assert_eq!(e.payload, payload(e.seq)))
        .map(|entry| entry.seq)
        .collect()
}

#[test]
fn logs_of_the_go_library() {
    for (case, first, next) in [
        ("basic", 1, 101),
        ("empty", 1, 1),
        ("rotated", 1, 501),
        ("large", 1, 12),
        ("truncated-front", 264, 501),
        ("torn-tail", 1, 200),
        ("torn-header", 1, 200),
        ("zero-tail", 1, 201),
    ] {
        let log = LogReader::open(vector(case)).unwrap();
        assert_eq!((log.first_seq(), log.next_seq()), (first, next), "{case}");
        let read = log.range(..).unwrap().map(|entry| entry.unwrap().seq).collect::<Vec<_>>();
        assert_eq!(read, (first..next).collect::<Vec<_>>(), "{case}");
        let mut reader = log.reader_at(next).unwrap();
        for seq in (first..next).rev() {
            assert_eq!(reader.read_prev().unwrap().map(|e| e.seq), Some(seq), "{case}");
        }
        assert!(reader.read_prev().unwrap().is_none());
    }
    // Damage in front of a sound record is no torn tail.
    let log = LogReader::open(vector("flip-active")).unwrap();
    let mut reader = log.reader();
    for seq in 1..=195 {
        assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(seq));
    }
    let error = reader.read_next().unwrap_err();
    assert!(error.is_corruption() && error.seq() == Some(196), "{error}");
}

#[test]
fn which_log() {
    let dir = tempfile::tempdir().unwrap();
    let kind = |result: Result<LogReader>| result.unwrap_err().kind();
    assert_eq!(kind(LogReader::open(dir.path().join("none"))), ErrorKind::NotFound);
    assert_eq!(kind(LogReader::open(dir.path())), ErrorKind::NotFound);
    for name in ["b-0000.wal", "a-0000.wal", "c.txt"] {
        fs::write(dir.path().join(name), b"").unwrap();
    }
    assert_eq!(logs_in(dir.path()).unwrap(), ["a", "b"]);
    let error = LogReader::open(dir.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("a, b"));
    let log = LogReader::open_prefix(dir.path(), "b").unwrap();
    assert!(log.is_empty() && log.prefix() == "b" && log.next_seq() == 1);
    assert_eq!(kind(LogReader::open_prefix(dir.path(), "c")), ErrorKind::NotFound);
}

#[test]
fn a_log_that_grows() {
    let mut hand = Hand::new();
    hand.mark(Place { ordinal: 2, offset: Hand::offset(21, 24), next_seq: 24 });
    let log = hand.open();
    assert_eq!((log.first_seq(), log.next_seq(), log.durable_seq()), (1, 26, 23));
    assert_eq!(seqs(&log), (1..26).collect::<Vec<_>>());
    let mut reader = log.reader_at(26).unwrap();
    let mut durable = log.follow(26).unwrap().durable_only();
    assert!(reader.read_next().unwrap().is_none());
    // In place of the free space: whole records, and one that is being written.
    edit(&hand.names.wal(2), |bytes| {
        bytes.truncate(usize::try_from(Hand::offset(21, 26)).unwrap());
    });
    hand.write(2, 26..30);
    append_to(&hand.names.wal(2), &[0, 0, 0, 9, 1, 2, 3]);
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(26));
    assert_eq!(log.next_seq(), 30);
    assert_eq!(durable.try_next().unwrap(), None);
    hand.mark(Place { ordinal: 2, offset: Hand::offset(21, 30), next_seq: 30 });
    assert!(durable.try_next().unwrap().is_some());
    edit(&hand.names.wal(2), |bytes| bytes.truncate(bytes.len() - 7));
    // Sealed, and gone on behind.
    hand.write(3, 30..33);
    hand.change(|m| {
        (m.open_from, m.open_seq, m.active, m.next_ordinal, m.sealed_count) = (3, 30, 3, 4, 3)
    });
    assert_eq!(seqs(&log), (1..33).collect::<Vec<_>>());
    // Removed in front.
    let mut early = log.reader_at(4).unwrap();
    early.read_next().unwrap();
    hand.change(|m| (m.first_seq, m.first_ordinal, m.sealed_count) = (15, 1, 2));
    fs::remove_file(hand.names.wal(0)).unwrap();
    assert_eq!(seqs(&log), (15..33).collect::<Vec<_>>());
    assert!(early.read_next().unwrap_err().is_removed());
    assert!(log.get(14).unwrap_err().is_removed());
    assert!(log.get(33).unwrap().is_none());
}

#[test]
fn cuts_by_another_process() {
    let mut hand = Hand::new();
    let log = hand.open();
    let mut reader = log.reader_at(24).unwrap();
    let mut follower = log.follow(23).unwrap();
    let mut range = log.range(10..).unwrap();
    reader.read_next().unwrap();
    for _ in 0..2 {
        follower.try_next().unwrap();
    }
    range.next().unwrap().unwrap();
    // In progress: declared, and nothing done yet.
    let len = Hand::offset(11, 16);
    hand.change(|m| {
        m.begin_epoch(16, 6);
        m.cut = Some(Cut {
            kept: Some((1, len)),
            dead_from: 2,
            dead_to: 3,
            first_cut: 16,
            prepared: None,
        });
        (m.open_from, m.open_seq) = (2, 16);
        m.base = Some(Place { ordinal: 1, offset: len, next_seq: 16 });
    });
    assert_eq!(seqs(&log), (1..16).collect::<Vec<_>>());
    assert_eq!(seqs(&hand.open()), (1..16).collect::<Vec<_>>());
    let error = reader.read_next().unwrap_err();
    assert!(error.is_truncated() && error.seq() == Some(16), "{error}");
    // Done, and appended to.
    fs::remove_file(hand.names.wal(2)).unwrap();
    edit(&hand.names.wal(1), |bytes| bytes.truncate(usize::try_from(len).unwrap()));
    hand.write(3, 16..30);
    hand.change(|m| (m.cut, m.active, m.next_ordinal) = (None, 3, 4));
    assert_eq!(seqs(&log), (1..30).collect::<Vec<_>>());
    assert!(reader.read_next().unwrap_err().is_truncated());
    reader.seek(20).unwrap();
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(20));
    let event = follower.try_next().unwrap();
    assert!(matches!(event, Some(crate::Event::Truncated { at: 16 })), "{event:?}");
    for _ in 11..16 {
        range.next().unwrap().unwrap();
    }
    assert!(range.next().unwrap().unwrap_err().is_truncated());
}

#[test]
fn the_surviving_part_of_a_batch() {
    let mut hand = Hand::new();
    let log = hand.open();
    let len = Hand::offset(11, 16);
    let entries: Vec<Vec<u8>> = (16..19).map(payload).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let mut bytes = Vec::new();
    encode_packed(&mut bytes, 16, &entries);
    fs::write(hand.names.next(3), &bytes).unwrap();
    let end = u64::try_from(bytes.len()).unwrap();
    hand.change(|m| {
        m.begin_epoch(19, 6);
        let prepared = Some(end);
        m.cut =
            Some(Cut { kept: Some((1, len)), dead_from: 2, dead_to: 3, first_cut: 16, prepared });
        (m.open_from, m.open_seq) = (2, 16);
        m.base = Some(Place { ordinal: 3, offset: end, next_seq: 19 });
    });
    for log in [&log, &hand.open()] {
        assert_eq!(seqs(log), (1..19).collect::<Vec<_>>());
        assert_eq!(log.durable_seq(), 18);
    }
    fs::rename(hand.names.next(3), hand.names.wal(3)).unwrap();
    assert_eq!(seqs(&log), (1..19).collect::<Vec<_>>());
    fs::remove_file(hand.names.wal(2)).unwrap();
    hand.write(3, 19..22);
    hand.change(|m| (m.cut, m.active, m.next_ordinal) = (None, 3, 4));
    assert_eq!(seqs(&log), (1..22).collect::<Vec<_>>());
}

#[test]
fn damage_before_the_mark_is_damage_and_behind_it_the_end() {
    let hand = Hand::new();
    let at = usize::try_from(Hand::offset(21, 23)).unwrap();
    edit(&hand.names.wal(2), |bytes| bytes[at + 5] ^= 1);
    let log = hand.open();
    assert_eq!(log.next_seq(), 23, "in flight");
    hand.mark(Place { ordinal: 2, offset: Hand::offset(21, 25), next_seq: 25 });
    for log in [&log, &hand.open()] {
        log.refresh().unwrap();
        assert_eq!(log.next_seq(), 25);
        let mut reader = log.reader_at(22).unwrap();
        assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(22));
        let error = reader.read_next().unwrap_err();
        assert!(error.is_corruption() && error.seq() == Some(23), "{error}");
    }
    hand.mark(Place { ordinal: 4, offset: 10, next_seq: 40 });
    assert!(log.refresh().unwrap_err().is_corruption());
}

#[test]
fn manifests_that_do_not_fit() {
    let mut hand = Hand::new();
    let log = hand.open();
    fs::write(hand.names.index(0), b"").unwrap();
    let saved = fs::read(hand.names.manifest()).unwrap();
    fs::remove_file(hand.names.manifest()).unwrap();
    assert!(log.refresh().unwrap_err().is_corruption());
    assert!(LogReader::open_prefix(hand.dir.path(), "segment").unwrap_err().is_corruption());
    fs::write(hand.names.manifest(), &saved).unwrap();
    log.refresh().unwrap();
    edit(&hand.names.manifest(), |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    assert!(log.refresh().unwrap_err().is_corruption());
    hand.save();
    let newer = hand.manifest.generation + 1;
    hand.manifest.generation = newer;
    hand.mark(Place { ordinal: 2, offset: 0, next_seq: 21 });
    assert!(hand.open_result().unwrap_err().is_corruption(), "rolled back");
    hand.save();
    hand.change(|m| m.log_id += 1);
    assert!(log.refresh().unwrap_err().is_corruption(), "another log");
    // A flagged record is never written without a manifest.
    let plain = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    encode_packed(&mut bytes, 1, &[b"a", b"b"]);
    fs::write(plain.path().join("x-0000.wal"), bytes).unwrap();
    assert!(LogReader::open(plain.path()).unwrap_err().is_corruption());
}

impl Hand {
    fn open_result(&self) -> Result<LogReader> {
        LogReader::open(self.dir.path())
    }
}

#[test]
fn bytes_that_are_no_log_are_errors_at_most() {
    let mut dice = crate::read::testing::Dice(3);
    for _ in 0..100 {
        let hand = Hand::new();
        for _ in 0..1 + dice.below(4) {
            let path = match dice.below(5) {
                0 => hand.names.manifest(),
                n => hand.names.wal(n % 3),
            };
            edit(&path, |bytes| {
                let at = usize::try_from(dice.below(u64::try_from(bytes.len()).unwrap())).unwrap();
                match dice.below(3) {
                    0 => bytes.truncate(at),
                    1 => bytes[at] ^= 1 << dice.below(8),
                    _ => bytes[at..].fill(0),
                }
            });
        }
        if dice.below(3) == 0 {
            fs::remove_file(hand.names.manifest()).unwrap();
        }
        let Ok(log) = hand.open_result() else { continue };
        let Ok(range) = log.range(..) else { continue };
        for (next, entry) in (log.first_seq()..).zip(range.map_while(Result::ok)) {
            assert_eq!((entry.seq, &entry.payload[..]), (next, &payload(next)[..]));
        }
    }
}
