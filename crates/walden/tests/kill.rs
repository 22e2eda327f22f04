//! `kill -9`, for real: a child appends from several threads and writes each acknowledgement to a pipe once its
//! append has returned; it is killed at a random moment, many times on the same folder. Every
//! acknowledged record must be there, exactly once, intact, and the log must go on working.
//!
//! The child is this test's own program. `WALDEN_SEED=n` replays the moments, `WALDEN_ROUNDS=n` asks for more.
#![cfg(unix)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]
#![expect(clippy::print_stderr, reason = "the seed is printed")]

mod engine;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::over;
use walden::{Config, ErrorKind, Maintenance, SyncStrategy, Wal};
use walden_sim::Rng;

const CHILD: &str = "WALDEN_KILL_CHILD";

fn config(strategy: &str) -> Config {
    let strategy = match strategy {
        "always" => SyncStrategy::Always,
        "os-cache" => SyncStrategy::OsCache,
        _ => SyncStrategy::Background,
    };
    // Small segments, so that rotation and sealing are killed too.
    over(Config::durable()).sync_strategy(strategy).segment_size(64 << 10).buffer_size(8 << 10)
}

/// A payload that its own bytes prove: a number, its length, and bytes that follow from both.
fn payload(number: u64) -> Vec<u8> {
    let len = 8 + usize::try_from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).unwrap();
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((8..len).map(|i| (number.wrapping_mul(31).wrapping_add(i as u64)) as u8));
    bytes
}

fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(number), "an entry was altered");
    number
}

/// What the child does: not a test of its own.
#[test]
fn child() {
    let Ok(args) = std::env::var(CHILD) else { return };
    let args: Vec<&str> = args.split(':').collect();
    let [strategy, threads, begin, dir] = args.as_slice() else { panic!("{args:?}") };
    let wal = Wal::open(dir, config(strategy)).expect("the child opens the log");
    let next = AtomicU64::new(begin.parse().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..threads.parse().unwrap() {
            scope.spawn(|| {
                // The raw descriptor: the test harness captures what goes through std's stdout.
                let mut acks = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let seq = if number.is_multiple_of(13) {
                        wal.append_batch([payload(number)]).expect("append").start
                    } else {
                        wal.append(payload(number)).expect("append")
                    };
                    let mut ack = seq.to_le_bytes().to_vec();
                    ack.extend_from_slice(&number.to_le_bytes());
                    acks.write_all(&ack).expect("the pipe takes 16 bytes at once");
                }
            });
        }
    });
}

struct Kills {
    dir: tempfile::TempDir,
    /// Every acknowledged seq id with its number.
    acknowledged: BTreeMap<u64, u64>,
    begin: u64,
}

impl Kills {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), acknowledged: BTreeMap::new(), begin: 0 }
    }

    /// One life of the child. Returns how many acknowledged records are missing.
    fn round(&mut self, strategy: &str, threads: u32, life: Duration) -> usize {
        let log = self.dir.path().join("log");
        let acks = self.live(&log, strategy, threads, life);
        for ack in acks.chunks_exact(16) {
            let seq = u64::from_le_bytes(ack[..8].try_into().unwrap());
            let number = u64::from_le_bytes(ack[8..].try_into().unwrap());
            let before = self.acknowledged.insert(seq, number);
            assert_eq!(before, None, "seq id {seq} was acknowledged twice");
            self.begin = self.begin.max(number + 1);
        }
        self.begin += 1000;
        let wal = Wal::open(&log, config(strategy)).expect("the log opens after a kill");
        let mut seen = BTreeMap::new();
        for entry in wal.range(..).unwrap() {
            let entry = entry.expect("the log is sound");
            assert_eq!(
                seen.insert(number_of(&entry.payload), entry.seq),
                None,
                "an entry is there twice"
            );
        }
        let lost: Vec<u64> = self
            .acknowledged
            .iter()
            .filter(|(seq, number)| seen.get(number) != Some(seq))
            .map(|(seq, _)| *seq)
            .collect();
        for seq in &lost {
            self.acknowledged.remove(seq);
        }
        lost.len()
    }

    fn live(&self, log: &Path, strategy: &str, threads: u32, life: Duration) -> Vec<u8> {
        let program = std::env::current_exe().unwrap();
        let args = format!("{strategy}:{threads}:{}:{}", self.begin, log.display());
        // Descriptor 3 is the pipe; stdout is the harness's.
        let mut child = Command::new("sh")
            .args(["-c", "exec 3>&1 >/dev/null; exec \"$0\" --exact child --nocapture"])
            .arg(program)
            .env(CHILD, args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut acks = Vec::new();
            pipe.read_to_end(&mut acks).unwrap();
            acks
        });
        std::thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap()
    }
}

fn seed() -> u64 {
    let seed = std::env::var("WALDEN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("seed {seed}; replay with WALDEN_SEED={seed}");
    seed
}

fn rounds(default: u32) -> u32 {
    std::env::var("WALDEN_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn lose_nothing(strategy: &str) {
    let mut rng = Rng::new(seed());
    for threads in [1, 4, 16] {
        let mut kills = Kills::new();
        for round in 0..rounds(8) {
            let life = Duration::from_millis(20 + rng.below(100));
            let lost = kills.round(strategy, threads, life);
            assert_eq!(lost, 0, "{strategy}, {threads} threads, round {round}");
        }
        let count = kills.acknowledged.len();
        assert!(count > 50, "{strategy}, {threads} threads: only {count} were acknowledged");
    }
}

#[test]
fn always_loses_nothing() {
    lose_nothing("always");
}

#[test]
fn os_cache_loses_nothing() {
    lose_nothing("os-cache");
}

/// The test can fail: `Background` does lose acknowledged records to a kill, as it says.
#[test]
fn background_loses_some() {
    let mut rng = Rng::new(seed());
    let mut kills = Kills::new();
    let lost = (0..40)
        .any(|_| kills.round("background", 4, Duration::from_millis(30 + rng.below(60))) > 0);
    assert!(lost, "forty kills lost nothing: the test would not notice a loss");
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}

const NO_THREADS: &str = "WALDEN_NO_THREADS";

/// What the child without threads does: not a test of its own.
#[test]
fn child_without_threads() {
    let Some(dir) = std::env::var_os(NO_THREADS) else { return };
    let error = Wal::open(&dir, Config::durable()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains("thread"), "{error}");
    let wal = Wal::open(&dir, Config::durable().maintenance(Maintenance::Manual)).unwrap();
    assert_eq!(wal.append("goes on").unwrap(), 1);
}

/// Where the log's own thread cannot be started, opening says so: nobody would sync for tickets that are awaited.
#[test]
fn no_thread_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_without_threads", "--test-threads=1", "--nocapture"])
        .env(NO_THREADS, dir.path())
        // No address space has room for such a stack.
        .env("RUST_MIN_STACK", (1_u64 << 47).to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dir.path().join("segment-0000.wal").exists(), "it did something");
}
