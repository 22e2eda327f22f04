//! What a log tells of itself: exactly, on a simulated disk and clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walden::{Config, Histogram, Maintenance, Observers, Retention, Start, SyncStrategy, Wal};
use walden_sim::{Action, EIO, Fault, OpKind, SimClock, SimDisk};

const SEGMENT: &str = "/log/segment-0000.wal";

/// A record of this takes 80 bytes.
const PAYLOAD: [u8; 52] = [7; 52];

#[derive(Clone)]
struct Lab {
    disk: SimDisk,
    clock: SimClock,
}

impl Lab {
    fn new() -> Self {
        let clock = SimClock::new(3);
        Self { disk: SimDisk::with_clock(clock.clone()), clock }
    }

    fn open(&self, config: Config) -> Wal {
        let config = config.maintenance(Maintenance::Manual);
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        Wal::open_with(Path::new("/log"), config, disk, clock).unwrap()
    }
}

fn append(wal: &Wal, count: u64) {
    for _ in 0..count {
        wal.append(PAYLOAD).unwrap();
    }
}

/// The bounds under which something was counted, with how often.
fn counted(histogram: &Histogram) -> Vec<(Option<u64>, u64)> {
    let bounds = histogram.bounds.iter().map(|bound| Some(*bound)).chain([None]);
    bounds.zip(histogram.counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn times_and_entries_of_syncs_and_appends() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable());
    let slow = Fault::new(Action::Slow(Duration::from_millis(7))).on([OpKind::SyncData]);
    lab.disk.add_fault(slow.suffix(".wal"));
    append(&wal, 3);
    wal.append_batch([PAYLOAD; 5]).unwrap();
    assert_eq!(wal.append_batch([PAYLOAD; 0]).unwrap(), 9..9);

    let metrics = wal.metrics();
    let ms = 1_000_000;
    assert_eq!(counted(&metrics.sync_times), [(Some(10 * ms), 4)]);
    assert_eq!(metrics.sync_times.sum, 28 * ms);
    assert_eq!(counted(&metrics.append_times), [(Some(10 * ms), 4)], "each, where it waits");
    assert_eq!(metrics.append_times.sum, 28 * ms);
    assert_eq!(counted(&metrics.sync_entries), [(Some(1), 3), (Some(8), 1)]);
    assert_eq!(metrics.sync_entries.sum, 8);
    assert_eq!((metrics.stats.syncs, metrics.stats.entries_synced), (4, 8));
    assert_eq!((metrics.stats.appends, metrics.stats.entries, metrics.stats.batches), (4, 8, 1));
    assert_eq!(metrics.seal_times.count(), 0);

    // A ticket's wait is not an append's.
    wal.submit(PAYLOAD).unwrap().wait().unwrap();
    assert_eq!(wal.metrics().append_times.count(), 4);
    assert_eq!(wal.metrics().sync_times.count(), 5);
}

#[test]
fn an_append_that_fails_has_no_time() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable());
    append(&wal, 1);
    lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::SyncData]).suffix(".wal"));
    wal.append(PAYLOAD).unwrap_err();
    wal.append(PAYLOAD).unwrap_err();
    let metrics = wal.metrics();
    assert_eq!(metrics.append_times.count(), 1);
    assert_eq!(metrics.sync_times.count(), 1);
    assert!(metrics.stats.poisoned);
}

#[test]
fn one_append_in_256_is_timed_where_none_waits_for_the_disk() {
    for strategy in [SyncStrategy::Background, SyncStrategy::OsCache] {
        let lab = Lab::new();
        let config = Config::durable().sync_strategy(strategy).segment_size(8 << 20);
        let wal = lab.open(config);
        wal.append(PAYLOAD).unwrap();
        assert_eq!(wal.metrics().append_times.count(), 1, "the first one is");
        append(&wal, 64_000);
        let timed = wal.metrics().append_times.count();
        assert!((220..280).contains(&timed), "{strategy:?}: {timed}");
    }
}

#[test]
fn sealing_is_timed() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().segment_size(240));
    lab.disk.add_fault(
        Fault::new(Action::Slow(Duration::from_millis(3))).on([OpKind::SyncAll]).suffix(".wal"),
    );
    for _ in 0..9 {
        append(&wal, 1);
        wal.tick().unwrap();
    }
    let metrics = wal.metrics();
    assert_eq!(metrics.stats.seals, 2);
    assert_eq!(counted(&metrics.seal_times), [(Some(5_000_000), 2)]);
    assert_eq!(metrics.bytes, Some(720));
}

#[test]
fn two_logs_do_not_mix() {
    let (left, right) = (Lab::new(), Lab::new());
    let (one, other) = (left.open(Config::durable()), right.open(Config::durable()));
    let before = other.metrics();
    append(&one, 5);
    drop(one.cursor("reader", Start::First).unwrap());
    let after = other.metrics();
    assert_eq!(after.stats, before.stats);
    assert_eq!(after.append_times.count() + after.sync_times.count(), 0);
    assert_eq!((after.bytes, after.cursors.len()), (Some(0), 0));
    append(&other, 1);
    let (one, other) = (one.metrics(), other.metrics());
    assert_eq!((one.stats.appends, other.stats.appends), (5, 1));
    assert_eq!((one.sync_entries.sum, other.sync_entries.sum), (5, 1));
    assert_eq!((one.bytes, other.bytes), (Some(400), Some(80)));
    assert_eq!((one.cursors.len(), other.cursors.len()), (1, 0));
}

#[test]
fn damage_is_counted_each_time_it_is_met() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable());
    append(&wal, 9);
    lab.disk.flip_bit(SEGMENT, 8 * 80 + 8 * 30).unwrap();
    assert_eq!(wal.get(1).unwrap().unwrap().seq, 1);
    assert_eq!(wal.stats().corruptions, 0);
    assert!(wal.get(2).unwrap_err().is_corruption());
    assert_eq!(wal.stats().corruptions, 1);
    let mut reader = wal.reader();
    reader.read_next().unwrap().unwrap();
    assert!(reader.read_next().unwrap_err().is_corruption());
    assert!(wal.range(..).unwrap().any(|entry| entry.is_err()));
    assert_eq!(wal.stats().corruptions, 3);
    // That there is no such entry is no damage.
    wal.reader_at(99).unwrap_err();
    assert_eq!(wal.stats().corruptions, 3);
}

#[test]
fn retention_counts_segments_and_bytes() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().segment_size(240));
    for _ in 0..9 {
        append(&wal, 1);
        wal.tick().unwrap();
    }
    wal.retain(&Retention::keep_all().max_segments(1)).unwrap();
    let metrics = wal.metrics();
    assert_eq!((metrics.stats.segments_expired, metrics.stats.bytes_expired), (2, 480));
    assert_eq!((metrics.first_seq, metrics.bytes, metrics.stats.segments), (7, Some(240), 1));
    // A cut is not retention.
    wal.truncate_front(8).unwrap();
    assert_eq!(wal.stats().segments_expired, 2);
    assert_eq!(wal.stats().front_cuts, 2);
}

#[test]
fn recovery_tells_how_much_it_cut() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().segment_size(4096));
    append(&wal, 3);
    let disk = lab.disk.kill();
    let mut bytes = disk.read_file(SEGMENT).unwrap();
    assert_eq!(bytes.len(), 4096);
    bytes.get_mut(240..300).unwrap().fill(9);
    disk.write_file(SEGMENT, &bytes).unwrap();
    let lab = Lab { disk, ..lab };
    let found = lab.open(Config::durable());
    let recovery = found.metrics().recovery;
    assert_eq!(recovery.cut.map(|cut| (cut.offset, cut.bytes)), Some((240, 4096 - 240)));
    assert_eq!(found.metrics().bytes, Some(240), "of a segment that was sealed by that");
}

#[test]
fn lags_of_cursors() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().segment_size(240));
    for _ in 0..9 {
        append(&wal, 1);
        wal.tick().unwrap();
    }
    let cursor = wal.cursor("mailer", Start::First).unwrap();
    cursor.commit(4).unwrap();
    wal.sync().unwrap();
    let metrics = wal.metrics();
    let [info] = &metrics.cursors[..] else { unreachable!("one cursor") };
    assert_eq!((&*info.name, info.position, info.lag, info.lag_bytes), ("mailer", 5, 5, 480));
}

#[test]
fn an_observer_keeps_no_log_open() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable());
    append(&wal, 1);
    let observer = wal.observer();
    assert_eq!(observer.metrics().unwrap().stats.appends, 1);
    wal.close().unwrap();
    assert!(observer.metrics().is_none(), "closed, though there is a handle");
    drop(wal);
    let wal = lab.open(Config::durable());
    assert!(observer.metrics().is_none(), "another opening is another log");
    let observer = wal.observer();
    drop(wal);
    assert!(observer.metrics().is_none());
    lab.open(Config::durable());
}

#[test]
fn logs_are_observed_by_name() {
    let (left, right) = (Lab::new(), Lab::new());
    let (one, other) = (left.open(Config::durable()), right.open(Config::durable()));
    append(&one, 1);
    append(&other, 2);
    let observers = Observers::new();
    let names = || {
        let found = observers.metrics();
        found.iter().map(|(name, m)| (name.clone(), m.stats.appends)).collect::<Vec<_>>()
    };
    observers.add("b", &one);
    observers.clone().add("a", other.observer());
    assert_eq!(names(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    observers.add("b", &other);
    assert_eq!(names(), [("a".to_owned(), 2), ("b".to_owned(), 2)], "the name is given anew");
    assert!(observers.remove("a") && !observers.remove("a"));
    other.close().unwrap();
    assert!(names().is_empty(), "a closed log leaves");
    assert!(!observers.remove("b"));
}

#[cfg(feature = "lz4")]
#[test]
fn compression_is_counted_before_and_after() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().compression(walden::Compression::Lz4));
    let payload = [7; 5000];
    wal.append(payload).unwrap();
    let stats = wal.metrics().stats;
    assert_eq!(stats.compressed, 1);
    assert_eq!(stats.bytes_compressed, stats.bytes_appended);
    assert_eq!(stats.bytes_compressed + stats.bytes_saved, 5000 + 28);
    // What is not compressed changes neither.
    wal.append("short").unwrap();
    let after = wal.metrics().stats;
    assert_eq!((after.compressed, after.bytes_compressed), (1, stats.bytes_compressed));
}
