//! Reading a fixture: from end to end, and in random places.

use std::hint::black_box;
use std::time::{Duration, Instant};

use walden::Wal;

use super::clock::{Repeat, evict, rates};
use super::{Place, fixture, log_of};
use crate::figures::{Figures, Latencies, Result};
use crate::subject::{Fixture, Way};

/// Reads all of it, again and again.
pub(super) fn walk(place: &Place, fixture: &Fixture, way: Way, cold: bool) -> Result<Figures> {
    let dir = log_of(&place.fixtures, fixture);
    let wal = Wal::open(&dir, fixture::config(fixture))?;
    let mut repeat = Repeat::new(place.seconds);
    while repeat.again() {
        if cold {
            evict(&dir)?;
        }
        repeat.time(|| once(&wal, way))?;
        if repeat.last() != wal.next_seq() - wal.first_seq() {
            return Err(format!("{} entries read", repeat.last()).into());
        }
    }
    wal.close()?;
    Ok(repeat.figures(fixture.payload))
}

fn once(wal: &Wal, way: Way) -> Result<u64> {
    let mut count = 0;
    match way {
        Way::Next => {
            let mut reader = wal.reader();
            while let Some(entry) = reader.read_next()? {
                black_box(entry.payload);
                count += 1;
            }
        }
        Way::Range => {
            for entry in wal.range(..)? {
                black_box(entry?);
                count += 1;
            }
        }
        Way::Backward => {
            let mut reader = wal.reader_at(wal.next_seq())?;
            while let Some(entry) = reader.read_prev()? {
                black_box(entry.payload);
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Random entries, each looked up by its seq id: by `get`, or by `seek` and `read_next`.
pub(super) fn random(place: &Place, fixture: &Fixture, seek: bool) -> Result<Figures> {
    let dir = log_of(&place.fixtures, fixture);
    let wal = Wal::open(&dir, fixture::config(fixture))?;
    warm(&dir)?;
    let records = wal.next_seq() - wal.first_seq();
    let mut reader = wal.reader();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut latencies = Latencies::new()?;
    let mut spent = Duration::ZERO;
    let mut count = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs_f64(place.seconds) || count == 0 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let seq = wal.first_seq() + (state >> 16) % records;
        let asked = Instant::now();
        let found = if seek {
            reader.seek(seq)?;
            reader.read_next()?.map(|entry| entry.seq)
        } else {
            wal.get(seq)?.map(|entry| entry.seq)
        };
        let took = asked.elapsed();
        if found != Some(seq) {
            return Err(format!("asked for {seq}, got {found:?}").into());
        }
        latencies.record(took);
        spent += took;
        count += 1;
    }
    wal.close()?;
    let mut figures = rates(count, fixture.payload, spent);
    latencies.add_to(&mut figures);
    Ok(figures)
}

/// Brings all files into the page cache.
fn warm(dir: &std::path::Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            std::io::copy(&mut std::fs::File::open(path)?, &mut std::io::sink())?;
        }
    }
    Ok(())
}
