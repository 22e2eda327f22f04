//! "An open file can be read after its name was removed": not so, as on NFS where another client removes it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use walden::storage::{Access, File, Storage};
use walden::{Error, LogReader, Reader, SyncStrategy};
use walden_sim::SimDisk;

use super::open_over;
use crate::support::{DIR, Lab, entries, payload};

const ESTALE: i32 = 116;

/// A filesystem on which a file without a name is gone.
#[derive(Debug, Clone)]
struct Stale {
    disk: SimDisk,
    /// For each name, whether the file that bears it is gone.
    gone: Arc<Mutex<BTreeMap<PathBuf, Arc<AtomicBool>>>>,
}

#[derive(Debug)]
struct StaleFile {
    inner: Arc<dyn File>,
    gone: Arc<AtomicBool>,
}

impl Stale {
    fn file(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        let mut all = self.gone.lock().unwrap();
        let gone = Arc::clone(all.entry(path.to_owned()).or_default());
        Arc::new(StaleFile { inner, gone })
    }

    fn forget(&self, path: &Path) -> Option<Arc<AtomicBool>> {
        self.gone.lock().unwrap().remove(path)
    }
}

impl Storage for Stale {
    forward!(self, self.disk; list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        if let Some(gone) = self.forget(from) {
            self.gone.lock().unwrap().insert(to.to_owned(), gone);
        }
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        if let Some(gone) = self.forget(path) {
            gone.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl StaleFile {
    fn check(&self) -> io::Result<()> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(ESTALE));
        }
        Ok(())
    }
}

impl File for StaleFile {
    forward!(self, self.inner; write_at, allocate, set_len, sync_data, sync_all);

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check()?;
        self.inner.read_at(buf, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        self.inner.len()
    }
    fn modified(&self) -> io::Result<std::time::SystemTime> {
        self.check()?;
        self.inner.modified()
    }
}

/// Bytes of an entry: more than a reader has in memory of what it reads ahead.
const LARGE: usize = 300 << 10;

fn large(seq: u64) -> Vec<u8> {
    let mut bytes = payload(seq);
    bytes.resize(LARGE, u8::try_from(seq).unwrap());
    bytes
}

fn failed(reader: &mut Reader) -> Error {
    reader.read_next().map(|entry| entry.map(|entry| entry.seq)).unwrap_err()
}

/// Readers, ranges and followers that stand in what is cut, at either end, and a reader of another process: each is told
/// that it was removed or cut, or gets the error of the filesystem. None is told of an end, and the log goes on.
#[test]
fn removed_files_that_cannot_be_read_any_more() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let storage = Stale { disk: lab.disk.clone(), gone: Arc::default() };
    let wal = open_over(&lab, storage.clone()).unwrap();
    for seq in 1..=12 {
        assert_eq!(wal.append(large(seq)).unwrap(), seq);
        wal.tick().unwrap();
    }
    assert_eq!(wal.segments().unwrap().len(), 4);
    let other = LogReader::open_with(DIR, "segment", Arc::new(storage)).unwrap();
    let at = |seq| [wal.reader_at(seq).unwrap(), other.reader_at(seq).unwrap()];
    let (mut early, mut late) = (at(1), at(10));
    let mut range = wal.range(..).unwrap();
    let mut follower = wal.follow(1).unwrap();
    for reader in early.iter_mut().chain(&mut late) {
        reader.read_next().unwrap().unwrap();
    }
    assert!(range.next().unwrap().is_ok() && follower.try_next().unwrap().is_some());

    wal.truncate_front(7).unwrap();
    for (reader, whose) in early.iter_mut().zip(["its own", "another's"]) {
        let error = failed(reader);
        assert!(error.is_removed() || error.io_kind().is_some(), "{whose}: {error}");
    }
    assert!(range.next().unwrap().is_err() && follower.try_next().is_err());
    wal.truncate_back(8).unwrap();
    for (reader, whose) in late.iter_mut().zip(["its own", "another's"]) {
        let error = failed(reader);
        assert!(error.is_truncated() || error.io_kind().is_some(), "{whose}: {error}");
    }
    assert_eq!(wal.append(large(9)).unwrap(), 9);
    assert_eq!(entries(&wal), (7, (7..=9).map(large).collect()));
    assert_eq!(other.range(..).unwrap().filter(Result::is_ok).count(), 3);
}
