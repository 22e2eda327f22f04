//! As observable instruments of an OpenTelemetry meter: read when the SDK collects, and never before.
//!
//! The API has no observable histogram, and no way to hand over counts that are made already; to record each size anew
//! would cost an append what counting saves it. So a histogram is shown as Prometheus shows one: by three counters,
//! `.bucket` (with the attribute `le`: how often it was that or less), `.count` and `.sum`.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrumentBuilder, Meter};

use super::{ALL, Described, Unit, Value, shown};
use crate::metrics::{Histogram, Metrics, Observers};

impl Observers {
    /// Feature `opentelemetry`: makes observable instruments of `meter` for the logs in this list, and those that come
    /// into it later. Once for a meter: a second time each log would be observed twice.
    ///
    /// The attribute `walden.log` has the name that a log was added under, `walden.cursor` that of a cursor.
    ///
    /// ```
    /// # use walden::{Config, Observers, Wal};
    /// # fn main() -> walden::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let wal = Wal::open(dir.path(), Config::durable())?;
    /// let observers = Observers::new();
    /// observers.add("orders", &wal);
    /// observers.register_with(&opentelemetry::global::meter("orders"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_with(&self, meter: &Meter) {
        for metric in ALL {
            self.register(metric, meter);
        }
    }

    fn register(&self, metric: &'static Described, meter: &Meter) {
        let Described { name, value, .. } = metric;
        let logs = self.clone();
        match *value {
            Value::Counter(read) => {
                let builder = meter.u64_observable_counter(*name).with_callback(move |seen| {
                    logs.each_log(|metrics, log| seen.observe(read(metrics), &[log]));
                });
                described(builder, metric).build();
            }
            Value::Level(read) => {
                let builder = meter.i64_observable_up_down_counter(*name);
                let builder = builder.with_callback(move |seen| {
                    logs.each_log(|metrics, log| {
                        // There is no unsigned instrument of this kind.
                        let value = read(metrics).and_then(|value| i64::try_from(value).ok());
                        if let Some(value) = value {
                            seen.observe(value, &[log]);
                        }
                    });
                });
                described(builder, metric).build();
            }
            Value::Gauge(read) => {
                let builder = meter.u64_observable_gauge(*name).with_callback(move |seen| {
                    logs.each_log(|metrics, log| seen.observe(read(metrics), &[log]));
                });
                described(builder, metric).build();
            }
            Value::Time(read) => {
                let builder = meter.f64_observable_gauge(*name).with_callback(move |seen| {
                    logs.each_log(|metrics, log| seen.observe(read(metrics), &[log]));
                });
                described(builder, metric).build();
            }
            Value::Cursor(read) => {
                let builder = meter.u64_observable_gauge(*name).with_callback(move |seen| {
                    for (log, metrics) in logs.read(true) {
                        for cursor in &metrics.cursors {
                            let name = KeyValue::new("walden.cursor", cursor.name.clone());
                            seen.observe(read(cursor), &[named(&log), name]);
                        }
                    }
                });
                described(builder, metric).build();
            }
            Value::Times(read) => self.register_histogram(metric, meter, read, true),
            Value::Counts(read) => self.register_histogram(metric, meter, read, false),
        }
    }

    fn register_histogram(
        &self,
        metric: &'static Described,
        meter: &Meter,
        read: fn(&Metrics) -> &Histogram,
        of_times: bool,
    ) {
        let (name, logs) = (metric.name, self.clone());
        let buckets = meter.u64_observable_counter(format!("{name}.bucket"));
        let buckets = buckets.with_callback(move |seen| {
            logs.each_log(|metrics, log| {
                let mut below = 0;
                for (bound, count) in shown(read(metrics), of_times).0 {
                    below += count;
                    let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
                    seen.observe(below, &[log.clone(), KeyValue::new("le", bound)]);
                }
            });
        });
        buckets.with_description(format!("{}: how often it was `le` or less", metric.help)).build();

        let logs = self.clone();
        let count = meter.u64_observable_counter(format!("{name}.count"));
        let count = count.with_callback(move |seen| {
            logs.each_log(|metrics, log| seen.observe(read(metrics).count(), &[log]));
        });
        count.with_description(format!("{}: how often", metric.help)).build();

        let logs = self.clone();
        let sum = meter.f64_observable_counter(format!("{name}.sum"));
        let sum = sum.with_callback(move |seen| {
            logs.each_log(|metrics, log| seen.observe(shown(read(metrics), of_times).1, &[log]));
        });
        described(sum, metric).build();
    }

    /// Gives each log's metrics, but for those of cursors, with the attribute of its name.
    fn each_log(&self, mut give: impl FnMut(&Metrics, KeyValue)) {
        for (log, metrics) in self.read(false) {
            give(&metrics, named(&log));
        }
    }
}

fn named(log: &str) -> KeyValue {
    KeyValue::new("walden.log", log.to_owned())
}

/// With the unit as UCUM writes it, and the description.
fn described<'a, I, M>(
    builder: AsyncInstrumentBuilder<'a, I, M>,
    metric: &'static Described,
) -> AsyncInstrumentBuilder<'a, I, M> {
    let builder = builder.with_description(metric.help);
    match metric.unit {
        Unit::Bytes => builder.with_unit("By"),
        Unit::Seconds => builder.with_unit("s"),
        Unit::Of(thing) => builder.with_unit(format!("{{{thing}}}")),
        Unit::Plain => builder,
    }
}
