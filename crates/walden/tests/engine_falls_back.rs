//! `Engine::Mmap` where space cannot be reserved: nothing is mapped, the log works, and says so.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use walden::storage::{Access, DirEntry, File, MmapStorage, Storage, SystemClock};
use walden::{Config, Wal};

/// A filesystem that maps files and cannot reserve space in them, as ext2, NFS before version 4.2, and others.
#[derive(Debug)]
struct Unreserved(MmapStorage);

#[derive(Debug)]
struct UnreservedFile(Arc<dyn File>);

fn wrap(file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
    Ok(Arc::new(UnreservedFile(file?)))
}

impl Storage for Unreserved {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        wrap(self.0.open(path, access))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        wrap(self.0.create(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.0.lock(path)
    }
}

impl File for UnreservedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn modified(&self) -> io::Result<SystemTime> {
        self.0.modified()
    }
    fn warm(&self, to: u64) -> u64 {
        self.0.warm(to)
    }
    fn cool(&self) {
        self.0.cool();
    }
    fn is_mapped(&self) -> bool {
        self.0.is_mapped()
    }
}

fn filled(storage: Arc<dyn Storage>, config: Config) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let config = config.segment_size(20_000);
    let clock = Arc::new(SystemClock::default());
    let wal = Wal::open_with(dir.path(), config.clone(), storage, clock).unwrap();
    let len = |seq: u64| usize::try_from(40 * (seq % 50)).unwrap();
    let payload = |seq: u64| vec![u8::try_from(seq % 251).unwrap(); len(seq)];
    for seq in 1..=200_u64 {
        assert_eq!(wal.append(payload(seq)).unwrap(), seq);
    }
    let mapped = wal.stats().mapped;
    wal.close().unwrap();
    let wal = Wal::open(dir.path(), config).unwrap();
    let mut seq = 0;
    for entry in wal.range(..).unwrap() {
        seq += 1;
        assert_eq!(entry.unwrap().payload, payload(seq));
    }
    assert_eq!(seq, 200);
    mapped
}

#[test]
fn nothing_is_mapped_where_nothing_can_be_reserved() {
    for config in [Config::durable(), Config::os_cache(), Config::background()] {
        let unreserved = Arc::new(Unreserved(MmapStorage::new()));
        assert!(!filled(unreserved, config.clone()), "it says that it is mapped");
        // Where it can be, here: unless this machine's own temporary folder is such a place.
        let mapped = filled(Arc::new(MmapStorage::new()), config);
        assert!(mapped || std::env::var_os("WALDEN_NO_SKIP").is_none(), "not mapped here");
    }
}
