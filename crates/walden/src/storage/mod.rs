//! The operating system, behind two small traits: nothing else in the crate touches files or clocks.
//!
//! Offsets are given with every call; there is no hidden cursor. [`OsStorage`] is the real one;
//! `walden-sim` has a simulated disk. A latch keeps the first failure that makes the kernel's cache
//! untrustworthy and refuses every change after it.

mod clock;
mod latch;
#[cfg(all(test, walden_model = "loom"))]
pub(crate) mod loom_file;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[expect(unsafe_code, reason = "a mapping is memory that the kernel shares")]
mod mmap;
mod os;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

pub(crate) use self::clock::micros;
pub use self::clock::{Clock, SystemClock};
pub(crate) use self::latch::{Latch, LatchedStorage};
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use self::mmap::MmapStorage;
pub use self::os::OsStorage;
use crate::sync::Arc;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Reading only: works on a read-only mount.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A link, socket, device, …
    Other,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "implementations of `Storage` build it")]
pub struct DirEntry {
    /// The name, without the folder.
    pub name: OsString,
    /// What it stands for.
    pub kind: FileKind,
}

/// How records come into the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Engine {
    /// By a system call each (or one for many): whatever the filesystem refuses is an error.
    #[default]
    Os,
    /// By a copy into a mapped file, in space reserved before: appends under `OsCache` need no system call.
    ///
    /// Promises, files and recovery are the same, with one exception: where the filesystem fails under a mapping
    /// (it shuts itself down after an error of its own, the medium cannot be read, a copy-on-write filesystem
    /// is full), the kernel ends the process with SIGBUS, where `Os` gets an error. The log is then as after a
    /// crash of the process.
    ///
    /// On Linux with 64 bits; elsewhere, and on filesystems that cannot reserve space, records are
    /// written as by `Os`: [`Stats::mapped`](crate::Stats::mapped) tells.
    Mmap,
}

/// The storage for an engine: where the platform cannot map files, [`OsStorage`] serves for both.
pub(crate) fn of_engine(engine: Engine) -> Arc<dyn Storage> {
    match engine {
        Engine::Os => Arc::new(OsStorage::new()),
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        Engine::Mmap => Arc::new(MmapStorage::new()),
        #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
        Engine::Mmap => Arc::new(OsStorage::new()),
    }
}

/// A filesystem.
///
/// Names become durable by [`sync_dir`](Storage::sync_dir) only, contents by a file's own sync.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Opens an existing file.
    ///
    /// # Errors
    /// The operating system's; `NotFound` where there is none.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;

    /// Makes a new, empty file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Renames a file, replacing what stood under the new name.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Who has the file open keeps it.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in any order.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, …
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes one folder; its parent must be there.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The operating system's; the log treats each as final.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Opens a folder, to be synced again and again by [`File::sync_all`] without a descriptor more each time. `None`,
    /// as without an implementation: it is synced by [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    /// As `open`.
    fn open_dir(&self, dir: &Path) -> io::Result<Option<Arc<dyn File>>> {
        let _ = dir;
        Ok(None)
    }

    /// Opens a file for reading and writing, making it if absent, and takes an exclusive advisory lock
    /// that lasts as long as the returned file.
    ///
    /// # Errors
    /// `WouldBlock` where another holds it.
    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Bytes that an ordinary user could still write to the filesystem that holds `dir`, where that can
    /// be told.
    ///
    /// # Errors
    /// The operating system's.
    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let _ = dir;
        Ok(None)
    }
}

/// An open file. All methods may be called by several threads at once.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads at an offset; fewer bytes than asked for are normal, 0 is the end of the file.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at an offset; fewer bytes than given are normal. Writing past the end grows the file.
    ///
    /// # Errors
    /// `StorageFull` on a full disk, …
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// As [`write_at`](Self::write_at), of several parts that follow each other.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        parts.iter().find(|part| !part.is_empty()).map_or(Ok(0), |part| self.write_at(part, offset))
    }

    /// Makes contents and length durable (`fdatasync`).
    ///
    /// # Errors
    /// The operating system's; the log treats each as final.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes contents, length and metadata durable (`fsync`).
    ///
    /// # Errors
    /// The operating system's; the log treats each as final.
    fn sync_all(&self) -> io::Result<()>;

    /// Reserves space for the bytes `offset..offset + len`, so that writing there cannot meet a full
    /// disk; grows the file where it is shorter, with zeros.
    ///
    /// # Errors
    /// `Unsupported` where the filesystem cannot; `StorageFull` where there is no room.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Cuts or grows the file.
    ///
    /// # Errors
    /// The operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The next bytes at or behind `offset` that were written to; `None`: none up to the end. What this passes over was never
    /// written to, or cut off, and reads as zeros. Who cannot tell says: all from `offset` on.
    ///
    /// # Errors
    /// The operating system's.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok(Some(offset..u64::MAX))
    }

    /// A hint that the bytes `offset..offset + len` will be read soon: what reading them would have to wait for may be begun
    /// now. Given by who reads backwards, which no filesystem guesses.
    fn will_read(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// A hint that reserved space before `to` will be written to soon: what can be done ahead, off the way of an
    /// append, may be done now. Tells before which offset that is done; where there is nothing to do, `u64::MAX`.
    fn warm(&self, to: u64) -> u64 {
        let _ = to;
        u64::MAX
    }

    /// A hint that nothing more will be written: what [`warm`](Self::warm) and writing have set up can go.
    fn cool(&self) {}

    /// Whether bytes in reserved space are copied into a mapping, without a system call.
    fn is_mapped(&self) -> bool {
        false
    }

    /// When the file was last written to, where that is known.
    ///
    /// # Errors
    /// The operating system's.
    fn modified(&self) -> io::Result<SystemTime>;
}

/// Reads until `buf` is full or the file ends; returns how much was read.
pub(crate) fn read_full(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + crate::num::size(done)) {
            Ok(0) => break,
            Ok(n) => done += n.min(rest.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `parts`, one behind the other. On an error, any part of them may have been written.
pub(crate) fn write_parts_full(
    file: &dyn File,
    mut parts: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_parts_at(parts, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += crate::num::size(n);
                IoSlice::advance_slices(&mut parts, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `buf`; of nothing, the file hears nothing. On an error, any part of it may have been written.
// The usual case stays where it is called: behind a system call, each return is one that the processor did not foresee.
#[inline(always)]
pub(crate) fn write_full(file: &dyn File, buf: &[u8], offset: u64) -> io::Result<()> {
    if buf.is_empty() {
        return Ok(());
    }
    match file.write_at(buf, offset) {
        Ok(n) if n == buf.len() => Ok(()),
        other => write_rest(file, buf, offset, other),
    }
}

/// Goes on where `write_at` returned something else than that it wrote all.
#[cold]
fn write_rest(
    file: &dyn File,
    buf: &[u8],
    offset: u64,
    mut last: io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0_usize;
    loop {
        match last {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done = done.saturating_add(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let Some(rest) = buf.get(done..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        last = file.write_at(rest, offset + crate::num::size(done));
    }
}

#[cfg(all(test, not(walden_model)))]
mod tests;
