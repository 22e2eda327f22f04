//! A log that is served, and a client that can be as rude as it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;
use walden::{BatchFormat, Config, Mode, Wal};
use walden_inspector::Watch;
use walden_inspector::serve::{Options, Server, Stop};

/// As long as anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first answer in what a server sent before it closed the connection.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: bytes[end + 4..].to_vec() })
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).expect(&text)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A log of its own folder, served.
pub(crate) struct Served {
    dir: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) watch: Watch,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// A log of entries `entry 1` and so on in small segments.
pub(crate) fn make_log(dir: &Path, entries: u64) {
    let wal = Wal::open(dir, small_segments()).unwrap();
    for n in 1..=entries {
        wal.append(format!("entry {n}")).unwrap();
    }
    wal.close().unwrap();
}

pub(crate) fn small_segments() -> Config {
    Config::os_cache().segment_size(1024).mode(Mode::Debug).batch_format(BatchFormat::Separate)
}

impl Served {
    pub(crate) fn of(entries: u64) -> Self {
        Self::with(Options::default(), |dir| make_log(dir, entries))
    }

    pub(crate) fn with(options: Options, make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join("log"));
        let watch = Watch::open(dir.path().join("log"), "segment").unwrap();
        let server = Server::bind(watch.clone(), options).unwrap();
        let address = server.local_addr().unwrap();
        let stop = Stop::default();
        let flag = stop.clone();
        let thread = std::thread::spawn(move || server.run(&flag).unwrap());
        Self { dir, address, watch, stop, thread: Some(thread) }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Sends bytes as they are, and gives what comes until the server closes.
    pub(crate) fn raw(&self, request: impl AsRef<[u8]>) -> Option<Answer> {
        let mut stream = self.connect();
        // It may refuse before it has all.
        drop(stream.write_all(request.as_ref()));
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        Answer::parse(&bytes)
    }

    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let host = if headers.to_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let request =
            format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
        self.raw(request).expect("an answer")
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// What the API has at `path`, which must be fine.
    #[track_caller]
    pub(crate) fn api(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits for a check that began after this was called.
    pub(crate) fn checked(&self) -> Value {
        wait_for("the first check", || self.api("check")["running"].is_null());
        assert_eq!(self.ask("POST", "/api/v1/check", "").status, 202);
        wait_for("a check", || self.api("check")["running"].is_null());
        self.api("check")["last"].clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LONG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The payload of an entry of an answer.
pub(crate) fn payload(entry: &Value) -> Vec<u8> {
    STANDARD.decode(entry["payload"].as_str().unwrap()).unwrap()
}

/// The seq ids of a page of entries.
pub(crate) fn seqs(page: &Value) -> Vec<u64> {
    let entries = page["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["seq"].as_str().unwrap().parse().unwrap()).collect()
}
