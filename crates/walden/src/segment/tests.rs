use std::io;
use std::time::SystemTime;

use super::*;
#[cfg(not(walden_model))]
use crate::num;
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

/// An index that is computed serves without its file, and after its segment's was closed; another file's it is not.
#[cfg(not(walden_model))]
#[test]
fn what_is_known_of_an_index_goes_with_its_segment() {
    let dir = tempfile::tempdir().unwrap();
    let names = Names::new(dir.path(), "segment");
    let files = FileCache::new(Arc::new(crate::storage::OsStorage::new()), &names);
    let wal = |ordinal| names.wal(ordinal);
    let write = |ordinal, len| std::fs::write(wal(ordinal), vec![0; len]).unwrap();
    write(1, 5000);
    let mut index = Index::default();
    (1..=100).for_each(|seq| index.add((seq - 1) * 50, seq, seq + 1, 0));
    std::fs::write(names.index(1), index.encode(7, 1, 5000)).unwrap();
    let opened = || files.get(1, &wal(1)).unwrap();
    let known = || {
        let told = |proof: &Proof| proof.before(64);
        opened().ask(&names.index(1), (7, 1), 5000, told, |_| None).map(|hint| hint.offset)
    };
    let close = || {
        for ordinal in 2..150 {
            write(ordinal, 10);
            drop(files.get(ordinal, &wal(ordinal)).unwrap());
        }
    };
    assert_eq!(known(), None, "read, and not computed yet");
    assert_eq!(known(), Some(32 * 50));
    close();
    assert_eq!(known(), Some(32 * 50), "opened again");
    let read = |log_id, len| {
        opened().ask(&names.index(1), (log_id, 1), len, |_| Some(true), |_| Some(false))
    };
    assert_eq!(read(8, 5000), None, "another log's");
    assert_eq!(read(7, 5000), Some(true));
    std::fs::remove_file(names.index(1)).unwrap();
    assert!(opened().index(&names.index(1), 7, 1, 5000).is_none());
    assert_eq!(known(), Some(32 * 50), "without the index's file");
    close();
    write(1, 4000);
    assert_eq!(known(), None, "another file");
}

/// Wherever reading begins, so that kernels copy a window as fast as they can.
#[cfg(not(walden_model))]
#[test]
fn a_window_lies_in_memory_as_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let bytes: Vec<u8> = (0..600_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = crate::storage::OsStorage::new().open(&path, Access::Read).unwrap();
    let mut source = RecordSource::new(file, READ_AHEAD);
    for offset in [0, 1, 17, 31, 64, 4096, 4111, 300_000] {
        for len in [100, 5000, READ_AHEAD + 1] {
            source.forget();
            let window = source.window(offset, len, 600_000).unwrap();
            assert_eq!(window.as_ptr().addr() % 64, num::index(offset) % 64);
            let from = num::index(offset);
            assert_eq!(window, &bytes[from..from + num::index(len)]);
        }
    }
}
