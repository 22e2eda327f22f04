//! Opening a log.

use std::time::Instant;

use walden::Wal;

use super::{Place, fixture, log_of};
use crate::figures::{CHECKED, Figures, OPEN_MS, Result};
use crate::subject::Fixture;

/// Opens the fixture once: the first opening in a process is what a start of a program meets.
pub(super) fn open(place: &Place, fixture: &Fixture) -> Result<Figures> {
    if fixture.killed {
        fixture::kill_a_writer(&place.fixtures, fixture)?;
    }
    let dir = log_of(&place.fixtures, fixture);
    let begun = Instant::now();
    let wal = Wal::open(&dir, fixture::config(fixture))?;
    let took = begun.elapsed();
    let recovery = wal.recovery();
    let next = wal.next_seq();
    wal.close()?;
    let clean = recovery.origin == walden::Origin::Clean;
    if clean == fixture.killed || next <= fixture.records {
        return Err(format!("{:?}, next seq id {next}: not as expected", recovery.origin).into());
    }
    Ok(Figures::from([
        (OPEN_MS.to_owned(), took.as_secs_f64() * 1e3),
        (CHECKED.to_owned(), recovery.bytes_checked as f64),
    ]))
}
