//! "A store into a mapping is seen by `pread`, and made durable by `fdatasync`": not so.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use walden::storage::{Access, File, Storage};
use walden::{ErrorKind, SyncStrategy};
use walden_sim::SimDisk;

use super::lies::Liar;
use super::{is_segment, open_over, opened_or_damaged};
use crate::support::{Lab, entries, payloads};

/// A kernel that keeps mappings and the page cache apart, until a sync.
#[derive(Debug, Clone)]
struct Apart(SimDisk);

#[derive(Debug)]
struct Mapped {
    inner: Arc<dyn File>,
    /// Stores that only the mapping has.
    stores: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl Apart {
    fn file(path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        if !is_segment(path) {
            return inner;
        }
        Arc::new(Mapped { inner, stores: Mutex::default() })
    }
}

impl Storage for Apart {
    forward!(self, self.0; rename, remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(path, access)?;
        Ok(if access == Access::Read { file } else { Self::file(path, file) })
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Self::file(path, self.0.create(path)?))
    }
}

impl Mapped {
    fn flush(&self) -> io::Result<()> {
        for (offset, bytes) in self.stores.lock().unwrap().drain(..) {
            assert_eq!(self.inner.write_at(&bytes, offset)?, bytes.len());
        }
        Ok(())
    }
}

impl File for Mapped {
    forward!(self, self.inner; read_at, allocate, set_len, len, modified);

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.stores.lock().unwrap().push((offset, buf.to_vec()));
        Ok(buf.len())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.flush()?;
        self.inner.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.flush()?;
        self.inner.sync_all()
    }
    fn is_mapped(&self) -> bool {
        true
    }
}

/// Who reads finds zeros where an entry should be, and says so: no end in silence, nothing else in its place. Once it is
/// synced it is read.
#[test]
fn stores_that_readers_do_not_see() {
    let lab = Lab::new(SyncStrategy::OsCache, 1 << 20);
    let wal = open_over(&lab, Apart(lab.disk.clone())).unwrap();
    Lab::append(&wal, 1..=3);
    wal.sync().unwrap();
    Lab::append(&wal, 4..=6);
    for read in [wal.get(4).map(drop), wal.range(4..).unwrap().next().unwrap().map(drop)] {
        let error = read.unwrap_err();
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(4)), "{error}");
    }
    let back = wal.range(..).unwrap().next_back().unwrap();
    assert_eq!(back.unwrap_err().kind(), ErrorKind::Corrupt);
    wal.sync().unwrap();
    assert_eq!(entries(&wal), (1, payloads(1..=6)));
}

/// Stores that no sync makes durable are a disk that lies about segments: the mark says what is missing.
#[test]
fn stores_that_are_not_durable() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = open_over(&lab, Liar::new(&lab, 3, true)).unwrap();
    Lab::append(&wal, 1..=9);
    lab.clock.advance(Duration::from_secs(5));
    wal.tick().unwrap();
    assert_eq!(opened_or_damaged(&lab.power_cut().try_open(), &payloads(1..=9)), None);
}
