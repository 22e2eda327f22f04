//! What is done before it is needed, shared, or left undone: seen by what the storage is asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walden::storage::{MmapStorage, SystemClock};
use walden::{Config, Engine, Maintenance, Retention, SyncStrategy, Wal};
use walden_sim::{SimClock, SimDisk};

use super::counted::CountingStorage;
use super::storage::of;
use super::{PAYLOAD, RECORD, skipped};

/// A log on a simulated disk, whose upkeep is done when a test says so.
fn simulated(config: Config) -> (Wal, CountingStorage) {
    let clock = SimClock::new(1);
    let storage = CountingStorage::new(Arc::new(SimDisk::with_clock(clock.clone())));
    let config = config.maintenance(Maintenance::Manual);
    let wal = Wal::open_with(Path::new("/log"), config, Arc::new(storage.clone()), Arc::new(clock));
    let wal = wal.unwrap();
    wal.tick().unwrap();
    (wal, storage)
}

fn fill(wal: &Wal, entries: u64) {
    for _ in 0..entries {
        wal.append([7; PAYLOAD]).unwrap();
        wal.tick().unwrap();
    }
}

/// What goes is sealed, and durable: a sync of what came since would keep appends waiting for it.
#[test]
fn retention_syncs_nothing_that_was_appended_since() {
    let (wal, storage) = simulated(Config::os_cache().segment_size(100 * RECORD));
    fill(&wal, 450);
    let behind = wal.next_seq() - 1 - wal.durable_seq();
    assert!(behind >= 40, "{behind} entries are not durable");
    storage.take();
    assert_eq!(wal.retain(&Retention::keep_all().max_segments(2)).unwrap(), 3);
    let counts = storage.take();
    assert_eq!(of(&counts, ".wal", "sync").0, 0, "{counts:?}");
    assert_eq!(wal.next_seq() - 1 - wal.durable_seq(), behind);
    // Where it has to be durable first, it is made so.
    wal.truncate_front(wal.next_seq() - 1).unwrap();
    assert_eq!(of(&storage.take(), ".wal", "sync").0, 1);
}

/// From an entry of the sparse index on: half a block of 32 on average.
#[test]
fn a_lookup_reads_as_far_as_its_entry() {
    let (wal, storage) = simulated(Config::os_cache().segment_size(1000 * RECORD));
    fill(&wal, 3000);
    for seq in 1..=2000 {
        wal.get(seq).unwrap().unwrap();
    }
    storage.take();
    for seq in 1..=2000 {
        wal.get(seq).unwrap().unwrap();
    }
    let (_, bytes) = of(&storage.take(), ".wal", "read");
    let most = 2000 * (32 * RECORD / 2 + RECORD);
    assert!(bytes <= most, "{bytes} bytes were read, {most} should do");
}

/// What is kept open serves who looks up here and there: the files of as many segments as there are, up to a limit; and where
/// all records are of a size, no index's file once that is known.
#[test]
fn lookups_here_and_there_open_little_and_keep_little_open() {
    const MOST: usize = 128;
    // Beside what reading keeps open: the active segment's, and the one's that was made ready.
    const WRITERS: usize = 2;
    for (segments, even) in [(100, true), (300, true), (100, false)] {
        let (wal, storage) = simulated(Config::os_cache().segment_size(102 * RECORD));
        while wal.segments().unwrap().len() <= segments {
            for i in 0..50 {
                let longer = if even { 0 } else { i % 3 };
                wal.append(vec![7; PAYLOAD + longer]).unwrap();
            }
            wal.tick().unwrap();
        }
        let firsts: Vec<u64> = wal.segments().unwrap().iter().filter_map(|s| s.first_seq).collect();
        let look =
            || firsts.iter().for_each(|first| assert!(wal.get(first + 3).unwrap().is_some()));
        look();
        storage.take();
        look();
        let counts = storage.take();
        let opened = [".wal", ".idx"].map(|kind| of(&counts, kind, "open").0);
        assert_eq!(opened[1] == 0, even, "{counts:?}");
        assert_eq!(opened[0] == 0, even && segments <= MOST, "{counts:?}");
        // Who asks for times reads indexes as a whole.
        assert!(!wal.append_times(1..wal.next_seq()).is_empty());
        let open = storage.open(".wal") + storage.open(".idx");
        assert!(open <= MOST + WRITERS, "{segments} segments, even: {even}: {open} files are open");
    }
}

/// After a kill, all but the end of a segment is space that was never written to. The segment made ready is all of that.
#[test]
fn opening_does_not_read_what_was_never_written() {
    let clock = SimClock::new(1);
    let disk = SimDisk::with_clock(clock.clone());
    let open = |storage: &CountingStorage| {
        let config = Config::os_cache().maintenance(Maintenance::Manual);
        let clock = Arc::new(clock.clone());
        Wal::open_with(Path::new("/log"), config, Arc::new(storage.clone()), clock).unwrap()
    };
    let wal = open(&CountingStorage::new(Arc::new(disk.clone())));
    fill(&wal, 1000);
    let storage = CountingStorage::new(Arc::new(disk.kill()));
    assert_eq!(open(&storage).next_seq(), 1001);
    let (_, read) = of(&storage.take(), ".wal", "read");
    assert!(read < 2 << 20, "{read} bytes of segments of 64 MiB were read");
}

/// Of real files, too, where what the kernel has read ahead counts as written to: it must not lead on and on.
#[cfg(target_os = "linux")]
#[test]
fn opening_after_a_kill_does_not_read_reserved_space() {
    use walden::storage::{OsStorage, Storage};

    let dir = tempfile::tempdir().unwrap();
    let file = OsStorage::new().create(&dir.path().join("a")).unwrap();
    if file.allocate(0, 1 << 20).is_err() || file.next_data(0).unwrap().is_some() {
        return skipped("this filesystem does not tell reserved space from what was written");
    }
    let engines: [(&str, Arc<dyn Storage>); 2] =
        [("OsCache", Arc::new(OsStorage::new())), ("OsCache+mmap", Arc::new(MmapStorage::new()))];
    for (way, inner) in engines {
        let log = dir.path().join(way);
        super::child::killed(&log, way);
        let storage = CountingStorage::new(inner);
        let config = super::Way::named(way).config();
        let clock = Arc::new(SystemClock::default());
        let wal = Wal::open_with(&log, config, Arc::new(storage.clone()), clock).unwrap();
        let (_, read) = of(&storage.take(), ".wal", "read");
        // Pages that were made present ahead count as written to.
        assert!(wal.next_seq() == 1001 && read < 16 << 20, "{way}: {read} bytes were read");
    }
}

/// Forwards, the kernel sees it by itself.
#[test]
fn who_reads_backwards_asks_for_what_comes() {
    let (wal, storage) = simulated(Config::os_cache().segment_size(1 << 20));
    fill(&wal, 20_000);
    let total = 20_000 * RECORD;
    storage.take();
    let mut reader = wal.reader_at(20_001).unwrap();
    reader.read_prev().unwrap().unwrap();
    assert_eq!(of(&storage.take(), ".wal", "hint"), (0, 0), "for a single entry");
    while reader.read_prev().unwrap().is_some() {}
    let counts = storage.take();
    let (_, asked) = of(&counts, ".wal", "hint");
    // All but what is read before it shows which way it goes, in each of the segments: of two blocks of 32.
    assert!(asked <= total && asked >= total - 4 * 64 * RECORD, "{asked} of {total}: {counts:?}");
    while reader.read_next().unwrap().is_some() {}
    assert_eq!(of(&storage.take(), ".wal", "hint"), (0, 0), "forwards");
}

/// By the log's upkeep, so that an append finds its pages present; not in `Always`, whose syncs would write them.
#[test]
fn space_is_made_present_ahead_of_appends() {
    for (strategy, ahead) in [
        (SyncStrategy::OsCache, true),
        (SyncStrategy::Background, true),
        (SyncStrategy::Always, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let storage = CountingStorage::new(Arc::new(MmapStorage::new()));
        let config = Config::os_cache().sync_strategy(strategy).engine(Engine::Mmap);
        let config = config.maintenance(Maintenance::Manual).segment_size(8 << 20);
        let clock = Arc::new(SystemClock::default());
        let wal = Wal::open_with(dir.path(), config, Arc::new(storage.clone()), clock).unwrap();
        if !wal.stats().mapped {
            skipped("space cannot be reserved and mapped here");
            return;
        }
        wal.tick().unwrap();
        storage.take();
        // Asked for once at the beginning, and then before each MiB.
        for _ in 0..60 {
            wal.append([7; 100 << 10]).unwrap();
            wal.tick().unwrap();
        }
        let (calls, _) = of(&storage.take(), ".wal", "warm");
        assert_eq!(calls >= 5, ahead, "{strategy:?}: {calls}");
        assert!(ahead || calls == 0, "{strategy:?}: {calls}");
    }
}

/// Two that append in turn would each wait for the other's sync, and then for their own.
///
/// About as many syncs as each appends (401 to 404 of 400 here); without waiting for the other 534 to 600. The wait is
/// bounded by time, so where other programs keep one of the two from running, there are more: the best of some rounds
/// counts, and without that wait none comes near.
#[test]
fn two_threads_share_their_syncs() {
    let slow = Duration::from_micros(100);
    let storage = CountingStorage::slow(Arc::new(SimDisk::new()), slow);
    let clock = Arc::new(SystemClock::default());
    let config = Config::durable();
    let wal = Wal::open_with(Path::new("/log"), config, Arc::new(storage.clone()), clock).unwrap();
    let each = 100;
    let round = || {
        storage.take();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..each {
                        wal.append([7; PAYLOAD]).unwrap();
                    }
                });
            }
        });
        of(&storage.take(), ".wal", "sync").0
    };
    let mut counts = Vec::new();
    while counts.last().is_none_or(|syncs| *syncs > each * 9 / 8) {
        assert!(counts.len() < 100, "syncs for {} appends, round by round: {counts:?}", 2 * each);
        counts.push(round());
    }
}

/// As after one of two logs was stored otherwise (`compress`), or restored to the middle of a batch.
#[test]
fn a_batch_that_comes_again_as_single_records_is_read_once() {
    const COUNT: u64 = 2000;
    let (source, _) = simulated(Config::durable());
    source.append_batch((0..COUNT).map(|n| [n.to_le_bytes()[0]; PAYLOAD])).unwrap();
    let batch = source.frames(1, 1).unwrap().unwrap();
    let single = batch.starting_at(2, 1 << 20).unwrap().unwrap();
    let (copy, storage) = simulated(Config::durable());
    copy.append_frames(&batch).unwrap();
    storage.take();
    let end = COUNT + 1;
    assert_eq!(copy.append_frames(&single).unwrap(), end..end);
    let (_, read) = of(&storage.take(), ".wal", "read");
    assert!(read < 3 * batch.len(), "{read} bytes are read, and there are {}", batch.len());
}
