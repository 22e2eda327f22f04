//! The disk without a log: the least that any log on it costs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use walden::ErrorKind;
use walden::storage::{File, OsStorage, Storage};

use super::figures::{Recorder, Timed, Until, per_second};
use crate::exit::Failure;

/// What a small write meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Growing,
    Reserved,
    Written,
}

/// Space made ready; no more is written.
const SPACE: u64 = 8 << 20;
/// Zeros are written so: larger writes leave large pages in the cache, which slow small ones down.
const ZEROS: [u8; 4096] = [0; 4096];

const BLOCK: usize = 1 << 20;
/// A sync after so many blocks.
const BLOCKS_A_SYNC: u64 = 16;

/// Small writes behind each other, each synced. `None` where space cannot be reserved.
///
/// # Errors
/// What the disk gives.
pub(super) fn write_and_sync(
    path: &Path,
    space: Space,
    entry: usize,
    until: &Until,
) -> Result<Option<Timed>, Failure> {
    let file = create(path)?;
    let failed = |error: &io::Error| failure(error, path);
    match space {
        Space::Growing => {}
        Space::Reserved => match file.allocate(0, SPACE) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                remove(path)?;
                return Ok(None);
            }
            other => other.map_err(|error| failed(&error))?,
        },
        Space::Written => {
            for at in (0..SPACE).step_by(ZEROS.len()) {
                write(&*file, &ZEROS, at).map_err(|error| failed(&error))?;
            }
        }
    }
    file.sync_all().map_err(|error| failed(&error))?;
    let bytes = vec![7; entry.saturating_add(28)];
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut recorder = Recorder::begin().ok_or_else(no_memory)?;
    let mut at = 0;
    while at + len <= SPACE {
        write(&*file, &bytes, at).map_err(|error| failed(&error))?;
        file.sync_data().map_err(|error| failed(&error))?;
        at += len;
        if until.is_over(recorder.done()) {
            break;
        }
    }
    remove(path)?;
    Ok(Some(recorder.figures()))
}

/// Bytes a second of large writes, synced now and then. The file has at most `most` bytes, and is written over
/// and over.
///
/// # Errors
/// What the disk gives.
pub(super) fn sequential(path: &Path, most: u64, until: &Until) -> Result<u64, Failure> {
    let file = create(path)?;
    let block = vec![7; BLOCK];
    let len = 1 << 20;
    let blocks = (most / len).max(1);
    let begun = Instant::now();
    let mut done = 0;
    loop {
        let written = write(&*file, &block, done % blocks * len);
        written.map_err(|error| failure(&error, path))?;
        done += 1;
        if done % BLOCKS_A_SYNC == 0 {
            file.sync_data().map_err(|error| failure(&error, path))?;
            if until.is_over(Instant::now()) {
                break;
            }
        }
    }
    let took = begun.elapsed();
    remove(path)?;
    Ok(per_second(done * len, took))
}

fn create(path: &Path) -> Result<Arc<dyn File>, Failure> {
    OsStorage::new().create(path).map_err(|error| failure(&error, path))
}

fn remove(path: &Path) -> Result<(), Failure> {
    OsStorage::new().remove(path).map_err(|error| failure(&error, path))
}

fn write(file: &dyn File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                at += u64::try_from(written).unwrap_or(0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn failure(error: &io::Error, path: &Path) -> Failure {
    Failure::io("measure the disk", error).path(path)
}

pub(super) fn no_memory() -> Failure {
    Failure::new(ErrorKind::Io, "there is no memory for the figures")
}
