//! Many followers of one log.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use walden::{Config, Event, Wal};

use super::{percentiles, table};
use crate::figures::{Latencies, Result};
use crate::machine;

/// Entries that each follower gets, one after the other.
const ENTRIES: u32 = 200;
const STACK: usize = 128 << 10;

pub(super) fn run(count: u32, dir: &Path) -> Result<String> {
    let scratch = crate::scratch(dir)?;
    let wal = Wal::open(scratch.path().join("walden"), Config::os_cache())?;
    wal.append("one")?;
    wal.sync()?;
    let origin = Instant::now();
    let all_have_it = Barrier::new(usize::try_from(count)? + 1);
    let (latencies, busy, last) = std::thread::scope(|scope| -> Result<_> {
        let mut threads = Vec::new();
        for _ in 0..count {
            let (follower, all_have_it) = (wal.follow(wal.next_seq())?, &all_have_it);
            let follow = move || follow(follower, origin, all_have_it);
            threads
                .push(std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, follow)?);
        }
        let busy = idle()?;
        let mut last = Latencies::new()?;
        for _ in 0..ENTRIES {
            let sent = Instant::now();
            wal.append(u64::try_from(origin.elapsed().as_nanos())?.to_le_bytes())?;
            all_have_it.wait();
            last.record(sent.elapsed());
        }
        let mut latencies = Latencies::new()?;
        for thread in threads {
            latencies.merge(&thread.join().map_err(|_| "a following thread panicked")??)?;
        }
        Ok((latencies, busy, last))
    })?;
    wal.close()?;
    let mut rows = vec![("processor time while nothing happens", format!("{busy:.2} ms/s in all"))];
    rows.push(("append to held, p50 and p99 of all", millis(&latencies)));
    rows.push(("append to held by the last, p50 and p99", millis(&last)));
    Ok(table(&format!("{count} followers, each a thread"), &rows))
}

fn follow(
    mut follower: walden::Follower,
    origin: Instant,
    all_have_it: &Barrier,
) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    for _ in 0..ENTRIES {
        let entry = loop {
            if let Event::Entry(entry) = follower.next_blocking()? {
                break entry;
            }
        };
        let held = u64::try_from(origin.elapsed().as_nanos())?;
        let sent = entry.payload.first_chunk().copied().map_or(0, u64::from_le_bytes);
        latencies.record(Duration::from_nanos(held.saturating_sub(sent)));
        // The next one is appended once all have this one.
        all_have_it.wait();
    }
    Ok(latencies)
}

/// Milliseconds of processor time in a second in which all wait.
fn idle() -> Result<f64> {
    std::thread::sleep(Duration::from_secs(1));
    let (before, begun) = (machine::processor_time()?, Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let busy = machine::processor_time()?.saturating_sub(before);
    Ok(busy.as_secs_f64() * 1e3 / begun.elapsed().as_secs_f64())
}

fn millis(latencies: &Latencies) -> String {
    let (p50, p99) = percentiles(latencies);
    format!("{:.2} ms, {:.2} ms", p50 / 1e3, p99 / 1e3)
}
