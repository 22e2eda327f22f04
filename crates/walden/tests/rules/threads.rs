//! Real threads, on the machine's filesystem: the maintenance lock, a leader that panics, syncs that fail under many.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use walden::storage::{Access, File, OsStorage, Storage, SystemClock};
use walden::{BatchFormat, Config, ErrorKind, Maintenance, SyncStrategy, Wal};
use walden_sim::{Action, ENOSPC, Fault, OpKind};

use crate::support::Lab;

/// Fails instead of hanging.
fn within(seconds: u64, work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("still waiting after {seconds} s: someone was forgotten");
    }
    thread.join().unwrap();
}

/// Section 5: "One maintenance lock covers sealing, cuts, retention, metadata and close from first step to last; each
/// generation derives from the last synced one": metadata is never lost, whatever else changes the manifest.
#[test]
fn metadata_is_not_lost_between_seals_and_cuts() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::os_cache().segment_size(2000);
        let wal = Wal::open(dir.path(), config.clone()).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let appended = wal.append([7; 300]);
                    assert!(appended.is_ok() || appended.unwrap_err().is_truncated());
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let next = wal.next_seq();
                    let first = wal.first_seq();
                    let result = match next % 3 {
                        0 => wal.truncate_front(first + (next - first) / 2),
                        1 => wal.truncate_back((first + (next - first) * 3 / 4).max(1) - 1),
                        _ => wal.sync(),
                    };
                    let allowed = [ErrorKind::OutOfRange, ErrorKind::Removed];
                    assert!(result.is_ok() || allowed.contains(&result.unwrap_err().kind()));
                }
            });
            let writers: Vec<_> = (0..3)
                .map(|key| {
                    let wal = &wal;
                    scope.spawn(move || {
                        for value in 1..=60_u64 {
                            wal.set_meta([key], value.to_string()).unwrap();
                            let found = wal.meta([key]).unwrap();
                            assert_eq!(found, value.to_string().as_bytes(), "key {key}");
                        }
                    })
                })
                .collect();
            for writer in writers {
                writer.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let (first, next) = (wal.first_seq(), wal.next_seq());
        wal.close().unwrap();
        let wal = Wal::open(dir.path(), config).unwrap();
        assert_eq!((wal.first_seq(), wal.next_seq()), (first, next));
        for key in 0..3_u8 {
            assert_eq!(wal.meta([key]).unwrap(), b"60");
        }
        assert_eq!(wal.range(..).unwrap().filter(Result::is_ok).count() as u64, next - first);
    });
}

/// What the next sync of a segment does.
#[derive(Debug, Default)]
struct Trap {
    panics: AtomicBool,
    fails: AtomicBool,
    /// Milliseconds that each sync takes.
    slow: AtomicU64,
    /// The next sync of a segment, once it is done, says so here, and returns when it is told to.
    held: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    /// Writes to segments fail.
    writes_fail: AtomicBool,
    /// The next reservation of space panics.
    reserving_panics: AtomicBool,
    /// The next write to a segment panics.
    writing_panics: AtomicBool,
    /// Syncs of folders by their names.
    folders_opened: AtomicUsize,
    /// Syncs of one file that met another one of it.
    met: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Trapped(OsStorage, Arc<Trap>);

#[derive(Debug)]
struct TrappedFile(Arc<dyn File>, Arc<Trap>, AtomicUsize);

impl TrappedFile {
    /// Runs a sync, and notes whether another one of the file runs meanwhile.
    fn alone(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let others = self.2.fetch_add(1, Ordering::SeqCst);
        self.1.met.fetch_add(others, Ordering::SeqCst);
        let result = sync();
        self.2.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

impl Trapped {
    fn wrap(&self, path: &Path, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        let segment = path.extension().is_some_and(|ending| ending == "wal" || ending == "next");
        let file = file?;
        Ok(if segment {
            Arc::new(TrappedFile(file, Arc::clone(&self.1), AtomicUsize::new(0)))
        } else {
            file
        })
    }
}

impl Storage for Trapped {
    forward!(self, self.0; rename, remove, list, create_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.wrap(path, self.0.open(path, access))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.wrap(path, self.0.create(path))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.1.folders_opened.fetch_add(1, Ordering::SeqCst);
        self.0.sync_dir(dir)
    }
    fn open_dir(&self, dir: &Path) -> io::Result<Option<Arc<dyn File>>> {
        self.1.folders_opened.fetch_add(1, Ordering::SeqCst);
        self.0.open_dir(dir)
    }
}

impl File for TrappedFile {
    forward!(self, self.0; read_at, set_len, len, modified);

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if self.1.writes_fail.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(walden_sim::EIO));
        }
        assert!(!self.1.writing_panics.swap(false, Ordering::SeqCst), "the trap");
        self.0.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        let held = self.1.held.lock().unwrap().take();
        if let Some((done, go_on)) = held {
            self.0.sync_data()?;
            done.send(()).unwrap();
            go_on.recv().unwrap();
            return Ok(());
        }
        let slow = Duration::from_millis(self.1.slow.load(Ordering::SeqCst));
        self.alone(|| {
            std::thread::sleep(slow);
            Ok(())
        })?;
        assert!(!self.1.panics.swap(false, Ordering::SeqCst), "the trap");
        if self.1.fails.swap(false, Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(walden_sim::EIO));
        }
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.alone(|| self.0.sync_all())
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        assert!(!self.1.reserving_panics.swap(false, Ordering::SeqCst), "the trap");
        self.0.allocate(offset, len)
    }
}

/// Eight threads in `append` while one sync is slow and then does what the trap says: what each was told.
fn eight_threads(arm: fn(&Trap)) -> (tempfile::TempDir, Wal, Vec<Result<walden::Result<u64>, ()>>) {
    let dir = tempfile::tempdir().unwrap();
    let trap = Arc::new(Trap::default());
    let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
    let clock = Arc::new(SystemClock::default());
    let wal = Wal::open_with(dir.path(), Config::durable(), storage, clock).unwrap();
    wal.append("durable").unwrap();
    trap.slow.store(100, Ordering::SeqCst);
    arm(&trap);
    let barrier = Barrier::new(8);
    let told = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n: u8| {
                let (wal, barrier) = (&wal, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    std::panic::catch_unwind(AssertUnwindSafe(|| wal.append([n; 100])))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap().map_err(drop)).collect()
    });
    (dir, wal, told)
}

/// Section 9: "a leader that fails or panics wakes all with the cause".
#[test]
fn a_leader_that_panics_wakes_all_with_the_cause() {
    within(60, || {
        let (dir, wal, told) = eight_threads(|trap| trap.panics.store(true, Ordering::SeqCst));
        assert_eq!(told.iter().filter(|told| told.is_err()).count(), 1, "one led, and panicked");
        for error in told.into_iter().flatten().map(Result::unwrap_err) {
            assert!(error.is_poisoned(), "{error}");
            assert!(error.to_string().contains("panic"), "{error}");
        }
        assert_eq!(wal.durable_seq(), 1, "nothing counts that no sync is known to have reached");
        assert_eq!(wal.stats().waiters, 0);
        assert!(wal.append("x").unwrap_err().is_poisoned());
        assert_eq!(wal.get(1).unwrap().unwrap().payload, b"durable"[..]);
        drop(wal);
        let wal = Wal::open(dir.path(), Config::durable()).unwrap();
        assert_eq!(wal.append("goes on").unwrap(), wal.next_seq() - 1);
    });
}

/// A storage that panics in the middle of a batch of separate records, which keeps other appends waiting, does not keep
/// them so for ever.
#[test]
fn a_panic_inside_a_batch_ends_its_turn() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
        let clock = Arc::new(SystemClock::default());
        let config =
            Config::default().batch_format(BatchFormat::Separate).maintenance(Maintenance::Manual);
        let wal = Wal::open_with(dir.path(), config, storage, clock).unwrap();
        wal.append("before").unwrap();
        trap.reserving_panics.store(true, Ordering::SeqCst);
        let entries = vec![vec![7_u8; 1 << 16]; 256];
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| wal.append_batch(&entries)));
        assert!(told.is_err(), "the batch needed room");
        // Goes on or is told why not.
        match wal.append("behind") {
            Ok(seq) => assert_eq!(wal.get(seq).unwrap().unwrap().payload, b"behind"[..]),
            Err(error) => assert!(error.is_poisoned(), "{error}"),
        }
    });
}

/// A storage that panics while it writes a record leaves a hole: nothing behind it may ever count.
#[test]
fn a_panic_inside_a_write_poisons() {
    for strategy in [SyncStrategy::OsCache, SyncStrategy::Always, SyncStrategy::Background] {
        within(60, move || {
            let dir = tempfile::tempdir().unwrap();
            let trap = Arc::new(Trap::default());
            let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
            let clock = Arc::new(SystemClock::default());
            let config = Config::default().sync_strategy(strategy).maintenance(Maintenance::Manual);
            let wal = Wal::open_with(dir.path(), config.clone(), storage, clock).unwrap();
            wal.append("before").unwrap();
            wal.sync().unwrap();
            trap.writing_panics.store(true, Ordering::SeqCst);
            // Long enough to be written from where it is, whatever the strategy.
            let told = std::panic::catch_unwind(AssertUnwindSafe(|| wal.append([7; 20_000])));
            assert!(told.is_err(), "{strategy:?}: it was written");
            for call in
                [wal.append("behind").map(drop), wal.append([8; 20_000]).map(drop), wal.sync()]
            {
                let error = call.unwrap_err();
                assert!(error.is_poisoned(), "{strategy:?}: {error}");
            }
            drop(wal.flush());
            let stats = wal.stats();
            assert_eq!((wal.durable_seq(), stats.poisoned), (1, true));
            assert_eq!(wal.range(..).unwrap().map(Result::unwrap).count(), 1, "{strategy:?}");
            drop(wal);
            let wal = Wal::open(dir.path(), config).unwrap();
            assert_eq!(wal.append("goes on").unwrap(), wal.next_seq() - 1);
        });
    }
}

/// Section 9, "one sync at a time": the kernel tells an error to one of two who sync a file at once, and the other's success
/// would mean nothing. A leader and sealing may meet at a segment that is complete and not durable.
#[test]
fn a_file_has_one_sync_at_a_time() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        trap.slow.store(2, Ordering::SeqCst);
        let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
        let config = Config::os_cache().segment_size(2000);
        let clock = Arc::new(SystemClock::default());
        let wal = Wal::open_with(dir.path(), config, storage, clock).unwrap();
        std::thread::scope(|scope| {
            for n in 0..3_u8 {
                let wal = &wal;
                scope.spawn(move || {
                    for _ in 0..100 {
                        wal.append([n; 300]).unwrap();
                        wal.sync().unwrap();
                    }
                });
            }
        });
        assert_eq!(trap.met.load(Ordering::SeqCst), 0);
    });
}

/// Where a process has no descriptor left, a sync of the log's folder must not fail for that, which would be final: it is
/// kept open.
#[test]
fn syncing_the_folder_takes_no_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let trap = Arc::new(Trap::default());
    let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
    let config = Config::default().segment_size(1000).maintenance(Maintenance::Manual);
    let clock = Arc::new(SystemClock::default());
    let wal = Wal::open_with(dir.path(), config, storage, clock).unwrap();
    let opened = trap.folders_opened.load(Ordering::SeqCst);
    for _ in 0..20 {
        wal.append([1; 300]).unwrap();
    }
    wal.truncate_back(10).unwrap();
    wal.tick().unwrap();
    wal.close().unwrap();
    assert_eq!(trap.folders_opened.load(Ordering::SeqCst), opened);
}

/// A storage that panics in the middle of a cut leaves a log that says so, and that can be closed.
#[test]
fn a_panic_inside_a_cut_poisons() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
        let clock = Arc::new(SystemClock::default());
        let config = Config::default().maintenance(Maintenance::Manual);
        let wal = Wal::open_with(dir.path(), config, storage, clock).unwrap();
        wal.append("one").unwrap();
        wal.append("two").unwrap();
        trap.reserving_panics.store(true, Ordering::SeqCst);
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| wal.truncate_back(1)));
        assert!(told.is_err(), "the new segment needs space");
        assert!(wal.append("x").unwrap_err().is_poisoned());
        assert!(wal.close().is_err());
        drop(wal);
        let wal = Wal::open(dir.path(), Config::default()).unwrap();
        assert_eq!(wal.get(1).unwrap().unwrap().payload, b"one"[..]);
    });
}

/// Section 4.7, with threads: "waiters test `durable` first, then get the cause"; the first cause, all of them.
#[test]
fn a_leader_whose_sync_fails_wakes_all_with_the_cause() {
    within(60, || {
        let (_dir, wal, told) = eight_threads(|trap| trap.fails.store(true, Ordering::SeqCst));
        let errors: Vec<_> =
            told.into_iter().map(|told| told.expect("no panic").unwrap_err()).collect();
        for error in &errors {
            assert!(error.is_poisoned(), "{error}");
            assert_eq!(error.to_string(), errors[0].to_string());
        }
        assert_eq!(wal.durable_seq(), 1);
        assert_eq!(wal.stats().waiters, 0);
    });
}

/// Section 9: "fdatasync, check the latch, raise `durable`": where a write of another thread fails while a leader syncs, the
/// sync comes to its good end, and nothing counts as durable by it; the leader's own append gets the cause.
#[test]
fn a_failure_beside_a_sync_keeps_durable_where_it_is() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        let storage = Arc::new(Trapped(OsStorage::new(), Arc::clone(&trap)));
        let clock = Arc::new(SystemClock::default());
        let config = Config::durable().maintenance(Maintenance::Manual);
        let wal = Wal::open_with(dir.path(), config, storage, clock).unwrap();
        wal.append("durable").unwrap();
        let (done, is_done) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        *trap.held.lock().unwrap() = Some((done, may_go_on));
        let told = std::thread::scope(|scope| {
            let leader = scope.spawn(|| wal.append("synced, and not told so"));
            is_done.recv().unwrap();
            trap.writes_fail.store(true, Ordering::SeqCst);
            let behind = wal.submit("never written").unwrap();
            assert!(wal.flush().unwrap_err().is_poisoned());
            go_on.send(()).unwrap();
            assert!(behind.wait().unwrap_err().is_poisoned());
            leader.join().unwrap()
        });
        assert!(told.unwrap_err().is_poisoned());
        assert_eq!(wal.durable_seq(), 1, "nothing becomes durable after a failure");
        drop(wal);
        // It was synced, so it is found: the error says that this may be.
        let wal = Wal::open(dir.path(), Config::durable()).unwrap();
        assert_eq!(wal.next_seq(), 3);
    });
}

/// Section 4.8: a full disk is an error, not a wait, also where four segments are open and it is the sealing of one that
/// finds no room (a filesystem that copies on write needs some to shorten a file). It goes on when there is room, unless
/// it was the manifest that found none: then the log has failed, and those who append are told so.
#[test]
fn appends_do_not_wait_for_a_seal_that_finds_no_room() {
    for op in [OpKind::SetLen, OpKind::Write] {
        within(60, move || {
            let mut lab = Lab::new(SyncStrategy::OsCache, 300);
            lab.config = lab.config.maintenance(Maintenance::Thread);
            let wal = lab.open();
            Lab::append(&wal, 1..=2);
            let file = if op == OpKind::SetLen { ".wal" } else { ".manifest" };
            lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([op]).suffix(file));
            let refused = (0..100).find_map(|_| wal.append([7; 100]).err()).expect("no room");
            let again = wal.append([7; 100]).unwrap_err();
            lab.disk.clear_faults();
            if op == OpKind::SetLen {
                assert!(refused.is_out_of_space() && again.is_out_of_space(), "{refused}, {again}");
                // A round of the log's thread that met the full disk may not be over yet.
                wal.tick().unwrap();
                wal.append([7; 100]).unwrap();
                wal.sync().unwrap();
            } else {
                assert!(refused.is_poisoned() && again.is_poisoned(), "{refused}, {again}");
                assert_eq!(again.io_kind(), Some(io::ErrorKind::StorageFull));
            }
        });
    }
}
