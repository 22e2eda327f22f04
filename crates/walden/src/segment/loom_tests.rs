//! Every order of a few steps, under loom.

use super::*;
use crate::storage::OsStorage;
use crate::storage::loom_file::LoomFile;
use crate::watermark::Watermark;

fn cache(names: &Names) -> Arc<FileCache> {
    Arc::new(FileCache::new(Arc::new(OsStorage::new()), names))
}

fn names() -> Names {
    Names::new(Path::new("nowhere"), "segment")
}

fn active() -> Segment {
    let names = names();
    Segment::open(&names, 1, cache(&names), None, 0, Some(Index::default()))
}

/// Who finds an end finds the bytes before it written: readers look at it ahead of the watermark, too.
#[test]
fn loom_what_ends_is_written() {
    loom::model(|| {
        let shared = Arc::new((active(), LoomFile::default()));
        let writing = loom::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (segment, file) = &*shared;
                file.write_at(b"a record", 0).unwrap();
                segment.note_first_seq(1);
                segment.set_end(8);
            }
        });
        let (segment, file) = &*shared;
        if segment.end().unwrap() == 8 {
            assert!(file.is_written());
            assert_eq!(segment.first_seq().unwrap(), Some(1), "not asked of the file");
        }
        writing.join().unwrap();
    });
}

/// Who finds an entry written finds the segment that long, and its first seq id, which was noted by who reads it, too.
#[test]
fn loom_what_is_written_is_in_the_segment() {
    loom::model(|| {
        let shared = Arc::new((active(), Watermark::new(1)));
        let writing = loom::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (segment, watermark) = &*shared;
                watermark.raise_appended(2);
                segment.note_first_seq(1);
                segment.set_end(8);
                watermark.raise_written(2);
            }
        });
        let (segment, watermark) = &*shared;
        if watermark.written() == 2 {
            assert_eq!(segment.end().unwrap(), 8);
            assert_eq!(segment.first_seq().unwrap(), Some(1));
        }
        writing.join().unwrap();
    });
}

/// The first seq id may be seen before the end is: the record that it was taken from is there.
#[test]
fn loom_what_begins_is_written() {
    loom::model(|| {
        let shared = Arc::new((active(), LoomFile::default()));
        // The other thread reads: noting looks before it stores, and loom then misses who looked before that.
        let reading = loom::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (segment, file) = &*shared;
                if segment.first_seq().unwrap() == Some(1) {
                    assert!(file.is_written());
                }
            }
        });
        let (segment, file) = &*shared;
        file.write_at(b"a record", 0).unwrap();
        segment.note_first_seq(1);
        reading.join().unwrap();
    });
}

/// Who finds it sealed finds what was done before: it is synced.
#[test]
fn loom_what_is_sealed_is_synced() {
    loom::model(|| {
        let shared = Arc::new((active(), LoomFile::default()));
        let sealing = loom::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (segment, file) = &*shared;
                file.sync_data().unwrap();
                segment.seal();
            }
        });
        let (segment, file) = &*shared;
        if segment.is_sealed() {
            assert!(file.is_synced());
        }
        sealing.join().unwrap();
    });
}
