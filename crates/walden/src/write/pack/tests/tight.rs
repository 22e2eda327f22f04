//! A filesystem that cannot reserve space, and where segments find none after a number of writes; and where one of
//! their syncs can panic.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::storage::{Access, DirEntry, File, OsStorage, Storage};
use crate::sync::Arc;

#[derive(Debug, Clone)]
pub(super) struct Tight {
    inner: Arc<OsStorage>,
    writes_left: Arc<AtomicU64>,
    syncs_left: Arc<AtomicU64>,
}

impl Tight {
    pub(super) fn new() -> Self {
        let never = || Arc::new(AtomicU64::new(u64::MAX));
        Self { inner: Arc::new(OsStorage::new()), writes_left: never(), syncs_left: never() }
    }

    pub(super) fn panic_in_sync(&self, nth: u64) {
        self.syncs_left.store(nth, Ordering::SeqCst);
    }

    pub(super) fn full_after(&self, writes: u64) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    fn file(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        // What is as long as it stays finds room.
        if !path.extension().is_some_and(|end| end == "wal" || end == "next") {
            return inner;
        }
        let (writes_left, syncs_left) =
            (Arc::clone(&self.writes_left), Arc::clone(&self.syncs_left));
        Arc::new(TightFile { inner, writes_left, syncs_left })
    }
}

impl Storage for Tight {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.inner.open(path, access)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.inner.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.lock(path)
    }
}

#[derive(Debug)]
struct TightFile {
    inner: Arc<dyn File>,
    writes_left: Arc<AtomicU64>,
    syncs_left: Arc<AtomicU64>,
}

impl File for TightFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let left = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        match self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.inner.write_at(buf, offset),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        assert!(self.syncs_left.fetch_sub(1, Ordering::SeqCst) != 1, "a sync that panics");
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.inner.modified()
    }
}
