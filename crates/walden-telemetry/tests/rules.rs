//! Alerts, dashboard and documentation name what there is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use walden_telemetry::{families, file, has, log, scrape, skipped, text};

const ALERTS: &str = "dashboards/walden-alerts.yml";
const TESTS: &str = "dashboards/walden-alerts-test.yml";
const BOARD: &str = "dashboards/walden.json";
const DOCS: &str = "docs/metrics.md";

fn promtool(args: &[&str]) -> (bool, String) {
    let out = Command::new("promtool").args(args).output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8(said).unwrap())
}

fn path(of: &str) -> String {
    file(of).display().to_string()
}

#[test]
fn promtool_takes_the_alerts() {
    if !has("promtool") {
        return skipped("promtool is not installed (Debian: prometheus)");
    }
    let (sound, said) = promtool(&["check", "rules", "--lint-fatal", &path(ALERTS)]);
    assert!(sound, "{said}");
}

/// Each fires when it should, and not when it should not.
#[test]
fn alerts_fire() {
    if !has("promtool") {
        return skipped("promtool is not installed (Debian: prometheus)");
    }
    let (sound, said) = promtool(&["test", "rules", &path(TESTS)]);
    assert!(sound, "{said}");
    let alerts = text(ALERTS);
    let tests = text(TESTS);
    for alert in names(&alerts, "alert: ") {
        let tested = names(&tests, "alertname: ").filter(|name| *name == alert).count();
        assert!(tested >= 2, "{alert} is not shown both firing and silent");
    }
    // A test that cannot fail is none.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("walden-alerts.yml"), alerts.replace("== 1", "== 2")).unwrap();
    let copy = dir.path().join("test.yml");
    std::fs::write(&copy, tests).unwrap();
    assert!(!promtool(&["test", "rules", copy.to_str().unwrap()]).0);
}

fn names<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.split_once(key).map(|(_, name)| name.trim()))
}

#[test]
fn each_alert_says_what_to_do() {
    let alerts = text(ALERTS);
    let count = |key: &str| names(&alerts, key).filter(|value| !value.is_empty()).count();
    let all = count("alert: ");
    assert!(all >= 10);
    for key in ["severity: ", "summary: ", "action: "] {
        assert_eq!(count(key), all, "{key}");
    }
    let docs = text(DOCS);
    for alert in names(&alerts, "alert: ") {
        assert!(docs.contains(&format!("`{alert}`")), "{alert} is not in {DOCS}");
    }
}

/// Words that begin like a metric of ours.
fn mentioned(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_word(c)).filter(|word| word.starts_with("walden_"));
    words.map(str::to_owned).collect()
}

fn samples(scrape: &str) -> BTreeSet<String> {
    mentioned(scrape)
        .into_iter()
        .filter(|name| {
            scrape.lines().any(|line| {
                line.strip_prefix(&**name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
        })
        .collect()
}

#[test]
fn dashboard_and_alerts_name_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let samples = samples(&scrape(&log(dir.path())));
    for of in [ALERTS, TESTS, BOARD] {
        let mentioned = mentioned(&text(of));
        assert!(mentioned.len() >= 10, "{of}");
        let unknown: Vec<_> = mentioned.difference(&samples).collect();
        assert!(unknown.is_empty(), "{of} names {unknown:?}");
    }
}

/// Each metric has its row, with its type, and there are no others.
#[test]
fn the_documentation_has_each_metric() {
    let dir = tempfile::tempdir().unwrap();
    let docs = text(DOCS);
    let mut rows = BTreeSet::new();
    for (name, kind, _) in families(&scrape(&log(dir.path()))) {
        let row = format!("| `{name}` | {kind} |");
        assert!(docs.contains(&row), "{DOCS} lacks: {row}");
        rows.insert(name);
    }
    let begins = docs.lines().filter_map(|line| line.strip_prefix("| `walden_")?.split_once('`'));
    let written: BTreeSet<String> = begins.map(|(rest, _)| format!("walden_{rest}")).collect();
    assert_eq!(written, rows);
}
