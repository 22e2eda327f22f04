use std::path::PathBuf;

use super::*;
use crate::storage::{read_full, write_full};

fn file(dir: &tempfile::TempDir) -> (PathBuf, Arc<dyn File>) {
    let path = dir.path().join("f.wal");
    let file = MmapStorage::new().create(&path).unwrap();
    (path, file)
}

/// `None`, with the reason, where space cannot be reserved or mapped.
fn reserved(dir: &tempfile::TempDir, from: u64, len: u64) -> Option<(PathBuf, Arc<dyn File>)> {
    let (path, file) = file(dir);
    if file.allocate(from, len).is_ok() && file.is_mapped() {
        return Some((path, file));
    }
    assert!(std::env::var_os("WALDEN_NO_SKIP").is_none(), "cannot reserve and map space here");
    None
}

fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap() ^ salt).collect()
}

fn all(file: &dyn File, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let got = read_full(file, &mut bytes, 0).unwrap();
    bytes.truncate(got);
    bytes
}

/// Small and large pieces, one behind the other, from an odd place on: those before the first whole page, across
/// it, within the mapping, across its end and behind it.
#[test]
fn every_way_of_writing_comes_into_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let (from, space) = (100, 300_000);
    let Some((path, file)) = reserved(&dir, from, space) else { return };
    let mut expected = vec![0; 100];
    let mut at = from;
    for (i, len) in
        [7, 5000, 156, 20_000, 156, 60_000, 1, 100_000, 114_700, 40_000].iter().enumerate()
    {
        let bytes = pattern(*len, u8::try_from(i).unwrap());
        if i % 2 == 0 {
            write_full(&*file, &bytes, at).unwrap();
        } else {
            let (head, tail) = bytes.split_at(len / 3);
            let parts = [IoSlice::new(head), IoSlice::new(tail)];
            assert_eq!(file.write_parts_at(&parts, at).unwrap(), *len);
        }
        expected.extend_from_slice(&bytes);
        at += u64::try_from(*len).unwrap();
    }
    assert!(at > from + space, "the last piece goes beyond what was reserved");
    assert_eq!(all(&*file, expected.len() + 10), expected, "as read through the kernel");
    file.sync_data().unwrap();
    drop(file);
    assert_eq!(std::fs::read(path).unwrap(), expected, "as found by another descriptor");
}

/// A store behind a file's end would end the process: shortening takes the mapping away first.
#[test]
fn what_is_shortened_is_not_stored_to() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_, file)) = reserved(&dir, 0, 1 << 20) else { return };
    write_full(&*file, b"before", 0).unwrap();
    file.set_len(3).unwrap();
    assert!(!file.is_mapped());
    write_full(&*file, b"behind", 500_000).unwrap();
    assert_eq!(file.len().unwrap(), 500_006);
    assert_eq!(all(&*file, 10), b"bef\0\0\0\0\0\0\0");
}

#[test]
fn cooled_and_reserved_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_, file)) = reserved(&dir, 0, 8192) else { return };
    write_full(&*file, &[1; 100], 0).unwrap();
    file.cool();
    assert!(!file.is_mapped());
    write_full(&*file, &[2; 100], 100).unwrap();
    // What comes behind is mapped anew, together with nothing before it.
    file.allocate(8192, 8192).unwrap();
    assert!(file.is_mapped());
    write_full(&*file, &[3; 100], 200).unwrap();
    write_full(&*file, &[4; 100], 9000).unwrap();
    let bytes = all(&*file, 9100);
    let expected = [(0, 1), (100, 2), (200, 3), (9000, 4)];
    for (at, byte) in expected {
        assert_eq!(bytes[at..at + 100], [byte; 100], "at {at}");
    }
}

/// Growing maps the whole anew, and forgets nothing of it.
#[test]
fn space_grows_behind_what_is_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_, file)) = reserved(&dir, 0, 4096) else { return };
    assert_eq!(file.warm(1 << 30), 4096);
    write_full(&*file, &[1; 4000], 0).unwrap();
    file.allocate(4096, 1 << 20).unwrap();
    assert_eq!(file.warm(8192), 8192);
    for i in 0..4_u64 {
        write_full(&*file, &[2; 5000], 4000 + i * 5000).unwrap();
    }
    let bytes = all(&*file, 24_000);
    assert!(bytes[..4000].iter().all(|byte| *byte == 1));
    assert!(bytes[4000..].iter().all(|byte| *byte == 2));
}

/// A hole between two reserved pieces is never stored to.
#[test]
fn only_what_is_reserved_is_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = file(&dir);
    let os = OsStorage::new().open_file(&path, Access::ReadWrite).unwrap();
    let mapped = MmapFile { os, map: Mutex::new(Map { region: None, present: 0 }) };
    for (offset, from, to) in [(0, 0, 8192), (8192, 0, 16_384), (40_960, 40_960, 49_152)] {
        if mapped.allocate(offset, 8192).is_err() || !mapped.is_mapped() {
            assert!(std::env::var_os("WALDEN_NO_SKIP").is_none(), "cannot reserve space here");
            return;
        }
        let map = mapped.map.lock();
        let region = map.region.as_ref().unwrap();
        assert_eq!((region.start, region.start + num::size(region.len)), (from, to));
    }
    drop(file);
}

/// Only segments: a mapping of what is written now and then costs more than it saves.
#[test]
fn nothing_but_segments_is_mapped() {
    let dir = tempfile::tempdir().unwrap();
    for (name, is_segment) in [("a.wal", true), ("a.next", true), ("a.cursors", false)] {
        let file = MmapStorage::new().create(&dir.path().join(name)).unwrap();
        if file.allocate(0, 8192).is_err() {
            assert!(std::env::var_os("WALDEN_NO_SKIP").is_none(), "cannot reserve space here");
            return;
        }
        assert_eq!(file.is_mapped(), is_segment, "{name}");
    }
}

/// What the kernel was asked to write, and did not, has no pages that can be stored to: nor has a mapping made anew.
#[test]
fn pages_are_present_only_where_something_was_written_or_made_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.wal");
    // For reading only: so that the kernel refuses what is given to it.
    let Some((_, writable)) = reserved(&dir, 0, 1 << 20) else { return };
    let region = {
        let os = OsStorage::new().open_file(&path, Access::ReadWrite).unwrap();
        Arc::new(Region::new(&os, 0, 1 << 20).unwrap())
    };
    let os = OsStorage::new().open_file(&path, Access::Read).unwrap();
    let refused = MmapFile { os, map: Mutex::new(Map { region: Some(region), present: 0 }) };
    refused.write_at(&[1; 40_000], 0).unwrap_err();
    refused.write_parts_at(&[IoSlice::new(&[1; 40_000])], 0).unwrap_err();
    assert_eq!(refused.map.lock().present, 0, "nothing was written");
    drop(writable);

    let os = OsStorage::new().open_file(&path, Access::ReadWrite).unwrap();
    let file = MmapFile { os, map: Mutex::new(Map { region: None, present: 0 }) };
    file.allocate(0, 1 << 20).unwrap();
    write_full(&file, &[1; 40_000], 0).unwrap();
    assert_eq!(file.map.lock().present, 40_000);
    file.allocate(1 << 20, 1 << 20).unwrap();
    assert_eq!(file.map.lock().present, 0, "the mapping is another one");
    write_full(&file, &[2; 100], 40_000).unwrap();
    assert!(file.map.lock().present >= 40_100);
    assert_eq!(all(&file, 40_100)[39_999..40_001], [1, 2]);
}
