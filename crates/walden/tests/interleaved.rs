//! Interleavings that matter, made to happen: a storage that does something in the middle of a call.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[macro_use]
mod forward;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use walden::offline::{self, Target};
use walden::storage::{Access, File, Storage};
use walden::{Config, ErrorKind, LogReader, Maintenance, Retention, SyncStrategy, Wal};
use walden_sim::{Action, EIO, ENOSPC, Fault, OpKind, SimClock, SimDisk};

type Hook = Box<dyn FnOnce() + Send>;

/// What happens in the middle of the next opening, making, shortening and growing of a file, the next write, and the next
/// sync.
#[derive(Default)]
struct Hooks {
    open: Option<Hook>,
    create: Option<Hook>,
    shorten: Option<Hook>,
    grow: Option<Hook>,
    write: Option<Hook>,
    sync: Option<Hook>,
}

#[derive(Clone)]
struct Hooked {
    disk: SimDisk,
    hooks: Arc<Mutex<Hooks>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

#[derive(Debug)]
struct HookedFile(Arc<dyn File>, Hooked);

impl Hooked {
    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(HookedFile(file, self.clone()))
    }

    fn fire(&self, which: impl FnOnce(&mut Hooks) -> &mut Option<Hook>) {
        let hook = which(&mut self.hooks.lock().unwrap()).take();
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl Storage for Hooked {
    forward!(self, self.disk; rename, remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.fire(|hooks| &mut hooks.open);
        Ok(self.wrap(self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.fire(|hooks| &mut hooks.create);
        Ok(self.wrap(self.disk.create(path)?))
    }
}

impl File for HookedFile {
    forward!(self, self.0; read_at, sync_all, len, modified);

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.1.fire(|hooks| &mut hooks.write);
        self.0.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        let result = self.0.sync_data();
        self.1.fire(|hooks| &mut hooks.sync);
        result
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.1.fire(|hooks| &mut hooks.grow);
        self.0.allocate(offset, len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.fire(|hooks| &mut hooks.shorten);
        self.0.set_len(len)
    }
}

/// A leader writes record 1. Before it looks at the list of segments, records 2 (same segment) and 3 (the next one) are
/// appended; while it syncs the first segment, both are written. It may sync the second segment, but record 3
/// is not durable before record 2 is (invariant 5).
#[test]
fn records_that_come_during_a_round_wait_for_those_before_them() {
    let hooked = Hooked { disk: SimDisk::new(), hooks: Arc::default() };
    let clock = SimClock::new(1);
    let config = Config::background()
        .sync_strategy(SyncStrategy::Background)
        .segment_size(100)
        .maintenance(Maintenance::Manual);
    let open = |storage: Arc<dyn Storage>| {
        Wal::open_with("/log", config.clone(), storage, Arc::new(clock.clone())).unwrap()
    };
    let wal = open(Arc::new(hooked.clone()));
    wal.tick().unwrap();
    wal.append([1; 20]).unwrap();
    let (in_write, in_sync) = (wal.clone(), wal.clone());
    *hooked.hooks.lock().unwrap() = Hooks {
        write: Some(Box::new(move || {
            in_write.append([2; 20]).unwrap();
            in_write.append([3; 20]).unwrap();
        })),
        sync: Some(Box::new(move || in_sync.flush().unwrap())),
        ..Hooks::default()
    };
    wal.sync().unwrap();
    assert_eq!(wal.next_seq(), 4, "both hooks ran");
    let told = wal.durable_seq();
    assert!(told >= 1);
    let image = hooked.disk.crash_losing_all();
    let found = open(Arc::new(image));
    assert!(found.next_seq() > told, "{told} was durable, {} is the end", found.next_seq());
    wal.sync().unwrap();
    assert_eq!(wal.durable_seq(), 3);
}

/// While an append makes the next segment, a sync fails elsewhere: the append is told that, and not that the disk is
/// full, after which it might be tried again.
#[test]
fn a_log_that_fails_while_room_is_made_is_not_a_full_disk() {
    let hooked = Hooked { disk: SimDisk::new(), hooks: Arc::default() };
    let config = Config::durable().segment_size(100).maintenance(Maintenance::Manual);
    let storage = Arc::new(hooked.clone());
    let wal = Wal::open_with("/log", config, storage, Arc::new(SimClock::new(1))).unwrap();
    let ticket = wal.submit([1; 60]).unwrap();
    let (disk, in_create) = (hooked.disk.clone(), wal.clone());
    hooked.hooks.lock().unwrap().create = Some(Box::new(move || {
        disk.add_fault(Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).suffix(".wal"));
        assert!(in_create.sync().unwrap_err().is_poisoned());
    }));
    let error = wal.append([2; 60]).unwrap_err();
    assert!(error.is_poisoned(), "{error}");
    assert!(ticket.wait().unwrap_err().is_poisoned());
}

/// The log's own thread panics while it seals: an append that waits because four segments are open is told, and
/// does not wait for ever.
#[test]
fn a_panic_of_the_logs_thread_is_told_to_who_waits() {
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let hooked = Hooked { disk: SimDisk::new(), hooks: Arc::default() };
        let clock = Arc::new(SimClock::new(1));
        let config = Config::os_cache().segment_size(100);
        let wal = Wal::open_with("/log", config, Arc::new(hooked.clone()), clock).unwrap();
        let panics: Hook = Box::new(|| std::panic::resume_unwind(Box::new("on purpose")));
        // Only the log's thread seals, and a segment's free space is cut off for that.
        hooked.hooks.lock().unwrap().shorten = Some(panics);
        let refused = (0..8).find_map(|_| wal.append([1; 60]).err());
        done.send(refused.map(|error| error.kind())).unwrap();
    });
    let kind = wait.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert_eq!(kind, Some(walden::ErrorKind::Poisoned));
}

/// Long enough for what another thread does meanwhile; where it can't, it is waited for in vain.
const MEANWHILE: Duration = Duration::from_millis(300);

/// While an append gets more space in the active segment, another one moves the log on, and the segment is sealed: it
/// is as long as what it holds all the same, for who goes by its length.
#[test]
fn what_is_sealed_gets_no_space() {
    let hooked = Hooked { disk: SimDisk::new(), hooks: Arc::default() };
    let config = Config::background().segment_size(300_000).maintenance(Maintenance::Manual);
    let storage = Arc::new(hooked.clone());
    let wal = Wal::open_with("/log", config, storage, Arc::new(SimClock::new(1))).unwrap();
    wal.append(vec![1; 280_000]).unwrap();
    // The next segment gets a part of its space.
    let full = Fault::new(Action::Error(ENOSPC)).on([OpKind::Allocate]).suffix("0001.next");
    hooked.disk.add_fault(full.nth(1));
    wal.tick().unwrap();
    wal.append(vec![2; 70_000]).unwrap();
    // It is sealed right behind the first one: in the middle of that one's sync an append wants to grow it.
    let (sealed, is_sealed) = mpsc::channel();
    let (in_sync, hooks) = (wal.clone(), Arc::clone(&hooked.hooks));
    let (joined, join) = mpsc::channel();
    let at_sync = move || {
        let (grows, it_grows) = mpsc::channel();
        let at_growth = move || {
            grows.send(()).unwrap();
            is_sealed.recv_timeout(MEANWHILE).ok();
        };
        hooks.lock().unwrap().grow = Some(Box::new(at_growth));
        let growing = in_sync.clone();
        let thread = std::thread::spawn(move || growing.append(vec![3; 10_000]).unwrap());
        it_grows.recv().unwrap();
        in_sync.append(vec![4; 250_000]).unwrap();
        joined.send(thread).unwrap();
    };
    hooked.hooks.lock().unwrap().sync = Some(Box::new(at_sync));
    wal.tick().unwrap();
    sealed.send(()).ok();
    assert_eq!(join.recv().unwrap().join().unwrap(), 4);
    wal.sync().unwrap();
    assert!(wal.segments().unwrap()[1].sealed);
    let log = LogReader::open_with("/log", "segment", Arc::new(hooked.disk)).unwrap();
    let seqs: Vec<u64> = log.range(..).unwrap().map(|entry| entry.unwrap().seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

/// Frames were found to go on here, and before they are appended the log is another one that ends with the same seq id.
#[test]
fn frames_do_not_go_on_in_what_was_cut_meanwhile() {
    let hooked = Hooked { disk: SimDisk::new(), hooks: Arc::default() };
    let config = Config::durable().maintenance(Maintenance::Manual);
    let open = |storage: Arc<dyn Storage>| {
        Wal::open_with("/log", config.clone(), storage, Arc::new(SimClock::new(1))).unwrap()
    };
    let (source, copy) = (open(Arc::new(SimDisk::new())), open(Arc::new(hooked.clone())));
    for seq in 1..=5_u8 {
        source.append([seq]).unwrap();
    }
    copy.append_frames(&source.frames(1, 1 << 20).unwrap().unwrap()).unwrap();
    for seq in 6..=9_u8 {
        source.append([seq]).unwrap();
    }
    // So that the next ones begin an epoch here.
    copy.append("of its own").unwrap();
    copy.truncate_back(5).unwrap();
    // A reset is in the middle, with appends stopped and nothing cut yet, when the frames are looked at.
    let (begun, has_begun) = mpsc::channel();
    let in_write = move || {
        begun.send(()).unwrap();
        std::thread::sleep(MEANWHILE);
    };
    let resetting = copy.clone();
    hooked.hooks.lock().unwrap().write = Some(Box::new(in_write));
    let reset = std::thread::spawn(move || resetting.reset(6).unwrap());
    has_begun.recv().unwrap();
    let frames = source.frames(6, 1 << 20).unwrap().unwrap();
    let error = copy.append_frames(&frames).unwrap_err();
    reset.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!((copy.first_seq(), copy.next_seq()), (6, 6));
    // Nor does the copy say of itself that it has their history.
    let disk = Arc::new(hooked.disk);
    let log = Target::new("/log", "segment", disk, Arc::new(SimClock::new(1)));
    let epochs = offline::inspect(&log).unwrap().manifest.unwrap().unwrap().epochs;
    assert_ne!(Some(epochs.last().unwrap().id), frames.epochs().last().map(|(_, id)| *id));
}

/// Who waits for room in flight is told of a cut that makes it once there is some, not before.
#[test]
fn a_cut_makes_room_before_it_tells() {
    struct Asks(Wal, mpsc::Sender<bool>);
    impl Wake for Asks {
        fn wake(self: Arc<Self>) {
            let mut ready = std::pin::pin!(self.0.ready());
            let polled = ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.1.send(polled.is_ready()).unwrap();
        }
    }
    let disk = SimDisk::new();
    disk.set_allocate_supported(false);
    let config = Config::os_cache().maintenance(Maintenance::Manual).max_in_flight(1000);
    let storage = Arc::new(disk.clone());
    let wal = Wal::open_with("/log", config, storage, Arc::new(SimClock::new(1))).unwrap();
    wal.append([1; 100]).unwrap();
    wal.sync().unwrap();
    disk.set_capacity(Some(disk.used()));
    assert!(wal.append([2; 5000]).unwrap_err().is_out_of_space());
    let (told, hear) = mpsc::channel();
    let waker = Waker::from(Arc::new(Asks(wal.clone(), told)));
    let mut ready = Box::pin(wal.ready());
    assert!(matches!(ready.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending));
    wal.truncate_back(1).unwrap();
    assert!(hear.recv().unwrap(), "told, and there is no room");
}

/// Closed while bytes wait for room, with somebody who reads as soon as he is told: the log is closed, and has not failed.
#[test]
fn a_log_closed_on_a_full_disk_is_closed() {
    let disk = SimDisk::new();
    disk.set_allocate_supported(false);
    let config = Config::background().maintenance(Maintenance::Manual);
    let storage = Arc::new(disk.clone());
    let wal = Wal::open_with("/log", config, storage, Arc::new(SimClock::new(1))).unwrap();
    wal.append([1; 100]).unwrap();
    wal.sync().unwrap();
    disk.set_capacity(Some(disk.used()));
    let ticket = wal.submit([2; 5000]).unwrap();
    let reading = wal.clone();
    ticket.on_complete(move |outcome| {
        assert!(outcome.is_err());
        let mut reader = reading.reader();
        while let Ok(Some(_)) = reader.read_next() {}
    });
    assert!(wal.close().unwrap_err().is_out_of_space());
    let error = wal.append([3; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

/// Retention asks each segment where it ends, without a lock; meanwhile one of them is cut, in front or at the back. That is no
/// damage, and no failure of the disk: it looks again.
#[test]
fn retention_beside_a_cut_judges_what_is_left() {
    type Cut = fn(&Wal) -> walden::Result<()>;
    let cuts: [Cut; 4] = [
        |wal| wal.truncate_front(7),
        |wal| wal.truncate_back(2),
        |wal| wal.reset(20),
        // Through the batch that a segment begins with.
        |wal| wal.truncate_back(1),
    ];
    for (at, cut) in cuts.into_iter().enumerate() {
        let hooked = Hooked { disk: SimDisk::new(), hooks: Arc::default() };
        let clock = SimClock::new(1);
        let config = Config::durable().segment_size(100).maintenance(Maintenance::Manual);
        let open = || {
            let storage: Arc<dyn Storage> = Arc::new(hooked.clone());
            Wal::open_with("/log", config.clone(), storage, Arc::new(clock.clone())).unwrap()
        };
        let wal = open();
        for batch in 0..6_u8 {
            wal.append_batch([[batch; 10], [batch; 10]]).unwrap();
            wal.tick().unwrap();
        }
        wal.close().unwrap();
        let wal = open();
        let cutting = wal.clone();
        hooked.hooks.lock().unwrap().open = Some(Box::new(move || cut(&cutting).unwrap()));
        let removed = wal.retain(&Retention::keep_all().max_segments(2));
        assert!(hooked.hooks.lock().unwrap().open.is_none(), "{at}: it asked");
        assert_eq!(removed.map(drop).map_err(|error| error.to_string()), Ok(()), "{at}");
        assert!(wal.stats().segments <= 2, "{at}: {:?}", wal.stats());
        assert!(wal.range(..).unwrap().all(|entry| entry.is_ok()));
    }
}
