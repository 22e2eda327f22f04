//! Logs, archives of them, and whether two hold the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use walden::{Config, LogReader, Mode, Wal};
use walden_archive::{Archive, Archiver, ArchiverOptions, Depth, StoreOptions, Until, Verified};

use super::faulty::Faulty;

/// A log in a folder, a bucket in memory, and the archive in it.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) bucket: Arc<Faulty>,
    pub(crate) archive: Archive,
}

/// Where the archive is in the bucket.
pub(crate) const PREFIX: &str = "logs/a";

impl Place {
    pub(crate) fn new() -> Self {
        Self::tried(1)
    }

    /// Each request of the archive is tried so often.
    pub(crate) fn tried(tries: u32) -> Self {
        let bucket = Faulty::new();
        let archive = archive(&bucket, tries);
        Self { dir: tempfile::tempdir().unwrap(), bucket, archive }
    }

    pub(crate) fn open(&self) -> Wal {
        open(&self.dir.path().join("log"))
    }

    /// With entries up to before `next`, some of them in batches.
    pub(crate) fn with_entries(next: u64) -> (Self, Wal) {
        let place = Self::new();
        let wal = place.open();
        fill(&wal, next);
        (place, wal)
    }

    pub(crate) fn archiver(&self, wal: &Wal) -> Archiver {
        Archiver::new(&self.archive, wal.clone(), options()).unwrap()
    }

    /// Ships all that is there.
    pub(crate) fn ship(&self, wal: &Wal) -> Archiver {
        let mut archiver = self.archiver(wal);
        archiver.ship(&mut |_| {}).unwrap();
        assert_eq!(archiver.archived(), wal.durable_seq() + 1);
        archiver
    }

    #[track_caller]
    pub(crate) fn sound(&self) -> Verified {
        let verified = self.archive.verify(Depth::Read, &mut |_| {}).unwrap();
        assert!(!verified.is_damaged(), "{:?}", verified.damages);
        verified
    }

    /// Restores all of it to a new folder.
    pub(crate) fn restored(&self, until: Until) -> (TempDir, Wal) {
        let dir = tempfile::tempdir().unwrap();
        self.archive.restore(dir.path(), config(), until, &mut |_| {}).unwrap();
        let wal = open(dir.path());
        (dir, wal)
    }
}

pub(crate) fn archive(bucket: &Arc<Faulty>, tries: u32) -> Archive {
    let moment = Duration::from_millis(1);
    let options = StoreOptions::default().tries(tries).pauses(moment, moment);
    Archive::with_store(Arc::clone(bucket) as _, PREFIX, options).unwrap()
}

pub(crate) fn config() -> Config {
    // Small segments, and no waiting for a disk: a sync says how far it is durable.
    Config::os_cache().mode(Mode::Debug).segment_size(2_000).max_record_size(100_000)
}

pub(crate) fn open(dir: &Path) -> Wal {
    Wal::open(dir, config()).unwrap()
}

/// Objects of a few entries each.
pub(crate) fn options() -> ArchiverOptions {
    ArchiverOptions::default().tail(true).chunk_bytes(700).parallel(3)
}

/// Appends up to before `next`: single entries and batches, by turns; durable.
pub(crate) fn fill(wal: &Wal, next: u64) {
    while wal.next_seq() < next {
        let seq = wal.next_seq();
        if seq.is_multiple_of(5) && seq + 3 <= next {
            wal.append_batch((seq..seq + 3).map(entry)).unwrap();
        } else {
            wal.append(entry(seq)).unwrap();
        }
    }
    wal.sync().unwrap();
}

pub(crate) fn entry(seq: u64) -> String {
    format!("entry {seq} {}", "x".repeat(usize::try_from(seq % 37).unwrap()))
}

/// Waits until all segments but the one being written are complete.
pub(crate) fn settle(wal: &Wal) {
    for _ in 0..2_000 {
        let segments = wal.segments().unwrap();
        if segments.iter().rev().skip(1).all(|segment| segment.sealed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("segments are not sealed");
}

/// Both hold the same entries, and, entry for entry, the same history.
#[track_caller]
pub(crate) fn same(a: &Wal, b: &Wal) {
    assert_eq!((a.first_seq(), a.next_seq()), (b.first_seq(), b.next_seq()));
    assert_eq!(a.digest(..).unwrap(), b.digest(..).unwrap());
    for seq in a.first_seq()..a.next_seq() {
        let epoch = |wal: &Wal| {
            let frames = wal.frames(seq, 1).unwrap().unwrap();
            frames.epochs().into_iter().rev().find(|(first, _)| *first <= seq).unwrap().1
        };
        assert_eq!(epoch(a), epoch(b), "the epoch of {seq}");
    }
}

/// Without a handle: as another program sees it.
pub(crate) fn reader(dir: &Path) -> LogReader {
    LogReader::open(dir).unwrap()
}
