//! From one thread to another: a follower of a log, and the least that any hand-over takes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use walden::{Config, Event, Wal};

use super::clock::Schedule;
use crate::baseline::OVERHEAD;
use crate::figures::{self, Figures, Latencies, Result};
use crate::subject::{self, Engine, Strategy};
use crate::{machine, store};

/// Bytes of a record.
const RECORD: usize = 128 + OVERHEAD;

/// Time in nanoseconds since `origin`, as it travels between the threads.
fn nanos(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// One thread appends 128 B at fixed moments, another follows. A latency counts from the call of `append` to the
/// entry being held.
pub(super) fn follow(dir: &Path, seconds: f64, rate: u32, engine: Engine) -> Result<Figures> {
    let wal = store::open_walden(dir, &subject::Walden::new(Strategy::OsCache, engine))?;
    let mut follower = wal.follow(wal.next_seq())?;
    let origin = Instant::now();
    let latencies = std::thread::scope(|scope| -> Result<Latencies> {
        let reading = scope.spawn(move || -> Result<Latencies> {
            let mut latencies = Latencies::new()?;
            loop {
                let Event::Entry(entry) = follower.next_blocking()? else { continue };
                let held = nanos(origin);
                let sent = entry.payload.first_chunk().copied().map_or(0, u64::from_le_bytes);
                // What ends the measurement carries no time.
                if sent == 0 {
                    return Ok(latencies);
                }
                latencies.record(Duration::from_nanos(held.saturating_sub(sent)));
            }
        });
        let mut payload = [7; 128];
        let mut schedule = Schedule::new(rate);
        while origin.elapsed() < Duration::from_secs_f64(seconds) {
            schedule.next();
            if let Some(time) = payload.first_chunk_mut() {
                *time = nanos(origin).to_le_bytes();
            }
            wal.append(payload)?;
        }
        wal.append([0; 128])?;
        reading.join().map_err(|_| "the following thread panicked")?
    })?;
    wal.close()?;
    let mut figures = Figures::new();
    latencies.add_to(&mut figures);
    Ok(figures)
}

/// The same with nothing but a word of memory and a wake-up (parking is a futex on Linux); with a folder also a `write`
/// before and a `read` behind it, of as many bytes as a record of the log has.
pub(super) fn hand_over(dir: Option<&Path>, seconds: f64, rate: u32) -> Result<Figures> {
    let file = dir.map(bare_file).transpose()?;
    let origin = Instant::now();
    let (word, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let latencies = std::thread::scope(|scope| -> Result<Latencies> {
        let reading = scope.spawn(|| -> Result<Latencies> {
            let mut latencies = Latencies::new()?;
            let (mut record, mut at) = ([0; RECORD], 0);
            while !over.load(Ordering::Acquire) {
                let sent = word.swap(0, Ordering::AcqRel);
                if sent == 0 {
                    std::thread::park();
                    continue;
                }
                if let Some(file) = &file {
                    file.read_exact_at(&mut record, at)?;
                    at += RECORD as u64;
                }
                latencies.record(Duration::from_nanos(nanos(origin).saturating_sub(sent)));
            }
            Ok(latencies)
        });
        let mut schedule = Schedule::new(rate);
        let mut at = 0;
        while origin.elapsed() < Duration::from_secs_f64(seconds) {
            schedule.next();
            let now = nanos(origin);
            if let Some(file) = &file {
                file.write_all_at(&[7; RECORD], at)?;
                at += RECORD as u64;
            }
            word.store(now, Ordering::Release);
            reading.thread().unpark();
        }
        over.store(true, Ordering::Release);
        reading.thread().unpark();
        reading.join().map_err(|_| "the waiting thread panicked")?
    })?;
    let mut figures = Figures::new();
    latencies.add_to(&mut figures);
    Ok(figures)
}

fn bare_file(dir: &Path) -> Result<File> {
    let mut options = File::options();
    Ok(options.read(true).write(true).create_new(true).open(dir.join("bare"))?)
}

/// The processor time that a log with a follower takes while nothing happens.
pub(super) fn idle(dir: &Path, seconds: f64) -> Result<Figures> {
    let wal = Wal::open(dir.join("walden"), Config::os_cache())?;
    wal.append("one")?;
    let mut follower = wal.follow(wal.next_seq())?;
    let busy = std::thread::scope(|scope| -> Result<f64> {
        let waiting = scope.spawn(move || follower.next_blocking().map(drop));
        // What was appended is synced by then.
        std::thread::sleep(Duration::from_millis(50));
        wal.sync()?;
        let before = machine::processor_time()?;
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let busy = machine::processor_time()?.saturating_sub(before);
        let busy = busy.as_secs_f64() * 1e3 / begun.elapsed().as_secs_f64();
        wal.append("two")?;
        waiting.join().map_err(|_| "the following thread panicked")??;
        Ok(busy)
    })?;
    wal.close()?;
    Ok(figures::one(figures::CPU, busy))
}
