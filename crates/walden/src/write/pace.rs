//! Spreads a wait over many appends: where they come faster than the disk takes them, all segments are open in the
//! end, and an append waits until a whole one is sealed: a third of a second for 64 MiB. In the last
//! segment that may be open, appends are let through so that what is left of it lasts until the oldest one is
//! sealed, a few milliseconds' worth at a time. When that will be, sealing the ones before tells; where it takes
//! longer, how long it has been going on: half of that again is expected. So appends go the slower the longer
//! it takes, and a disk that stops for a while, as disks do, finds room left.

use std::time::Duration;

/// Segments smaller than this are sealed so soon that nothing is to be spread.
const LEAST_SEGMENT: u64 = 4 << 20;

/// Bytes a second that sealing gets to the disk, until that was measured: those of a plain solid-state disk. Of a slower one
/// it shows soon.
const ASSUMED: u64 = 500 << 20;

/// However little room is left, some goes on.
const LEAST_RATE: u64 = 1 << 20;

/// How many pauses in a second of appends.
const STEPS: u64 = 250;

/// Into at least so many steps what is left is divided: it may be little, and time goes on meanwhile.
const LEAST_STEPS: u64 = 32;

/// Sealing that has been going on for a time is expected to go on for one part in so many of it, at least.
const GOES_ON: u32 = 2;

/// What was measured may be nonsense, where a machine slept in between.
const LONGEST: Duration = Duration::from_millis(20);

/// When appends pause. Behind the append lock.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second that sealing gets to the disk, once that was measured.
    rate: Option<u64>,
    /// Since when the oldest segment is being sealed (`Clock::elapsed`), or waits for it while appends do for that.
    sealing: Option<Duration>,
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
        Self { rate: None, sealing: None, at: u64::MAX, from: 0, end: 0, until: Duration::ZERO }
    }
}

impl Pace {
    /// Sealing a segment begins.
    pub(crate) fn sealing(&mut self, now: Duration) {
        self.sealing = Some(now);
    }

    /// Sealing a segment of `bytes` took from when it began until `now`.
    pub(crate) fn sealed(&mut self, bytes: u64, now: Duration) {
        let Some(begun) = self.sealing.take() else { return };
        let took = micros(now.saturating_sub(begun));
        let Some(now) = bytes.saturating_mul(1_000_000).checked_div(took) else { return };
        if bytes >= LEAST_SEGMENT / 2 {
            self.rate = Some(self.rate.map_or(now, |rate| rate / 4 * 3 + now / 4));
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
        let rate = self.rate_at(offset, now);
        let bytes = offset.saturating_sub(self.from);
        let time = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate).min(LONGEST);
        // For what was appended since the last one ended. Sleeping takes longer than asked for, and appending takes
        // its time: the pause is shorter by that.
        self.until = self.until.max(now.saturating_sub(time)) + time;
        self.from = offset;
        self.at = offset.saturating_add(self.step(offset, rate));
        self.until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Lets an append through that cannot wait.
    pub(crate) fn excuse(&mut self, offset: u64, now: Duration) {
        let rate = self.rate_at(offset, now);
        self.at = offset.saturating_add(self.step(offset, rate));
        self.from = self.at;
    }

    /// How far an append is behind which the next one pauses: never nowhere, or none would get there.
    fn step(&self, offset: u64, rate: u64) -> u64 {
        (rate / STEPS).min(self.end.saturating_sub(offset) / LEAST_STEPS).max(1)
    }

    /// Bytes a second at which what is left at `offset` lasts until the oldest segment is sealed.
    fn rate_at(&mut self, offset: u64, now: Duration) -> u64 {
        let left = u128::from(self.end.saturating_sub(offset));
        let gone = now.saturating_sub(*self.sealing.get_or_insert(now));
        let whole = self.end.saturating_mul(1_000_000) / self.rate.unwrap_or(ASSUMED).max(1);
        let time = Duration::from_micros(whole).saturating_sub(gone).max(gone / GOES_ON);
        let rate = left * 1_000_000 / u128::from(micros(time).max(1));
        u64::try_from(rate).unwrap_or(u64::MAX).max(LEAST_RATE)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 64 << 20;
    const BEGUN: Duration = Duration::from_secs(9);

    /// Knows that sealing a segment takes so long, and has one being sealed from [`BEGUN`] on.
    fn pace(took: Option<u64>) -> Pace {
        let mut pace = Pace::default();
        if let Some(took) = took {
            pace.sealing(Duration::from_secs(1));
            pace.sealed(SEGMENT, Duration::from_secs(1) + Duration::from_millis(took));
        }
        pace.sealing(BEGUN);
        pace.begin(SEGMENT, true);
        pace
    }

    /// Appends from when sealing has gone on for `after` ms until it has for `until`, at 2 GB/s but for the pauses.
    /// Bytes appended, and the longest pause.
    fn run(pace: &mut Pace, after: u64, until: u64) -> (u64, Duration) {
        let (mut longest, mut offset) = (Duration::ZERO, 0);
        let mut now = BEGUN + Duration::from_millis(after);
        while now < BEGUN + Duration::from_millis(until) && offset < SEGMENT {
            if pace.holds(offset)
                && let Some(left) = pace.pause(offset, now, true)
            {
                // Woken late, as one is.
                now += left + Duration::from_micros(300);
                longest = longest.max(left);
                continue;
            }
            assert!(
                !pace.holds(offset),
                "who was let go is asked again, and must not be held for ever"
            );
            offset += 2000;
            now += Duration::from_micros(1);
        }
        (offset, longest)
    }

    fn percent(bytes: u64) -> u64 {
        bytes * 100 / SEGMENT
    }

    #[test]
    fn a_crowded_segment_lasts_as_long_as_sealing_one_does() {
        let (bytes, longest) = run(&mut pace(Some(320)), 0, 320);
        assert!((75..95).contains(&percent(bytes)), "{bytes}");
        assert!(longest < Duration::from_millis(12), "{longest:?}");
        // Evenly, until it should be done soon.
        let (bytes, longest) = run(&mut pace(Some(320)), 0, 160);
        assert!((45..55).contains(&percent(bytes)), "{bytes}");
        assert!(longest < Duration::from_millis(6), "{longest:?}");
        // Half of it is sealed already: what is left goes twice as fast.
        let (bytes, _) = run(&mut pace(Some(320)), 160, 240);
        assert!((45..55).contains(&percent(bytes)), "{bytes}");
    }

    #[test]
    fn a_disk_that_stops_finds_room_left() {
        for took in [Some(100), None] {
            let (bytes, longest) = run(&mut pace(took), 80, 1000);
            assert!(SEGMENT - bytes > 128 << 10, "ten times as long as sealing: {took:?}, {bytes}");
            assert!(longest <= LONGEST, "{longest:?}");
        }
    }

    #[test]
    fn of_a_disk_that_nothing_is_known_of_it_is_not_thought_that_it_is_slow() {
        let (bytes, longest) = run(&mut pace(None), 0, 64);
        assert!((45..55).contains(&percent(bytes)), "half of what such a disk takes: {bytes}");
        let (bytes, longer) = run(&mut pace(None), 100, 150);
        assert!((45..60).contains(&percent(bytes)), "{bytes}");
        assert!(longest.max(longer) < Duration::from_millis(6), "{longest:?} {longer:?}");
    }

    #[test]
    fn what_was_sealed_long_ago_slows_nobody_down() {
        // Three segments came so fast that the thread that seals did not get to the first of them.
        let mut pace = pace(Some(320));
        pace.sealed(SEGMENT, BEGUN + Duration::from_millis(320));
        pace.begin(SEGMENT, true);
        let (bytes, longest) = run(&mut pace, 3_600_000, 3_600_160);
        assert!((45..55).contains(&percent(bytes)), "{bytes}");
        assert!(longest < Duration::from_millis(6), "{longest:?}");
    }

    #[test]
    fn some_goes_on_however_long_it_takes_and_in_steps_however_short() {
        let (bytes, _) = run(&mut pace(None), 3_600_000, 3_600_500);
        assert!(bytes > 300 << 10, "a MiB a second: {bytes}");
        let mut pace = pace(Some(1));
        pace.pause(SEGMENT / 2, BEGUN, true);
        assert!(pace.holds(SEGMENT / 2 + SEGMENT / 64), "not all that is left at once");
    }

    #[test]
    fn measures_are_averaged() {
        let mut pace = pace(Some(320));
        pace.sealed(SEGMENT, BEGUN + Duration::from_millis(3200));
        let rate = pace.rate.unwrap() >> 20;
        assert!((150..160).contains(&rate), "three quarters of 200 and one of 20: {rate}");
    }

    #[test]
    fn the_last_bytes_of_a_segment_hold_nobody_for_ever() {
        for left in 0..64 {
            let (mut paused, mut excused) = (pace(None), pace(None));
            let (offset, mut now) = (SEGMENT - left, BEGUN + Duration::from_secs(1));
            while let Some(pause) = paused.pause(offset, now, true) {
                now += pause;
            }
            assert!(!paused.holds(offset), "{left} bytes left");
            excused.excuse(offset, now);
            assert!(!excused.holds(offset), "{left} bytes left");
        }
    }

    #[test]
    fn nobody_pauses_without_need() {
        let mut pace = pace(Some(320));
        pace.begin(SEGMENT, false);
        assert!(!pace.holds(SEGMENT), "another segment can be begun");
        pace.begin(1 << 20, true);
        assert!(!pace.holds(SEGMENT), "small segments are sealed soon");
        pace.begin(SEGMENT, true);
        assert!(pace.holds(0));
        assert_eq!(pace.pause(0, BEGUN, false), None);
        assert!(!pace.holds(SEGMENT), "one was sealed meanwhile");
    }

    #[test]
    fn nonsense_is_no_measure() {
        let mut pace = Pace::default();
        pace.sealed(SEGMENT, BEGUN);
        for (bytes, now) in [(SEGMENT, 9), (SEGMENT, 8), (100, 12)] {
            pace.sealing(BEGUN);
            pace.sealed(bytes, Duration::from_secs(now));
        }
        assert_eq!(pace.rate, None);
        pace.sealing(Duration::ZERO);
        pace.sealed(u64::MAX, Duration::MAX);
        pace.sealing(BEGUN);
        pace.begin(SEGMENT, true);
        let (_, longest) = run(&mut pace, 0, 3000);
        assert!(longest <= LONGEST, "{longest:?}");
    }
}
