//! Spreads a wait over many appends: where they come faster than the disk takes them, all segments are open in the
//! end, and an append waits until a whole one is sealed: a third of a second for 64 MiB. In the last
//! segment that may be open, appends are let through as fast as sealing gets bytes to the disk, a few
//! milliseconds' worth at a time; and more and more slowly towards its end, so that a disk that stops for a
//! while, as disks do, finds room left.

use std::time::Duration;

/// Segments smaller than this are sealed so soon that nothing is to be spread.
const LEAST_SEGMENT: u64 = 4 << 20;

/// Until a segment was sealed.
const ASSUMED: u64 = 200 << 20;

/// However little room is left, some goes on.
const LEAST_RATE: u64 = 1 << 20;

/// How many pauses in a second of appends.
const STEPS: u64 = 250;

/// What was measured may be nonsense, where a machine slept in between.
const LONGEST: Duration = Duration::from_millis(20);

/// When appends pause. Behind the append lock.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second that sealing gets to the disk, as measured, or as assumed until then.
    rate: u64,
    measured: bool,
    /// Offset in the active segment from which on appends pause.
    at: u64,
    /// Where the last pause began.
    from: u64,
    /// Where the active segment ends.
    end: u64,
    /// Until when (`Clock::elapsed`).
    until: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rate: ASSUMED,
            measured: false,
            at: u64::MAX,
            from: 0,
            end: 0,
            until: Duration::ZERO,
        }
    }
}

impl Pace {
    /// Sealing a segment of `bytes` took so long.
    pub(crate) fn measured(&mut self, bytes: u64, took: Duration) {
        let Some(now) = bytes.saturating_mul(1_000_000).checked_div(micros(took)) else { return };
        if bytes >= LEAST_SEGMENT / 2 {
            self.rate = if self.measured { self.rate / 4 * 3 + now / 4 } else { now };
            self.measured = true;
        }
    }

    /// A segment was begun; `crowded`: it is the last that may be open.
    pub(crate) fn begin(&mut self, segment_size: u64, crowded: bool) {
        let paced = crowded && segment_size >= LEAST_SEGMENT;
        self.at = if paced { 0 } else { u64::MAX };
        (self.from, self.end) = (0, segment_size);
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
        let rate = self.rate_at(offset);
        let bytes = offset.saturating_sub(self.from);
        let time = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate).min(LONGEST);
        // For what was appended since the last one ended. Sleeping takes longer than asked for, and appending takes
        // its time: the pause is shorter by that.
        self.until = self.until.max(now.saturating_sub(time)) + time;
        self.from = offset;
        self.at = offset.saturating_add(rate / STEPS);
        self.until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Lets an append through that cannot wait.
    pub(crate) fn excuse(&mut self, offset: u64) {
        self.at = offset.saturating_add(self.rate_at(offset) / STEPS);
        self.from = self.at;
    }

    /// Bytes a second at `offset`: what the disk takes in the first half of the segment, and then the less the less
    /// room is left. What is left would last for ever.
    fn rate_at(&self, offset: u64) -> u64 {
        let half = (self.end / 2).max(1);
        let left = self.end.saturating_sub(offset).min(half);
        let share = u128::from(self.rate) * u128::from(left) / u128::from(half);
        u64::try_from(share).unwrap_or(u64::MAX).max(LEAST_RATE)
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
        assert!(took.as_millis() > 320, "{took:?}");
        assert!(longest <= LONGEST, "{longest:?}");
        // The first half as fast as the disk.
        pace.begin(SEGMENT, true);
        let (took, longest) = run(&mut pace, Duration::from_secs(19), SEGMENT / 2);
        assert!((150..200).contains(&took.as_millis()), "{took:?}");
        assert!(longest < Duration::from_millis(6), "{longest:?}");
    }

    #[test]
    fn a_disk_that_stops_finds_room_left() {
        let mut pace = Pace::default();
        pace.measured(SEGMENT, Duration::from_millis(100));
        pace.begin(SEGMENT, true);
        let (took, longest) = run(&mut pace, Duration::from_secs(9), SEGMENT - (64 << 10));
        assert!(took > Duration::from_millis(350), "three times as long as sealing: {took:?}");
        assert!(longest <= LONGEST, "{longest:?}");
    }

    #[test]
    fn nobody_pauses_without_need() {
        let mut pace = Pace::default();
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
        assert_eq!(pace.rate, ASSUMED);
        pace.measured(u64::MAX, Duration::MAX);
        pace.begin(SEGMENT, true);
        let (_, longest) = run(&mut pace, Duration::MAX / 2, 1 << 20);
        assert!(longest <= LONGEST, "{longest:?}");
    }
}
