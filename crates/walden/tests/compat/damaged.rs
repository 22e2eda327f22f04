//! Go's logs that are torn or damaged: cut and kept aside, or refused with nothing changed.

use std::fs;

use walden::{Error, ErrorKind, LogReader, RecoveryMode, Wal};

use crate::vectors::{Expected, Vector, contents};

/// One with a torn tail: what was cut is in quarantine, byte for byte, and reported.
fn torn(name: &'static str, tail_at: usize) {
    let vector = Vector::load(name);
    let dir = vector.copy();
    let last = fs::read(dir.path().join("segment-0006.wal")).unwrap();
    let wal = Wal::open(dir.path(), vector.config()).unwrap();
    let cut = wal.recovery().cut.unwrap();
    assert!(cut.done);
    assert_eq!(cut.path, dir.path().join("segment-0006.wal"));
    assert_eq!(cut.offset, tail_at as u64);
    assert_eq!(cut.possibly_acknowledged.start(), &200);
    let [kept] = cut.kept_in.as_slice() else { panic!("{:?}", cut.kept_in) };
    assert!(kept.starts_with(dir.path().join("segment.quarantine")), "{}", kept.display());
    assert_eq!(fs::read(kept).unwrap(), last[tail_at..]);
    assert_eq!(fs::read(dir.path().join("segment-0006.wal")).unwrap(), last[..tail_at]);

    assert_eq!(wal.append(b"goes on").unwrap(), 200);
    wal.close().unwrap();
    let wal = Wal::open(dir.path(), vector.config()).unwrap();
    assert_eq!(wal.recovery().cut, None);
    assert_eq!(wal.next_seq(), 201);
    assert_eq!(wal.get(200).unwrap().unwrap().payload, &b"goes on"[..]);
}

#[test]
fn a_torn_payload_is_cut_and_kept() {
    torn("torn-tail", 896);
}

#[test]
fn a_torn_header_is_cut_and_kept() {
    torn("torn-header", 896);
}

#[test]
fn strict_refuses_a_torn_tail_and_changes_nothing() {
    for name in ["torn-tail", "torn-header"] {
        let vector = Vector::load(name);
        let dir = vector.copy();
        let before = contents(dir.path());
        let config = vector.config().recovery_mode(RecoveryMode::Strict);
        let error = Wal::open(dir.path(), config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TornTail, "{error}");
        assert_eq!(error.file(), Some(dir.path().join("segment-0006.wal").as_path()));
        assert_eq!((error.offset(), error.seq()), (Some(896), Some(200)));
        assert!(error.what_to_do().is_some(), "{error}");
        unchanged(dir.path(), &before);
    }
}

#[test]
fn zeros_behind_the_end_are_free_space() {
    let vector = Vector::load("zero-tail");
    for mode in [RecoveryMode::TruncateTail, RecoveryMode::Strict] {
        let dir = vector.copy();
        let wal = Wal::open(dir.path(), vector.config().recovery_mode(mode)).unwrap();
        assert_eq!(wal.recovery().cut, None, "zeros are no loss");
        assert_eq!(wal.next_seq(), 201);
        wal.close().unwrap();
        assert_eq!(fs::metadata(dir.path().join("segment-0006.wal")).unwrap().len(), 1024);
        assert!(!dir.path().join("segment.quarantine").exists());
    }
}

/// A flipped bit with an intact record behind it is no torn tail: opening refuses, says where, and leaves
/// every byte as it was.
#[test]
fn damage_before_sound_records_is_refused() {
    let vector = Vector::load("flip-active");
    for mode in [RecoveryMode::TruncateTail, RecoveryMode::Strict] {
        let dir = vector.copy();
        let before = contents(dir.path());
        let error = Wal::open(dir.path(), vector.config().recovery_mode(mode)).unwrap_err();
        flipped(&error, &dir.path().join("segment-0006.wal"));
        unchanged(dir.path(), &before);
    }
}

#[test]
fn a_reader_gives_what_lies_before_the_damage_and_then_the_error() {
    let vector = Vector::load("flip-active");
    let before = contents(&vector.log());
    let log = LogReader::open(vector.log()).unwrap();
    let mut entries = log.range(..).unwrap();
    for expected in &vector.records {
        assert_eq!(Expected::from(&entries.next().unwrap().unwrap()), *expected);
    }
    assert_eq!(vector.records.len(), 195);
    let error = entries.next().unwrap().unwrap_err();
    flipped(&error, &vector.log().join("segment-0006.wal"));
    assert!(entries.next().is_none(), "an iterator ends at its error");
    flipped(&log.get(196).unwrap_err(), &vector.log().join("segment-0006.wal"));
    assert_eq!(contents(&vector.log()), before);
}

fn flipped(error: &Error, path: &std::path::Path) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.file(), Some(path), "{error}");
    assert_eq!((error.offset(), error.seq()), (Some(384), Some(196)), "{error}");
    assert!(error.what_to_do().is_some_and(|what| what.contains("walden ")), "{error}");
}

/// Nothing but the lock file is new, and nothing is changed.
fn unchanged(dir: &std::path::Path, before: &std::collections::BTreeMap<String, Vec<u8>>) {
    let mut after = contents(dir);
    after.remove("segment.lock");
    let names: Vec<_> = after.keys().collect();
    assert_eq!(names, before.keys().collect::<Vec<_>>());
    assert!(after == *before, "a file was changed");
}
