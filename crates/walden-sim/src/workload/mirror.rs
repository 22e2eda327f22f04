//! A copy of the log on another machine, kept by frames.

use std::path::Path;
use std::sync::Arc;

use walden::{Config, ErrorKind, Frames, Maintenance, Wal};

use super::DIR;
use super::model::Model;
use super::op::Step;
use super::run::{Done, Stop, must};
use super::violation::{Checked, Rule, broken, hold};
use crate::{CrashPlan, SimClock, SimDisk};

/// How often a copy may have to be cut, or begun anew, until frames fit.
const MAX_TRIES: usize = 8;

#[derive(Debug)]
pub(crate) struct Mirror {
    disk: SimDisk,
    clock: SimClock,
    wal: Wal,
}

impl Mirror {
    pub(crate) fn new(seed: u64) -> Checked<Self> {
        let clock = SimClock::new(!seed);
        let disk = SimDisk::with_clock(clock.clone());
        let wal = open(&disk, &clock)?;
        Ok(Self { disk, clock, wal })
    }

    /// Ships what is durable, from a little before the copy's end; what the copy then has is the log's.
    pub(crate) fn ship(&self, log: &Wal, model: &Model, overlap: u64, step: &Step) -> Done {
        for _ in 0..MAX_TRIES {
            // What waits for room cannot be read yet.
            let end = self.wal.next_seq().min(log.stats().written);
            let from = end.saturating_sub(overlap).max(model.first);
            let Some(frames) = log.frames(from, 600)? else {
                let durable = log.durable_seq();
                hold(Rule::Gap, from > durable, || format!("no frames from {from} of {durable}"))?;
                return Ok(());
            };
            let wire = Frames::from_bytes(frames.to_bytes())?;
            let seqs = wire.seqs();
            match self.wal.append_frames(&wire) {
                Ok(_) if self.wal.next_seq() > log.durable_seq() => {
                    return Ok(self.check(model, seqs.end)?);
                }
                Ok(_) => self.check(model, seqs.end)?,
                Err(error) => self.make_fit(&error, seqs.start, step)?,
            }
        }
        // A long way behind: the next time.
        Ok(())
    }

    /// Does what the error says.
    fn make_fit(&self, error: &walden::Error, start: u64, step: &Step) -> Checked {
        let at = error.seq().unwrap_or(0);
        let done = match error.kind() {
            // Its history may have gone with its front.
            ErrorKind::Gap | ErrorKind::Removed => self.wal.reset(start),
            ErrorKind::Diverged if at > self.wal.first_seq() => self.wal.truncate_back(at - 1),
            ErrorKind::Diverged => self.wal.reset(start),
            _ => Err(error.clone()),
        };
        must(done.map_err(Stop::from), &format!("frames of step {}", step.id))
    }

    /// The entries before `end` are the log's.
    fn check(&self, model: &Model, end: u64) -> Checked {
        let first = self.wal.first_seq().max(model.first);
        for seq in first..end {
            let entry = must(self.wal.get(seq).map_err(Stop::from), "the copy")?;
            let found = entry.map(|entry| entry.payload.to_vec());
            hold(Rule::Altered, found.as_deref() == model.payload(seq), || {
                format!("the copy has another {seq}")
            })?;
        }
        Ok(())
    }

    /// The other machine loses power; what its appends returned for is there.
    pub(crate) fn lose_power(&mut self, step: &Step) -> Checked {
        let (first, next) = (self.wal.first_seq(), self.wal.next_seq());
        let image = self.disk.crash(&mut CrashPlan::seeded(step.id));
        self.disk.stop_after(0);
        self.wal = open(&image, &self.clock)?;
        self.disk = image;
        let found = (self.wal.first_seq(), self.wal.next_seq());
        if found == (first, next) {
            return Ok(());
        }
        broken(Rule::Loss, format!("the copy has {found:?} after a power cut, not {first}..{next}"))
    }
}

fn open(disk: &SimDisk, clock: &SimClock) -> Checked<Wal> {
    let config = Config::durable().segment_size(500).maintenance(Maintenance::Manual);
    let storage = Arc::new(disk.clone());
    let wal = Wal::open_with(Path::new(DIR), config, storage, Arc::new(clock.clone()));
    must(wal.map_err(Stop::from), "the copy's disk")
}
