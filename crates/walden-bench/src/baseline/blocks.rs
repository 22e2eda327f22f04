//! Loops that write payloads as they are, with nothing computed: what the disk takes.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags};

use crate::figures::Result;
use crate::store::{Store, Worker};

/// So much of the disk is used, so that a minute does not fill it: as much as a log beside it keeps.
pub(super) const KEPT: u64 = 8 << 30;

/// What `O_DIRECT` wants addresses, offsets and lengths to be multiples of, on any disk of today.
const SECTORS: usize = 4096;

fn create(path: &Path, direct: bool) -> Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    if direct {
        options.custom_flags(OFlags::DIRECT.bits().cast_signed());
    }
    Ok(options.open(path)?)
}

/// Holds a payload where `O_DIRECT` takes it from.
#[derive(Default)]
struct Aligned(Vec<u8>);

impl Aligned {
    /// The payload from a border of [`SECTORS`] on, with zeros behind it up to the next.
    fn align(&mut self, payload: &[u8]) -> &[u8] {
        let len = payload.len().next_multiple_of(SECTORS);
        if self.0.len() < len + SECTORS {
            self.0 = vec![0; len + SECTORS];
        }
        let from = self.0.as_ptr().align_offset(SECTORS);
        let place = self.0.get_mut(from..from + len).unwrap_or_default();
        if let Some(start) = place.get_mut(..payload.len()) {
            start.copy_from_slice(payload);
        }
        place
    }
}

/// One thread, one file that is written from the beginning again when it is as long as may be kept.
pub(super) struct Blocks {
    file: File,
    direct: bool,
}

impl Blocks {
    pub(super) fn create(path: &Path, direct: bool) -> Result<Self> {
        Ok(Self { file: create(path, direct)?, direct })
    }
}

impl Store for Blocks {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(BlocksWorker { store: self, at: 0, aligned: Aligned::default() }))
    }

    fn finish(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

struct BlocksWorker<'a> {
    store: &'a Blocks,
    at: u64,
    aligned: Aligned,
}

impl Worker for BlocksWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let bytes = if self.store.direct { self.aligned.align(payload) } else { payload };
        self.store.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        if self.at >= KEPT {
            self.at = 0;
        }
        Ok(())
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.append(entry))
    }
}

/// One thread, past the page cache, into one file after the other, of which the oldest is removed when there are more than may be
/// kept: what the disk takes of a log that does not grow for ever. A filesystem that tells the disk of what it frees
/// (`discard`) is much slower so.
pub(super) struct Rotating {
    path: PathBuf,
    /// Bytes of a file.
    each: u64,
    kept: u64,
}

impl Rotating {
    pub(super) const fn create(path: PathBuf, each: u64, kept: u64) -> Self {
        Self { path, each, kept }
    }
}

impl Store for Rotating {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        let aligned = Aligned::default();
        Ok(Box::new(RotatingWorker { store: self, number: 0, file: None, at: 0, aligned }))
    }
}

struct RotatingWorker<'a> {
    store: &'a Rotating,
    /// Of the next file.
    number: u64,
    file: Option<File>,
    at: u64,
    aligned: Aligned,
}

impl RotatingWorker<'_> {
    fn next(&mut self) -> Result<File> {
        let Rotating { path, each, kept } = self.store;
        let name = |number: u64| match number {
            0 => path.clone(),
            number => path.with_extension(number.to_string()),
        };
        let file = create(&name(self.number), true)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, *each)?;
        if let Some(oldest) = self.number.checked_sub(kept / each) {
            fs::remove_file(name(oldest))?;
        }
        self.number += 1;
        self.at = 0;
        Ok(file)
    }
}

impl Worker for RotatingWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let file = match self.file.take() {
            Some(file) if self.at + payload.len() as u64 <= self.store.each => file,
            full => {
                if let Some(full) = full {
                    full.sync_data()?;
                }
                self.next()?
            }
        };
        let bytes = self.aligned.align(payload);
        file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.append(entry))
    }
}

impl Drop for RotatingWorker<'_> {
    fn drop(&mut self) {
        // What the last file lacks is part of what is measured, as in the other loops.
        if let Some(file) = &self.file {
            drop(file.sync_data());
        }
    }
}
