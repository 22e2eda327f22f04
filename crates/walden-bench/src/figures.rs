//! What a measurement answers: named numbers, each name with its unit.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What can go wrong in a store under test is its own business: only the text is kept.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// The result of a step of a measurement.
pub(crate) type Result<T> = std::result::Result<T, Failure>;
/// Named numbers.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Records a second.
pub(crate) const RATE: &str = "per_second";
/// MiB of payload a second.
pub(crate) const MIB_RATE: &str = "mib_per_second";
/// MiB of records a second that the disk has taken in the end, headers and footers included.
pub(crate) const DISK_RATE: &str = "disk_mib_per_second";
/// Bytes of records appended, headers and footers included.
pub(crate) const BYTES: &str = "bytes_appended";
/// Milliseconds that opening took.
pub(crate) const OPEN_MS: &str = "open_ms";
/// Bytes that opening had to check.
pub(crate) const CHECKED: &str = "bytes_checked";
/// The most memory that was resident, in MiB.
pub(crate) const RESIDENT: &str = "resident_mib";
/// The longest time between two appends, in milliseconds.
pub(crate) const PAUSE: &str = "longest_pause_ms";
/// Milliseconds of processor time in a second.
pub(crate) const CPU: &str = "cpu_ms_per_second";
/// Appends that waited for a segment to be made ready.
pub(crate) const ROTATION_WAITS: &str = "rotation_waits";

/// The percentiles that are kept, with their names.
pub(crate) const PERCENTILES: [(&str, f64); 6] = [
    ("p50_us", 50.0),
    ("p90_us", 90.0),
    ("p99_us", 99.0),
    ("p99_9_us", 99.9),
    ("p99_99_us", 99.99),
    ("max_us", 100.0),
];

/// How a figure is written for readers.
pub(crate) fn unit(figure: &str) -> &'static str {
    match figure {
        RATE => "records/s",
        MIB_RATE | DISK_RATE => "MiB/s",
        OPEN_MS | PAUSE => "ms",
        RESIDENT => "MiB",
        CPU => "ms CPU/s",
        CHECKED | BYTES => "bytes",
        _ if figure.ends_with("_us") => "µs",
        _ => "",
    }
}

/// One figure alone.
pub(crate) fn one(name: &str, value: f64) -> Figures {
    Figures::from([(name.to_owned(), value)])
}

/// Latencies from nanoseconds to a minute.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 60_000_000_000, 3)?))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// Adds the percentiles in microseconds, if anything was recorded.
    pub(crate) fn add_to(&self, figures: &mut Figures) {
        if self.0.is_empty() {
            return;
        }
        for (name, percentile) in PERCENTILES {
            let nanos = self.0.value_at_percentile(percentile);
            figures.insert(name.to_owned(), nanos as f64 / 1000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut latencies = Latencies::new().unwrap();
        let mut figures = Figures::new();
        latencies.add_to(&mut figures);
        assert!(figures.is_empty());
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        latencies.add_to(&mut figures);
        let close = |name: &str, wanted: f64| (figures[name] / wanted - 1.0).abs() < 0.002;
        assert!(close("p50_us", 500.0) && close("p99_us", 990.0) && close("max_us", 1000.0));
        assert!(figures.keys().all(|name| unit(name) == "µs"));
    }
}
