use std::io;
use std::time::SystemTime;

use super::*;
use crate::storage::{Access, DirEntry, Storage};

type Meanwhile = Box<dyn FnOnce() + Send>;

/// A storage with one file, of ten bytes, and what happens while it is asked for its length.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Option<Meanwhile>>>);

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}

fn no<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Storage for Asked {
    fn open(&self, _: &Path, _: Access) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.clone()))
    }
    fn create(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        no()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        no()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        no()
    }
    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        no()
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        no()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        no()
    }
    fn lock(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        no()
    }
}

impl File for Asked {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        no()
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        no()
    }
    fn sync_data(&self) -> io::Result<()> {
        no()
    }
    fn sync_all(&self) -> io::Result<()> {
        no()
    }
    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        no()
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        no()
    }
    fn len(&self) -> io::Result<u64> {
        if let Some(meanwhile) = self.0.lock().take() {
            meanwhile();
        }
        Ok(10)
    }
    fn modified(&self) -> io::Result<SystemTime> {
        no()
    }
}

/// A reader asks the file how long it is while a cut shortens the segment: what the cut says stands.
#[test]
fn a_cut_knows_the_end_better_than_the_file() {
    let names = Names::new(Path::new("nowhere"), "segment");
    let storage = Asked::default();
    let files = Arc::new(FileCache::new(Arc::new(storage.clone()), &names));
    let segment = Arc::new(Segment::sealed(&names, 1, Arc::clone(&files)));
    assert_eq!(segment.end().unwrap(), 10);
    let segment = Arc::new(Segment::sealed(&names, 2, files));
    let cut = Arc::clone(&segment);
    *storage.0.lock() = Some(Box::new(move || cut.set_end(4)));
    assert_eq!(segment.end().unwrap(), 4, "told");
    assert_eq!(segment.end().unwrap(), 4, "kept");
}

/// Behind a hole of any length, and where a filesystem denies what stands close by.
#[cfg(not(walden_model))]
#[test]
fn a_byte_that_is_not_zero_is_found() {
    const LEN: u64 = 3 << 20;
    let dir = tempfile::tempdir().unwrap();
    for at in [0, 1, 4096, READ_AHEAD - 1, READ_AHEAD, READ_AHEAD + 1, 1 << 20, LEN - 1] {
        let file =
            crate::storage::OsStorage::new().create(&dir.path().join(at.to_string())).unwrap();
        file.allocate(0, LEN).unwrap();
        file.write_at(b"x", at).unwrap();
        assert_eq!(source::first_nonzero(&*file, 0, LEN).unwrap(), Some(at));
        assert_eq!(source::first_nonzero(&*file, at + 1, LEN).unwrap(), None);
        assert_eq!(source::first_nonzero(&*file, 0, at).unwrap(), None);
    }
}
