//! What OpenTelemetry's SDK collects.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
use walden::{Observers, Wal};
use walden_telemetry::{families, log, scrape};

/// The data points of a metric: attributes, and the value.
type Points = Vec<(BTreeMap<String, String>, f64)>;

struct Collected(Vec<ResourceMetrics>);

impl Collected {
    /// What the SDK has of these logs now.
    fn from(observers: &Observers) -> Self {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build();
        observers.register_with(&provider.meter("walden"));
        provider.force_flush().unwrap();
        let found = exporter.get_finished_metrics().unwrap();
        provider.shutdown().unwrap();
        Self(found.into_iter().take(1).collect())
    }

    fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.0.iter().flat_map(ResourceMetrics::scope_metrics).flat_map(|scope| scope.metrics())
    }

    fn metric(&self, name: &str) -> &Metric {
        let mut found = self.metrics().filter(|metric| metric.name() == name);
        let metric = found.next().unwrap_or_else(|| panic!("{name} is not there"));
        assert!(found.next().is_none(), "{name} is there twice");
        metric
    }

    fn points(&self, name: &str) -> Points {
        points(self.metric(name).data()).1
    }
}

/// What kind it is, and its points.
fn points(data: &AggregatedMetrics) -> (&'static str, Points) {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    match data {
        AggregatedMetrics::U64(data) => points_as(data, |value| value as f64),
        AggregatedMetrics::I64(data) => points_as(data, |value| value as f64),
        AggregatedMetrics::F64(data) => points_as(data, |value| value),
    }
}

fn points_as<T: Copy>(data: &MetricData<T>, value: fn(T) -> f64) -> (&'static str, Points) {
    let named = |attributes: &mut dyn Iterator<Item = &opentelemetry::KeyValue>| {
        attributes.map(|pair| (pair.key.to_string(), pair.value.to_string())).collect()
    };
    match data {
        MetricData::Gauge(gauge) => {
            let points = gauge.data_points();
            let points = points.map(|p| (named(&mut p.attributes()), value(p.value())));
            ("gauge", points.collect())
        }
        MetricData::Sum(sum) => {
            let kind = if sum.is_monotonic() { "counter" } else { "level" };
            let points = sum.data_points();
            (kind, points.map(|p| (named(&mut p.attributes()), value(p.value()))).collect())
        }
        _ => panic!("no instrument of ours is a histogram"),
    }
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn observed(wal: &Wal) -> Observers {
    let observers = Observers::new();
    observers.add("orders", wal);
    observers
}

#[test]
fn values_units_and_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let wal = log(dir.path());
    wal.append("d").unwrap();
    let found = Collected::from(&observed(&wal));
    let orders = named(&[("walden.log", "orders")]);
    for (name, kind, unit, value) in [
        ("walden.entries", "counter", "{entry}", 4.0),
        ("walden.appended", "counter", "By", 0.0),
        ("walden.seq.durable", "gauge", "", 4.0),
        ("walden.segments", "level", "{segment}", 1.0),
        ("walden.in_flight", "level", "By", 0.0),
        ("walden.recovery.duration", "gauge", "s", 0.0),
        ("walden.poisoned", "gauge", "", 0.0),
        ("walden.append.duration.count", "counter", "", 2.0),
        ("walden.sync.entries.sum", "counter", "{entry}", 4.0),
        ("walden.sync.duration.sum", "counter", "s", 0.0),
    ] {
        let metric = found.metric(name);
        assert_eq!((metric.unit(), metric.description().is_empty()), (unit, false), "{name}");
        let (found_kind, points) = points(metric.data());
        assert_eq!(found_kind, kind, "{name}");
        let [(attributes, seen)] = &points[..] else { panic!("{name}: {points:?}") };
        assert_eq!(attributes, &orders);
        // Where none is given it is what the log says.
        match name {
            // A batch of three entries of a byte each, and a single one.
            "walden.appended" => assert!((*seen - (28.0 + 4.0 + 12.0 + 3.0 + 29.0)).abs() < 1e-9),
            "walden.recovery.duration" | "walden.sync.duration.sum" => {
                assert!(*seen > 0.0 && *seen < 60.0, "{name}: {seen}");
            }
            _ => assert!((*seen - value).abs() < 1e-9, "{name}: {seen}"),
        }
    }
    let lag = found.points("walden.cursor.lag");
    let mailer = named(&[("walden.log", "orders"), ("walden.cursor", "mailer")]);
    assert_eq!(lag, [(mailer, 4.0)]);
}

/// As Prometheus shows a histogram: each bucket holds those before it.
#[test]
fn buckets_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let wal = log(dir.path());
    let found = Collected::from(&observed(&wal));
    let buckets = found.points("walden.sync.entries.bucket");
    let of = |le: &str| {
        let wanted = named(&[("walden.log", "orders"), ("le", le)]);
        buckets.iter().find(|(attributes, _)| *attributes == wanted).map(|(_, value)| *value)
    };
    assert_eq!(
        (of("1"), of("2"), of("4"), of("+Inf")),
        (Some(0.0), Some(0.0), Some(1.0), Some(1.0))
    );
    let times = found.points("walden.sync.duration.bucket");
    assert!(
        times.iter().any(|(attributes, _)| attributes.get("le").is_some_and(|le| le == "0.01"))
    );
}

#[test]
fn logs_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (log(&dir.path().join("one")), log(&dir.path().join("other")));
    let observers = observed(&one);
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build();
    observers.register_with(&provider.meter("walden"));
    let seen = || {
        exporter.reset();
        provider.force_flush().unwrap();
        let found =
            Collected(exporter.get_finished_metrics().unwrap().into_iter().take(1).collect());
        let mut names: Vec<String> = match found.metrics().any(|m| m.name() == "walden.entries") {
            true => found
                .points("walden.entries")
                .into_iter()
                .map(|(a, _)| a["walden.log"].clone())
                .collect(),
            false => Vec::new(),
        };
        names.sort();
        names
    };
    assert_eq!(seen(), ["orders"]);
    observers.add("second", &other);
    assert_eq!(seen(), ["orders", "second"]);
    one.close().unwrap();
    assert_eq!(seen(), ["second"]);
    drop(other);
    assert!(seen().is_empty());
}

/// Under the names that Prometheus has, but for dots and units, which both exporters add in their own way.
#[test]
fn both_exporters_show_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let wal = log(dir.path());
    let found = Collected::from(&observed(&wal));
    let names: Vec<String> =
        found.metrics().map(|metric| metric.name().replace('.', "_")).collect();
    for (name, kind, _) in families(&scrape(&wal)) {
        let base = name.trim_end_matches("_total");
        let base = base.trim_end_matches("_seconds").trim_end_matches("_bytes").to_owned();
        let base = if kind == "histogram" { base + "_bucket" } else { base };
        assert!(names.contains(&base), "{base} of {name} in {names:?}");
    }
}
