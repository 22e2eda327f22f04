//! Logs without a manifest: new ones, and the Go library's.

use super::folder::Folder;
use super::judge::judge;
use super::scan::{self, Candidate, borders};
use crate::error::{Error, Result};
use crate::manifest::{Epoch, Manifest, ManifestFile};
use crate::segment::{Names, ONE_RECORD, RecordSource, Step};
use crate::storage::{Access, Clock, Storage};
use crate::sync::Arc;

/// What is known of complete segments, from the first on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The first record's seq id, if there is a record.
    pub(crate) first_seq: Option<u64>,
    /// The seq id that follows.
    pub(crate) next_seq: Option<u64>,
}

/// Checks first and last record of each segment and that each goes on where the one before ended.
///
/// # Errors
/// `Corrupt` that names the segment where it doesn't.
pub(crate) fn chain(
    storage: &dyn Storage,
    names: &Names,
    ordinals: &[u64],
    mut next_seq: Option<u64>,
) -> Result<Chain> {
    let mut first_seq = None;
    for ordinal in ordinals {
        let candidate = Candidate::open(storage, names, *ordinal, Access::Read)?;
        let Some((first, next)) = borders(&candidate)? else { continue };
        if let Some(expected) = next_seq.filter(|expected| *expected != first) {
            return Err(out_of_order(&candidate.path, expected, first));
        }
        first_seq = first_seq.or(Some(first));
        next_seq = Some(next);
    }
    Ok(Chain { first_seq, next_seq })
}

pub(crate) fn out_of_order(path: &std::path::Path, expected: u64, found: u64) -> Error {
    let error = if found > expected {
        Error::corrupt(format!(
            "entries are missing before this segment, which begins with {found}"
        ))
        .seqs(expected, found - 1)
    } else {
        Error::corrupt(format!(
            "this segment begins with seq id {found}, which an earlier one holds"
        ))
        .seqs(found, expected - 1)
    };
    error.path(path).offset_at(0)
}

/// Makes an empty log: the first segment and its name first, then the manifest.
pub(crate) fn create(storage: &dyn Storage, clock: &dyn Clock, names: &Names) -> Result<()> {
    let path = names.wal(0);
    let file = storage
        .create(&path)
        .map_err(|error| Error::io("create the first segment", &path, error))?;
    file.sync_all().map_err(|error| Error::io("sync the first segment", &path, error))?;
    sync_dir(storage, names)?;
    let manifest = first_manifest(clock, names, &[0], 1, 1)?;
    ManifestFile::create(storage, names, &manifest)
}

/// Makes the manifest of a Go log: all but its last segment count as sealed, as Go syncs a segment before
/// it makes the next. It says of no byte in the last one that it was durable.
///
/// The last segment is read and judged first: a log that is refused has no manifest afterwards.
///
/// # Errors
/// `Corrupt` where the complete segments don't fit together, or the last one is damaged; `TornTail`,
/// `Unsupported`.
pub(crate) fn adopt(
    storage: &dyn Storage,
    clock: &dyn Clock,
    names: &Names,
    folder: &Folder,
    strict: bool,
) -> Result<()> {
    let Some((last, complete)) = folder.segments.split_last() else {
        return create(storage, clock, names);
    };
    let chain = chain(storage, names, complete, None)?;
    let candidate = Candidate::open(storage, names, *last, Access::Read)?;
    let begins = begins(&candidate, chain.next_seq)?;
    let first_seq = chain.first_seq.unwrap_or(begins);
    let manifest = first_manifest(clock, names, &folder.segments, first_seq, begins)?;
    let scan = scan::scan(vec![candidate], manifest.open_place(), None)?;
    judge(&scan, None, &manifest, strict, names)?;
    if scan.flagged {
        return Err(super::lost(names, "a segment holds batches or compressed records"));
    }
    // The names were made by another program, which may not have synced them.
    sync_dir(storage, names)?;
    ManifestFile::create(storage, names, &manifest)
}

/// The seq id that the last segment begins with, or will, where those before it end before `next_seq`; 1 if
/// nothing tells.
///
/// # Errors
/// `Corrupt` where its first record is sound and does not go on where the others end: those were synced
/// before it was made, so that no crash leaves this.
pub(super) fn begins(last: &Candidate, next_seq: Option<u64>) -> Result<u64> {
    let mut source = RecordSource::new(Arc::clone(&last.file), ONE_RECORD);
    let step =
        source.record_at(0, last.len).map_err(|error| Error::io("read", &last.path, error))?;
    match (step, next_seq) {
        (Step::Record(record), Some(next)) if record.seq() != next => {
            Err(out_of_order(&last.path, next, record.seq()))
        }
        (Step::Record(record), None) => Ok(record.seq()),
        (_, next) => Ok(next.unwrap_or(1)),
    }
}

fn first_manifest(
    clock: &dyn Clock,
    names: &Names,
    segments: &[u64],
    first_seq: u64,
    open_seq: u64,
) -> Result<Manifest> {
    let random =
        || clock.random_id().map_err(|error| Error::io("get a random id", names.dir(), error));
    let first_ordinal = segments.first().copied().unwrap_or(0);
    let last = segments.last().copied().unwrap_or(0);
    Ok(Manifest {
        log_id: random()?,
        generation: 1,
        epochs: vec![Epoch { first_seq, id: random()? }],
        first_seq,
        first_ordinal,
        open_from: last,
        open_seq,
        sealed_count: crate::num::size(segments.len().saturating_sub(1)),
        active: last,
        next_ordinal: last + 1,
        lowest_next: first_seq,
        base: None,
        cut: None,
        losses: Vec::new(),
        meta: std::collections::BTreeMap::new(),
    })
}

fn sync_dir(storage: &dyn Storage, names: &Names) -> Result<()> {
    storage.sync_dir(names.dir()).map_err(|error| Error::io("sync the folder", names.dir(), error))
}
