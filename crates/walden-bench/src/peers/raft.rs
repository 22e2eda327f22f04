//! raft-engine: one Raft group, each record an entry.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::Facts;
use crate::baseline::noise;
use crate::figures::Result;
use crate::store::{Store, Worker};
use crate::work::clock::Repeat;

/// One group only: `Engine::write` makes one log of it.
const GROUP: u64 = 1;

pub(super) struct RaftEngine {
    engine: Engine,
    /// Each thread has a group of its own: the indexes of a group must come in order.
    groups: AtomicU64,
    durable: bool,
}

/// An entry that carries its index in its first bytes, as an entry of a Raft log does in a field.
struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }
}

fn engine(dir: &Path) -> Result<Engine> {
    let config = Config {
        dir: dir.to_string_lossy().into_owned(),
        // What is compared is the log, not a codec.
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    Ok(Engine::open(config)?)
}

impl RaftEngine {
    pub(super) fn open(dir: &Path, durable: bool) -> Result<Self> {
        Ok(Self { engine: engine(dir)?, groups: AtomicU64::new(GROUP), durable })
    }
}

impl Store for RaftEngine {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        let group = self.groups.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(RaftWorker { store: self, group, next: 1, batch: LogBatch::default() }))
    }
}

struct RaftWorker<'a> {
    store: &'a RaftEngine,
    group: u64,
    next: u64,
    batch: LogBatch,
}

impl Worker for RaftWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        let mut indexed = Vec::with_capacity(entries.len());
        for payload in entries {
            let mut value = Vec::with_capacity(payload.len() + 8);
            value.extend_from_slice(&self.next.to_le_bytes());
            value.extend_from_slice(payload);
            let mut entry = BytesValue::new();
            entry.set_value(value);
            indexed.push(entry);
            self.next += 1;
        }
        self.batch.add_entries::<Indexed>(self.group, &indexed)?;
        self.store.engine.write(&mut self.batch, self.store.durable)?;
        Ok(())
    }
}

/// By `fetch_entries_to`, 1000 entries at a time; each block is checked when it is read.
pub(super) fn read(dir: &Path, records: u64, payload: usize, repeat: &mut Repeat) -> Result<()> {
    let payload = noise(payload);
    let batch = vec![payload.as_slice(); 10];
    {
        let store = RaftEngine::open(dir, false)?;
        let mut worker = store.worker()?;
        for _ in 0..records / 10 {
            worker.append_batch(&batch)?;
        }
    }
    let engine = engine(dir)?;
    while repeat.again() {
        repeat.time(|| {
            let mut count = 0;
            let mut entries = Vec::with_capacity(1000);
            let first = engine.first_index(GROUP).ok_or("no first index")?;
            let end = engine.last_index(GROUP).ok_or("no last index")? + 1;
            let mut at = first;
            while at < end {
                entries.clear();
                let until = end.min(at + 1000);
                engine.fetch_entries_to::<Indexed>(GROUP, at, until, None, &mut entries)?;
                count += std::hint::black_box(&entries).len() as u64;
                at = until;
            }
            Ok(count)
        })?;
    }
    Ok(())
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "raft-engine".into(),
        version: "0.4.2".into(),
        kernel: Some("`Engine::write(batch, false)`: `pwrite`, src/engine.rs:165".into()),
        durable: Some(
            "`Engine::write(batch, true)`: one `fdatasync` for a group of writers, src/engine.rs:177"
                .into(),
        ),
        checksum: "CRC32 of header, footer and entries".into(),
        notes: "a group commit; keeps an index of all entries in memory; a failed sync panics; \
                compression switched off here"
            .into(),
    }
}
