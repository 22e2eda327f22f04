//! Puts entries back that were lost, from another log that has them.
//!
//! For each segment that has lost some, a file is written beside it (`.next`, which opening removes): what is sound in
//! it, and what is missing, from the donor, proved ([`donor`](super::donor)). It is synced; the damaged one is copied to
//! quarantine, whole; then the new one takes its name, and the folder is synced. So each segment is as it was, or whole,
//! whenever this is cut off, and the same command goes on.
//!
//! What a mark or the manifest names by its offset lies in open segments: what is put back into one of those must take
//! exactly the room that was lost, so that nothing behind it moves. Records that were copied as they are do.

use std::path::PathBuf;

use super::donor::{Donor, Taking};
use super::mend::mend;
use super::output::{Sink, put_run};
use super::plan::plan_of;
use super::rebuild::sync_dir;
use super::repair::{Repaired, locked_survey, settled_manifest};
use super::survey::{Known, Piece, Survey, expect_log, survey};
use super::{Progress, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::num;
use crate::recover::{WriterLock, quarantine};
use crate::segment::READ_AHEAD;
use crate::storage::{File, read_full};

/// Entries of one segment that can be put back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Splice {
    /// The segment.
    pub path: PathBuf,
    /// The first and the last seq id of each range that is missing in it.
    pub lost: Vec<(u64, u64)>,
    /// Bytes of the records that come from the other log.
    pub bytes: u64,
    /// Why they cannot be put back; `None` where they can.
    pub problem: Option<Error>,
}

/// Says what could be put back from `donor`, reading and proving it. Changes nothing.
///
/// # Errors
/// `NotFound` where there is no log; `Unsupported` where a newer version wrote it; `Io`.
pub fn repair_from_plan(
    target: &Target,
    donor: &dyn Donor,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Splice>> {
    let survey = survey(target, progress)?;
    survey.known.refuse_newer()?;
    let jobs = jobs(target, &survey);
    Ok(jobs.iter().map(|job| job.tried(&survey, donor)).collect())
}

/// Puts back from `donor` what can be: the same entries under the same seq ids, each segment a step of its own.
/// Where some cannot, the others are put back all the same, and the plan tells of those.
///
/// # Errors
/// `Locked` beside a writer; `Corrupt` where the manifest is lost or unsound: repair that first; `Diverged`, `NotFound`
/// and what else keeps entries from being put back, where nothing could be; `OutOfSpace`; `Io`.
pub fn repair_from(
    target: &Target,
    donor: &dyn Donor,
    progress: &mut dyn FnMut(Progress),
) -> Result<Repaired> {
    // Before the lock, whose file would be made.
    expect_log(target)?;
    let _lock = WriterLock::take(&*target.storage, &target.names)?;
    let survey = locked_survey(target, progress)?;
    match &survey.known {
        Known::Found(_) => drop(settled_manifest(target)?),
        Known::Stranger(error) => return Err(error.clone()),
        Known::Missing(_) | Known::Unsound(_) => {
            return Err(Error::corrupt("the manifest is missing or unsound")
                .path(&target.names.manifest())
                .advice(format!("make it anew first: {}", target.command("repair"))));
        }
    }
    let mut done = Repaired {
        steps: Vec::new(),
        kept_in: Vec::new(),
        still_damaged: false,
        next_command: String::new(),
    };
    let mut failed = None;
    for job in jobs(target, &survey) {
        match job.carry_out(target, &survey, donor, &mut done) {
            Ok(()) => {}
            Err(error) if error.is_out_of_space() => return Err(error),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    if let Some(error) = failed.filter(|_| done.steps.is_empty()) {
        return Err(error);
    }
    // A file that stands for several is one less than the manifest counts.
    let survey = locked_survey(target, progress)?;
    mend(target, &survey, &mut done)?;
    let left = plan_of(target, &locked_survey(target, progress)?);
    done.still_damaged = left.is_damaged();
    done.next_command =
        if done.still_damaged { target.command("repair") } else { target.command("verify") };
    Ok(done)
}

/// Entries that are missing at one place of a segment.
#[derive(Debug, Clone, Copy)]
struct Hole {
    lost: (u64, u64),
    from: u64,
    /// Where what follows begins; `None`: nothing follows in this file.
    to: Option<u64>,
}

/// A segment to be written anew.
struct Job<'a> {
    ordinal: u64,
    path: PathBuf,
    /// `None`: the file is missing.
    piece: Option<&'a Piece>,
    holes: Vec<Hole>,
}

/// What is to be done, in the order of the log.
fn jobs<'a>(target: &Target, survey: &'a Survey) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for spot in survey.damages().filter(|spot| !spot.kind.is_mendable()) {
        let Some(lost) = spot.lost() else { continue };
        let at = survey.pieces.iter().position(|piece| piece.from.path == spot.path);
        let mut piece = at.and_then(|at| survey.pieces.get(at));
        let mut hole = Hole { lost, from: spot.offset, to: None };
        let marked = survey.zone.is_some_and(|zone| zone.ordinal == spot.ordinal);
        let before = at.and_then(|at| survey.pieces.get(at.checked_sub(1)?));
        if let Some(before) = before.filter(|_| spot.offset == 0 && spot.len == 0 && !marked) {
            // Missing in front of this one: they were at the end of the one before.
            hole.from = before.runs.last().map_or(0, |run| run.to);
            piece = Some(before);
        } else if let Some(piece) = piece {
            let behind = piece.runs.iter().find(|run| run.from >= spot.offset);
            hole.to = behind.map(|run| run.from);
        }
        let ordinal = piece.map_or(spot.ordinal, |piece| piece.from.ordinal);
        match jobs.iter_mut().find(|job| job.ordinal == ordinal) {
            Some(job) => job.holes.push(hole),
            None => {
                let path = target.names.wal(ordinal);
                jobs.push(Job { ordinal, path, piece, holes: vec![hole] });
            }
        }
    }
    jobs
}

impl Job<'_> {
    fn lost(&self) -> Vec<(u64, u64)> {
        self.holes.iter().map(|hole| hole.lost).collect()
    }

    /// Whether it could be done.
    fn tried(&self, survey: &Survey, donor: &dyn Donor) -> Splice {
        let tried = self.check(survey, donor);
        let (bytes, problem) = match tried {
            Ok(lens) => (lens.iter().sum(), None),
            Err(error) => (0, Some(error)),
        };
        Splice { path: self.path.clone(), lost: self.lost(), bytes, problem }
    }

    /// How many bytes each hole gets.
    ///
    /// # Errors
    /// Why it cannot be done.
    fn check(&self, survey: &Survey, donor: &dyn Donor) -> Result<Vec<u64>> {
        if self.piece.is_some_and(|piece| piece.runs.iter().any(|run| !run.proved)) {
            let what = "what is sound in this segment cannot be told for certain";
            return Err(Error::new(ErrorKind::Unsupported, what).path(&self.path));
        }
        let taking = Taking::new(donor, survey);
        let mut lens = Vec::with_capacity(self.holes.len());
        for hole in &self.holes {
            let len = taking.take(hole.lost, &mut |_| Ok(()))?;
            self.fits(survey, hole, len)?;
            lens.push(len);
        }
        Ok(lens)
    }

    fn is_sealed(&self, survey: &Survey) -> bool {
        survey.known.manifest().is_some_and(|manifest| self.ordinal < manifest.open_from)
    }

    /// In an open segment, what is behind the hole must stay where it is.
    fn fits(&self, survey: &Survey, hole: &Hole, len: u64) -> Result<()> {
        if self.is_sealed(survey) {
            return Ok(());
        }
        let zone = survey.zone.filter(|zone| zone.ordinal == self.ordinal);
        let marked = zone.filter(|zone| zone.next_seq == hole.lost.1.saturating_add(1));
        let wanted = hole.to.or(marked.map(|zone| zone.offset));
        let Some(wanted) = wanted.and_then(|to| to.checked_sub(hole.from)) else { return Ok(()) };
        if wanted == len {
            return Ok(());
        }
        let what = format!(
            "the other log stores these entries in {len} bytes, and {wanted} are missing here: what is behind \
             them in the open segment would have to move"
        );
        Err(Error::new(ErrorKind::Unsupported, what)
            .path(&self.path)
            .offset_at(hole.from)
            .seqs(hole.lost.0, hole.lost.1)
            .advice("take a log that is a copy of this one, or an archive of it; or salvage"))
    }

    fn carry_out(
        &self,
        target: &Target,
        survey: &Survey,
        donor: &dyn Donor,
        done: &mut Repaired,
    ) -> Result<()> {
        self.check(survey, donor)?;
        let made = target.names.next(self.ordinal);
        let io = |doing: &str, error| Error::io(doing, &made, error);
        match target.storage.remove(&made) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove", error));
            }
            _ => {}
        }
        let written = self.write(target, survey, donor, &made);
        if let Err(error) = written {
            // Half of it is of no use, and its room is wanted; opening removes it as well.
            drop(target.storage.remove(&made));
            return Err(error);
        }
        if self.piece.is_some() {
            let generation = survey.known.manifest().map_or(0, |manifest| manifest.generation);
            let (prefix, ordinal) = (target.names.prefix(), self.ordinal);
            let name = format!("{prefix}-{ordinal:04}-damaged-gen-{generation}.bytes");
            let kept = quarantine::keep_file(&*target.storage, &target.names, &self.path, &name)?;
            done.steps.push(format!("kept a copy of the damaged segment in {}", kept.display()));
            done.kept_in.push(kept);
        }
        target
            .storage
            .rename(&made, &self.path)
            .map_err(|error| Error::io("put the segment in its place", &self.path, error))?;
        sync_dir(target)?;
        // It was of the damaged one: made again.
        match target.storage.remove(&target.names.index(self.ordinal)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &target.names.index(self.ordinal), error));
            }
            _ => {}
        }
        for (first, last) in self.lost() {
            let path = self.path.display();
            done.steps.push(format!("put seq ids {first}..={last} back into {path}"));
        }
        Ok(())
    }

    fn write(
        &self,
        target: &Target,
        survey: &Survey,
        donor: &dyn Donor,
        made: &std::path::Path,
    ) -> Result<()> {
        let taking = Taking::new(donor, survey);
        let mut sink = Sink::create(target, made)?;
        let sealed = self.is_sealed(survey);
        let runs = self.piece.map(|piece| piece.runs.as_slice()).unwrap_or_default();
        let mut holes = self.holes.iter().peekable();
        let mut next = None;
        let mut end = 0;
        for run in runs {
            while let Some(hole) = holes.next_if(|hole| hole.from <= run.from) {
                self.follows(&mut next, hole.lost.0, hole.lost.1 + 1)?;
                taking.take(hole.lost, &mut |bytes| sink.put(bytes))?;
            }
            self.follows(&mut next, run.first_seq, run.next_seq)?;
            if let Some(piece) = self.piece {
                put_run(&mut sink, piece, run)?;
            }
            end = run.to;
        }
        for hole in holes {
            self.follows(&mut next, hole.lost.0, hole.lost.1 + 1)?;
            end = end.max(hole.from) + taking.take(hole.lost, &mut |bytes| sink.put(bytes))?;
        }
        if let Some(piece) = self.piece.filter(|_| !sealed) {
            // What is in doubt, and the space that is kept for what comes next.
            put_rest(&mut sink, piece, end)?;
        }
        sink.finish().map(drop)
    }

    /// Refuses entries that do not follow those before.
    fn follows(&self, next: &mut Option<u64>, first: u64, behind: u64) -> Result<()> {
        if next.is_some_and(|next| next != first) {
            let what = "what is sound in this segment does not follow each other";
            return Err(Error::new(ErrorKind::Unsupported, what)
                .path(&self.path)
                .seq_at(first)
                .advice("see what stands where: walden verify, walden salvage"));
        }
        *next = Some(behind);
        Ok(())
    }
}

/// Copies what lies behind `at` in a segment.
fn put_rest(sink: &mut Sink<'_>, piece: &Piece, mut at: u64) -> Result<()> {
    let file: &dyn File = &*piece.from.file;
    let mut buffer = vec![0; num::index(READ_AHEAD)];
    loop {
        let got = read_full(file, &mut buffer, at)
            .map_err(|error| Error::io("read", &piece.from.path, error))?;
        sink.put(buffer.get(..got).unwrap_or_default())?;
        at += num::size(got);
        if got < buffer.len() {
            return Ok(());
        }
    }
}
