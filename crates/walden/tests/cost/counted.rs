//! A storage that counts what is asked of the one beneath it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use walden::storage::{Access, DirEntry, File, Storage};

/// What was asked, of which kind of file: how often, and how many bytes.
pub(crate) type Counts = BTreeMap<(String, &'static str), (u64, u64)>;

#[derive(Debug, Default)]
struct Tally {
    counts: Mutex<Counts>,
    /// Files that are open, by their kind.
    open: Mutex<BTreeMap<String, usize>>,
    /// How much longer a sync of data takes.
    sync: Duration,
}

impl Tally {
    fn add(&self, kind: &str, call: &'static str, bytes: usize) {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry((kind.to_owned(), call)).or_default();
        count.0 += 1;
        count.1 += bytes as u64;
    }
}

#[derive(Debug, Clone)]
pub(crate) struct CountingStorage {
    inner: Arc<dyn Storage>,
    tally: Arc<Tally>,
}

impl CountingStorage {
    pub(crate) fn new(inner: Arc<dyn Storage>) -> Self {
        Self::slow(inner, Duration::ZERO)
    }

    /// One whose syncs of data take so much longer.
    pub(crate) fn slow(inner: Arc<dyn Storage>, sync: Duration) -> Self {
        Self { inner, tally: Arc::new(Tally { sync, ..Tally::default() }) }
    }

    /// What was counted since the last call.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.tally.counts.lock().unwrap())
    }

    /// Files of a kind that are open now.
    pub(crate) fn open(&self, kind: &str) -> usize {
        self.tally.open.lock().unwrap().get(kind).copied().unwrap_or_default()
    }

    fn count(&self, path: &Path, call: &'static str) {
        self.tally.add(&kind(path), call, 0);
    }

    fn counted(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        // A segment made ready is a segment from the start.
        let kind = kind(path).replace(".next", ".wal");
        *self.tally.open.lock().unwrap().entry(kind.clone()).or_default() += 1;
        Arc::new(CountingFile { inner, kind, tally: Arc::clone(&self.tally) })
    }
}

/// What a file is, by its name's end; a folder has none.
fn kind(path: &Path) -> String {
    path.extension().map_or("folder".into(), |end| format!(".{}", end.to_string_lossy()))
}

impl Storage for CountingStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.count(path, "open");
        Ok(self.counted(path, self.inner.open(path, access)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.count(path, "create");
        Ok(self.counted(path, self.inner.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.count(from, "rename");
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.count(path, "remove");
        self.inner.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.count(dir, "list");
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.count(dir, "create");
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.count(dir, "sync");
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.count(path, "lock");
        Ok(self.counted(path, self.inner.lock(path)?))
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.count(dir, "free space");
        self.inner.free_space(dir)
    }
}

#[derive(Debug)]
struct CountingFile {
    inner: Arc<dyn File>,
    kind: String,
    tally: Arc<Tally>,
}

impl Drop for CountingFile {
    fn drop(&mut self) {
        *self.tally.open.lock().unwrap().entry(self.kind.clone()).or_default() -= 1;
    }
}

impl CountingFile {
    fn count(&self, call: &'static str, bytes: usize) {
        self.tally.add(&self.kind, call, bytes);
    }
}

impl File for CountingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.inner.read_at(buf, offset)?;
        self.count("read", read);
        Ok(read)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.inner.write_at(buf, offset)?;
        self.count("write", written);
        Ok(written)
    }

    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let written = self.inner.write_parts_at(parts, offset)?;
        self.count("write", written);
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.count("sync", 0);
        std::thread::sleep(self.tally.sync);
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.count("sync with metadata", 0);
        self.inner.sync_all()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.count("allocate", 0);
        self.inner.allocate(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.count("set length", 0);
        self.inner.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.count("length", 0);
        self.inner.len()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.count("holes", 0);
        self.inner.next_data(offset)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.count("hint", usize::try_from(len).unwrap());
        self.inner.will_read(offset, len);
    }

    fn warm(&self, to: u64) -> u64 {
        let warm = self.inner.warm(to);
        // Where there is nothing to warm, this is no call of anything.
        if warm != u64::MAX {
            self.count("warm", 0);
        }
        warm
    }

    fn is_mapped(&self) -> bool {
        self.inner.is_mapped()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.count("modified", 0);
        self.inner.modified()
    }
}
