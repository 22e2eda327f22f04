//! What can be seen of the log from outside, for Prometheus.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use walden::offline::{CursorReport, Severity};

use crate::watch::{Check, Sample, Seen, Watch};

/// What `/metrics` gives, as OpenMetrics text.
pub(super) fn text(watch: &Watch) -> Result<String, fmt::Error> {
    let seen = watch.seen();
    let last = watch.samples().last().copied();
    let mut registry = Registry::with_prefix("walden_log");
    registry.register_collector(Box::new(Facts {
        seen: (*seen).clone(),
        last,
        check: watch.check(),
    }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Facts {
    seen: Seen,
    last: Option<Sample>,
    check: Check,
}

impl Collector for Facts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.positions(&mut encoder)?;
        self.files(&mut encoder)?;
        self.cursors(&mut encoder)?;
        self.checked(&mut encoder)
    }
}

impl Facts {
    fn positions(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let seen = &self.seen;
        let readable = u64::from(seen.problem.is_none());
        gauge(to, "readable", "Whether the log can be read now", None, readable)?;
        gauge(to, "first_seq", "Seq id of the first entry", None, seen.first_seq)?;
        gauge(to, "next_seq", "Seq id after the last entry seen", None, seen.next_seq)?;
        let help = "Last seq id known to be durable; the writer notes it down now and then";
        gauge(to, "durable_seq", help, None, seen.durable_seq)?;
        let waits = self.last.map_or(0.0, |last| last.waits.as_secs_f64());
        let help = "For how long the oldest entry not known to be durable has been seen";
        gauge(to, "durable_delay", help, Some(&Unit::Seconds), waits)?;
        let took = seen.took.as_secs_f64();
        gauge(to, "look", "How long looking at the log took", Some(&Unit::Seconds), took)?;
        let appended = self.last.map_or(0, |last| last.appended_bytes);
        let counter = ConstCounter::new(appended);
        let help = "Bytes of records that came since the log is served";
        let kind = counter.metric_type();
        counter.encode(to.encode_descriptor("appended", help, Some(&Unit::Bytes), kind)?)
    }

    fn files(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let segments = self.seen.segments.as_deref().unwrap_or_default();
        let sealed = segments.iter().filter(|segment| segment.sealed).count();
        gauge(to, "segments", "Live segments", None, segments.len())?;
        gauge(to, "sealed_segments", "Complete segments", None, sealed)?;
        let bytes = Some(&Unit::Bytes);
        gauge(to, "records", "Bytes of records in all segments", bytes, self.seen.bytes())?;
        let Some(outline) = self.seen.outline.as_deref() else { return Ok(()) };
        if let Ok(Some(free)) = outline.free_space {
            gauge(to, "free_space", "Bytes that can still be written to the disk", bytes, free)?;
        }
        if let Ok(kept) = &outline.quarantine {
            let sum: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
            gauge(to, "quarantine", "Bytes that recovery cut off and kept", bytes, sum)?;
        }
        if let Some(lives) = outline.lock.lives {
            let help = "Whether the process that opened the log last lives";
            gauge(to, "writer_alive", help, None, u64::from(lives))?;
        }
        Ok(())
    }

    fn cursors(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let outline = self.seen.outline.as_deref();
        let Some(Ok(cursors)) = outline.map(|outline| &outline.cursors) else { return Ok(()) };
        let readable: Vec<&CursorReport> = cursors.iter().filter(|c| c.what.is_none()).collect();
        let unreadable = cursors.len() - readable.len();
        gauge(to, "unreadable_cursors", "Cursors that are damaged", None, unreadable)?;
        let (first, next) = (self.seen.first_seq, self.seen.next_seq);
        let lag = |cursor: &CursorReport| next.saturating_sub(cursor.position.max(first));
        let help = "Seq id that comes next for a cursor";
        family(to, "cursor_position", help, &readable, |cursor| cursor.position)?;
        family(to, "cursor_lag_entries", "Entries that a cursor has not passed", &readable, lag)
    }

    fn checked(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(last) = &self.check.last else { return Ok(()) };
        let at = super::facts::millis(last.at).unwrap_or(0) / 1000;
        let help = "When the whole log was checked last, in seconds since 1970";
        gauge(to, "checked_timestamp", help, Some(&Unit::Seconds), at)?;
        let Ok(found) = &last.found else { return Ok(()) };
        let count = |severity| found.findings.iter().filter(|f| f.severity == severity).count();
        let help = "Places where durable bytes are not what was written, by the last check";
        gauge(to, "damages", help, None, count(Severity::Damage))?;
        let help = "Places behind the last sound record that are none, by the last check";
        gauge(to, "torn", help, None, count(Severity::Torn))
    }
}

fn gauge<N: EncodeGaugeValue>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: N,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let kind = gauge.metric_type();
    gauge.encode(to.encode_descriptor(name, help, unit, kind)?)
}

fn family(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    cursors: &[&CursorReport],
    value: impl Fn(&CursorReport) -> u64,
) -> fmt::Result {
    let kind = ConstGauge::<u64>::new(0).metric_type();
    let mut family = to.encode_descriptor(name, help, None, kind)?;
    for cursor in cursors {
        let labels = [("cursor", cursor.name.as_str())];
        ConstGauge::new(value(cursor)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
