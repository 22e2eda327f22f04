//! A manifest made anew from the segments, where there is none or no copy is sound.
//!
//! What only a manifest can know is lost then: entries that were cut in front but not yet removed may
//! return, epochs begin anew, accepted losses and user metadata are gone.

use std::collections::BTreeMap;

use super::Target;
use super::survey::{Known, Piece, Survey};
use crate::error::{Error, Result};
use crate::manifest::{Epoch, Manifest, ManifestFile};
use crate::num;
use crate::recover::{WriterLock, quarantine};
use crate::storage::Access;

/// What opening makes of the manifest: all but the last segment are complete, and of the last one nothing
/// says how far it was durable.
///
/// # Errors
/// `InvalidInput` where `first_seq` is not in the log; `Corrupt` where no segment is left.
pub(super) fn manifest_of(
    target: &Target,
    survey: &Survey,
    first_seq: Option<u64>,
) -> Result<Manifest> {
    let log = survey.first_seq..=survey.next_seq;
    let first_seq = first_seq.unwrap_or(survey.first_seq);
    if !log.contains(&first_seq) {
        return Err(Error::invalid(format!(
            "the segments hold seq ids from {} to before {}",
            log.start(),
            log.end()
        ))
        .seq_at(first_seq));
    }
    let pieces = &survey.pieces;
    let from = pieces.iter().rposition(|piece| piece.first_seq().is_some_and(|s| s <= first_seq));
    let live = pieces.get(from.unwrap_or(0)..).unwrap_or_default();
    let (Some(first), Some((last, sealed))) = (live.first(), live.split_last()) else {
        return Err(Error::corrupt("no segment is left, so there is nothing to rebuild from")
            .path(target.dir()));
    };
    Ok(Manifest {
        log_id: match survey.note.log_id {
            Some(id) => id,
            None => random(target)?,
        },
        generation: 1,
        epochs: vec![Epoch { first_seq, id: random(target)? }],
        first_seq,
        first_ordinal: first.from.ordinal,
        open_from: last.from.ordinal,
        open_seq: sealed.last().map_or_else(
            || last.first_seq().unwrap_or(first_seq).min(first_seq),
            |piece| piece.next_seq,
        ),
        sealed_count: num::size(sealed.len()),
        active: last.from.ordinal,
        next_ordinal: last.from.ordinal + 1,
        lowest_next: first_seq,
        base: None,
        cut: None,
        losses: Vec::new(),
        meta: BTreeMap::new(),
    })
}

/// Makes the manifest anew. What is left of the old one is kept aside.
///
/// # Errors
/// As [`manifest_of`], `OutOfSpace`, `Io`.
pub(super) fn rebuild(
    target: &Target,
    survey: &Survey,
    first_seq: Option<u64>,
    lock: &mut WriterLock,
    steps: &mut Vec<String>,
) -> Result<()> {
    let (storage, names) = (&*target.storage, &target.names);
    let mut manifest = manifest_of(target, survey, first_seq)?;
    if let Known::Unsound(_) = survey.known {
        let name = format!("{}-unsound.manifest", names.prefix());
        let kept = quarantine::keep_file(storage, names, &names.manifest(), &name)?;
        steps.push(format!("kept what was left of the manifest in {}", kept.display()));
    }
    for (at, piece) in survey.pieces.iter().enumerate() {
        finish(target, piece, at + 1 == survey.pieces.len())?;
    }
    sync_dir(target)?;
    manifest.generation = 1;
    ManifestFile::create(storage, names, &manifest)?;
    lock.sign(&*target.clock, manifest.log_id);
    steps.push(format!(
        "made the manifest anew from {} segments: seq ids from {} to before {}; entries that were cut \
         in front may have returned, and user metadata is gone",
        survey.pieces.len(),
        manifest.first_seq,
        survey.next_seq
    ));
    Ok(())
}

/// What a manifest says of a segment must be on disk before it: contents, and no free space in a complete
/// one.
fn finish(target: &Target, piece: &Piece, is_last: bool) -> Result<()> {
    let path = &piece.from.path;
    let io = |doing: &str, error| Error::io(doing, path, error);
    let file = target
        .storage
        .open(path, Access::ReadWrite)
        .map_err(|error| io("open the segment", error))?;
    if !is_last && piece.free > 0 {
        file.set_len(piece.from.len - piece.free).map_err(|error| io("cut free space", error))?;
    }
    file.sync_all().map_err(|error| io("sync the segment", error))
}

pub(super) fn sync_dir(target: &Target) -> Result<()> {
    let dir = target.dir();
    target.storage.sync_dir(dir).map_err(|error| Error::io("sync the folder", dir, error))
}

pub(super) fn random(target: &Target) -> Result<u128> {
    target.clock.random_id().map_err(|error| Error::io("get a random id", target.dir(), error))
}
