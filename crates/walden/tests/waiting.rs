//! Who waits is woken, whatever else goes on.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail them")]

#[macro_use]
mod forward;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::Stream;
use walden::storage::{Access, File, OsStorage, Storage, SystemClock};
use walden::{Config, ErrorKind, Maintenance, Retention, Ticket, Wal};
use walden_sim::{Action, EIO, Fault, OpKind, SimClock, SimDisk};

/// Fails the test, instead of hanging for ever, if it has not ended in time.
fn within<T: Send + 'static>(seconds: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || drop(done.send(work())));
    wait.recv_timeout(Duration::from_secs(seconds)).expect("ended in time, without a panic")
}

/// A disk of which some calls take a while.
#[derive(Debug, Clone)]
struct Slow {
    disk: OsStorage,
    /// Making files, writing to the manifest, and syncing the folder.
    on: Arc<AtomicBool>,
    /// Nothing is written to the manifest, so no segment is sealed.
    held: Arc<AtomicBool>,
    manifest_syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn File>,
    manifest: bool,
    of: Slow,
}

fn pause(on: &AtomicBool) {
    if on.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Slow {
    fn new() -> Self {
        Self {
            disk: OsStorage::new(),
            on: Arc::default(),
            held: Arc::default(),
            manifest_syncs: Arc::default(),
        }
    }

    fn open_log(dir: &Path, config: Config) -> (Wal, Arc<AtomicBool>) {
        let slow = Self::new();
        let on = Arc::clone(&slow.on);
        let clock = Arc::new(SystemClock::default());
        (Wal::open_with(dir, config, Arc::new(slow), clock).unwrap(), on)
    }

    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        let manifest = path.extension().is_some_and(|ending| ending == "manifest");
        Arc::new(SlowFile { file, manifest, of: self.clone() })
    }
}

impl Storage for Slow {
    forward!(self, self.disk; rename, remove, list, create_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        pause(&self.on);
        Ok(self.wrap(path, self.disk.create(path)?))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        pause(&self.on);
        self.disk.sync_dir(dir)
    }
}

impl File for SlowFile {
    forward!(self, self.file; read_at, sync_all, allocate, set_len, len, modified);

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if self.manifest {
            pause(&self.of.on);
            while self.of.held.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.file.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.of.manifest_syncs.fetch_add(u64::from(self.manifest), Ordering::SeqCst);
        Ok(())
    }
}

/// A leader notes how far it came, slowly; meanwhile a follower waits for more, and then an append does.
/// It is the append that must be woken to lead.
#[test]
fn a_follower_is_not_handed_the_lead() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let (wal, slow) = Slow::open_log(dir.path(), Config::durable());
        slow.store(true, Ordering::Relaxed);
        for _ in 0..5 {
            let seq = wal.next_seq();
            let mut follower = wal.follow(seq).unwrap().durable_only();
            let following = std::thread::spawn(move || {
                for _ in 0..3 {
                    follower.next_blocking().unwrap();
                }
            });
            std::thread::sleep(Duration::from_millis(5));
            let first = wal.clone();
            let first = std::thread::spawn(move || first.append("leads").unwrap());
            while wal.durable_seq() < seq {
                std::thread::yield_now();
            }
            // The leader still writes its mark. The follower has waited for what comes next by then.
            std::thread::sleep(Duration::from_millis(8));
            wal.append("waits").unwrap();
            first.join().unwrap();
            wal.append("ends the follower").unwrap();
            following.join().unwrap();
        }
    });
}

/// A stream that waits for what is durable must not keep the sync thread busy.
#[test]
fn a_stream_at_the_end_costs_nothing() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
        let mut follower = wal.follow(1).unwrap().durable_only();
        let mut context = Context::from_waker(Waker::noop());
        assert!(std::pin::Pin::new(&mut follower).poll_next(&mut context).is_pending());
        wal.sync().unwrap();
        let threads = || {
            let tasks = std::fs::read_dir("/proc/self/task").ok()?;
            let names = tasks
                .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
            Some(names.filter(|name| name.trim() == "walden-sync").count())
        };
        std::thread::sleep(Duration::from_millis(50));
        assert!(threads().is_none_or(|count| count == 0), "nobody asked for a sync");
    });
}

/// The cut begins its new segment after `close` was called: the log is closed all the same.
#[test]
fn closed_in_a_cut_is_closed() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let (wal, slow) = Slow::open_log(dir.path(), Config::os_cache());
        for _ in 0..10 {
            wal.append("x").unwrap();
        }
        slow.store(true, Ordering::Relaxed);
        let cutter = wal.clone();
        let cutting = std::thread::spawn(move || cutter.truncate_back(5));
        // The cut is committed, and appends go on later.
        while wal.next_seq() != 6 {
            std::thread::yield_now();
        }
        let closed = wal.close();
        drop(cutting.join().unwrap());
        assert!(closed.is_ok(), "{closed:?}");
        assert_eq!(wal.append("late").unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(wal.set_meta("a", "b").unwrap_err().kind(), ErrorKind::Closed);
        let other = Wal::open(dir.path(), Config::durable()).unwrap();
        assert_eq!(other.next_seq(), 6);
    });
}

/// Dropping a ticket cancels nothing, in no strategy.
#[test]
fn what_nobody_waits_for_becomes_durable() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::durable().sync_interval(Duration::from_millis(20));
        let wal = Wal::open(dir.path(), config).unwrap();
        drop(wal.submit("x").unwrap());
        while wal.durable_seq() < 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// The note of how far the log is durable is synced within a `sync_interval`, in `Always` too, where nobody else has
/// anything to do: else a power cut would leave all since the last segment's end in doubt.
#[test]
fn a_mark_is_synced_in_time() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let slow = Slow::new();
        let syncs = Arc::clone(&slow.manifest_syncs);
        let config = Config::durable().sync_interval(Duration::from_millis(20));
        let clock = Arc::new(SystemClock::default());
        let wal = Wal::open_with(dir.path(), config, Arc::new(slow), clock).unwrap();
        for _ in 0..5 {
            let before = syncs.load(Ordering::SeqCst);
            wal.append("x").unwrap();
            while syncs.load(Ordering::SeqCst) == before {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
}

/// A cut is shown to readers in two steps. Between them nothing is damaged.
#[test]
fn a_cut_is_no_damage_to_readers() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::os_cache().segment_size(100);
        let (wal, slow) = Slow::open_log(dir.path(), config);
        for _ in 0..10 {
            wal.append([1; 40]).unwrap();
        }
        slow.store(true, Ordering::Relaxed);
        let cutter = wal.clone();
        let cutting = std::thread::spawn(move || cutter.truncate_back(3).unwrap());
        while wal.get(8).unwrap().is_some() {}
        cutting.join().unwrap();
    });
}

/// A callback runs on the thread that syncs, perhaps within a cut: what would wait there is refused.
#[test]
fn a_callback_cannot_wait_for_itself() {
    within(60, || {
        for cut in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let wal = Wal::open(dir.path(), Config::durable()).unwrap();
            let (told, tell) = mpsc::channel();
            let (clone, ticket) = (wal.clone(), wal.submit("x").unwrap());
            let (begin, begun) = mpsc::channel();
            // Something else leads while the callback is registered, so that it is called later.
            let (other, syncer) = (wal.clone(), wal.submit("y").unwrap());
            syncer.on_complete(move |_| {
                ticket.on_complete(move |_| {
                    let chained = clone.submit("chained");
                    let long = Duration::from_secs(3600);
                    let waited = match &chained {
                        Ok(ticket) => ticket.wait_timeout(long).map(drop),
                        Err(error) => Err(error.clone()),
                    };
                    let calls = [clone.append("z").map(drop), clone.sync(), clone.close(), waited];
                    let kinds = calls.map(|call| call.err().map(|error| error.kind()));
                    told.send((kinds, chained.map(drop))).unwrap();
                });
                begin.send(()).unwrap();
            });
            if cut {
                drop(other.truncate_back(1));
            }
            begun.recv().unwrap();
            let (kinds, chained) = tell.recv().unwrap();
            assert_eq!(kinds, [Some(ErrorKind::Busy); 4]);
            assert!(chained.is_ok() || chained.is_err_and(|e| e.kind() == ErrorKind::Busy));
            wal.append("goes on").unwrap();
            wal.close().unwrap();
        }
    });
}

/// A callback runs on the thread that seals, too, which has the maintenance lock: what needs that is refused, and metadata
/// can be read.
#[test]
fn a_callback_that_tells_of_a_seal_cannot_wait_for_it() {
    let kinds = within(20, || {
        let config = Config::os_cache().segment_size(100).maintenance(Maintenance::Manual);
        let clock = Arc::new(SimClock::new(1));
        let wal = Wal::open_with("/log", config, Arc::new(SimDisk::new()), clock).unwrap();
        wal.set_meta("vote", "7").unwrap();
        let (told, outcome) = mpsc::channel();
        let (later, ticket) = mpsc::channel::<Ticket>();
        let clone = wal.clone();
        wal.submit([1; 60]).unwrap().on_complete(move |_| {
            assert_eq!(clone.meta("vote").unwrap(), b"7");
            let waited = ticket.recv().unwrap().wait().map(drop);
            let front = clone.truncate_front(2);
            let retained = clone.retain(&Retention::keep_all().max_segments(1)).map(drop);
            let (ticked, cut) = (clone.tick(), clone.truncate_back(1));
            let calls = [front, retained, ticked, cut, clone.reset(9), waited];
            told.send(calls.map(|call| call.map_err(|error| error.kind()))).unwrap();
        });
        // Four segments are open: before a fifth can be begun, the first is sealed.
        wal.append([2; 60]).unwrap();
        wal.append([2; 60]).unwrap();
        later.send(wal.submit([3; 60]).unwrap()).unwrap();
        wal.append([2; 60]).unwrap();
        let kinds = outcome.recv().unwrap();
        wal.truncate_front(2).unwrap();
        kinds
    });
    assert_eq!(kinds, [Err(ErrorKind::Busy); 6]);
}

/// A write fails, and a callback that is told so appends: it gets the cause, and does not wait for the lock that the
/// failed append holds.
#[test]
fn a_callback_that_tells_of_a_failed_write_can_append() {
    for config in [Config::os_cache(), Config::background().buffer_size(1)] {
        let kind = within(20, move || {
            let disk = SimDisk::new();
            let clock = Arc::new(SimClock::new(1));
            let config = config.maintenance(Maintenance::Manual);
            let wal = Wal::open_with("/log", config, Arc::new(disk.clone()), clock).unwrap();
            let (told, outcome) = mpsc::channel();
            let in_callback = wal.clone();
            wal.submit("first").unwrap().on_complete(move |_| {
                told.send(in_callback.append("third").map_err(|error| error.kind())).unwrap();
            });
            disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::Write]).suffix(".wal"));
            assert_eq!(wal.append("second").unwrap_err().kind(), ErrorKind::Poisoned);
            outcome.recv().unwrap()
        });
        assert_eq!(kind, Err(ErrorKind::Poisoned));
    }
}

/// Appends come much faster than segments are sealed: they are slowed down before they would have to stop, and the
/// log goes on as fast as the disk.
#[test]
fn appends_are_slowed_down_before_they_stop() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let (wal, on) = Slow::open_log(dir.path(), Config::os_cache().segment_size(4 << 20));
        on.store(true, Ordering::Relaxed);
        let payload = [7; 4000];
        for _ in 0..12 << 10 {
            wal.append(payload).unwrap();
        }
        let stats = wal.stats();
        assert!(stats.rotations >= 11 && stats.pauses > 20, "{stats:?}");
        on.store(false, Ordering::Relaxed);
        wal.close().unwrap();
    });
}

/// While no segment can be sealed, the last one that may be open is filled to its last byte: however little of it is
/// left, who fits there is not asked to pause for ever.
#[test]
fn the_last_segment_that_may_be_open_is_filled_to_its_end() {
    within(30, || {
        let dir = tempfile::tempdir().unwrap();
        let slow = Slow::new();
        let held = Arc::clone(&slow.held);
        let clock = Arc::new(SystemClock::default());
        let config = Config::os_cache().segment_size(4 << 20);
        let wal = Wal::open_with(dir.path(), config, Arc::new(slow), clock).unwrap();
        held.store(true, Ordering::Relaxed);
        let payload = [7; 4000];
        for _ in 0..4 {
            // 28 bytes more each: 1041, then one that leaves 30 bytes, and one that takes them.
            (0..1041).for_each(|_| _ = wal.append(payload).unwrap());
            wal.append(&payload[..(4 << 20) - 1041 * 4028 - 28 - 30]).unwrap();
            wal.append("ab").unwrap();
        }
        let stats = wal.stats();
        assert!(stats.rotations == 3 && stats.seals == 0 && stats.pauses > 0, "{stats:?}");
        held.store(false, Ordering::Relaxed);
        wal.append("in the fifth").unwrap();
        wal.close().unwrap();
    });
}
