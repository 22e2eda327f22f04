//! okaywal: each record an entry of one chunk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use okaywal::{Configuration, Entry, EntryId, LogManager, LogVoid, SegmentReader, WriteAheadLog};

use super::Facts;
use crate::baseline::noise;
use crate::figures::Result;
use crate::store::{Store, Worker};
use crate::work::clock::Repeat;

pub(super) struct Okaywal {
    log: WriteAheadLog,
}

impl Okaywal {
    /// Files of 10 MiB, as `Config::durable()` has, used again after a checkpoint.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let config = Configuration::default_for(dir)
            .preallocate_bytes(10 << 20)
            .checkpoint_after_bytes(8 << 20);
        Ok(Self { log: config.open(LogVoid)? })
    }
}

impl Store for Okaywal {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(OkayWorker(&self.log)))
    }
}

struct OkayWorker<'a>(&'a WriteAheadLog);

impl Worker for OkayWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for payload in entries {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        Ok(())
    }
}

/// Counts what recovery hands over, which is the one way to read a whole log.
#[derive(Debug, Default)]
struct Counting(Arc<AtomicU64>);

impl LogManager for Counting {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let chunks = entry.read_all_chunks()?.unwrap_or_default();
        self.0.fetch_add(std::hint::black_box(chunks).len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

/// By opening, which reads and checks everything. Nothing is ever checkpointed, so all stays in one file.
pub(super) fn read(dir: &Path, records: u64, payload: usize, repeat: &mut Repeat) -> Result<()> {
    let config = || {
        Configuration::default_for(dir)
            .preallocate_bytes(1 << 30)
            .checkpoint_after_bytes(u64::from(u32::MAX))
            .buffer_bytes(256 << 10)
    };
    let payload = noise(payload);
    let log = config().open(LogVoid)?;
    let mut left = records;
    while left > 0 {
        let now = left.min(1000);
        let mut entry = log.begin_entry()?;
        for _ in 0..now {
            entry.write_chunk(&payload)?;
        }
        entry.commit()?;
        left -= now;
    }
    log.shutdown()?;
    while repeat.again() {
        repeat.time(|| {
            let counting = Counting::default();
            let count = Arc::clone(&counting.0);
            config().open(counting)?.shutdown()?;
            Ok(count.load(Ordering::Relaxed))
        })?;
    }
    Ok(())
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "okaywal".into(),
        version: "0.3.1".into(),
        kernel: None,
        durable: Some(
            "`EntryWriter::commit`: one `fdatasync` for those who wait, src/log_file.rs:97".into(),
        ),
        checksum: "CRC32C of each chunk".into(),
        notes:
            "a group commit; used files are written again; a failed write makes all later commits \
                wait for ever"
                .into(),
    }
}
