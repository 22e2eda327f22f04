//! One way of appending, measured.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use walden::{Compression, Config, Wal};

use crate::figures::Result;

/// How records are stored.
pub(super) struct Way<'a> {
    pub(super) compression: Compression,
    /// The file of a dictionary.
    pub(super) dictionary: Option<&'a [u8]>,
    pub(super) batch: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) ratio: f64,
    pub(super) append: f64,
    pub(super) read: f64,
}

/// Processor time of this thread.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn clear(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The file of a dictionary that was trained from `records`; `None` where none comes of them.
pub(super) fn dictionary(dir: &Path, records: &[&[u8]]) -> Result<Option<Vec<u8>>> {
    clear(dir)?;
    let wal = Wal::open(dir, Config::background())?;
    for batch in records.chunks(1024) {
        wal.append_batch(batch)?;
    }
    match wal.train_dictionary(110 << 10) {
        Ok(made) => Ok(Some(wal.dictionary(made.id)?)),
        Err(error) if error.kind() == walden::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The median of several rounds, of each figure by itself.
pub(super) fn median(dir: &Path, records: &[&[u8]], way: &Way<'_>, rounds: u32) -> Result<Made> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(once(dir, records, way)?);
    }
    let middle = |figure: fn(&Made) -> f64| {
        let mut values: Vec<f64> = all.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Ok(Made {
        ratio: middle(|made| made.ratio),
        append: middle(|made| made.append),
        read: middle(|made| made.read),
    })
}

fn once(dir: &Path, records: &[&[u8]], way: &Way<'_>) -> Result<Made> {
    clear(dir)?;
    let wal = Wal::open(dir, Config::background().compression(way.compression))?;
    if let Some(dictionary) = way.dictionary {
        wal.add_dictionary(dictionary)?;
    }
    // What is made ready once, and files' first pages.
    for record in records.iter().take(64) {
        wal.append(record)?;
    }
    let before = wal.stats().bytes_appended;
    let first = wal.next_seq();
    let begun = now();
    if way.batch == 1 {
        for record in records {
            wal.append(record)?;
        }
    } else {
        for batch in records.chunks(way.batch) {
            wal.append_batch(batch)?;
        }
    }
    let appending = now() - begun;
    let stored = wal.stats().bytes_appended - before;
    wal.flush()?;
    let mut reader = wal.reader_at(first)?;
    let (mut read, begun) = (0, now());
    while let Some(entry) = reader.read_next()? {
        read += entry.payload.len();
    }
    let reading = now() - begun;
    let payload = records.iter().map(|record| record.len()).sum::<usize>();
    if read != payload {
        return Err(format!("{read} bytes were read of {payload}").into());
    }
    wal.close()?;
    let rate = |time: Duration| payload as f64 / 1e6 / time.as_secs_f64().max(1e-9);
    let ratio = payload as f64 / stored as f64;
    Ok(Made { ratio, append: rate(appending), read: rate(reading) })
}
