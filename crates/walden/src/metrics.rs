//! Distributions, and all that a log tells of itself at one moment.
//!
//! Counting is an add to an atomic of the log's own; nothing is worked out before somebody reads. There is no
//! registry: two logs of a process never mix.

use std::time::Duration;

use crate::cursors::CursorInfo;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::recover::Recovery;
use crate::stats::{Counters, Stats};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, Weak};

/// Nanoseconds: 1, 2 and 5 of each power of ten, from 100 ns to 10 s.
const TIMES: [u64; 25] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Powers of two.
const COUNTS: [u64; 17] =
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];

/// Between two appends whose time is taken lie as many on average, where taking it costs as much as they do.
const SAMPLED: u64 = 256;

/// How often something had which size, since the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// Upper bounds, rising; what is as large as a bound is under it.
    pub bounds: &'static [u64],
    /// How often: one for each bound, of what is above the bound before it, and one for what is above all.
    pub counts: Vec<u64>,
    /// All sizes together.
    pub sum: u64,
}

impl Histogram {
    /// How often altogether.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bound under which the share `q` (0 to 1) of all lies: 0.99 for the 99th percentile. `None` where nothing
    /// was counted, or it lies above all bounds.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        #[expect(clippy::cast_precision_loss, reason = "a share of them is asked for")]
        let wanted = (self.count() as f64 * q).max(1.0);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "a share of them is asked for")]
            let seen = seen as f64;
            seen >= wanted
        });
        reached.and_then(|at| self.bounds.get(at)).copied()
    }
}

/// A histogram that is being counted.
#[derive(Debug)]
pub(crate) struct Tally {
    bounds: &'static [u64],
    /// Decide of nothing, as the counters: `metrics::times_and_entries_of_syncs_and_appends`, as `sum`.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Tally {
    fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, size: u64) {
        let at = self.bounds.partition_point(|bound| *bound < size);
        if let Some(count) = self.counts.get(at) {
            Counters::add(count, 1);
        }
        Counters::add(&self.sum, size);
    }

    pub(crate) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn read(&self) -> Histogram {
        Histogram {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// Apart from what each append changes: every append reads it before it has a lock. Decides which append is timed:
/// `metrics::one_append_in_256_is_timed_where_none_waits_for_the_disk`, as the number below.
#[derive(Debug)]
#[repr(align(128))]
struct Due(AtomicBool);

/// Picks the appends whose time is taken: at intervals that keep no step with whatever happens every so often, such
/// as the writing of a buffer. Decides of nothing else.
#[derive(Debug)]
pub(crate) struct Sampler {
    due: Due,
    /// The number of the append after which the next is due. Changed under the append lock.
    at: AtomicU64,
}

impl Sampler {
    fn new(each: bool) -> Self {
        let at = if each { u64::MAX } else { SAMPLED };
        Self { due: Due(AtomicBool::new(true)), at: AtomicU64::new(at) }
    }

    /// Whether the time of an append that begins now is to be taken.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due.0.load(Ordering::Relaxed)
    }

    /// It is taken.
    fn begin(&self) {
        if self.at.load(Ordering::Relaxed) != u64::MAX {
            self.due.0.store(false, Ordering::Relaxed);
        }
    }

    /// Append number `count` was made. Under the append lock.
    #[inline]
    pub(crate) fn came_to(&self, count: u64) {
        if count >= self.at.load(Ordering::Relaxed) {
            self.next(count);
        }
    }

    #[cold]
    fn next(&self, count: u64) {
        // Any spread does: the upper bits of a product that mixes all of them.
        let spread = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.at.store(count + 1 + spread % (2 * SAMPLED - 1), Ordering::Relaxed);
        self.due.0.store(true, Ordering::Relaxed);
    }
}

/// What a log measures besides what it counts.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) sampler: Sampler,
    pub(crate) append_times: Tally,
    pub(crate) sync_times: Tally,
    pub(crate) seal_times: Tally,
    pub(crate) sync_entries: Tally,
}

impl Meters {
    /// `each`: the time of every append is taken, not just of some.
    pub(crate) fn new(each: bool) -> Self {
        Self {
            sampler: Sampler::new(each),
            append_times: Tally::new(&TIMES),
            sync_times: Tally::new(&TIMES),
            seal_times: Tally::new(&TIMES),
            sync_entries: Tally::new(&COUNTS),
        }
    }
}

/// All that a log tells of itself; see [`Wal::metrics`](crate::Wal::metrics).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Metrics {
    /// What was counted since the log was opened, and how it stands.
    pub stats: Stats,
    /// The first seq id that there is.
    pub first_seq: u64,
    /// Bytes of the live segments, without space that is allocated ahead. `None` where a file's length cannot be told.
    pub bytes: Option<u64>,
    /// Nanoseconds that successful appends took (`append`, `append_parts`, `append_batch`), all waiting included: of
    /// each under `Always`, else of one in 256.
    pub append_times: Histogram,
    /// Nanoseconds that syncs of a segment took.
    pub sync_times: Histogram,
    /// Nanoseconds that sealing a segment took.
    pub seal_times: Histogram,
    /// Entries that each sync made durable.
    pub sync_entries: Histogram,
    /// The cursors, by name; none where a segment's file cannot be read.
    pub cursors: Vec<CursorInfo>,
    /// What opening found and did.
    pub recovery: Recovery,
}

impl Log {
    /// What was counted and measured; of cursors only if that is wanted.
    pub(crate) fn metrics(&self, cursors: bool) -> Metrics {
        let snapshot = crate::snapshot::View::snapshot(self);
        let ends = snapshot.segments.iter().map(|segment| segment.end().ok());
        let meters = &self.meters;
        Metrics {
            stats: self.stats(),
            first_seq: self.first_seq(),
            bytes: ends.sum(),
            append_times: meters.append_times.read(),
            sync_times: meters.sync_times.read(),
            seal_times: meters.seal_times.read(),
            sync_entries: meters.sync_entries.read(),
            cursors: if cursors { self.list_cursors().unwrap_or_default() } else { Vec::new() },
            recovery: self.report(),
        }
    }

    /// Takes note of damage that somebody is told of.
    pub(crate) fn count_damage(&self, error: &Error) {
        if error.is_corruption() {
            Counters::add(&self.counters.corruptions, 1);
            crate::trace::damaged(self.names.dir(), error);
        }
    }

    /// Takes the time of an append, if it succeeds.
    #[cold]
    pub(crate) fn timed<T>(&self, append: impl FnOnce() -> Result<T>) -> Result<T> {
        self.meters.sampler.begin();
        let begun = self.clock.elapsed();
        let appended = append()?;
        self.meters.append_times.add_time(self.clock.elapsed().saturating_sub(begun));
        Ok(appended)
    }
}

/// Reads a log's metrics and does not keep it open; see [`Wal::observer`](crate::Wal::observer).
#[derive(Debug, Clone)]
pub struct Observer(Weak<Log>);

impl Observer {
    pub(crate) fn new(log: &Arc<Log>) -> Self {
        Self(Arc::downgrade(log))
    }

    /// What [`Wal::metrics`](crate::Wal::metrics) gives; `None` once the log is closed.
    #[must_use]
    pub fn metrics(&self) -> Option<Metrics> {
        self.read(true)
    }

    pub(crate) fn read(&self, cursors: bool) -> Option<Metrics> {
        let log = self.0.upgrade().filter(|log| !log.latch.is_shut())?;
        Some(log.metrics(cursors))
    }
}

/// Logs whose metrics are shown together, each under a name: what exporters are given.
///
/// Clones share the list. A log that is closed leaves it by itself.
///
/// With the feature `prometheus` this is a `Collector` of `prometheus-client`, with the feature `opentelemetry`
/// `register_with` makes instruments of a `Meter` for it.
#[derive(Debug, Clone, Default)]
pub struct Observers(Arc<Mutex<Vec<(String, Observer)>>>);

impl Observers {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a log into the list (`&wal`, or what [`Wal::observer`](crate::Wal::observer) gives). One that has the
    /// name already goes.
    pub fn add(&self, name: impl Into<String>, log: impl Into<Observer>) {
        let (name, log) = (name.into(), log.into());
        let mut list = self.0.lock();
        list.retain(|(other, _)| *other != name);
        list.push((name, log));
    }

    /// Takes a log out of the list. False: there is none of this name.
    pub fn remove(&self, name: &str) -> bool {
        let mut list = self.0.lock();
        let before = list.len();
        list.retain(|(other, _)| other != name);
        list.len() < before
    }

    /// The metrics of each log, by name.
    #[must_use]
    pub fn metrics(&self) -> Vec<(String, Metrics)> {
        self.read(true)
    }

    pub(crate) fn read(&self, cursors: bool) -> Vec<(String, Metrics)> {
        // Reading may open files: not under the lock.
        let list = self.0.lock().clone();
        let mut found = Vec::with_capacity(list.len());
        let mut gone = Vec::new();
        for (name, observer) in list {
            match observer.read(cursors) {
                Some(metrics) => found.push((name, metrics)),
                None => gone.push(observer),
            }
        }
        if !gone.is_empty() {
            let is_gone = |one: &Observer| gone.iter().any(|other| Weak::ptr_eq(&one.0, &other.0));
            self.0.lock().retain(|(_, observer)| !is_gone(observer));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num;

    #[test]
    fn sizes_fall_under_their_bounds() {
        let tally = Tally::new(&COUNTS);
        for size in [0, 1, 2, 3, 65_536, 65_537, 1 << 40] {
            tally.add(size);
        }
        let histogram = tally.read();
        assert_eq!(histogram.counts.len(), COUNTS.len() + 1);
        assert_eq!(histogram.counts.get(..3), Some(&[2, 1, 1][..]));
        assert_eq!(histogram.counts.get(16..), Some(&[1, 2][..]));
        assert_eq!(histogram.count(), 7);
        assert_eq!(histogram.sum, 1 + 2 + 3 + 65_536 + 65_537 + (1 << 40));
    }

    #[test]
    fn bounds_rise() {
        assert!(TIMES.is_sorted_by(|a, b| a < b) && COUNTS.is_sorted_by(|a, b| a < b));
        assert_eq!((TIMES.first(), TIMES.last()), (Some(&100), Some(&10_000_000_000)));
    }

    #[test]
    fn quantiles() {
        let tally = Tally::new(&TIMES);
        assert_eq!(tally.read().quantile(0.5), None);
        for _ in 0..99 {
            tally.add(150);
        }
        tally.add(u64::MAX / 2);
        let histogram = tally.read();
        assert_eq!(histogram.quantile(0.0), Some(200));
        assert_eq!(histogram.quantile(0.99), Some(200));
        assert_eq!(histogram.quantile(1.0), None, "above all bounds");
    }

    /// One in 256 on average, and no step kept with buffers that are written every 64th append.
    #[test]
    fn samples_are_spread() {
        let sampler = Sampler::new(false);
        let mut taken = [0_u64; 64];
        for count in 1..=2_560_000_u64 {
            if sampler.is_due() {
                sampler.begin();
                taken[num::index(count % 64)] += 1;
            }
            sampler.came_to(count);
        }
        let all: u64 = taken.iter().sum();
        assert!((9_000..11_000).contains(&all), "{all}");
        assert!(taken.iter().all(|n| (70..300).contains(n)), "{taken:?}");
        let each = Sampler::new(true);
        assert!((1..1000).all(|count| {
            each.came_to(count);
            let due = each.is_due();
            each.begin();
            due
        }));
    }
}
