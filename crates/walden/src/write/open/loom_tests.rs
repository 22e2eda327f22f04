//! Every order of a few steps, under loom.

use std::io;
use std::path::Path;

use super::*;
use crate::segment::{FileCache, Index, Names};
use crate::storage::OsStorage;
use crate::storage::loom_file::LoomFile;

const WRITTEN: Extent = Extent { end: 8, next_seq: 2 };

fn open() -> (OpenSegment, Arc<LoomFile>) {
    let names = Names::new(Path::new("nowhere"), "segment");
    let files = Arc::new(FileCache::new(Arc::new(OsStorage::new()), &names));
    let segment = Segment::open(&names, 1, files, None, 0, Some(Index::default()));
    let file = Arc::new(LoomFile::default());
    let begin = Extent { end: 0, next_seq: 1 };
    (OpenSegment::new(Arc::new(segment), Arc::clone(&file) as Arc<dyn File>, begin, 0), file)
}

/// Who finds bytes durable may raise the watermark for them without a sync of its own: the other's is done.
#[test]
fn loom_what_counts_as_synced_is() {
    loom::model(|| {
        let shared = Arc::new(open());
        let syncing = loom::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (open, file) = &*shared;
                open.sync_with(8, || file.sync_data()).unwrap();
            }
        });
        let (open, file) = &*shared;
        open.complete_at(WRITTEN);
        if open.synced() == 8 {
            assert!(file.is_synced());
        }
        if open.is_wholly_synced() {
            assert!(file.is_synced());
        }
        syncing.join().unwrap();
    });
}

/// Two syncs of different lengths, and one that fails: what is durable does not go down again, and not up by a failure.
#[test]
fn loom_syncs_of_one_file() {
    loom::model(|| {
        let shared = Arc::new(open());
        let syncing = [8, 4].map(|end| {
            let shared = Arc::clone(&shared);
            loom::thread::spawn(move || shared.0.sync_with(end, || shared.1.sync_data()).unwrap())
        });
        let failed = shared.0.sync_with(100, || Err(io::Error::other("x")));
        failed.unwrap_err();
        syncing.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.0.synced(), 8);
    });
}
