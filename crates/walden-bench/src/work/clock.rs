//! Keeping time, and the page cache out of it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figures::{self, Figures, Result};

/// Moments at a fixed rate. A latency counts from the moment at which the work was due, not from when it began:
/// what waits behind a slow call is slow, too.
pub(crate) struct Schedule {
    begun: Instant,
    interval: Duration,
    due: u32,
}

impl Schedule {
    pub(crate) fn new(rate: u32) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Self { begun: Instant::now(), interval, due: 0 }
    }

    /// Waits for the next moment, unless it is over already; tells it.
    pub(crate) fn next(&mut self) -> Instant {
        self.due = self.due.saturating_add(1);
        let moment = self.begun + self.interval * self.due;
        let ahead = moment.saturating_duration_since(Instant::now());
        // A sleep is late by some 60 µs: what is left is spun.
        if ahead > Duration::from_millis(1) {
            std::thread::sleep(ahead.saturating_sub(Duration::from_micros(500)));
        }
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        moment
    }
}

/// The same work again and again, only itself timed.
pub(crate) struct Repeat {
    limit: Duration,
    spent: Duration,
    begun: Instant,
    count: u64,
    last: u64,
}

impl Repeat {
    pub(crate) fn new(seconds: f64) -> Self {
        let limit = Duration::from_secs_f64(seconds);
        Self { limit, spent: Duration::ZERO, begun: Instant::now(), count: 0, last: 0 }
    }

    /// Whether there is time for another turn; there always is for the first. What is not timed may take as long as
    /// the timed part may, three times over.
    pub(crate) fn again(&self) -> bool {
        let over = self.spent >= self.limit || self.begun.elapsed() >= 4 * self.limit;
        self.count == 0 || !over
    }

    /// Does `work`, which answers how many records it met.
    pub(crate) fn time(&mut self, work: impl FnOnce() -> Result<u64>) -> Result<()> {
        let begun = Instant::now();
        self.last = work()?;
        self.spent += begun.elapsed();
        self.count += self.last;
        if self.last == 0 { Err("nothing was read".into()) } else { Ok(()) }
    }

    /// What the last turn met.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn figures(&self, payload: usize) -> Figures {
        rates(self.count, payload, self.spent)
    }
}

/// Records and bytes of payload a second.
pub(crate) fn rates(count: u64, payload: usize, spent: Duration) -> Figures {
    let rate = count as f64 / spent.as_secs_f64();
    let mib = rate * payload as f64 / f64::from(1 << 20);
    Figures::from([(figures::RATE.to_owned(), rate), (figures::MIB_RATE.to_owned(), mib)])
}

/// Takes the pages of a file, or of all files in a folder, out of the page cache. They must be clean.
pub(crate) fn evict(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            evict(&entry?.path())?;
        }
        return Ok(());
    }
    let file = File::open(path)?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_wait_for_those_who_are_late() {
        let mut schedule = Schedule::new(1000);
        let first = schedule.next();
        std::thread::sleep(Duration::from_millis(20));
        let (second, third) = (schedule.next(), schedule.next());
        assert_eq!(second - first, Duration::from_millis(1));
        assert_eq!(third - second, Duration::from_millis(1));
        assert!(third.elapsed() >= Duration::from_millis(17), "it waited");
    }

    #[test]
    fn one_turn_is_always_taken_and_an_empty_one_is_an_error() {
        let mut repeat = Repeat::new(0.0);
        assert!(repeat.again());
        repeat.time(|| Ok(5)).unwrap();
        assert!(!repeat.again());
        assert!(repeat.figures(1)[figures::RATE] > 0.0);
        assert!(repeat.time(|| Ok(0)).is_err());
    }
}
