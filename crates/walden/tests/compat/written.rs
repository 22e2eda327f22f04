//! What is written here is what the Go library writes: the same bytes in the same segments.

use std::fs;
use std::path::Path;

use crate::engine::over;
use walden::{BatchFormat, Config, Wal};

use crate::decoder;
use crate::vectors::{Vector, pat};

/// How the records come into the log.
#[derive(Debug, Clone, Copy)]
enum How {
    Single,
    Parts,
    /// Of so many each, as separate records.
    Batches(usize),
}

/// Files that hold anything, oldest first. Go may leave an empty one before a record that is larger than
/// a segment; here such a record gets a file of its own.
fn filled(dir: &Path) -> Vec<Vec<u8>> {
    let files = decoder::segments(dir).into_iter().map(|path| fs::read(path).unwrap());
    files.filter(|bytes| !bytes.is_empty()).collect()
}

fn write(dir: &Path, config: Config, payloads: &[Vec<u8>], how: How) {
    let wal = Wal::open(dir, config.batch_format(BatchFormat::Separate)).unwrap();
    match how {
        How::Single => {
            for payload in payloads {
                wal.append(payload).unwrap();
            }
        }
        How::Parts => {
            for payload in payloads {
                let (head, tail) = payload.split_at(payload.len() / 3);
                wal.append_parts(&[head, b"", tail]).unwrap();
            }
        }
        How::Batches(of) => {
            for batch in payloads.chunks(of) {
                wal.append_batch(batch).unwrap();
            }
        }
    }
    wal.close().unwrap();
}

fn same(name: &'static str, payloads: &[Vec<u8>], hows: &[How]) {
    let vector = Vector::load(name);
    let expected = filled(&vector.log());
    let configs = [
        vector.config(),
        over(Config::os_cache()).segment_size(vector.segment_size),
        over(Config::background()).segment_size(vector.segment_size),
    ];
    for how in hows {
        for config in &configs {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), config.clone(), payloads, *how);
            let found = filled(dir.path());
            let lengths = |files: &[Vec<u8>]| files.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lengths(&found), lengths(&expected), "{name} {how:?} {config:?}");
            assert!(found == expected, "{name} {how:?} {config:?}: the bytes differ");
        }
    }
}

#[test]
fn basic() {
    let payloads: Vec<_> = (0..100).map(|i| format!("entry-{i}").into_bytes()).collect();
    same("basic", &payloads, &[How::Single, How::Parts, How::Batches(7), How::Batches(100)]);
}

#[test]
fn rotated() {
    let payloads: Vec<_> = (0..500).map(|i| pat(i, i % 257)).collect();
    same("rotated", &payloads, &[How::Single, How::Parts, How::Batches(3)]);
}

#[test]
fn large() {
    let records = decoder::entries(&Vector::load("large").log());
    let payloads: Vec<_> = records.into_iter().map(|(_, payload)| payload).collect();
    same("large", &payloads, &[How::Single, How::Batches(1)]);
}

#[test]
fn empty() {
    same("empty", &[], &[How::Single]);
}

/// The logs that end in a torn or zeroed record begin with the same 200 records.
#[test]
fn two_hundred() {
    let vector = Vector::load("zero-tail");
    let payloads: Vec<_> = (0..200).map(|i| pat(i, 100)).collect();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), vector.config(), &payloads, How::Single);
    let (found, mut expected) = (filled(dir.path()), filled(&vector.log()));
    expected.last_mut().unwrap().truncate(1024);
    assert!(found == expected);
}
