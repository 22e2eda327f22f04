//! The machine's filesystem, with appends copied into mapped files instead of given to the kernel call by call.
//!
//! A file is mapped where space in it is reserved, and only there: so that writing finds room, and a full disk is
//! an error of [`File::allocate`] and never a signal. What lies elsewhere, and whatever cannot be mapped, is
//! written as [`OsStorage`] does; both ways see each other's bytes, since a shared mapping is the page cache
//! itself. So do `pread` and `fdatasync`: the kernel notes which pages a mapping made dirty and syncs them
//! like others (mmap(2), `MAP_SHARED`; msync(2)).
//!
//! What remains is that the kernel has no way but SIGBUS to refuse a store: see `docs/guarantees.md`.

use std::ffi::c_void;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::ptr;
use std::time::SystemTime;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::os::{OsFile, OsStorage};
use super::{Access, DirEntry, File, Storage};
use crate::num;
use crate::sync::{Arc, Mutex};

/// Pages that an append makes present at once where they are not: one call, where each page's first store would be
/// a fault.
const AHEAD: usize = 64 << 10;

/// Pages warmed by one call.
const WARM: usize = 256 << 10;

/// From this length on bytes are given to the kernel, which finds large pages for them.
const LARGE: usize = 16 << 10;

/// As [`OsStorage`], with appends copied into mapped files ([`Engine::Mmap`](crate::Engine)).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct MmapStorage {
    os: OsStorage,
}

impl MmapStorage {
    /// The machine's filesystem.
    #[must_use]
    pub const fn new() -> Self {
        Self { os: OsStorage::new() }
    }
}

/// Segments only: of other files too little is written for a mapping to pay.
fn mapped(os: OsFile, path: &Path) -> Arc<dyn File> {
    if !path.extension().is_some_and(|ending| ending == "wal" || ending == "next") {
        return Arc::new(os);
    }
    Arc::new(MmapFile { os, map: Mutex::new(Map { region: None, present: 0 }) })
}

impl Storage for MmapStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        match access {
            Access::Read => self.os.open(path, access),
            Access::ReadWrite => self.os.open_file(path, access).map(|os| mapped(os, path)),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.os.create_file(path).map(|os| mapped(os, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.os.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.os.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.os.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.os.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.os.sync_dir(dir)
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Option<Arc<dyn File>>> {
        self.os.open_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.os.lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.os.free_space(dir)
    }
}

#[derive(Debug)]
struct MmapFile {
    os: OsFile,
    /// Behind a lock, so that no store meets a shortening.
    map: Mutex<Map>,
}

#[derive(Debug)]
struct Map {
    region: Option<Arc<Region>>,
    /// Bytes of the region from its first one on that are written, or whose pages are there and can be stored to.
    present: usize,
}

impl Map {
    fn unmap(&mut self) {
        *self = Self { region: None, present: 0 };
    }

    /// Where `len` bytes at `offset` can be stored to. `None` where the mapping doesn't cover them, or they are better
    /// written.
    #[inline(always)]
    fn room(&mut self, len: usize, offset: u64) -> Option<(&Region, usize)> {
        let at = self.region.as_ref()?.place(offset, len)?;
        if self.present < at + len && !self.appear(at, len) {
            return None;
        }
        Some((self.region.as_ref()?, at))
    }

    /// Makes pages present that are not, from `at` on.
    #[cold]
    fn appear(&mut self, at: usize, len: usize) -> bool {
        let Some(region) = self.region.as_ref().filter(|_| len < LARGE) else { return false };
        // Nothing is stored before `at`.
        let from = self.present.max(at);
        let to = (at + len).max(from + AHEAD).min(region.len);
        if region.populate(from, to).is_err() {
            // A store would be a signal: from here on the kernel is asked, and can say what is wrong.
            self.unmap();
            return false;
        }
        self.present = to;
        true
    }

    /// The kernel has taken so many bytes: it has found room for them.
    fn written(&mut self, len: usize, offset: u64) {
        let at = self.region.as_ref().and_then(|region| region.place(offset, len));
        if let Some(at) = at.filter(|at| *at <= self.present) {
            self.present = self.present.max(at + len);
        }
    }
}

impl File for MmapFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.os.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if let Some((region, at)) = self.map.lock().room(buf.len(), offset) {
            region.store(buf, at);
            return Ok(buf.len());
        }
        let written = self.os.write_at(buf, offset)?;
        self.map.lock().written(written, offset);
        Ok(written)
    }

    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let len = parts.iter().map(|part| part.len()).sum();
        if let Some((region, mut at)) = self.map.lock().room(len, offset) {
            for part in parts {
                region.store(part, at);
                at += part.len();
            }
            return Ok(len);
        }
        let written = self.os.write_parts_at(parts, offset)?;
        self.map.lock().written(written, offset);
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.os.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.os.sync_all()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.os.allocate(offset, len)?;
        let mut map = self.map.lock();
        // What lies between two reserved pieces is not: a store there could find the disk full.
        let joined = map.region.as_ref().filter(|region| region.reaches(offset));
        let from = joined.map_or(offset, |region| region.start);
        // Where it cannot be mapped (no address space, a filesystem that cannot), it is written.
        let region = Region::new(&self.os, from, offset + len).ok().map(Arc::new);
        // In a new mapping no page is there yet.
        *map = Map { region, present: 0 };
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // A store behind the end would be a signal. What is shortened is written no more, or seldom.
        let mut map = self.map.lock();
        map.unmap();
        self.os.set_len(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.os.next_data(offset)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.os.will_read(offset, len);
    }

    fn warm(&self, to: u64) -> u64 {
        loop {
            let (region, from) = {
                let map = self.map.lock();
                let Some(region) = &map.region else { return u64::MAX };
                (Arc::clone(region), map.present)
            };
            let end = to.saturating_sub(region.start).min(num::size(region.len));
            let end = usize::try_from(end).unwrap_or(region.len);
            if from >= end {
                return region.start + num::size(from);
            }
            // Without the lock, so that nobody who stores waits.
            let to = (from + WARM).min(end);
            if region.populate(from, to).is_err() {
                // The first store there finds out why.
                return u64::MAX;
            }
            let mut map = self.map.lock();
            if map.region.as_ref().is_some_and(|now| Arc::ptr_eq(now, &region)) {
                map.present = map.present.max(to);
            }
        }
    }

    fn cool(&self) {
        // A sync has to write-protect each page that is mapped, and to tell every processor of it, one by one;
        // here all go at once.
        self.map.lock().unmap();
    }

    fn len(&self) -> io::Result<u64> {
        self.os.len()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.os.modified()
    }

    fn is_mapped(&self) -> bool {
        self.map.lock().region.is_some()
    }
}

/// Reserved bytes of a file in memory.
#[derive(Debug)]
struct Region {
    base: *mut c_void,
    len: usize,
    /// Offset in the file of its first byte.
    start: u64,
}

// SAFETY: `base` is an address range of this process that only this value unmaps, and memory may be used by any
// thread.
unsafe impl Send for Region {}

// SAFETY: stores through `&Region` are made under the lock of its one `MmapFile` only, and nothing reads.
unsafe impl Sync for Region {}

impl Region {
    /// Maps the whole pages from `from` on, up to `end`, all of which is reserved.
    fn new(os: &OsFile, from: u64, end: u64) -> io::Result<Self> {
        let page = num::size(rustix::param::page_size());
        // The page that `from` lies in may have a hole in front of it, where there may be no room.
        let start = from.div_ceil(page) * page;
        let len = end.checked_sub(start).filter(|len| *len > 0);
        let len =
            len.and_then(|len| usize::try_from(len).ok()).ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: the kernel chooses an address range that nothing else uses.
        let base = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                os.as_fd(),
                start,
            )?
        };
        Ok(Self { base, len, start })
    }

    /// Whether `offset` lies in it, or right behind it.
    fn reaches(&self, offset: u64) -> bool {
        offset.checked_sub(self.start).is_some_and(|at| at <= num::size(self.len))
    }

    /// Where bytes of the file lie in the mapping, if all of them do.
    fn place(&self, offset: u64, len: usize) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (at.checked_add(len)? <= self.len).then_some(at)
    }

    /// Makes the pages of `from..to` present, for stores.
    fn populate(&self, from: usize, to: usize) -> io::Result<()> {
        let from = from / rustix::param::page_size() * rustix::param::page_size();
        assert!(from <= to && to <= self.len, "the range lies in the region");
        // SAFETY: `from` is not beyond `len`.
        let first = unsafe { self.base.byte_add(from) };
        // SAFETY: the range lies in the mapping; this kind of advice changes no contents.
        match unsafe { rustix::mm::madvise(first, to - from, Advice::LinuxPopulateWrite) } {
            // Linux before 5.14 does not know it: the first store to each page is a fault then.
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies bytes to `at`; the caller has seen that they fit.
    #[inline(always)]
    fn store(&self, bytes: &[u8], at: usize) {
        assert!(at + bytes.len() <= self.len, "bytes lie in the mapping");
        // SAFETY: `at` is not beyond `len`.
        let to = unsafe { self.base.byte_add(at) }.cast::<u8>();
        // SAFETY: the mapping holds `bytes.len()` bytes from `to` on, all of them below the file's end, which
        // only moves with this value gone; `bytes` are not in it, since nobody is given its address.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, and its address goes with this value.
        let unmapped = unsafe { rustix::mm::munmap(self.base, self.len) };
        debug_assert!(unmapped.is_ok(), "a whole mapping can be unmapped: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests;
