//! The last minutes of a log, as they looked from outside.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Seen;

/// How many looks are remembered: a quarter of an hour, at one a second.
const KEPT: usize = 900;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The seq id after the last entry.
    pub next_seq: u64,
    /// The last seq id known to be durable.
    pub durable_seq: u64,
    /// Bytes of records in all segments.
    pub bytes: u64,
    /// Bytes of records that came since the first look.
    pub appended_bytes: u64,
    /// For how long the oldest entry that is not known to be durable has been seen.
    pub waits: Duration,
    /// How long the look took.
    pub took: Duration,
}

#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// Looks at which there were entries that were not durable, and are not yet: when, and the next seq id then.
    waiting: VecDeque<(Instant, u64)>,
    /// Bytes by segment, at the last look.
    lengths: Option<BTreeMap<u64, u64>>,
    appended: u64,
}

impl History {
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }

    pub(super) fn add(&mut self, seen: &Seen, now: Instant) {
        if seen.problem.is_some() {
            return;
        }
        self.count(seen);
        let at = seen.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let sample = Sample {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            next_seq: seen.next_seq,
            durable_seq: seen.durable_seq,
            bytes: seen.bytes(),
            appended_bytes: self.appended,
            waits: self.waits(seen, now),
            took: seen.took,
        };
        if self.samples.len() >= KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// What segments grew by. What a cut took away is not taken off: this counts what came.
    fn count(&mut self, seen: &Seen) {
        let Ok(segments) = &seen.segments else { return };
        let lengths: BTreeMap<u64, u64> = segments.iter().map(|s| (s.ordinal, s.bytes)).collect();
        if let Some(before) = &self.lengths {
            let last = before.last_key_value().map_or(0, |(ordinal, _)| *ordinal);
            let grown = |(ordinal, bytes): (&u64, &u64)| match before.get(ordinal) {
                Some(before) => bytes.saturating_sub(*before),
                // Below the last one it was there, and could not be seen.
                None if *ordinal > last => *bytes,
                None => 0,
            };
            self.appended = self.appended.saturating_add(lengths.iter().map(grown).sum());
        }
        self.lengths = Some(lengths);
    }

    fn waits(&mut self, seen: &Seen, now: Instant) -> Duration {
        // After a cut the seq ids begin again.
        self.waiting.retain(|(_, next)| *next <= seen.next_seq);
        let durable = seen.durable_seq.saturating_add(1);
        while self.waiting.front().is_some_and(|(_, next)| *next <= durable) {
            self.waiting.pop_front();
        }
        if seen.in_doubt() > 0 && self.waiting.back().is_none_or(|(_, next)| *next < seen.next_seq)
        {
            if self.waiting.len() >= KEPT {
                // The oldest tells how long it has been; one in the middle is missed least.
                self.waiting.remove(1);
            }
            self.waiting.push_back((now, seen.next_seq));
        }
        let oldest = self.waiting.front().filter(|_| seen.in_doubt() > 0);
        oldest.map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since))
    }
}
