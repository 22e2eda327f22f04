//! What is measured, and how it is gathered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// When to stop.
#[derive(Debug, Clone)]
pub(super) struct Until {
    pub(super) deadline: Instant,
    /// Set by Ctrl-C.
    pub(super) ended: Arc<AtomicBool>,
}

impl Until {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || self.ended.load(Ordering::Relaxed)
    }
}

/// How often something was done in a second, and how long it took, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) rate: u64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

/// All figures of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) filesystem: Option<String>,
    pub(super) payload: u64,
    pub(super) threads: u64,
    /// A small write and a sync: each into space that the file did not have before,
    pub(super) growing: Timed,
    /// that was reserved (where the filesystem can),
    pub(super) reserved: Option<Timed>,
    /// and that was written before.
    pub(super) written: Timed,
    /// Bytes a second.
    pub(super) sequential: u64,
    pub(super) always: Timed,
    pub(super) always_threads: Timed,
    pub(super) always_tickets: Timed,
    pub(super) os_cache: Timed,
    pub(super) os_cache_threads: Timed,
    /// Where files can be mapped.
    pub(super) mapped: Option<Timed>,
    pub(super) background: Timed,
}

/// Gathers times of one thread, each from the end of the one before.
#[derive(Debug)]
pub(super) struct Recorder {
    times: Histogram<u64>,
    begun: Instant,
    last: Instant,
}

/// Longer ones count as this: ten minutes.
const LONGEST: u64 = 600_000_000_000;

impl Recorder {
    /// `None` where there is no memory for it.
    pub(super) fn begin() -> Option<Self> {
        let times = Histogram::new_with_bounds(1, LONGEST, 3).ok()?;
        let now = Instant::now();
        Some(Self { times, begun: now, last: now })
    }

    pub(super) fn count(&self) -> u64 {
        self.times.len()
    }

    /// One is done. Returns when.
    pub(super) fn done(&mut self) -> Instant {
        let now = Instant::now();
        self.times.saturating_record(nanos(now - self.last));
        self.last = now;
        now
    }

    /// One is done that began at `begun`, beside others.
    pub(super) fn done_since(&mut self, begun: Instant) -> Instant {
        let now = Instant::now();
        self.times.saturating_record(nanos(now - begun));
        self.last = now;
        now
    }

    /// Takes in what another thread gathered meanwhile.
    pub(super) fn join(&mut self, other: &Self) {
        // Both have the same bounds.
        self.times.add(&other.times).ok();
        self.begun = self.begun.min(other.begun);
        self.last = self.last.max(other.last);
    }

    pub(super) fn figures(&self) -> Timed {
        let at = |quantile| self.times.value_at_quantile(quantile);
        Timed {
            rate: per_second(self.count(), self.last - self.begun),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.times.max(),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn per_second(count: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_figures() {
        let mut recorder = Recorder::begin().unwrap();
        let now = Instant::now();
        for micros in 1..=1000 {
            recorder.times.record(micros * 1000).unwrap();
        }
        recorder.begun = now;
        recorder.last = now + Duration::from_secs(2);
        let mut other = Recorder::begin().unwrap();
        other.times.record(5_000_000).unwrap();
        other.begun = now;
        other.last = now + Duration::from_secs(1);
        recorder.join(&other);
        let figures = recorder.figures();
        assert_eq!(figures.rate, 500, "1,001 in 2 s");
        let close = |found: u64, right: u64| assert!(found.abs_diff(right) <= right / 100);
        close(figures.p50, 501_000);
        close(figures.p99, 991_000);
        close(figures.max, 5_000_000);
    }
}
