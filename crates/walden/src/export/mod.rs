//! The metrics as exporters show them: one table for all of them, and how each shows it.
//!
//! A name is OpenTelemetry's, with dots and without a unit. Prometheus gets it with underscores, the unit, and `_total`
//! for what only rises: `walden.appended`, in bytes, is `walden_appended_bytes_total`.
//!
//! `docs/metrics.md` describes each; a test holds it against the table.

#[cfg(feature = "opentelemetry")]
mod opentelemetry;
#[cfg(feature = "prometheus")]
mod prometheus;

use crate::cursors::CursorInfo;
use crate::metrics::{Histogram, Metrics};

/// What is counted or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Seconds,
    /// Things of this name.
    Of(&'static str),
    /// Neither: a seq id, or a yes or no.
    Plain,
}

/// Of which kind it is, and where its value is found.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// Only rises while the log is open.
    Counter(fn(&Metrics) -> u64),
    /// Rises and falls; those of several logs may be added up.
    Level(fn(&Metrics) -> Option<u64>),
    /// Of this log alone.
    Gauge(fn(&Metrics) -> u64),
    /// As `Gauge`, in seconds.
    Time(fn(&Metrics) -> f64),
    /// Of each cursor.
    Cursor(fn(&CursorInfo) -> u64),
    /// Nanoseconds, shown as seconds.
    Times(fn(&Metrics) -> &Histogram),
    Counts(fn(&Metrics) -> &Histogram),
}

#[derive(Debug)]
struct Described {
    name: &'static str,
    unit: Unit,
    help: &'static str,
    value: Value,
}

const fn metric(name: &'static str, unit: Unit, value: Value, help: &'static str) -> Described {
    Described { name, unit, help, value }
}

const NANOS: f64 = 1e9;

/// A histogram's upper bounds as they are shown, the last one infinite, each with its count; and the sum.
#[expect(clippy::cast_precision_loss, reason = "both exporters show it so")]
fn shown(histogram: &Histogram, of_times: bool) -> (Vec<(f64, u64)>, f64) {
    let scale = if of_times { NANOS } else { 1.0 };
    let bounds = histogram.bounds.iter().map(|bound| *bound as f64 / scale);
    let buckets = bounds.chain([f64::INFINITY]).zip(histogram.counts.iter().copied());
    (buckets.collect(), histogram.sum as f64 / scale)
}

const ALL: &[Described] = &[
    // What is appended.
    metric(
        "walden.appends",
        Unit::Of("append"),
        Value::Counter(|m| m.stats.appends),
        "Appends, single or batch",
    ),
    metric(
        "walden.entries",
        Unit::Of("entry"),
        Value::Counter(|m| m.stats.entries),
        "Entries appended",
    ),
    metric(
        "walden.batches",
        Unit::Of("batch"),
        Value::Counter(|m| m.stats.batches),
        "Batches appended",
    ),
    metric(
        "walden.appended",
        Unit::Bytes,
        Value::Counter(|m| m.stats.bytes_appended),
        "Bytes of records appended, headers and footers included",
    ),
    metric(
        "walden.append.duration",
        Unit::Seconds,
        Value::Times(|m| &m.append_times),
        "How long appends took: each under Always, else one in 256",
    ),
    metric(
        "walden.compression.records",
        Unit::Of("record"),
        Value::Counter(|m| m.stats.compressed),
        "Records stored compressed",
    ),
    metric(
        "walden.compression.stored",
        Unit::Bytes,
        Value::Counter(|m| m.stats.bytes_compressed),
        "Bytes that records stored compressed take",
    ),
    metric(
        "walden.compression.saved",
        Unit::Bytes,
        Value::Counter(|m| m.stats.bytes_saved),
        "Bytes that records stored compressed would have taken more",
    ),
    // How it comes to the disk.
    metric(
        "walden.writes",
        Unit::Of("write"),
        Value::Counter(|m| m.stats.writes),
        "Writes of records to a file",
    ),
    metric(
        "walden.syncs",
        Unit::Of("sync"),
        Value::Counter(|m| m.stats.syncs),
        "Syncs of a segment that made records durable",
    ),
    metric(
        "walden.sync.duration",
        Unit::Seconds,
        Value::Times(|m| &m.sync_times),
        "How long each sync took",
    ),
    metric(
        "walden.sync.entries",
        Unit::Of("entry"),
        Value::Counts(|m| &m.sync_entries),
        "Entries that each sync made durable",
    ),
    metric(
        "walden.seq.first",
        Unit::Plain,
        Value::Gauge(|m| m.first_seq),
        "The first seq id that there is",
    ),
    metric(
        "walden.seq.appended",
        Unit::Plain,
        Value::Gauge(|m| m.stats.appended.saturating_sub(1)),
        "The last seq id appended",
    ),
    metric(
        "walden.seq.written",
        Unit::Plain,
        Value::Gauge(|m| m.stats.written.saturating_sub(1)),
        "The last seq id that the kernel has",
    ),
    metric(
        "walden.seq.durable",
        Unit::Plain,
        Value::Gauge(|m| m.stats.durable.saturating_sub(1)),
        "The last durable seq id",
    ),
    metric(
        "walden.lag.written.entries",
        Unit::Of("entry"),
        Value::Level(|m| Some(m.stats.appended.saturating_sub(m.stats.written))),
        "Entries appended that the kernel does not have",
    ),
    metric(
        "walden.lag.durable.entries",
        Unit::Of("entry"),
        Value::Level(|m| Some(m.stats.appended.saturating_sub(m.stats.durable))),
        "Entries appended that are not durable",
    ),
    metric(
        "walden.in_flight",
        Unit::Bytes,
        Value::Level(|m| Some(m.stats.bytes_in_flight)),
        "Bytes appended that are not durable",
    ),
    metric(
        "walden.waiters",
        Unit::Of("waiter"),
        Value::Level(|m| Some(m.stats.waiters)),
        "Threads, tasks and callbacks that wait for a record to be written or durable",
    ),
    // Segments.
    metric(
        "walden.segments",
        Unit::Of("segment"),
        Value::Level(|m| Some(m.stats.segments)),
        "Live segments",
    ),
    metric(
        "walden.open_segments",
        Unit::Of("segment"),
        Value::Level(|m| Some(m.stats.open_segments)),
        "Live segments that are not sealed",
    ),
    metric(
        "walden.size",
        Unit::Bytes,
        Value::Level(|m| m.bytes),
        "Bytes of the live segments, without space allocated ahead",
    ),
    metric(
        "walden.rotations",
        Unit::Of("rotation"),
        Value::Counter(|m| m.stats.rotations),
        "Segments begun",
    ),
    metric(
        "walden.rotation.waits",
        Unit::Of("append"),
        Value::Counter(|m| m.stats.rotation_waits),
        "Appends that waited because the next segment was not ready",
    ),
    metric(
        "walden.pauses",
        Unit::Of("pause"),
        Value::Counter(|m| m.stats.pauses),
        "Pauses of appends that came faster than the disk takes them",
    ),
    metric(
        "walden.seals",
        Unit::Of("segment"),
        Value::Counter(|m| m.stats.seals),
        "Segments sealed",
    ),
    metric(
        "walden.seal.duration",
        Unit::Seconds,
        Value::Times(|m| &m.seal_times),
        "How long sealing each segment took",
    ),
    metric(
        "walden.front_cuts",
        Unit::Of("cut"),
        Value::Counter(|m| m.stats.front_cuts),
        "Cuts at the front, by truncation or retention",
    ),
    metric(
        "walden.back_cuts",
        Unit::Of("cut"),
        Value::Counter(|m| m.stats.back_cuts),
        "Cuts at the back, by truncation or reset",
    ),
    metric(
        "walden.retention.segments",
        Unit::Of("segment"),
        Value::Counter(|m| m.stats.segments_expired),
        "Segments removed by retention",
    ),
    metric(
        "walden.retention.removed",
        Unit::Bytes,
        Value::Counter(|m| m.stats.bytes_expired),
        "Bytes of segments removed by retention",
    ),
    metric(
        "walden.retention.cursors",
        Unit::Of("cursor"),
        Value::Counter(|m| m.stats.cursors_expired),
        "Cursors that retention went past",
    ),
    // Who reads.
    metric(
        "walden.cursors",
        Unit::Of("cursor"),
        Value::Level(|m| Some(m.stats.cursors)),
        "Cursors",
    ),
    metric(
        "walden.unreadable_cursors",
        Unit::Of("cursor"),
        Value::Level(|m| Some(m.stats.cursors_unreadable)),
        "Cursors that cannot be read and hold retention back",
    ),
    metric(
        "walden.cursor.position",
        Unit::Plain,
        Value::Cursor(|cursor| cursor.position),
        "The seq id that comes next for a cursor, as it is on disk",
    ),
    metric(
        "walden.cursor.lag",
        Unit::Of("entry"),
        Value::Cursor(|cursor| cursor.lag),
        "Entries from a cursor to the end of the log",
    ),
    metric(
        "walden.cursor.behind",
        Unit::Bytes,
        Value::Cursor(|cursor| cursor.lag_bytes),
        "Bytes of the segments from the one with a cursor on",
    ),
    metric(
        "walden.cursor.problem",
        Unit::Plain,
        Value::Cursor(|cursor| u64::from(cursor.problem.is_some())),
        "1 where a cursor's position is no more: expired, removed, truncated or unreadable",
    ),
    // What went wrong.
    metric(
        "walden.poisoned",
        Unit::Plain,
        Value::Gauge(|m| u64::from(m.stats.poisoned)),
        "1 where a sync or write failed and the log takes no more changes",
    ),
    metric(
        "walden.corruptions",
        Unit::Of("error"),
        Value::Counter(|m| m.stats.corruptions),
        "How often damage was met, by readers or upkeep",
    ),
    metric(
        "walden.disk_full.refusals",
        Unit::Of("append"),
        Value::Counter(|m| m.stats.disk_full),
        "Appends refused because the disk was full",
    ),
    metric(
        "walden.upkeep.failures",
        Unit::Of("failure"),
        Value::Counter(|m| m.stats.upkeep_failures),
        "Failures of what the log does by itself, and tries again",
    ),
    metric(
        "walden.mapped",
        Unit::Plain,
        Value::Gauge(|m| u64::from(m.stats.mapped)),
        "1 where records are copied into a mapping of the active segment",
    ),
    metric(
        "walden.recovery.duration",
        Unit::Seconds,
        Value::Time(|m| m.recovery.took.as_secs_f64()),
        "How long opening took",
    ),
    metric(
        "walden.recovery.checked",
        Unit::Bytes,
        Value::Gauge(|m| m.recovery.bytes_checked),
        "Bytes of records that opening read and checked",
    ),
    metric(
        "walden.recovery.cut",
        Unit::Bytes,
        Value::Gauge(|m| m.recovery.cut.as_ref().map_or(0, |cut| cut.bytes)),
        "Bytes of a torn tail that opening found",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// No name stands twice, nor as the beginning of another: OpenTelemetry's rule for names with dots.
    #[test]
    fn names_are_sound() {
        for (at, metric) in ALL.iter().enumerate() {
            let name = metric.name;
            let sound = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            assert!(name.starts_with("walden.") && name.chars().all(sound), "{name}");
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}");
            for other in ALL.iter().skip(at + 1) {
                assert_ne!(other.name, name);
                let within =
                    |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('.'));
                assert!(
                    !within(other.name, name) && !within(name, other.name),
                    "{name} {}",
                    other.name
                );
            }
        }
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let histogram =
            Histogram { bounds: &[200, 5_000_000_000], counts: vec![1, 2, 3], sum: 1_500_000_000 };
        let (buckets, sum) = shown(&histogram, true);
        assert_eq!(buckets, [(2e-7, 1), (5.0, 2), (f64::INFINITY, 3)]);
        assert!((sum - 1.5).abs() < 1e-12);
        assert_eq!(shown(&histogram, false).0.first(), Some(&(200.0, 1)));
    }
}
