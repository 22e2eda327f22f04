//! Many logs in one process.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use walden::{Config, Maintenance, Wal};

use super::table;
use crate::figures::Result;
use crate::machine::{self, Held};

/// Segments are small, as they would be for so many logs.
const SEGMENT: u64 = 1 << 20;
/// How many appends wait for their syncs at a time.
const TOGETHER: usize = 64;

pub(super) fn run(count: u32, manual: bool, dir: &Path) -> Result<String> {
    let scratch = crate::scratch(dir)?;
    let config = Config::durable().segment_size(SEGMENT).maintenance(if manual {
        Maintenance::Manual
    } else {
        Maintenance::Thread
    });
    let open = |i: u32| Wal::open(scratch.path().join(i.to_string()), config.clone());
    let before = Held::look()?;
    let (logs, made) = timed(|| (0..count).map(open).collect::<walden::Result<Vec<_>>>())?;
    let held = Held::look()?;
    let one = |more: u64, less: u64| more.saturating_sub(less) as f64 / f64::from(count);
    let alone = durable(logs.iter().take(1), count)?;
    let spread = durable(logs.iter(), count)?;
    let ready = Held::look()?;
    let idle = idle(&logs)?;
    let (_, closed) = timed(|| logs.iter().try_for_each(Wal::close))?;
    drop(logs);
    let (logs, opened) = timed(|| (0..count).map(open).collect::<walden::Result<Vec<_>>>())?;
    logs.iter().try_for_each(Wal::close)?;
    let each = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3 / f64::from(count));
    let what = format!("{count} logs, {}", if manual { "no threads" } else { "a thread each" });
    Ok(table(
        &what,
        &[
            ("made, each", each(made)),
            ("closed, each", each(closed)),
            ("opened again, each", each(opened)),
            ("memory, each", format!("{:.1} KiB", one(held.resident, before.resident) / 1024.0)),
            (
                "memory after some appends, each",
                format!("{:.1} KiB", one(ready.resident, before.resident) / 1024.0),
            ),
            ("descriptors, each", format!("{:.2}", one(ready.descriptors, before.descriptors))),
            ("threads, each", format!("{:.2}", one(ready.threads, before.threads))),
            ("durable appends a second, 64 tickets in flight, one log", format!("{alone:.0}")),
            ("the same, spread over all logs", format!("{spread:.0}")),
            ("processor time while nothing happens", format!("{idle:.2} ms/s in all")),
        ],
    ))
}

fn timed<T>(work: impl FnOnce() -> walden::Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    let done = work()?;
    Ok((done, begun.elapsed()))
}

/// Appends that are durable, a second: `count` and at least some thousands, in turn over `logs`, `TOGETHER` in flight.
fn durable<'a>(logs: impl Iterator<Item = &'a Wal> + Clone, count: u32) -> Result<f64> {
    let appends = usize::try_from(count)?.max(4000);
    let begun = Instant::now();
    let mut waiting = VecDeque::new();
    for wal in logs.cycle().take(appends) {
        waiting.push_back(wal.submit([7; 128])?);
        if waiting.len() < TOGETHER {
            continue;
        }
        if let Some(ticket) = waiting.pop_front() {
            ticket.wait()?;
        }
    }
    waiting.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    Ok(appends as f64 / begun.elapsed().as_secs_f64())
}

/// Milliseconds of processor time in a second in which nothing is asked of the logs.
fn idle(logs: &[Wal]) -> Result<f64> {
    logs.iter().try_for_each(Wal::sync)?;
    std::thread::sleep(Duration::from_secs(1));
    let (before, begun) = (machine::processor_time()?, Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let busy = machine::processor_time()?.saturating_sub(before);
    Ok(busy.as_secs_f64() * 1e3 / begun.elapsed().as_secs_f64())
}
