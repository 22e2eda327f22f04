//! Keeps the first failure after which the kernel's cache cannot be trusted, and refuses all changes
//! from then on (invariant 7).
//!
//! After a failed sync the kernel marks the pages clean: a later sync would succeed and mean nothing.
//! So every sync's failure is final, and every failed write but for want of room. The decorator sits
//! under everything that changes files, so no caller can forget to look.

use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Access, DirEntry, File, Storage};
use crate::error::{Error, ErrorKind, is_full};
use crate::sync::{Arc, AtomicBool, Mutex, OnceLock, Ordering};

type Watcher = Box<dyn FnOnce(&Error) + Send>;

/// The first final failure of a log.
#[derive(Default)]
pub(crate) struct Latch {
    /// std's in every model, and so no step at which a model checker lets others go on: whoever looks sees the whole
    /// cause or none, and what must come before the look is ordered by the locks and watermarks around it. With threads
    /// that fail at once: `rules::threads::a_leader_whose_sync_fails_wakes_all_with_the_cause`; what follows from it,
    /// under shuttle: `failures`.
    cause: OnceLock<Error>,
    /// Under shuttle: `appends::close_while_others_append`.
    shut: AtomicBool,
    watcher: Mutex<Option<Watcher>>,
}

impl std::fmt::Debug for Latch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latch").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl Latch {
    /// The failure, if there was one.
    pub(crate) fn cause(&self) -> Option<&Error> {
        self.cause.get()
    }

    /// `Err` with the failure, if there was one.
    pub(crate) fn check(&self) -> crate::Result<()> {
        self.cause().map_or(Ok(()), |cause| Err(cause.clone()))
    }

    /// Calls `watcher` at the first failure.
    pub(crate) fn watch(&self, watcher: Watcher) {
        *self.watcher.lock() = Some(watcher);
    }

    /// Remembers a failure, if it is the first, and tells the watcher.
    pub(crate) fn fail(&self, cause: &Error) -> Error {
        let poisoned = Error::new(
            ErrorKind::Poisoned,
            format!("the log takes no more changes, since {cause}"),
        )
        .caused_by(cause)
        .advice(
            "open it again once the disk is well; appends that failed so may be found after that",
        );
        if self.cause.set(poisoned).is_ok() {
            let watcher = self.watcher.lock().take();
            if let (Some(watcher), Some(cause)) = (watcher, self.cause()) {
                watcher(cause);
            }
        }
        self.cause().cloned().unwrap_or_else(|| cause.clone())
    }

    /// The log was closed, and the folder may be another writer's: nothing is changed from here on, not
    /// by a call either that looked before whether the log was open.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Whether the log was closed.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }

    fn refuse(&self) -> io::Result<()> {
        if self.is_shut() {
            return Err(Error::closed().into());
        }
        self.cause().map_or(Ok(()), |cause| Err(io::Error::from(cause.clone())))
    }

    fn any<T>(&self, doing: &str, path: &Path, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| self.fail(&Error::io(doing, path, error)).into())
    }

    /// A call: one that panics leaves as little known as one that fails.
    fn watched<T>(&self, path: &Path, call: impl FnOnce() -> T) -> T {
        let watch = Unwinding { latch: self, path };
        let result = call();
        // It returned: nothing is left to be watched.
        _ = ManuallyDrop::new(watch);
        result
    }

    fn sync(&self, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.any("sync", path, self.watched(path, sync))
    }

    fn unless_full<T>(
        &self,
        doing: &str,
        path: &Path,
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.watched(path, call) {
            Err(error) if !is_full(&error) && error.kind() != io::ErrorKind::Interrupted => {
                self.any(doing, path, Err(error))
            }
            other => other,
        }
    }
}

/// Latches where a call that it watches never returned.
struct Unwinding<'a> {
    latch: &'a Latch,
    path: &'a Path,
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        let cause = Error::new(ErrorKind::Io, "the thread that was changing it panicked");
        self.latch.fail(&cause.path(self.path));
    }
}

/// A [`Storage`] that refuses changes once its [`Latch`] has fallen.
#[derive(Debug)]
pub(crate) struct LatchedStorage {
    inner: Arc<dyn Storage>,
    latch: Arc<Latch>,
    /// The log's folder.
    dir: PathBuf,
    /// It, open: where a process runs out of descriptors, a sync that could not even begin must not be final.
    folder: Mutex<Option<Arc<dyn File>>>,
}

impl LatchedStorage {
    pub(crate) fn new(inner: Arc<dyn Storage>, latch: Arc<Latch>, dir: &Path) -> Self {
        Self { inner, latch, dir: dir.to_owned(), folder: Mutex::new(None) }
    }

    /// The folder, open, if it is the log's and the storage keeps it so.
    fn folder(&self, dir: &Path) -> io::Result<Option<Arc<dyn File>>> {
        if dir != self.dir {
            return Ok(None);
        }
        let mut folder = self.folder.lock();
        if folder.is_none() {
            *folder = self.inner.open_dir(dir)?;
        }
        Ok(folder.clone())
    }

    fn wrap(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        // A segment is written to and synced under its later name: that is the one to tell.
        let path = if path.extension().is_some_and(|ending| ending == "next") {
            path.with_extension("wal")
        } else {
            path.to_owned()
        };
        Arc::new(LatchedFile { inner, latch: Arc::clone(&self.latch), path })
    }
}

impl Storage for LatchedStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.inner.open(path, access)?;
        Ok(if access == Access::Read { file } else { self.wrap(path, file) })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.latch.refuse()?;
        let file = self.inner.create(path)?;
        // An index is a cache: made in one go, proved by its checksums, and missed by nobody.
        let is_cache = path.extension().is_some_and(|ending| ending == "idx");
        Ok(if is_cache { file } else { self.wrap(path, file) })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.latch.refuse()?;
        self.latch.unless_full("rename", from, || self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.latch.refuse()?;
        self.inner.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.latch.refuse()?;
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.latch.refuse()?;
        match self.folder(dir)? {
            Some(folder) => self.latch.sync(dir, || folder.sync_all()),
            None => self.latch.sync(dir, || self.inner.sync_dir(dir)),
        }
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Option<Arc<dyn File>>> {
        self.inner.open_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.inner.free_space(dir)
    }
}

#[derive(Debug)]
struct LatchedFile {
    inner: Arc<dyn File>,
    latch: Arc<Latch>,
    path: PathBuf,
}

impl File for LatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.latch.refuse()?;
        self.latch.unless_full("write", &self.path, || self.inner.write_at(buf, offset))
    }

    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.latch.refuse()?;
        self.latch.unless_full("write", &self.path, || self.inner.write_parts_at(parts, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.latch.refuse()?;
        self.latch.sync(&self.path, || self.inner.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.latch.refuse()?;
        self.latch.sync(&self.path, || self.inner.sync_all())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.latch.refuse()?;
        self.inner.allocate(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.latch.refuse()?;
        self.latch.unless_full("set the length", &self.path, || self.inner.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.inner.will_read(offset, len);
    }

    fn warm(&self, to: u64) -> u64 {
        self.inner.warm(to)
    }

    fn cool(&self) {
        self.inner.cool();
    }

    fn is_mapped(&self) -> bool {
        self.inner.is_mapped()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.inner.modified()
    }
}
