//! The machine's filesystem, by positioned reads and writes.
//!
//! Linux is what is tested. Other Unixes compile the same calls; elsewhere std's fall-backs are used
//! and space is not reserved.
#![expect(clippy::disallowed_methods, reason = "the one place that may touch the filesystem")]

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use super::{Access, DirEntry, File, FileKind, Storage};
use crate::sync::Arc;

#[cfg(unix)]
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// The machine's filesystem.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OsStorage;

impl OsStorage {
    /// The machine's filesystem.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl OsStorage {
    pub(super) fn open_file(self, path: &Path, access: Access) -> io::Result<OsFile> {
        let write = access == Access::ReadWrite;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(write);
        // A pipe under a segment's name must not keep a reader waiting for somebody to write into it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NONBLOCK);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(OsFile { file, locked: false })
    }

    pub(super) fn create_file(self, path: &Path) -> io::Result<OsFile> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(|file| OsFile { file, locked: false })
    }
}

impl Storage for OsStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(path, access)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.create_file(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        fs::read_dir(dir)?
            .filter_map(|entry| match entry.and_then(dir_entry) {
                // Removed since it was listed, where the listing itself does not tell what it is.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                entry => Some(entry),
            })
            .collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Windows cannot sync a folder; its filesystem logs names itself.
        if cfg!(windows) { Ok(()) } else { fs::File::open(dir)?.sync_all() }
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Option<Arc<dyn File>>> {
        if cfg!(windows) {
            return Ok(None);
        }
        Ok(Some(Arc::new(OsFile { file: fs::File::open(dir)?, locked: false })))
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Arc::new(OsFile { file, locked: true }))
    }

    #[cfg(unix)]
    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

fn dir_entry(entry: fs::DirEntry) -> io::Result<DirEntry> {
    let kind = match entry.file_type()? {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Dir,
        _ => FileKind::Other,
    };
    Ok(DirEntry { name: entry.file_name(), kind })
}

#[derive(Debug)]
pub(super) struct OsFile {
    file: fs::File,
    locked: bool,
}

#[cfg(target_os = "linux")]
impl OsFile {
    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.file)
    }
}

impl Drop for OsFile {
    fn drop(&mut self) {
        if self.locked {
            // Closing is not enough: a child process that is just being started holds the descriptor, and with it
            // the lock, until it runs its own program.
            drop(self.file.unlock());
        }
    }
}

impl File for OsFile {
    // The system calls themselves: the C library's versions are places where a thread may be cancelled, which
    // costs 50 ns a call once the process has threads.
    #[cfg(target_os = "linux")]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.file, buf, offset)?)
    }

    #[cfg(target_os = "linux")]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwrite(&self.file, buf, offset)?)
    }

    #[cfg(target_os = "linux")]
    fn write_parts_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.file, parts, offset)?)
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset)
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.file, buf, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.file, buf, offset)
    }

    // std's calls do a full flush of the device on macOS, where plain fsync does not.
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        in_pieces(offset, len, |offset, len| {
            rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), offset, len)
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(target_os = "linux")]
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        use rustix::fs::{SeekFrom, seek};
        // These move the file's own position, which nothing here goes by.
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => Ok(Some(data..seek(&self.file, SeekFrom::Hole(data)).unwrap_or(u64::MAX))),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            // A filesystem that cannot tell, or cannot now: reading will.
            Err(_) => Ok(Some(offset..u64::MAX)),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn will_read(&self, offset: u64, len: u64) {
        let advice = rustix::fs::Advice::WillNeed;
        // Of no bytes the kernel would understand all. Where it fails, reading waits: no more than that.
        if let Some(len) = std::num::NonZeroU64::new(len) {
            _ = rustix::fs::fadvise(&self.file, offset, Some(len), advice);
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }
}

/// Allocates `len` bytes from `offset` on. tmpfs lets go of a call that a signal interrupts, and of what it has come to: so
/// in smaller pieces then, which get through between the signals of a profiler, say.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn in_pieces(
    mut offset: u64,
    len: u64,
    mut allocate: impl FnMut(u64, u64) -> rustix::io::Result<()>,
) -> io::Result<()> {
    use rustix::io::Errno;
    /// What takes tmpfs some ten microseconds.
    const LEAST: u64 = 64 << 10;
    /// In a row.
    const MOST_INTERRUPTIONS: u32 = 100;
    let end = offset.saturating_add(len);
    let (mut piece, mut interrupted) = (len, 0);
    while offset < end {
        let len = piece.min(end - offset);
        match allocate(offset, len) {
            Ok(()) => (offset, interrupted) = (offset + len, 0),
            Err(Errno::INTR) if interrupted < MOST_INTERRUPTIONS => {
                (piece, interrupted) = ((len / 2).max(LEAST), interrupted + 1);
            }
            // INVAL: ZFS and some FUSE filesystems answer so where they mean "unsupported".
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::INVAL) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux", not(walden_model)))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_is_interrupted_is_allocated_in_pieces() {
        // A signal comes before a MiB is done, as it does on tmpfs under a profiler.
        let mut done = Vec::new();
        in_pieces(100, (64 << 20) + 5, |offset, len| {
            if len > 1 << 20 {
                return Err(Errno::INTR);
            }
            done.push((offset, len));
            Ok(())
        })
        .unwrap();
        let next = done.iter().try_fold(100, |at, (offset, len)| (at == *offset).then(|| at + len));
        assert_eq!(next, Some(100 + (64 << 20) + 5));
        assert!(done.len() < 200, "{}", done.len());
    }

    #[test]
    fn what_is_interrupted_for_ever_is_an_error() {
        let mut calls = 0;
        let refused = in_pieces(0, 1 << 30, |_, _| {
            calls += 1;
            Err(Errno::INTR)
        });
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(calls < 200, "{calls}");
        let full = in_pieces(0, 5, |_, _| Err(Errno::NOSPC)).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
