//! Which locks are held at each call of the storage and the clock (invariant 12): nothing but the naming of the next
//! segment happens under the append lock.
//!
//! The log is driven by one thread. So a lock that cannot be had from within a call is held by the caller.
#![cfg(not(walden_model))]

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Wal;
use crate::log::Log;
use crate::record::probe;
use crate::storage::{Access, Clock, DirEntry, File, OsStorage, Storage, SystemClock};
use crate::sync::{Arc, Mutex, OnceLock, Weak};
use crate::{Compression, Config, ErrorKind, Maintenance, Retention, SyncStrategy};

/// A call, and the locks held at it.
type Seen = BTreeSet<(String, Vec<&'static str>)>;

#[derive(Debug, Default)]
struct Watch {
    log: OnceLock<Weak<Log>>,
    seen: Mutex<Seen>,
}

impl Watch {
    fn look(&self, call: &str, path: &Path) {
        let Some(log) = self.log.get().and_then(Weak::upgrade) else { return };
        let end = path.extension().map_or("folder".into(), |end| end.to_string_lossy());
        self.seen.lock().insert((format!("{call} {end}"), log.held()));
    }
}

#[derive(Debug, Clone)]
struct Watched {
    inner: Arc<dyn Storage>,
    watch: Arc<Watch>,
}

impl Watched {
    fn file(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        // A segment made ready is a segment from the start.
        let path = path.to_string_lossy().replace(".next", ".wal");
        Arc::new(WatchedFile { inner, path, watch: Arc::clone(&self.watch) })
    }
}

impl Storage for Watched {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.watch.look("open", path);
        Ok(self.file(path, self.inner.open(path, access)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.watch.look("create", path);
        Ok(self.file(path, self.inner.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.watch.look("rename", from);
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.watch.look("remove", path);
        self.inner.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.watch.look("list", Path::new("folder"));
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.watch.look("create", Path::new("folder"));
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.watch.look("sync", Path::new("folder"));
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.watch.look("lock", path);
        self.inner.lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.watch.look("ask for room", Path::new("folder"));
        self.inner.free_space(dir)
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn File>,
    path: String,
    watch: Arc<Watch>,
}

impl WatchedFile {
    fn look(&self, call: &str) {
        self.watch.look(call, Path::new(&self.path));
    }
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.look("read");
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.look("write");
        self.inner.write_at(buf, offset)
    }

    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.look("write");
        self.inner.write_parts_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.look("sync");
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.look("sync");
        self.inner.sync_all()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.look("allocate");
        self.inner.allocate(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.look("cut");
        self.inner.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.look("length");
        self.inner.len()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.look("holes");
        self.inner.next_data(offset)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.look("hint");
        self.inner.will_read(offset, len);
    }

    fn warm(&self, to: u64) -> u64 {
        self.look("warm");
        self.inner.warm(to)
    }

    fn is_mapped(&self) -> bool {
        self.inner.is_mapped()
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.look("modified");
        self.inner.modified()
    }
}

#[derive(Debug)]
struct WatchedClock {
    inner: SystemClock,
    watch: Arc<Watch>,
}

impl Clock for WatchedClock {
    fn now(&self) -> SystemTime {
        self.watch.look("read", Path::new("the.clock"));
        self.inner.now()
    }

    fn now_coarse_micros(&self) -> u64 {
        self.watch.look("read", Path::new("the.clock"));
        self.inner.now_coarse_micros()
    }

    fn elapsed(&self) -> Duration {
        self.watch.look("read", Path::new("the.clock"));
        self.inner.elapsed()
    }

    fn random_id(&self) -> io::Result<u128> {
        self.watch.look("read", Path::new("random.ids"));
        self.inner.random_id()
    }
}

fn storages() -> Vec<Arc<dyn Storage>> {
    vec![
        Arc::new(OsStorage::new()),
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        Arc::new(crate::storage::MmapStorage::new()),
    ]
}

/// The codecs that this build has; `None` is always there.
fn codecs() -> Vec<Compression> {
    let codecs =
        [Compression::None, Compression::Snappy, Compression::Zstd { level: 1 }, Compression::Lz4];
    codecs.into_iter().filter(|codec| codec.is_available()).collect()
}

/// Has every compression by this thread looked at, wherever in the code it is done, until it is dropped.
struct Compressions;

impl Compressions {
    fn looked_at(watch: &Arc<Watch>) -> Self {
        let watch = Arc::clone(watch);
        probe::tell(Some(Box::new(move || watch.look("compress", Path::new("a.payload")))));
        Self
    }
}

impl Drop for Compressions {
    fn drop(&mut self) {
        probe::tell(None);
    }
}

/// All that a log does, and what was seen of it.
fn seen(strategy: SyncStrategy, inner: Arc<dyn Storage>, compression: Compression) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    let watch = Arc::new(Watch::default());
    let storage = Watched { inner, watch: Arc::clone(&watch) };
    let clock = WatchedClock { inner: SystemClock::default(), watch: Arc::clone(&watch) };
    let config = Config::durable()
        .sync_strategy(strategy)
        .maintenance(Maintenance::Manual)
        .sync_interval(Duration::from_millis(1))
        .segment_size(64 << 10)
        .buffer_size(2000)
        .compression(compression);
    let wal = Wal::open_with(dir.path(), config, Arc::new(storage), Arc::new(clock)).unwrap();
    watch.log.set(Arc::downgrade(wal.log())).unwrap();
    let _looked_at = Compressions::looked_at(&watch);
    let plain = wal.with_compression(Compression::None).unwrap();

    for round in 0..8 {
        for _ in 0..40 {
            wal.append([7; 700]).unwrap();
            plain.append([7; 700]).unwrap();
        }
        wal.append_batch([[8; 300]; 20]).unwrap();
        // Larger than a buffer, and then than a segment.
        wal.append(vec![9; 20_000 * (round + 1)]).unwrap();
        plain.append(vec![9; 20_000 * (round + 1)]).unwrap();
        drop(wal.submit([7; 100]).unwrap());
        // Without a tick now and then: appends make what they need.
        if round % 2 == 0 {
            wal.tick().unwrap();
        }
        wal.flush().unwrap();
    }
    wal.sync().unwrap();
    wal.set_meta("vote", "7").unwrap();
    wal.truncate_front(100).unwrap();
    wal.truncate_back(wal.next_seq() - 10).unwrap();
    wal.append("behind a cut").unwrap();
    wal.retain(&Retention::keep_all().max_segments(2)).unwrap();
    wal.reset(5000).unwrap();
    wal.append("behind a reset").unwrap();
    std::thread::sleep(Duration::from_millis(2));
    wal.tick().unwrap();
    wal.close().unwrap();
    assert_eq!(wal.append("late").unwrap_err().kind(), ErrorKind::Closed);
    std::mem::take(&mut *watch.seen.lock())
}

fn at<'a>(seen: &'a Seen, lock: &str) -> BTreeSet<&'a str> {
    seen.iter().filter(|(_, held)| held.contains(&lock)).map(|(call, _)| &**call).collect()
}

/// Invariant 12.
#[test]
fn nothing_is_in_the_way_of_an_append() {
    for strategy in [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always] {
        for (storage, compression) in storages().into_iter().flat_map(|storage| {
            codecs().into_iter().map(move |codec| (Arc::clone(&storage), codec))
        }) {
            let seen = seen(strategy, storage, compression);
            let told = format!("{strategy:?}: {seen:#?}");
            let mut allowed = BTreeSet::from(["rename next"]);
            // An append that must reach the kernel before it returns is written at once.
            if strategy == SyncStrategy::OsCache {
                allowed.insert("write wal");
            }
            assert_eq!(at(&seen, "append"), allowed, "{told}");
            // Compressing is under no lock at all.
            let compresses = seen.iter().filter(|(call, _)| call == "compress payload");
            let under: Vec<_> = compresses.map(|(_, held)| &held[..]).collect();
            let expected: &[&[&str]] = if compression == Compression::None { &[] } else { &[&[]] };
            assert_eq!(under, expected, "{told}");
            // Who writes may find that the log moves on to the next segment, and reads the clock before that.
            let mut writing = at(&seen, "write");
            let written = writing.remove("write wal");
            assert!(written || strategy == SyncStrategy::OsCache, "{told}");
            writing.retain(|call| !["rename next", "read clock"].contains(call));
            assert!(writing.is_empty(), "{writing:?} under the write lock; {told}");
        }
    }
}

/// The test above would pass if nothing were seen: here is what must be.
#[test]
fn what_is_slow_happens_under_the_locks_for_it() {
    let seen = seen(SyncStrategy::Always, Arc::new(OsStorage::new()), Compression::None);
    let has = |call: &str, held: &[&'static str]| {
        assert!(seen.contains(&(call.to_owned(), held.to_vec())), "{call} {held:?}: {seen:#?}");
    };
    has("sync wal", &["leadership"]);
    has("write manifest", &["leadership"]);
    has("create next", &["preparing"]);
    has("allocate wal", &["preparing"]);
    has("sync wal", &["maintenance"]);
    has("sync folder", &["maintenance"]);
    has("write manifest", &["maintenance"]);
    has("sync manifest", &["maintenance"]);
}
