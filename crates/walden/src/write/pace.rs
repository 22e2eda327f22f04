//! Spreads a wait over many appends: where they come faster than the disk takes them, all segments are open in the
//! end, and an append waits until a whole one is sealed: a third of a second for 64 MiB. With the last
//! segment that may be open, appends are let through as fast as sealing gets bytes to the disk, a few
//! milliseconds' worth at a time.

use std::time::Duration;

/// Segments smaller than this are sealed so soon that nothing is to be spread.
const LEAST_SEGMENT: u64 = 4 << 20;

/// How many pauses in a second of appends.
const STEPS: u64 = 250;

/// What was measured may be nonsense, where a machine slept in between.
const LONGEST: Duration = Duration::from_millis(20);

/// When appends pause. Behind the append lock.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second that sealing gets to the disk, as measured; 0: not known yet.
    rate: u64,
    /// Offset in the active segment from which on appends pause.
    at: u64,
    /// Until when (`Clock::elapsed`).
    until: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: 0, at: u64::MAX, until: Duration::ZERO }
    }
}

impl Pace {
    /// Sealing a segment of `bytes` took so long.
    pub(crate) fn measured(&mut self, bytes: u64, took: Duration) {
        let Some(now) = bytes.saturating_mul(1_000_000).checked_div(micros(took)) else { return };
        if bytes >= LEAST_SEGMENT / 2 {
            self.rate = if self.rate == 0 { now } else { self.rate / 4 * 3 + now / 4 };
        }
    }

    /// A segment was begun; `crowded`: it is the last that may be open.
    pub(crate) fn begin(&mut self, segment_size: u64, crowded: bool) {
        let paced = crowded && self.rate > 0 && segment_size >= LEAST_SEGMENT;
        self.at = if paced { 0 } else { u64::MAX };
    }

    /// Whether an append at `offset` is to ask for a pause.
    #[inline]
    pub(crate) fn holds(&self, offset: u64) -> bool {
        offset >= self.at
    }

    /// How long an append at `offset` pauses; `None`: it goes on. `crowded`: still no other segment can be begun.
    pub(crate) fn pause(&mut self, offset: u64, now: Duration, crowded: bool) -> Option<Duration> {
        if !crowded {
            self.at = u64::MAX;
            return None;
        }
        if let Some(left) = self.until.checked_sub(now).filter(|left| !left.is_zero()) {
            return Some(left);
        }
        let step = self.step();
        // A little less than the disk takes, so that it catches up.
        let rate = (self.rate / 8 * 7).max(1);
        let time = Duration::from_micros(step.saturating_mul(1_000_000) / rate).min(LONGEST);
        // Sleeping takes longer than asked for: the next pause is shorter by that.
        self.until = self.until.max(now.saturating_sub(time)) + time;
        self.at = offset.saturating_add(step);
        None
    }

    /// Lets an append through that cannot wait.
    pub(crate) fn excuse(&mut self, offset: u64) {
        self.at = offset.saturating_add(self.step());
    }

    fn step(&self) -> u64 {
        (self.rate / STEPS).clamp(32 << 10, 1 << 20)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 64 << 20;

    /// Appends as fast as it may, from the segment's beginning; when each pause began, and where.
    fn run(pace: &mut Pace, from: Duration, bytes: u64) -> (Duration, Duration) {
        let (mut now, mut longest, mut offset) = (from, Duration::ZERO, 0);
        while offset < bytes {
            if pace.holds(offset)
                && let Some(left) = pace.pause(offset, now, true)
            {
                // Woken late, as one is.
                now += left + Duration::from_micros(300);
                longest = longest.max(left);
                continue;
            }
            offset += 156;
        }
        (now.saturating_sub(from), longest)
    }

    #[test]
    fn a_crowded_segment_takes_as_long_as_sealing_one_does() {
        let mut pace = Pace::default();
        pace.measured(SEGMENT, Duration::from_millis(320));
        pace.begin(SEGMENT, true);
        let (took, longest) = run(&mut pace, Duration::from_secs(9), SEGMENT);
        assert!((320..420).contains(&took.as_millis()), "{took:?}");
        assert!(longest < Duration::from_millis(6), "{longest:?}");
    }

    #[test]
    fn nobody_pauses_without_need() {
        let mut pace = Pace::default();
        pace.begin(SEGMENT, true);
        assert!(!pace.holds(u64::MAX - 1), "how fast the disk is has not been measured");
        pace.measured(SEGMENT, Duration::from_millis(320));
        pace.begin(SEGMENT, false);
        assert!(!pace.holds(SEGMENT), "another segment can be begun");
        pace.begin(1 << 20, true);
        assert!(!pace.holds(SEGMENT), "small segments are sealed soon");
        pace.begin(SEGMENT, true);
        assert!(pace.holds(0));
        assert_eq!(pace.pause(0, Duration::from_secs(1), false), None);
        assert!(!pace.holds(SEGMENT), "one was sealed meanwhile");
    }

    #[test]
    fn nonsense_is_no_measure() {
        let mut pace = Pace::default();
        pace.measured(SEGMENT, Duration::ZERO);
        pace.measured(100, Duration::from_secs(3));
        assert_eq!(pace.rate, 0);
        pace.measured(u64::MAX, Duration::MAX);
        pace.begin(SEGMENT, true);
        let (_, longest) = run(&mut pace, Duration::MAX / 2, 1 << 20);
        assert!(longest <= LONGEST, "{longest:?}");
    }
}
