//! Loops of `write` and `pwrite`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

use super::encode;
use crate::figures::Result;
use crate::store::{Store, Worker};

/// Space made ready: what two segments of `Config::durable()` take.
const SPACE: u64 = 20 << 20;

/// `Blocks` begins again here, so that a minute does not fill the disk.
const BLOCKS_WRAP: u64 = 8 << 30;

/// What `O_DIRECT` wants addresses, offsets and lengths to be multiples of, on any disk of today.
const SECTORS: usize = 4096;

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

/// One thread, the payload alone and nothing computed; past the page cache it is the disk's own rate.
pub(super) struct Blocks {
    file: File,
    direct: bool,
}

impl Blocks {
    pub(super) fn create(path: &Path, direct: bool) -> Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        if direct {
            options.custom_flags(OFlags::DIRECT.bits().cast_signed());
        }
        Ok(Self { file: options.open(path)?, direct })
    }
}

impl Store for Blocks {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(BlocksWorker { store: self, at: 0, aligned: Vec::new() }))
    }

    fn finish(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

struct BlocksWorker<'a> {
    store: &'a Blocks,
    at: u64,
    /// Holds a payload from a border of [`SECTORS`] on.
    aligned: Vec<u8>,
}

impl BlocksWorker<'_> {
    /// The payload from an address that `O_DIRECT` takes, with zeros behind it up to such a length.
    fn align(&mut self, payload: &[u8]) -> &[u8] {
        let len = payload.len().next_multiple_of(SECTORS);
        if self.aligned.len() < len + SECTORS {
            self.aligned = vec![0; len + SECTORS];
        }
        let from = self.aligned.as_ptr().align_offset(SECTORS);
        let place = self.aligned.get_mut(from..from + len).unwrap_or_default();
        if let Some(start) = place.get_mut(..payload.len()) {
            start.copy_from_slice(payload);
        }
        place
    }
}

impl Worker for BlocksWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        for entry in entries {
            let (store, at) = (self.store, self.at);
            let bytes = if store.direct { self.align(entry) } else { entry };
            store.file.write_all_at(bytes, at)?;
            let len = bytes.len() as u64;
            self.at += len;
            if self.at >= BLOCKS_WRAP {
                self.at = 0;
            }
        }
        Ok(())
    }
}
