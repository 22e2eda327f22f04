//! Takes a log as it is: one of the Go library, or one whose first segments are missing.

use std::path::PathBuf;

use super::survey::{Kind, Known, expect_log, read_known, survey_known};
use super::verify::finding;
use super::{Progress, Target};
use crate::cursors::Cursors;
use crate::error::{Error, Result};
use crate::keeper::Keeper;
use crate::manifest::ManifestFile;
use crate::num;
use crate::recover::{Origin, WriterLock, ensure_manifest};
use crate::sync::Arc;

/// What was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adopted {
    /// It was a log of the Go library.
    pub foreign: bool,
    /// The seq ids that are missing in front: the first and the last.
    pub missing: Option<(u64, u64)>,
    /// Files that are missing.
    pub missing_files: Vec<PathBuf>,
    /// The first seq id now.
    pub first_seq: u64,
    /// The seq id that follows the last entry.
    pub next_seq: u64,
}

/// Accepts that segments are missing in front, or makes the manifest of a Go log.
///
/// # Errors
/// `Locked` beside a writer; `Corrupt` where something else is wrong (nothing was changed); `NotFound`, `Io`.
pub fn adopt(target: &Target, progress: &mut dyn FnMut(Progress)) -> Result<Adopted> {
    // Before the lock, whose file would be made.
    expect_log(target)?;
    let mut lock = WriterLock::take(&*target.storage, &target.names)?;
    let (known, note) = read_known(target)?;
    if let Known::Stranger(error) | Known::Unsound(error) = &known {
        return Err(error.clone());
    }
    let survey = survey_known(target, known, note.clone(), false, progress)?;
    if let Some(spot) = survey.damages().find(|spot| spot.kind != Kind::Front) {
        return Err(Error::corrupt(spot.what.clone())
            .path(&spot.path)
            .offset_at(spot.offset)
            .seq_at(spot.expected)
            .advice(format!("nothing was changed; next: {}", finding(target, spot).next_command)));
    }
    let mut adopted = Adopted {
        foreign: false,
        missing: None,
        missing_files: Vec::new(),
        first_seq: survey.first_seq,
        next_seq: survey.next_seq,
    };
    if survey.known.manifest().is_none() {
        let origin =
            ensure_manifest(&*target.storage, &*target.clock, &target.names, &note, false)?;
        adopted.foreign = origin == Origin::Adopted;
    }
    let (file, found) = ManifestFile::open(&*target.storage, &target.names)?;
    file.write_again(&found.manifest)?;
    lock.sign(&*target.clock, found.manifest.log_id);
    let Some(spot) = survey.damages().find(|spot| spot.kind == Kind::Front) else {
        return Ok(adopted);
    };
    let mut keeper = Keeper {
        storage: Arc::clone(&target.storage),
        clock: Arc::clone(&target.clock),
        names: target.names.clone(),
        file: Arc::new(file),
        cursors: Arc::new(Cursors::load(
            Arc::clone(&target.storage),
            &target.names,
            found.manifest.log_id,
        )?),
        manifest: found.manifest,
        unremoved: Vec::new(),
    };
    let mut next = keeper.manifest.clone();
    let sealed: Vec<u64> =
        survey.pieces.iter().filter(|p| p.sealed).map(|piece| piece.from.ordinal).collect();
    let first = sealed.first().copied().unwrap_or(next.open_from);
    adopted.missing_files =
        (next.first_ordinal..first).take(1000).map(|o| target.names.wal(o)).collect();
    adopted.missing = spot.lost();
    next.first_ordinal = first;
    next.first_seq = spot.lost().map_or(next.first_seq, |(_, last)| last + 1);
    next.lowest_next = next.lowest_next.max(next.first_seq);
    next.sealed_count = num::size(sealed.len());
    let first_seq = next.first_seq;
    next.drop_before(first_seq);
    keeper.commit(next)?;
    adopted.first_seq = first_seq;
    Ok(adopted)
}
