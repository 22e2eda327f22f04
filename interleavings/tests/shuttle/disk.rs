//! A simulated disk whose calls take time: others may go on before and after each.

use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use shuttle::thread;
use walden::storage::{Access, Clock, DirEntry, File, Storage};
use walden::{Config, Entry, Maintenance, Result, SyncStrategy, Wal};
use walden_sim::{Action, EIO, Fault, OpKind, SimClock, SimDisk};

/// What a sync that panics throws.
pub(crate) struct OnPurpose;

#[derive(Debug, Clone)]
pub(crate) struct Slow {
    pub(crate) disk: SimDisk,
    /// How many syncs of segments are left until one panics; 0: none does.
    pub(crate) panics_in: Arc<AtomicU64>,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn File>,
    slow: Slow,
    segment: bool,
}

/// A clock that goes on whenever it is looked at.
#[derive(Debug)]
struct Going(SimClock);

impl Clock for Going {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
    fn elapsed(&self) -> Duration {
        self.0.advance(Duration::from_millis(200));
        self.0.elapsed()
    }
    fn random_id(&self) -> io::Result<u128> {
        self.0.random_id()
    }
}

impl Slow {
    pub(crate) fn new() -> Self {
        Self { disk: SimDisk::new(), panics_in: Arc::default() }
    }

    /// The nth sync of a segment from now on fails.
    pub(crate) fn fail_sync(&self, nth: u64) {
        let rule = Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).suffix(".wal").nth(nth);
        self.disk.add_fault(rule);
    }

    /// The nth sync of a segment from now on panics.
    pub(crate) fn panic_in_sync(&self, nth: u64) {
        self.panics_in.store(nth, Ordering::Relaxed);
    }

    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        let segment = path.extension().is_some_and(|e| e == "wal" || e == "next");
        Arc::new(SlowFile { file, slow: self.clone(), segment })
    }

    pub(crate) fn open(&self, config: Config) -> Wal {
        let clock = Arc::new(Going(SimClock::new(1)));
        Wal::open_with("/log", config, Arc::new(self.clone()), clock).unwrap()
    }

    /// With a clock that stands still: the periodic sync is never due.
    pub(crate) fn open_at_rest(&self, config: Config) -> Wal {
        let clock = Arc::new(SimClock::new(1));
        Wal::open_with("/log", config, Arc::new(self.clone()), clock).unwrap()
    }

    /// The log after a power cut that lost all that was not synced.
    pub(crate) fn after_power_cut(&self, config: Config) -> Vec<Entry> {
        let disk = Self { disk: self.disk.crash_losing_all(), panics_in: Arc::default() };
        let config = config.maintenance(Maintenance::Manual);
        disk.open(config).range(..).unwrap().collect::<Result<_>>().unwrap()
    }
}

/// `Always`, small segments, no thread of the log's own.
pub(crate) fn config() -> Config {
    Config::durable().segment_size(4096).maintenance(Maintenance::Manual)
}

/// Small segments and a buffer, with the log's own threads.
pub(crate) fn background() -> Config {
    config().sync_strategy(SyncStrategy::Background).maintenance(Maintenance::Thread)
}

fn slowly<T>(call: impl FnOnce() -> T) -> T {
    thread::yield_now();
    let result = call();
    thread::yield_now();
    result
}

impl Storage for Slow {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, slowly(|| self.disk.create(path))?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        slowly(|| self.disk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        slowly(|| self.disk.remove(path))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        slowly(|| self.disk.sync_dir(dir))
    }
    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.lock(path)
    }
}

impl SlowFile {
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        thread::yield_now();
        let left = self.slow.panics_in.load(Ordering::Relaxed);
        if self.segment && left > 0 {
            self.slow.panics_in.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                resume_unwind(Box::new(OnPurpose));
            }
        }
        let result = sync();
        thread::yield_now();
        result
    }
}

impl File for SlowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        slowly(|| self.file.read_at(buf, offset))
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        slowly(|| self.file.write_at(buf, offset))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.sync(|| self.file.sync_data())
    }
    fn sync_all(&self) -> io::Result<()> {
        self.sync(|| self.file.sync_all())
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        slowly(|| self.file.allocate(offset, len))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        slowly(|| self.file.set_len(len))
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn modified(&self) -> io::Result<SystemTime> {
        self.file.modified()
    }
}
