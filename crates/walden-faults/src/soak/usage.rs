//! What the process takes of the machine, over time.

use serde_json::{Value, json};

use crate::Outcome;

/// The most that was seen in the middle third of the time, and in the last.
#[derive(Debug, Default)]
pub(super) struct Usage {
    middle: Sample,
    last: Sample,
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

    fn max(self, other: Self) -> Self {
        Self {
            resident_kib: self.resident_kib.max(other.resident_kib),
            descriptors: self.descriptors.max(other.descriptors),
            mappings: self.mappings.max(other.mappings),
        }
    }

    fn as_json(self) -> Value {
        json!({
            "resident_kib": self.resident_kib,
            "descriptors": self.descriptors,
            "mappings": self.mappings,
        })
    }
}

impl Usage {
    /// Takes a sample; `at` is how much of the time has passed, of 1.
    pub(super) fn sample(&mut self, at: f64) -> Outcome<()> {
        let now = Sample::now()?;
        if at >= 2.0 / 3.0 {
            self.last = self.last.max(now);
        } else if at >= 1.0 / 3.0 {
            self.middle = self.middle.max(now);
        }
        Ok(())
    }

    /// Readers come and go, and each holds a few segments: that much may differ.
    pub(super) fn has_not_grown(&self) -> Outcome<()> {
        let (before, after) = (self.middle, self.last);
        let grown = after.resident_kib > before.resident_kib + before.resident_kib / 4 + (16 << 10)
            || after.descriptors > before.descriptors + 40
            || after.mappings > before.mappings + 40;
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
        let middle = sample(20 << 10, 30, 100);
        for (last, fine) in [
            (middle, true),
            (sample(30 << 10, 50, 120), true),
            (sample(60 << 10, 30, 100), false),
            (sample(20 << 10, 100, 100), false),
            (sample(20 << 10, 30, 200), false),
        ] {
            assert_eq!(Usage { middle, last }.has_not_grown().is_ok(), fine, "{last:?}");
        }
        let now = Sample::now().unwrap();
        assert!(now.resident_kib > 100 && now.descriptors > 2 && now.mappings > 5, "{now:?}");
    }
}
