//! Appending: as fast as possible, at fixed moments, and for a minute against the disk.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use walden::{Config, Ticket, Wal};

use super::clock::{Schedule, rates};
use crate::baseline::noise;
use crate::figures::{self, Figures, Latencies, Result};
use crate::store::{Store, Worker};

/// How much is appended, and by how many.
pub(crate) struct Load {
    pub(crate) threads: usize,
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    /// Entries to stop at, of all threads together; 0 for none.
    pub(crate) most: u64,
    /// Whether appends wait for the disk.
    pub(crate) waits: bool,
}

/// How many entries one thread appended, and until when.
struct Done {
    count: u64,
    latencies: Latencies,
    ended: Instant,
}

/// A closed loop: each thread appends again as soon as it may.
pub(crate) fn as_fast_as_possible(store: &dyn Store, load: &Load, seconds: f64) -> Result<Figures> {
    let barrier = Barrier::new(load.threads);
    let start = OnceLock::new();
    let done: Vec<Result<Done>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.threads)
            .map(|_| scope.spawn(|| append_until(store, load, seconds, &barrier, &start)))
            .collect();
        let died = || Err("an appending thread panicked".into());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    let begun = *start.get().ok_or("no thread began")?;
    let (mut count, mut spent, mut latencies) = (0, Duration::ZERO, Latencies::new()?);
    for done in done {
        let done = done?;
        count += done.count;
        spent = spent.max(done.ended.saturating_duration_since(begun));
        latencies.merge(&done.latencies)?;
    }
    let mut figures = rates(count, load.payload, spent);
    latencies.add_to(&mut figures);
    figures.extend(store.figures());
    Ok(figures)
}

fn append_until(
    store: &dyn Store,
    load: &Load,
    seconds: f64,
    barrier: &Barrier,
    start: &OnceLock<Instant>,
) -> Result<Done> {
    let payload = noise(load.payload);
    let entries = vec![payload.as_slice(); load.batch];
    let mut latencies = Latencies::new()?;
    let worker = store.worker();
    // All wait here, those without a worker too, or the rest would wait for ever.
    barrier.wait();
    let mut worker = worker?;
    let begun = *start.get_or_init(Instant::now);
    let limit = Duration::from_secs_f64(seconds);
    let most = if load.most == 0 { u64::MAX } else { load.most / load.threads as u64 };
    // Where an append takes a microsecond, looking at the clock each time would be seen.
    let each = load.waits || load.payload * load.batch >= 16 << 10;
    let mut count = 0;
    let mut now = Instant::now();
    while now.duration_since(begun) < limit && count < most {
        let before = now;
        let chunk = if each { 1 } else { (most - count).div_ceil(load.batch as u64).min(64) };
        for _ in 0..chunk {
            append_once(&mut *worker, &entries)?;
        }
        count += chunk * load.batch as u64;
        now = Instant::now();
        if each {
            latencies.record(now.duration_since(before));
        }
    }
    Ok(Done { count, latencies, ended: now })
}

fn append_once(worker: &mut dyn Worker, entries: &[&[u8]]) -> Result<()> {
    match entries {
        [single] => worker.append(single),
        batch => worker.append_batch(batch),
    }
}

/// One thread that keeps `depth` tickets in flight.
pub(crate) fn tickets(dir: &Path, seconds: f64, depth: usize, payload: usize) -> Result<Figures> {
    let wal = Wal::open(dir.join("walden"), Config::durable())?;
    let bytes = noise(payload);
    let mut flying: VecDeque<(Instant, Ticket)> = VecDeque::with_capacity(depth);
    let mut latencies = Latencies::new()?;
    let mut count = 0;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    while begun.elapsed() < limit {
        if flying.len() >= depth
            && let Some((submitted, oldest)) = flying.pop_front()
        {
            oldest.wait()?;
            latencies.record(submitted.elapsed());
            count += 1;
        }
        flying.push_back((Instant::now(), wal.submit(&bytes)?));
    }
    let mut figures = rates(count, payload, begun.elapsed());
    latencies.add_to(&mut figures);
    drop(flying);
    wal.close()?;
    Ok(figures)
}

/// An open loop: one thread appends at fixed moments, and a latency counts from the moment it was due.
pub(crate) fn paced(store: &dyn Store, seconds: f64, rate: u32, payload: usize) -> Result<Figures> {
    let bytes = noise(payload);
    let mut worker = store.worker()?;
    let mut latencies = Latencies::new()?;
    let mut count = 0;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    let mut schedule = Schedule::new(rate);
    while begun.elapsed() < limit {
        let due = schedule.next();
        worker.append(&bytes)?;
        latencies.record(due.elapsed());
        count += 1;
    }
    let mut figures = rates(count, payload, begun.elapsed());
    latencies.add_to(&mut figures);
    figures.extend(store.figures());
    Ok(figures)
}

/// Appends for `seconds` and then makes all durable, which is timed too: so the disk has had to take it all.
pub(crate) fn sustained(
    store: &dyn Store,
    seconds: f64,
    payload: usize,
    batch: usize,
) -> Result<Figures> {
    let bytes = noise(payload);
    let entries = vec![bytes.as_slice(); batch];
    let mut worker = store.worker()?;
    let mut count = 0;
    let mut pause = Duration::ZERO;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    let mut now = begun;
    while now.duration_since(begun) < limit {
        append_once(&mut *worker, &entries)?;
        count += batch as u64;
        let before = std::mem::replace(&mut now, Instant::now());
        pause = pause.max(now.duration_since(before));
    }
    drop(worker);
    store.finish()?;
    let spent = begun.elapsed();
    let mut figures = rates(count, payload, spent);
    figures.extend(store.figures());
    // Walden counts its headers and footers; the bare loop has none.
    let bytes = figures.get(figures::BYTES).copied().unwrap_or(count as f64 * payload as f64);
    let rate = bytes / f64::from(1 << 20) / spent.as_secs_f64();
    figures.insert(figures::DISK_RATE.to_owned(), rate);
    figures.insert(figures::PAUSE.to_owned(), pause.as_secs_f64() * 1e3);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Counts, and fails at a certain entry if told.
    #[derive(Default)]
    struct Counting {
        entries: AtomicU64,
        fails_at: Option<u64>,
    }

    impl Store for Counting {
        fn worker(&self) -> Result<Box<dyn Worker + '_>> {
            Ok(Box::new(self))
        }
    }

    impl Worker for &Counting {
        fn append(&mut self, payload: &[u8]) -> Result<()> {
            self.append_batch(&[payload])
        }

        fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
            let before = self.entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
            match self.fails_at {
                Some(at) if at <= before => Err("told to fail".into()),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn what_is_counted_is_what_was_appended() {
        for (threads, batch, waits) in [(1, 1, false), (3, 1, true), (2, 64, false)] {
            let store = Counting::default();
            let load = Load { threads, payload: 16, batch, most: 0, waits };
            let figures = as_fast_as_possible(&store, &load, 0.02).unwrap();
            let appended = store.entries.load(Ordering::Relaxed) as f64;
            // The threads begin together and the clock starts then: the rate times the time is the count.
            let spent = appended / figures[figures::RATE];
            assert!((0.02..5.0).contains(&spent), "{spent}");
            assert_eq!(figures.contains_key("p50_us"), waits);
        }
    }

    #[test]
    fn the_limit_is_kept_and_a_failure_is_told() {
        let load = Load { threads: 4, payload: 16, batch: 1, most: 100, waits: false };
        let store = Counting::default();
        as_fast_as_possible(&store, &load, 60.0).unwrap();
        assert_eq!(store.entries.load(Ordering::Relaxed), 100);
        let store = Counting { fails_at: Some(10), ..Counting::default() };
        let error = as_fast_as_possible(&store, &load, 60.0).unwrap_err();
        assert_eq!(error.to_string(), "told to fail");
    }

    #[test]
    fn an_append_that_stalls_delays_those_that_were_due_meanwhile() {
        struct Stalling(AtomicU64);

        impl Store for Stalling {
            fn worker(&self) -> Result<Box<dyn Worker + '_>> {
                Ok(Box::new(self))
            }
        }

        impl Worker for &Stalling {
            fn append(&mut self, _: &[u8]) -> Result<()> {
                if self.0.fetch_add(1, Ordering::Relaxed) == 10 {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Ok(())
            }

            fn append_batch(&mut self, _: &[&[u8]]) -> Result<()> {
                Ok(())
            }
        }

        // One stall of 50 ms in 100 ms: with coordinated omission one append of a hundred would be slow; counted
        // from when they were due, nearly half are.
        let figures = paced(&Stalling(AtomicU64::new(0)), 0.1, 1000, 16).unwrap();
        assert!(figures["p90_us"] > 10_000.0, "{figures:?}");
    }
}
