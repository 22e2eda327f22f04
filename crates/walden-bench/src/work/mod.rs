//! What is done in a child process: one subject, once.

pub(crate) mod append;
pub(crate) mod clock;
pub(crate) mod fixture;
mod follow;
mod open;
mod read;

use std::path::{Path, PathBuf};

use crate::figures::{Figures, RESIDENT, Result};
use crate::subject::{Store, Subject};
use crate::{baseline, machine, peers, store};

/// Where a measurement works, and for how long.
pub(crate) struct Place {
    /// Fresh and its own.
    pub(crate) dir: PathBuf,
    /// Shared by all: the logs made once.
    pub(crate) fixtures: PathBuf,
    pub(crate) seconds: f64,
}

/// Measures `subject` in this process.
pub(crate) fn measure(subject: &Subject, place: &Place) -> Result<Figures> {
    let mut figures = run(subject, place)?;
    // Of a program that a peer is, this process knows no memory.
    if !subject.peer().is_some_and(peers::measures_itself)
        && let Some(mib) = machine::most_resident()
    {
        figures.insert(RESIDENT.to_owned(), mib);
    }
    Ok(figures)
}

fn run(subject: &Subject, place: &Place) -> Result<Figures> {
    let (dir, seconds) = (place.dir.as_path(), place.seconds);
    match *subject {
        Subject::Append { store, threads, payload, batch, most } => {
            let load = append::Load { threads, payload, batch, most, waits: store.waits() };
            match store {
                Store::Peer { peer, durable } => peers::append(dir, peer, durable, &load, seconds),
                _ => append::as_fast_as_possible(&*store::open(dir, &store)?, &load, seconds),
            }
        }
        Subject::Tickets { depth, payload } => append::tickets(dir, seconds, depth, payload),
        Subject::Paced { store, rate, payload } => {
            append::paced(&*store::open(dir, &store)?, seconds, rate, payload)
        }
        Subject::Sustained { store, payload, batch } => {
            append::sustained(&*store::open(dir, &store)?, seconds, payload, batch)
        }
        Subject::Read { fixture, way, cold } => read::walk(place, &fixture, way, cold),
        Subject::BareRead { records, payload, cold } => {
            baseline::reading::read(dir, seconds, records, payload, cold)
        }
        Subject::CopyAndSum { payload } => baseline::reading::copy_and_sum(seconds, payload),
        Subject::PeerRead { peer, records, payload } => {
            peers::read(dir, peer, seconds, records, payload)
        }
        Subject::Get { fixture } => read::random(place, &fixture, false),
        Subject::Seek { fixture } => read::random(place, &fixture, true),
        Subject::Open { fixture } => open::open(place, &fixture),
        Subject::Follow { rate, engine } => follow::follow(dir, seconds, rate, engine),
        Subject::HandOver { rate } => follow::hand_over(None, seconds, rate),
        Subject::HandOverByFile { rate } => follow::hand_over(Some(dir), seconds, rate),
        Subject::Idle => follow::idle(dir, seconds),
    }
}

/// The folder of a fixture.
fn log_of(fixtures: &Path, fixture: &crate::subject::Fixture) -> PathBuf {
    fixtures.join(fixture.folder())
}
