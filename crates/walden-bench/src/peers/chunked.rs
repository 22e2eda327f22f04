//! chunked-wal: its worker thread writes and syncs, and calls back.

use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chunked_wal::{
    ChunkId, ChunkedWal, Config, Segment, StateMachine, WAL as _, WALRecord, WalTypes,
};
use codeq::{Decode, Encode};

use super::Facts;
use crate::figures::Result;
use crate::store::{Store, Worker};

/// What tells a record of ours from a checkpoint.
const KIND: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Payload(Vec<u8>);

impl Encode for Payload {
    fn encode<W: io::Write>(&self, mut out: W) -> io::Result<usize> {
        Ok(KIND.encode(&mut out)? + self.0.encode(&mut out)?)
    }

    fn type_id(&self) -> Option<u32> {
        Some(KIND)
    }
}

impl Decode for Payload {
    fn decode<R: io::Read>(mut from: R) -> io::Result<Self> {
        if u32::decode(&mut from)? != KIND {
            return Err(io::Error::other("another kind of record"));
        }
        Ok(Self(Vec::decode(&mut from)?))
    }
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Types;

impl WalTypes for Types {
    type Action = Payload;
    type Checkpoint = u64;
    type Callback = SyncSender<io::Result<()>>;
}

/// Nothing but the log is measured: records are counted.
#[derive(Debug, Default)]
struct Count(u64);

impl StateMachine<Types> for Count {
    type Error = io::Error;

    fn apply(&mut self, record: &WALRecord<Types>, _: ChunkId, _: Segment) -> io::Result<()> {
        match record {
            WALRecord::Action(_) => self.0 += 1,
            WALRecord::Checkpoint(count) => self.0 = *count,
        }
        Ok(())
    }

    fn checkpoint(&self) -> u64 {
        self.0
    }
}

pub(super) struct Chunked {
    log: Mutex<(ChunkedWal<Types>, Count)>,
    durable: bool,
}

impl Chunked {
    pub(super) fn open(dir: &Path, durable: bool) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut config = Config::new(dir.display());
        config.chunk_max_size = Some(64 << 20);
        // By default each append waits a millisecond for others; at zero, those that have come are not taken
        // together at all.
        config.flush_batch_wait = Some(Duration::from_micros(10));
        let mut count = Count::default();
        let log = ChunkedWal::open(Arc::new(config), &mut count, Arc::new(|_, _| {}))?;
        Ok(Self { log: Mutex::new((log, count)), durable })
    }
}

impl Store for Chunked {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(ChunkedWorker(self)))
    }
}

struct ChunkedWorker<'a>(&'a Chunked);

impl Worker for ChunkedWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        let (done, waiting) = sync_channel(1);
        {
            let mut guard = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
            let (log, count) = &mut *guard;
            for payload in entries {
                let record = WALRecord::Action(Payload(payload.to_vec()));
                log.append(&record)?;
                count.0 += 1;
            }
            log.send_pending(self.0.durable, Some(done))?;
            log.try_close_full_chunk(count)?;
        }
        Ok(waiting.recv()??)
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "chunked-wal".into(),
        version: "0.2.3".into(),
        kernel: Some(
            "`send_pending(false, callback)`: a write by the worker thread, then the callback, \
             src/wal/flush_worker.rs:222"
                .into(),
        ),
        durable: Some(
            "`send_pending(true, callback)`: one `fdatasync` for those queued, \
             src/wal/flush_worker.rs:376"
                .into(),
        ),
        checksum: "CRC32 of each record".into(),
        notes: "each append crosses to another thread and back; a mutex around it here, since \
                appending needs it for itself; `flush_batch_wait` of 10 µs (by default one thread waits \
                1 ms for others; at 0 there is no group commit)"
            .into(),
    }
}
