//! fjall's journal, as far as it can be had: through its key-value store, with its tree beside it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Facts;
use crate::figures::Result;
use crate::store::{Store, Worker};

pub(super) struct Fjall {
    database: Database,
    keyspace: Keyspace,
    next: AtomicU64,
    mode: PersistMode,
}

impl Fjall {
    pub(super) fn open(dir: &Path, durable: bool) -> Result<Self> {
        let database = Database::builder(dir).open()?;
        let keyspace = database.keyspace("log", KeyspaceCreateOptions::default)?;
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        Ok(Self { database, keyspace, next: AtomicU64::new(1), mode })
    }
}

impl Store for Fjall {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(FjallWorker(self)))
    }
}

struct FjallWorker<'a>(&'a Fjall);

impl Worker for FjallWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    #[expect(clippy::big_endian_bytes, reason = "keys are ordered by their bytes")]
    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        let mut batch = self.0.database.batch().durability(Some(self.0.mode));
        for payload in entries {
            let seq = self.0.next.fetch_add(1, Ordering::Relaxed);
            batch.insert(&self.0.keyspace, seq.to_be_bytes(), *payload);
        }
        Ok(batch.commit()?)
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "fjall".into(),
        version: "3.1.13".into(),
        kernel: Some("a batch with `PersistMode::Buffer`, src/batch/mod.rs:125".into()),
        durable: Some(
            "a batch with `PersistMode::SyncData`: `fdatasync` under the journal's mutex, \
             src/batch/mod.rs:125"
                .into(),
        ),
        checksum: "XXH3 of each batch".into(),
        notes: "a key-value store: each record goes to a tree in memory, too; needs Rust 1.90"
            .into(),
    }
}
