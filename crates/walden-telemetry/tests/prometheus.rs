//! What a scrape gives, under Prometheus itself.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "its `main` is not what is tested")]
#[path = "../../walden/examples/metrics.rs"]
mod example;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use prometheus_client::encoding;
use prometheus_client::registry::Registry;
use serde_json::Value;
use walden::{Config, Observers, Start, Wal};
use walden_telemetry::{Prometheus, families, get, has, log, scrape, skipped, text};

/// As promtool reads them: names, units, types and help texts by Prometheus' own rules.
#[test]
fn promtool_finds_nothing_wrong() {
    if !has("promtool") {
        return skipped("promtool is not installed (Debian: prometheus)");
    }
    let dir = tempfile::tempdir().unwrap();
    let scrape = scrape(&log(dir.path()));
    let check = |text: &str| {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let out = promtool.wait_with_output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8(said).unwrap())
    };
    assert_eq!(check(&scrape), (true, String::new()), "{scrape}");
    // It would say so.
    let wrong = scrape.replace("walden_appends_total", "walden_appends");
    assert!(!check(&wrong).0);
}

/// The example answers Prometheus in OpenMetrics, and what Prometheus then knows is what the log counted.
#[test]
fn prometheus_scrapes_the_example() {
    if !has("prometheus") {
        return skipped("prometheus is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path().join("log"), Config::durable()).unwrap();
    let _mailer = wal.cursor("mailer", Start::First).unwrap();
    for _ in 0..100 {
        wal.append([7; 100]).unwrap();
    }
    wal.append_batch(["a", "b"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let registry = example::registry(&wal);
    // For as long as this test's process lives.
    std::thread::spawn(move || example::serve(&listener, &registry));

    assert_eq!(get(target, "/").unwrap().0, 404);
    let (status, body) = get(target, "/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(body.starts_with("# HELP walden_"), "{body}");

    let prometheus = Prometheus::start(dir.path(), target);
    let is = |wanted: f64| move |value: f64| (value - wanted).abs() < 1e-9;
    for (query, wanted) in [
        ("up", 1.0),
        ("walden_entries_total{log=\"orders\"}", 102.0),
        ("walden_batches_total", 1.0),
        ("walden_append_duration_seconds_count", 101.0),
        ("walden_append_duration_seconds_bucket{le=\"+Inf\"}", 101.0),
        ("walden_sync_entries_sum", 102.0),
        ("walden_cursor_lag{cursor=\"mailer\"}", 102.0),
        ("walden_poisoned", 0.0),
    ] {
        prometheus.wait_for(query, is(wanted));
    }
    // Times are in seconds.
    let sum = prometheus.wait_for("walden_sync_duration_seconds_sum", |sum| sum > 0.0);
    assert!(sum < 60.0, "{sum}");
    wal.append("later").unwrap();
    prometheus.wait_for("walden_entries_total", is(103.0));
    // All that came in one scrape is known under the name that it is described by.
    let known = prometheus.query("count({__name__=~\"walden_.*\"}) by (__name__)").unwrap();
    let known: BTreeSet<&str> =
        known.iter().filter_map(|one| one.pointer("/metric/__name__")?.as_str()).collect();
    for (name, kind, _) in families(&scrape(&wal)) {
        let name = if kind == "histogram" { name + "_bucket" } else { name };
        assert!(known.contains(&*name), "{name} in {known:?}");
    }
    dashboard_queries_are_sound(&prometheus);
}

/// Each query of the dashboard is one for Prometheus, too.
fn dashboard_queries_are_sound(prometheus: &Prometheus) {
    let board: Value = serde_json::from_str(&text("dashboards/walden.json")).unwrap();
    let mut queries = Vec::new();
    queries_within(&board, &mut queries);
    assert!(queries.len() > 15, "{queries:?}");
    for query in queries {
        let query = query.replace("$__rate_interval", "1m").replace("$log", ".*");
        let query = query.replace("$job", ".*").replace("$instance", ".*");
        prometheus.query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

/// All that stands under "expr", at any depth.
fn queries_within(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(query) if name == "expr" => found.push(query.to_owned()),
                    _ => queries_within(value, found),
                }
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| queries_within(item, found));
        }
        _ => {}
    }
}

/// A name that a user chose is no way into the format, and two logs share each metric's head.
#[test]
fn several_logs_and_hostile_names() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (log(&dir.path().join("one")), log(&dir.path().join("other")));
    let observers = Observers::new();
    observers.add("a\"} 1\nwalden_forged 7 #\\", &one);
    observers.add("b", &other);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(observers));
    let both: [fn(&mut String, &Registry) -> std::fmt::Result; 2] =
        [encoding::text::encode, encoding::prometheus_text::encode];
    for encode in both {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("walden_forged")), "{text}");
        let heads = text.lines().filter(|line| line.starts_with("# TYPE walden_entries"));
        assert_eq!(heads.count(), 1);
        let samples = text.lines().filter(|line| line.starts_with("walden_entries_total{"));
        assert_eq!(samples.count(), 2);
    }
}

/// Without a log there is nothing to tell.
#[test]
fn a_closed_log_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wal = log(dir.path());
    assert!(scrape(&wal).contains("walden_entries_total{log=\"orders\"} 3\n"));
    wal.close().unwrap();
    assert_eq!(scrape(&wal), "");
}
