//! Loops of `write` and `pwrite` that encode records.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::encode;
use crate::figures::Result;
use crate::store::{Store, Worker};

/// Space made ready: what two segments of `Config::durable()` take.
const SPACE: u64 = 20 << 20;

/// Fills `len` bytes with zeros, 4 KiB at a time: larger writes leave large folios in the page cache, and small
/// overwrites are then slower.
pub(super) fn fill(file: &File, len: u64) -> Result<()> {
    for page in 0..len / 4096 {
        file.write_all_at(&[0; 4096], page * 4096)?;
    }
    Ok(file.sync_all()?)
}

/// One thread, one `write` for each append.
pub(super) struct Growing {
    file: File,
    sync: bool,
}

impl Growing {
    pub(super) fn create(path: &Path, sync: bool) -> Result<Self> {
        Ok(Self { file: File::create(path)?, sync })
    }
}

impl Store for Growing {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(GrowingWorker { store: self, seq: 0, buffer: Vec::new() }))
    }

    fn finish(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

struct GrowingWorker<'a> {
    store: &'a Growing,
    seq: u64,
    buffer: Vec<u8>,
}

impl Worker for GrowingWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        self.buffer.clear();
        for entry in entries {
            self.seq += 1;
            encode(&mut self.buffer, self.seq, entry);
        }
        (&self.store.file).write_all(&self.buffer)?;
        if self.store.sync {
            self.store.file.sync_data()?;
        }
        Ok(())
    }
}

/// One thread, `pwrite` into space that was filled with zeros, then `fdatasync`.
pub(super) struct Prewritten {
    file: File,
}

impl Prewritten {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)?;
        fill(&file, SPACE)?;
        Ok(Self { file })
    }
}

impl Store for Prewritten {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(PrewrittenWorker { file: &self.file, seq: 0, at: 0, buffer: Vec::new() }))
    }
}

struct PrewrittenWorker<'a> {
    file: &'a File,
    seq: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl Worker for PrewrittenWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        self.buffer.clear();
        for entry in entries {
            self.seq += 1;
            encode(&mut self.buffer, self.seq, entry);
        }
        let len = self.buffer.len() as u64;
        if self.at + len > SPACE {
            self.at = 0;
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += len;
        Ok(self.file.sync_data()?)
    }
}

/// Several threads, one mutex around encoding and writing; written when more than `hold` bytes have come.
pub(super) struct Shared {
    state: Mutex<(u64, Vec<u8>)>,
    file: File,
    hold: usize,
}

impl Shared {
    pub(super) fn create(path: &Path, hold: usize) -> Result<Self> {
        Ok(Self { state: Mutex::default(), file: File::create(path)?, hold })
    }
}

impl Store for Shared {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(SharedWorker(self)))
    }

    fn finish(&self) -> Result<()> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.file).write_all(&guard.1)?;
        guard.1.clear();
        Ok(self.file.sync_data()?)
    }
}

struct SharedWorker<'a>(&'a Shared);

impl Worker for SharedWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        let mut guard = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (seq, buffer) = &mut *guard;
        for entry in entries {
            *seq += 1;
            encode(buffer, *seq, entry);
        }
        if buffer.len() > self.0.hold {
            (&self.0.file).write_all(buffer)?;
            buffer.clear();
        }
        Ok(())
    }
}
