//! What the process takes of the machine, over time.

use serde_json::{Value, json};

use crate::Outcome;

/// What was seen in the middle third of the time, and in the last.
#[derive(Debug, Default)]
pub(super) struct Usage {
    middle: Seen,
    last: Seen,
}

/// The least and the most of each figure.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    samples: u32,
    least: Option<Sample>,
    most: Sample,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sample {
    resident_kib: u64,
    descriptors: u64,
    mappings: u64,
}

impl Sample {
    fn now() -> Outcome<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next());
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        Ok(Self {
            resident_kib: resident.ok_or("/proc/self/status has no VmRSS")?.parse()?,
            descriptors: u64::try_from(std::fs::read_dir("/proc/self/fd")?.count())?,
            mappings: u64::try_from(maps.lines().count())?,
        })
    }

    fn by(self, other: Self, choose: fn(u64, u64) -> u64) -> Self {
        Self {
            resident_kib: choose(self.resident_kib, other.resident_kib),
            descriptors: choose(self.descriptors, other.descriptors),
            mappings: choose(self.mappings, other.mappings),
        }
    }

    /// Whether any figure is higher than before by more than may be.
    fn exceeds(self, before: Self, may: Self) -> bool {
        self.resident_kib > before.resident_kib + may.resident_kib
            || self.descriptors > before.descriptors + may.descriptors
            || self.mappings > before.mappings + may.mappings
    }

    fn as_json(self) -> Value {
        json!({
            "resident_kib": self.resident_kib,
            "descriptors": self.descriptors,
            "mappings": self.mappings,
        })
    }
}

impl Seen {
    fn add(&mut self, now: Sample) {
        self.samples += 1;
        self.least = Some(self.least.map_or(now, |least| least.by(now, u64::min)));
        self.most = self.most.by(now, u64::max);
    }

    fn as_json(self) -> Value {
        let least = self.least.unwrap_or_default();
        json!({ "least": least.as_json(), "most": self.most.as_json() })
    }
}

/// Readers come and go, and each holds a few segments: the most of the last third may be higher by so much.
const MOST: Sample = Sample { resident_kib: 16 << 10, descriptors: 40, mappings: 40 };

/// So many samples of a third tell what is always held; before, it may still be warming up.
const ENOUGH: u32 = 100;

/// What is always held goes up with each thing that is not let go: so the least of a third is held to more.
const LEAST: Sample = Sample { resident_kib: 3 << 10, descriptors: 30, mappings: 12 };

impl Usage {
    /// Takes a sample; `at` is how much of the time has passed, of 1.
    pub(super) fn sample(&mut self, at: f64) -> Outcome<()> {
        let now = Sample::now()?;
        if at >= 2.0 / 3.0 {
            self.last.add(now);
        } else if at >= 1.0 / 3.0 {
            self.middle.add(now);
        }
        Ok(())
    }

    /// # Errors
    /// Where it has grown, or a third has no sample.
    pub(super) fn has_not_grown(&self) -> Outcome<()> {
        let (Some(before), Some(after)) = (self.middle.least, self.last.least) else {
            return Err("too short to tell whether it grows: give it more --minutes".into());
        };
        let enough = self.middle.samples.min(self.last.samples) >= ENOUGH;
        let grown = (enough && after.exceeds(before, LEAST))
            || self.last.most.exceeds(self.middle.most, MOST);
        if grown { Err(format!("it has grown: {self:?}").into()) } else { Ok(()) }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({ "middle_third": self.middle.as_json(), "last_third": self.last.as_json() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_noticed() {
        let sample =
            |resident_kib, descriptors, mappings| Sample { resident_kib, descriptors, mappings };
        let (low, high) = (sample(20 << 10, 30, 100), sample(40 << 10, 70, 130));
        for (least, most, fine) in [
            (low, high, true),
            (sample(22 << 10, 40, 110), sample(50 << 10, 100, 160), true),
            (sample(24 << 10, 30, 100), high, false),
            (sample(20 << 10, 65, 100), high, false),
            (sample(20 << 10, 30, 115), high, false),
            (low, sample(60 << 10, 70, 130), false),
            (low, sample(40 << 10, 120, 130), false),
            (low, sample(40 << 10, 70, 180), false),
        ] {
            let mut usage = Usage::default();
            for (third, seen) in
                [(&mut usage.middle, [low, high]), (&mut usage.last, [most, least])]
            {
                seen.into_iter().cycle().take(100).for_each(|sample| third.add(sample));
            }
            assert_eq!(usage.has_not_grown().is_ok(), fine, "{usage:?}");
        }
        assert!(Usage::default().has_not_grown().is_err(), "nothing was seen");
        let now = Sample::now().unwrap();
        assert!(now.resident_kib > 100 && now.descriptors > 2 && now.mappings > 5, "{now:?}");
    }
}
