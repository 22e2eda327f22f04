//! What is measured, and beside which bare loop.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use walden::{Config, SyncStrategy, Wal};

use crate::baseline;

type Run = Box<dyn Fn(&Path, f64) -> io::Result<f64>>;

/// A workload and its baseline; both answer records a second.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) baseline_name: &'static str,
    run: Run,
    baseline: Run,
}

impl Case {
    fn new(
        name: impl Into<String>,
        run: impl Fn(&Path, f64) -> io::Result<f64> + 'static,
        baseline_name: &'static str,
        baseline: impl Fn(&Path, f64) -> io::Result<f64> + 'static,
    ) -> Self {
        let (run, baseline): (Run, Run) = (Box::new(run), Box::new(baseline));
        Self { name: name.into(), baseline_name, run, baseline }
    }

    pub(crate) fn run(&self, dir: &Path, seconds: f64) -> io::Result<f64> {
        (self.run)(dir, seconds)
    }

    pub(crate) fn run_baseline(&self, dir: &Path, seconds: f64) -> io::Result<f64> {
        (self.baseline)(dir, seconds)
    }
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = not_durable();
    cases.extend(durable());
    cases.extend(reading());
    cases
}

fn not_durable() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "Background, 1 thread, 128 B",
            |dir, s| append(dir, s, &Config::background(), 1, 128, 1),
            "`write` each",
            |dir, s| baseline::write_loop(dir, s, 128, 1, false),
        ),
        Case::new(
            "OsCache, 1 thread, 128 B",
            |dir, s| append(dir, s, &Config::os_cache(), 1, 128, 1),
            "`write` each",
            |dir, s| baseline::write_loop(dir, s, 128, 1, false),
        ),
        Case::new(
            "OsCache, 8 threads, 128 B",
            |dir, s| append(dir, s, &Config::os_cache(), 8, 128, 1),
            "`write` each under a mutex, 8 threads",
            |dir, s| baseline::mutex_loop(dir, s, 8, 128),
        ),
        Case::new(
            "OsCache, batches of 64, 128 B",
            |dir, s| append(dir, s, &Config::os_cache().segment_size(256 << 20), 1, 128, 64),
            "64 plain records, one `write`",
            |dir, s| baseline::write_loop(dir, s, 128, 64, false),
        ),
    ];
    for payload in [64 << 10, 1 << 20] {
        cases.push(Case::new(
            format!("OsCache, 1 thread, {} KiB", payload >> 10),
            move |dir, s| append(dir, s, &Config::os_cache().segment_size(1 << 30), 1, payload, 1),
            "`write` each",
            move |dir, s| baseline::write_loop(dir, s, payload, 1, false),
        ));
    }
    cases
}

fn durable() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "Always, 1 thread, 128 B",
            |dir, s| append(dir, s, &Config::durable(), 1, 128, 1),
            "`write` + `fdatasync`",
            |dir, s| baseline::write_loop(dir, s, 128, 1, true),
        ),
        Case::new(
            "Always, 1 thread, 128 B",
            |dir, s| append(dir, s, &Config::durable(), 1, 128, 1),
            "`pwrite` into written space + `fdatasync`",
            |dir, s| baseline::prewritten_loop(dir, s, 128),
        ),
    ];
    for threads in [8, 64] {
        cases.push(Case::new(
            format!("Always, {threads} threads, 128 B"),
            move |dir, s| append(dir, s, &Config::durable(), threads, 128, 1),
            "simplest group commit",
            move |dir, s| baseline::group_commit(dir, s, threads, 128),
        ));
    }
    cases.push(Case::new(
        "Always, 64 tickets in flight, 128 B",
        |dir, s| tickets(dir, s, 64, 128),
        "Always, 64 threads",
        |dir, s| append(dir, s, &Config::durable(), 64, 128, 1),
    ));
    cases
}

fn reading() -> Vec<Case> {
    vec![
        Case::new(
            "read_next, warm, 128 B",
            |dir, s| read(dir, s, 128, false),
            "bare reader",
            |dir, s| baseline::read_loop(dir, s, 128),
        ),
        Case::new(
            "range, warm, 128 B",
            |dir, s| read(dir, s, 128, true),
            "bare reader",
            |dir, s| baseline::read_loop(dir, s, 128),
        ),
    ]
}

/// Appends for `seconds` in a fresh log; records a second.
fn append(
    dir: &Path,
    seconds: f64,
    config: &Config,
    threads: usize,
    payload: usize,
    batch: usize,
) -> io::Result<f64> {
    let dir = dir.join("walden");
    let wal = Wal::open(&dir, config.clone())?;
    let payload = vec![7; payload];
    let entries = vec![payload.as_slice(); batch];
    let count = AtomicU64::new(0);
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = 0_u64;
                while begun.elapsed() < limit {
                    // Enough between two looks at the clock that looking costs nothing.
                    for _ in 0..16 {
                        let done = if batch == 1 {
                            wal.append(&payload).map(|_| 1)
                        } else {
                            wal.append_batch(&entries).map(|seqs| seqs.end - seqs.start)
                        };
                        mine += done.unwrap_or(0);
                    }
                }
                count.fetch_add(mine, Ordering::Relaxed);
            });
        }
    });
    let rate = count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    wal.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(rate)
}

/// One thread that keeps `depth` tickets in flight.
fn tickets(dir: &Path, seconds: f64, depth: usize, payload: usize) -> io::Result<f64> {
    let dir = dir.join("walden-tickets");
    let wal = Wal::open(&dir, Config::durable())?;
    let payload = vec![7; payload];
    let mut flying = VecDeque::with_capacity(depth);
    let mut count = 0_u64;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    while begun.elapsed() < limit {
        if flying.len() == depth
            && let Some(oldest) = flying.pop_front()
        {
            let oldest: walden::Ticket = oldest;
            oldest.wait()?;
            count += 1;
        }
        flying.push_back(wal.submit(&payload)?);
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    drop(flying);
    wal.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(rate)
}

/// Reads a log from its start again and again.
fn read(dir: &Path, seconds: f64, payload: usize, range: bool) -> io::Result<f64> {
    let dir = dir.join("walden-read");
    let config = Config::background().sync_strategy(SyncStrategy::Background);
    let wal = Wal::open(&dir, config)?;
    let payload = vec![7; payload];
    for _ in 0..100_000 {
        wal.append(&payload)?;
    }
    wal.flush()?;
    let mut count = 0_u64;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    while begun.elapsed() < limit {
        if range {
            for entry in wal.range(..)? {
                std::hint::black_box(entry?);
                count += 1;
            }
        } else {
            let mut reader = wal.reader();
            while let Some(entry) = reader.read_next()? {
                std::hint::black_box(entry.payload);
                count += 1;
            }
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    wal.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(rate)
}
