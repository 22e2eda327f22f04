//! What the tests of Walden's metrics share: a log that shows every metric, and the programs that read them.
//!
//! A crate of its own, since what is only for these tests takes longer to build than Walden.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail them"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use walden::{Config, Observers, Start, Wal};

/// Says why a test is skipped; fails it where nothing may be.
pub fn skipped(reason: &str) {
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}

/// Whether a program is there.
#[must_use]
pub fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// A file of the workspace.
#[must_use]
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The text of a file of the workspace.
#[must_use]
pub fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A log with a cursor, so that there is a sample of each metric.
#[must_use]
pub fn log(dir: &Path) -> Wal {
    let wal = Wal::open(dir, Config::durable()).unwrap();
    wal.append_batch(["a", "b", "c"]).unwrap();
    drop(wal.cursor("mailer", Start::First).unwrap());
    wal
}

/// What a scrape of `wal` gives, in Prometheus' own format.
#[must_use]
pub fn scrape(wal: &Wal) -> String {
    let observers = Observers::new();
    observers.add("orders", wal);
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(observers));
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
    text
}

/// The metrics of a scrape, by name: type and help.
#[must_use]
pub fn families(scrape: &str) -> Vec<(String, String, String)> {
    let field = |start: &str| -> Vec<(String, String)> {
        let lines = scrape.lines().filter_map(|line| line.strip_prefix(start)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let helps = field("# HELP ");
    let types = field("# TYPE ");
    assert_eq!(helps.len(), types.len());
    let both = types.into_iter().zip(helps);
    both.map(|((name, kind), (same, help))| {
        assert_eq!(name, same);
        (name, kind, help)
    })
    .collect()
}

/// A program that ends with the test.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A Prometheus of one's own that scrapes `target` five times a second.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _running: Running,
}

impl Prometheus {
    /// Starts it, with its files in `dir`; ready when this returns.
    #[must_use]
    pub fn start(dir: &Path, target: SocketAddr) -> Self {
        let config = dir.join("prometheus.yml");
        let lines = [
            "scrape_configs:".to_owned(),
            "- job_name: walden".to_owned(),
            "  scrape_interval: 200ms".to_owned(),
            "  scrape_timeout: 200ms".to_owned(),
            format!("  static_configs: [{{targets: ['{target}']}}]"),
            format!("rule_files: ['{}']", file("dashboards/walden-alerts.yml").display()),
        ];
        std::fs::write(&config, lines.join("\n") + "\n").unwrap();
        // A port that is free now may be taken the next moment.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let child = Command::new("prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=warn")
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let mut running = Running(child);
            let ready = within(Duration::from_secs(60), || {
                if let Some(status) = running.0.try_wait().unwrap() {
                    return Some(Err(status));
                }
                let answer = get(address, "/-/ready");
                answer.is_ok_and(|(status, _)| status == 200).then_some(Ok(()))
            });
            match ready.expect("Prometheus is ready in time") {
                Ok(()) => return Self { address, _running: running },
                Err(status) => println!("prometheus ended: {status}"),
            }
        }
        panic!("Prometheus does not start");
    }

    /// What it makes of a query: the samples.
    ///
    /// # Errors
    /// Its own words.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let path = format!("/api/v1/query?query={}", escaped(query));
        let (_, body) = get(self.address, &path).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        match answer.pointer("/data/result").and_then(Value::as_array) {
            Some(samples) => Ok(samples.clone()),
            None => Err(body),
        }
    }

    /// Waits until a query's only sample has a value that `wanted` accepts, and gives it.
    pub fn wait_for(&self, query: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let mut last = String::new();
        let found = within(Duration::from_secs(60), || {
            let samples = self.query(query);
            last = format!("{samples:?}");
            let samples = samples.ok()?;
            let [sample] = &samples[..] else { return None };
            let value: f64 = sample.pointer("/value/1")?.as_str()?.parse().ok()?;
            wanted(value).then_some(value)
        });
        found.unwrap_or_else(|| panic!("{query}: {last}"))
    }
}

/// Tries until there is something, for as long as `limit`.
fn within<T>(limit: Duration, mut try_it: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = try_it() {
            return Some(found);
        }
        if begun.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The status and body of an answer.
///
/// # Errors
/// What connecting and reading give.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(b).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
