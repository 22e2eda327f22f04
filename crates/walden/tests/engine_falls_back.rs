//! `Engine::Mmap` where space cannot be reserved: nothing is mapped, the log works, and says so.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[macro_use]
mod forward;

use std::io;
use std::path::Path;
use std::sync::Arc;

use walden::storage::{Access, File, MmapStorage, Storage, SystemClock};
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
    forward!(self, self.0; rename, remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        wrap(self.0.open(path, access))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        wrap(self.0.create(path))
    }
}

impl File for UnreservedFile {
    forward!(self, self.0; read_at, write_at, sync_data, sync_all, set_len, len, modified, warm, cool, is_mapped);

    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
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
