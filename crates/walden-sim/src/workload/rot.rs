//! Bit rot: after it, everything read is what was appended, and all else is an error.

use walden::{Error, ErrorKind, Wal};

use super::DIR;
use super::run::Run;
use super::violation::{Checked, Rule, broken, hold};
use crate::CrashPlan;
use crate::num::{index, size};

/// Turns a bit over in what a power cut leaves now, in a file at so many thousandths of all of them.
pub(crate) fn check(run: &Run, at: u64, bit: u64) -> Checked {
    let disk = run.disk.crash(&mut CrashPlan::seeded(bit));
    let mut files = disk.files();
    files.retain(|path| path.starts_with(DIR));
    let Some(path) = files.get(files.len() * index(at.min(999)) / 1000) else { return Ok(()) };
    let bits = size(disk.read_file(path).map_or(0, |bytes| bytes.len())) * 8;
    if bits == 0 || disk.flip_bit(path, bit % bits).is_err() {
        return Ok(());
    }
    let which = format!("bit {} of {}", bit % bits, path.display());
    let said = match run.open_on(&disk, run.config()) {
        Ok(wal) => look(run, &wal),
        Err(error) => told(run, &error),
    };
    // What a cut through a batch kept lies in a `.next` until the cut is done. The lock file says which log's manifest
    // belongs here. All else is there twice, or can be made anew.
    let matters = path.extension().and_then(|ending| ending.to_str());
    let matters = matters.is_some_and(|ending| ["wal", "next", "lock"].contains(&ending));
    let said = said.and_then(|damaged| {
        hold(Rule::Damage, matters || !damaged, || "taken for damage of the log".to_owned())
    });
    drop(disk);
    said.map_err(|mut violation| {
        violation.what = format!("{which} rotted: {}", violation.what);
        violation
    })
}

/// An error that says so: `true` where it is for damage.
fn told(run: &Run, error: &Error) -> Checked<bool> {
    let right = match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Unsupported => true,
        ErrorKind::OutOfSpace => run.limited,
        _ => false,
    };
    hold(Rule::Damage, right, || format!("{error:?}"))?;
    Ok(error.kind() != ErrorKind::OutOfSpace)
}

/// Whether damage is told.
fn look(run: &Run, wal: &Wal) -> Checked<bool> {
    let model = &run.model;
    let (first, next) = (wal.first_seq(), wal.next_seq());
    hold(Rule::Gap, first == model.first, || format!("begins at {first}"))?;
    hold(Rule::Ghost, next <= model.next(), || format!("ends before {next}"))?;
    let entries = match wal.range(..) {
        Ok(entries) => entries,
        Err(error) => return told(run, &error),
    };
    let mut seq = first;
    for entry in entries {
        match entry {
            Ok(entry) => {
                hold(Rule::Gap, entry.seq == seq, || format!("{} for {seq}", entry.seq))?;
                hold(Rule::Altered, model.payload(seq) == Some(&entry.payload[..]), || {
                    format!("{seq} is altered")
                })?;
                seq += 1;
            }
            Err(error) => return told(run, &error),
        }
    }
    hold(Rule::Gap, seq == next, || format!("reading ends before {seq}, not {next}"))?;
    if next < model.durable {
        // In the doubt zone rot cannot be told from a torn write: then it is reported.
        let cut = wal.recovery().cut;
        let reported = cut.is_some_and(|cut| *cut.possibly_acknowledged.start() <= next);
        if !reported {
            return broken(Rule::Loss, format!("ends before {next}, of {}", model.durable));
        }
        return Ok(true);
    }
    Ok(false)
}
