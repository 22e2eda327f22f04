//! The end of a log that was not closed cleanly: cut off, described, and begun anew.

use super::folder::Folder;
use super::report::CutTail;
use super::scan::{self, Candidate, Scan};
use super::{Active, quarantine};
use crate::error::Result;
use crate::keeper::{Complete, Keeper};
use crate::segment::Index;
use crate::storage::Access;
use crate::sync::Arc;
use crate::trim::cut::Keep;

pub(super) fn complete(scanned: &scan::Scanned) -> Complete {
    Complete {
        ordinal: scanned.from.ordinal,
        path: scanned.from.path.clone(),
        file: Arc::clone(&scanned.from.file),
        end: scanned.end,
        next_seq: scanned.next_seq,
    }
}

/// The empty segment (or the one with a batch's survivors) that begins after a cut.
pub(crate) fn active_after_cut(keeper: &Keeper) -> Result<Active> {
    let manifest = &keeper.manifest;
    let candidate =
        Candidate::open(&*keeper.storage, &keeper.names, manifest.active, Access::ReadWrite)?;
    let end =
        manifest.base.filter(|base| base.ordinal == manifest.active).map_or(0, |base| base.offset);
    let index = if end == 0 { Some(Index::default()) } else { None };
    Ok(Active {
        ordinal: manifest.active,
        file: candidate.file,
        end,
        first_seq: manifest.open_seq,
        index,
    })
}

/// Keeps the tail aside and declares it cut off; [`finish_cut`] does what is left. What is kept was written again and
/// synced before.
///
/// # Errors
/// Nothing was cut then: `OutOfSpace` where there is no room for a copy. It can be tried again.
pub(crate) fn cut_tail(keeper: &mut Keeper, scan: &Scan) -> Result<CutTail> {
    // First: where there is no room for a copy, what was found counts as durable all the same, and so must its names.
    keeper.sync_dir()?;
    let generation = keeper.manifest.generation;
    let kept = quarantine::keep_tails(&*keeper.storage, &keeper.names, scan, generation)?;
    let last = scan.segments.iter().rposition(scan::Scanned::has_records);
    for (at, scanned) in scan.segments.iter().enumerate() {
        match (last, scan.segments.get(at + 1)) {
            (Some(last), Some(successor)) if at < last => {
                // An earlier try may have come this far.
                if scanned.from.ordinal >= keeper.manifest.open_from {
                    keeper.seal(&complete(scanned), successor.from.ordinal)?;
                }
            }
            _ => break,
        }
    }
    let folder = Folder::list(&*keeper.storage, &keeper.names)?;
    let keep = Keep {
        next_seq: scan.next_seq,
        kept: match last.and_then(|last| scan.segments.get(last)) {
            Some(scanned) => Some((scanned.from.ordinal, scanned.end)),
            None => last_sealed(keeper, &folder, scan.next_seq)?,
        },
        survivors: None,
    };
    keeper.commit_cut(&keep, &folder.segments)?;
    Ok(describe(scan, kept, true))
}

/// Removes what the manifest declares dead, and of older copies in quarantine those beyond the limit. The new segment
/// is still to begin.
///
/// # Errors
/// `Io`, `OutOfSpace`, `Corrupt`: to be tried again.
pub(crate) fn finish_cut(keeper: &Keeper, cut: &CutTail, quarantine_limit: u64) -> Result<()> {
    let folder = Folder::list(&*keeper.storage, &keeper.names)?;
    keeper.remove_dead(&folder.segments)?;
    quarantine::limit(&*keeper.storage, &keeper.names, &cut.kept_in, quarantine_limit);
    Ok(())
}

/// The last complete segment, whole; `None` if no entry is left.
fn last_sealed(keeper: &Keeper, folder: &Folder, next_seq: u64) -> Result<Option<(u64, u64)>> {
    let manifest = &keeper.manifest;
    let live = manifest.first_ordinal..manifest.open_from;
    let last = folder.segments.iter().rev().find(|ordinal| live.contains(ordinal));
    let Some(ordinal) = last.filter(|_| next_seq > manifest.first_seq) else { return Ok(None) };
    let candidate = Candidate::open(&*keeper.storage, &keeper.names, *ordinal, Access::Read)?;
    Ok(Some((*ordinal, candidate.len)))
}

pub(super) fn describe(scan: &Scan, kept_in: Vec<std::path::PathBuf>, done: bool) -> CutTail {
    let (path, offset, reason) = match &scan.stopped_at {
        Some(at) => (at.path.clone(), at.offset, at.what.clone()),
        None => (std::path::PathBuf::new(), 0, String::new()),
    };
    let tail: u64 =
        scan.segments.iter().map(|scanned| scanned.from.len.saturating_sub(scanned.end)).sum();
    let most = (tail / crate::record::OVERHEAD).max(1);
    CutTail {
        path,
        offset,
        bytes: tail,
        reason,
        kept_in,
        possibly_acknowledged: scan.next_seq..=scan.next_seq.saturating_add(most - 1),
        done,
    }
}
