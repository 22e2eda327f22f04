//! Entries out of the files.

use std::ops::{Bound, Range, RangeBounds};

use bytes::Bytes;
use openraft::{RaftLogId, RaftTypeConfig};
use walden::{ErrorKind, Wal};

use crate::codec;
use crate::error::{Error, Result};
use crate::log::{index_of, seq_of};

/// How often reading begins again where the log was cut meanwhile.
const TRIES: u32 = 100;

/// Bounds as a half-open range of indexes.
pub(crate) fn indexes(bounds: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match bounds.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match bounds.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

/// The entries in `range` as far as they are there, as they are stored, each with its index: at most `limit` bytes, but
/// at least one entry.
pub(crate) fn stored(wal: &Wal, range: &Range<u64>, limit: usize) -> Result<Vec<(u64, Bytes)>> {
    let mut tries = 0;
    loop {
        match stored_once(wal, range, limit) {
            // Cut while it was read: what is there now is as good an answer as what was.
            Err(error) if was_cut(&error) && tries < TRIES => tries += 1,
            other => return Ok(other?),
        }
    }
}

fn was_cut(error: &walden::Error) -> bool {
    matches!(error.kind(), ErrorKind::Removed | ErrorKind::Truncated | ErrorKind::BeyondEnd)
}

fn stored_once(wal: &Wal, range: &Range<u64>, limit: usize) -> walden::Result<Vec<(u64, Bytes)>> {
    // The end first: a cut in front between the two leaves an empty range, not one that begins behind the end.
    let next = wal.next_seq();
    let end = range.end.saturating_add(1).min(next);
    let start = range.start.saturating_add(1).max(wal.first_seq());
    if start >= end || range.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    for entry in wal.range(start..end)? {
        let entry = entry?;
        bytes = bytes.saturating_add(entry.payload.len());
        if bytes > limit && !found.is_empty() {
            break;
        }
        found.push((index_of(entry.seq), entry.payload));
    }
    Ok(found)
}

/// The entry that is stored under `index`.
pub(crate) fn decoded<C: RaftTypeConfig>(index: u64, bytes: &[u8]) -> Result<C::Entry> {
    let what = format!("the entry with index {index} (seq id {})", seq_of(index)?);
    let entry: C::Entry = codec::decode(&what, bytes)?;
    let found = entry.get_log_id().index;
    if found == index {
        Ok(entry)
    } else {
        Err(Error::Format(format!("{what} says of itself that it has index {found}")))
    }
}

pub(crate) fn all_decoded<C: RaftTypeConfig>(stored: &[(u64, Bytes)]) -> Result<Vec<C::Entry>> {
    stored.iter().map(|(index, bytes)| decoded::<C>(*index, bytes)).collect()
}
