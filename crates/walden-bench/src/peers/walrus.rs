//! walrus: one topic.

use std::path::Path;

use walrus_rust::{FsyncSchedule, ReadConsistency};

use super::Facts;
use crate::figures::Result;
use crate::store::{Store, Worker};

pub(super) struct Walrus {
    log: walrus_rust::Walrus,
}

impl Walrus {
    /// `dir` must be the folder that `WALRUS_DATA_DIR` names: there is no other way to tell it.
    pub(super) fn open(dir: &Path, durable: bool) -> Result<Self> {
        if std::env::var_os("WALRUS_DATA_DIR").is_none_or(|named| Path::new(&named) != dir) {
            return Err("WALRUS_DATA_DIR does not name the folder".into());
        }
        std::fs::create_dir_all(dir)?;
        let schedule = if durable { FsyncSchedule::SyncEach } else { FsyncSchedule::NoFsync };
        let consistency = ReadConsistency::StrictlyAtOnce;
        let log = walrus_rust::Walrus::with_consistency_and_schedule(consistency, schedule)?;
        Ok(Self { log })
    }
}

impl Store for Walrus {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(WalrusWorker(&self.log)))
    }
}

struct WalrusWorker<'a>(&'a walrus_rust::Walrus);

impl Worker for WalrusWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.0.append_for_topic("topic", payload)?)
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        Ok(self.0.batch_append_for_topic("topic", entries)?)
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "walrus".into(),
        version: "0.2.0".into(),
        kernel: Some("`FsyncSchedule::NoFsync`: `pwrite`, src/wal/storage.rs:35".into()),
        durable: Some(
            "`FsyncSchedule::SyncEach`: `O_SYNC` (src/wal/storage.rs:25) and `fsync` after each append \
             (src/wal/runtime/writer.rs:115)"
                .into(),
        ),
        checksum: "64-bit FNV-1a of the payload only".into(),
        notes: "batches are always synced; the result of a `pwrite` is dropped, so a full disk goes \
                unnoticed"
            .into(),
    }
}
