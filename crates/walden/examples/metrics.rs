//! Shows a log's metrics to Prometheus: a server of the standard library's alone, which answers `GET /metrics`.
//!
//! `cargo run --example metrics --features prometheus -- 127.0.0.1:9464` serves until it is stopped; without an
//! address it asks itself once, and ends.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use walden::{Config, Observers, Start, Wal};

/// No request for this has more.
const MOST: u64 = 16 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("walden-metrics-{}", std::process::id()));
    let wal = Wal::open(&dir, Config::durable())?;
    let _mailer = wal.cursor("mailer", Start::First)?;
    let registry = registry(&wal);
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    println!("http://{}/metrics", listener.local_addr()?);

    let writer = wal.clone();
    if address.is_some() {
        std::thread::spawn(move || work(&writer));
        return Ok(serve(&listener, &registry)?);
    }
    wal.append("hello")?;
    let at = listener.local_addr()?;
    let asked = std::thread::spawn(move || -> io::Result<String> {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        io::read_to_string(stream)
    });
    answer(&listener.accept()?.0, &registry)?;
    let answer = asked.join().map_err(|_| "the thread that asks panicked")??;
    for line in answer.lines().filter(|line| line.starts_with("walden_seq")) {
        println!("{line}");
    }
    Ok(std::fs::remove_dir_all(&dir)?)
}

/// Where a program keeps its own metrics, too.
pub(crate) fn registry(wal: &Wal) -> Registry {
    let observers = Observers::new();
    observers.add("orders", wal);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(observers));
    registry
}

/// Something to count: an entry every few milliseconds.
fn work(wal: &Wal) {
    while wal.append(vec![b'x'; 200]).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Answers one after the other; whoever is slow, or breaks off, keeps the next one waiting for two seconds at most.
pub(crate) fn serve(listener: &TcpListener, registry: &Registry) -> io::Result<()> {
    loop {
        if let Err(error) = answer(&listener.accept()?.0, registry) {
            println!("a request: {error}");
        }
    }
}

fn answer(mut stream: &TcpStream, registry: &Registry) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut lines = BufReader::new(stream.take(MOST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut open_metrics = false;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        open_metrics |=
            line.starts_with("accept:") && line.contains("application/openmetrics-text");
    }
    let (status, kind, body) = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/metrics", _] => {
            let (kind, body) = page(registry, open_metrics).map_err(io::Error::other)?;
            ("200 OK", kind, body)
        }
        _ => ("404 Not Found", "text/plain", "there is only GET /metrics\n".to_owned()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// In the format that was asked for: OpenMetrics, or Prometheus' own.
fn page(
    registry: &Registry,
    open_metrics: bool,
) -> Result<(&'static str, String), std::fmt::Error> {
    let mut body = String::new();
    if open_metrics {
        text::encode(&mut body, registry)?;
        return Ok(("application/openmetrics-text; version=1.0.0; charset=utf-8", body));
    }
    prometheus_text::encode(&mut body, registry)?;
    Ok((prometheus_text::CONTENT_TYPE, body))
}
