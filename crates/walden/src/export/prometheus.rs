//! As a collector of `prometheus-client`: all values of one moment, at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;

use super::{ALL, Described, Unit, Value, shown};
use crate::metrics::{Histogram, Metrics, Observers};

/// Feature `prometheus`. The label `log` has the name that a log was added under, `cursor` that of a cursor.
///
/// ```
/// # use walden::{Config, Observers, Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let wal = Wal::open(dir.path(), Config::durable())?;
/// let observers = Observers::new();
/// observers.add("orders", &wal);
/// let mut registry = prometheus_client::registry::Registry::default();
/// registry.register_collector(Box::new(observers.clone()));
///
/// wal.append("hello")?;
/// let mut text = String::new();
/// prometheus_client::encoding::text::encode(&mut text, &registry)?;
/// assert!(text.contains("walden_entries_total{log=\"orders\"} 1\n"));
/// # Ok(())
/// # }
/// ```
impl Collector for Observers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let logs = self.metrics();
        for metric in ALL {
            if logs.iter().any(|(_, metrics)| has_samples(metric, metrics)) {
                show(metric, &logs, &mut encoder)?;
            }
        }
        Ok(())
    }
}

fn has_samples(metric: &Described, metrics: &Metrics) -> bool {
    match metric.value {
        Value::Level(read) => read(metrics).is_some(),
        Value::Cursor(_) => !metrics.cursors.is_empty(),
        _ => true,
    }
}

fn show(
    metric: &Described,
    logs: &[(String, Metrics)],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let name = metric.name.replace('.', "_");
    let unit = match metric.unit {
        Unit::Bytes => Some(registry::Unit::Bytes),
        Unit::Seconds => Some(registry::Unit::Seconds),
        Unit::Of(_) | Unit::Plain => None,
    };
    let kind = match metric.value {
        Value::Counter(_) => MetricType::Counter,
        Value::Level(_) | Value::Gauge(_) | Value::Time(_) | Value::Cursor(_) => MetricType::Gauge,
        Value::Times(_) | Value::Counts(_) => MetricType::Histogram,
    };
    let mut family = encoder.encode_descriptor(&name, metric.help, unit.as_ref(), kind)?;
    for (log, metrics) in logs {
        let label = ("log", log.as_str());
        if let Value::Cursor(read) = metric.value {
            for cursor in &metrics.cursors {
                let labels = [label, ("cursor", cursor.name.as_str())];
                family.encode_family(&labels)?.encode_gauge(&read(cursor))?;
            }
            continue;
        }
        sample(metric.value, metrics, family.encode_family(&[label])?)?;
    }
    Ok(())
}

/// The value of one log.
fn sample(value: Value, metrics: &Metrics, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    match value {
        Value::Counter(read) => {
            encoder.encode_counter::<NoLabelSet, u64, f64>(&read(metrics), None)
        }
        Value::Level(read) => read(metrics).map_or(Ok(()), |value| encoder.encode_gauge(&value)),
        Value::Gauge(read) => encoder.encode_gauge(&read(metrics)),
        Value::Time(read) => encoder.encode_gauge(&read(metrics)),
        Value::Times(read) => distribution(read(metrics), true, &mut encoder),
        Value::Counts(read) => distribution(read(metrics), false, &mut encoder),
        Value::Cursor(_) => Ok(()),
    }
}

fn distribution(
    histogram: &Histogram,
    of_times: bool,
    encoder: &mut MetricEncoder<'_>,
) -> fmt::Result {
    let (buckets, sum) = shown(histogram, of_times);
    encoder.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
}
