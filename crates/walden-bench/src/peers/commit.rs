//! commitlog: a mutex around it, since appending needs it for itself.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ::commitlog::message::{MessageBuf, MessageSet as _};
use ::commitlog::{CommitLog, LogOptions, ReadLimit};

use super::Facts;
use crate::baseline::noise;
use crate::figures::Result;
use crate::store::{Store, Worker};
use crate::work::clock::Repeat;

pub(super) struct Commitlog {
    log: Mutex<CommitLog>,
}

fn options(dir: &Path) -> LogOptions {
    let mut options = LogOptions::new(dir);
    options.segment_max_bytes(64 << 20).index_max_items(4 << 20).message_max_bytes(8 << 20);
    options
}

impl Commitlog {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        Ok(Self { log: Mutex::new(CommitLog::new(options(dir))?) })
    }
}

impl Store for Commitlog {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(CommitWorker { log: &self.log, batch: MessageBuf::default() }))
    }
}

struct CommitWorker<'a> {
    log: &'a Mutex<CommitLog>,
    batch: MessageBuf,
}

impl Worker for CommitWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append_msg(payload).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        self.batch.clear();
        for entry in entries {
            self.batch.push(entry).map_err(|error| format!("{error:?}"))?;
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(&mut self.batch).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// By slices of 256 KiB; `MessageBuf` checks each message.
pub(super) fn read(dir: &Path, records: u64, payload: usize, repeat: &mut Repeat) -> Result<()> {
    let payload = noise(payload);
    let batch = vec![payload.as_slice(); 10];
    let store = Commitlog::open(dir)?;
    {
        let mut worker = store.worker()?;
        for _ in 0..records / 10 {
            worker.append_batch(&batch)?;
        }
    }
    let log = store.log.into_inner().unwrap_or_else(PoisonError::into_inner);
    while repeat.again() {
        repeat.time(|| {
            let mut count = 0;
            loop {
                let messages = log.read(count, ReadLimit::max_bytes(256 << 10));
                let messages = messages.map_err(|error| error.to_string())?;
                if messages.is_empty() {
                    return Ok(count);
                }
                for message in messages.iter() {
                    std::hint::black_box(message.payload());
                    count += 1;
                }
            }
        })?;
    }
    Ok(())
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "commitlog".into(),
        version: "0.2.0".into(),
        kernel: Some("`append`: `write`, src/segment.rs:135".into()),
        durable: None,
        checksum: "CRC32C of the payload".into(),
        notes:
            "**never synced**: `flush` is `File::flush`, which does nothing (src/segment.rs:153)"
                .into(),
    }
}
