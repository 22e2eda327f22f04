//! One segment of a survey: its sound runs, and the ways past what is not sound.

use std::path::Path;

use super::content::Unseen;
use crate::error::{Error, Result};
use crate::manifest::Place;
use crate::recover::scan::Candidate;
use crate::segment::behind::{back_from, is_border};
use crate::segment::index::{EVERY, IndexFile};
use crate::segment::{Index, RecordSource};
use crate::sync::Arc;

/// Sound records back to back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Run {
    pub(in super::super) from: u64,
    pub(in super::super) to: u64,
    pub(in super::super) first_seq: u64,
    pub(in super::super) next_seq: u64,
    pub(in super::super) records: u64,
    /// Something proved leads there: what may be handed out.
    pub(in super::super) proved: bool,
}

/// What is known of a segment's index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum IndexState {
    Missing,
    Sound,
    /// Another log's or length's, or unsound: it is ignored and made again.
    Stale,
    /// Sound by its checksums, and pointing beside the records.
    Wrong,
}

/// A segment as it was found.
#[derive(Debug)]
pub(in super::super) struct Piece {
    pub(in super::super) from: Candidate,
    pub(in super::super) sealed: bool,
    pub(in super::super) runs: Vec<Run>,
    /// Where what belongs to the log ends: behind the last sound record, or behind bytes that were durable.
    pub(in super::super) end: u64,
    /// Zeros behind that.
    pub(in super::super) free: u64,
    pub(in super::super) index: IndexState,
    /// Append times of the first and the last entry, in microseconds; whether they are the file's.
    pub(in super::super) times: Option<(u64, u64, bool)>,
    /// Records whose footer is wrong over a sound checksum.
    pub(in super::super) wrong_footers: Vec<(u64, u64)>,
    /// The seq id that was expected behind its last record.
    pub(in super::super) next_seq: u64,
    /// Compressed records.
    pub(in super::super) compressed: u64,
    /// Those that could not be looked into.
    pub(in super::super) unseen: Option<Unseen>,
}

impl Piece {
    pub(in super::super) fn first_seq(&self) -> Option<u64> {
        self.runs.first().map(|run| run.first_seq)
    }

    pub(in super::super) fn records(&self) -> u64 {
        self.runs.iter().map(|run| run.records).sum()
    }
}

/// Where reading may go on behind damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) offset: u64,
    pub(super) seq: u64,
    pub(super) proved: bool,
}

/// The places in one file that are proved to lie between records.
#[derive(Debug)]
pub(super) struct Borders {
    pub(super) index: Option<Index>,
    /// A place that a mark names.
    pub(super) marked: Option<Place>,
    /// The end of the file, where that is one.
    pub(super) end: Option<u64>,
    /// Whether the file is complete, so that its end is proved to be one.
    pub(super) end_proved: bool,
    /// Bytes that may still be read in vain.
    pub(super) budget: u64,
}

impl Borders {
    /// Where to go on behind unsound bytes at `at`, where seq id `expected` should be.
    pub(super) fn resume(
        &mut self,
        from: &Candidate,
        at: u64,
        expected: u64,
    ) -> Result<Option<Resume>> {
        let mut source = RecordSource::new(Arc::clone(&from.file), crate::segment::ONE_RECORD);
        let io = |error| Error::io("read", &from.path, error);
        let marked = self.marked.filter(|place| place.offset > at && place.offset <= from.len);
        if let Some(index) = &self.index {
            let mut tried = at;
            for (i, entry) in (0_u64..).zip(&index.entries) {
                let holds = index.first_seq.saturating_add(i.saturating_mul(EVERY));
                let behind_mark = marked.is_some_and(|place| entry.offset > place.offset);
                if entry.offset <= tried || holds < expected || entry.offset >= from.len {
                    continue;
                }
                if behind_mark || self.budget == 0 {
                    break;
                }
                tried = entry.offset;
                if !is_border(&mut source, entry.offset, from.len, holds).map_err(io)? {
                    self.budget = self.budget.saturating_sub((from.len / 8).max(1));
                    continue;
                }
                let reached = back_from(&mut source, entry.offset, at + 1, expected).map_err(io)?;
                return Ok(Some(match reached {
                    Some(reached) => {
                        Resume { offset: reached.offset, seq: reached.seq, proved: true }
                    }
                    None => Resume {
                        offset: entry.offset,
                        seq: first_at(&mut source, entry.offset, from.len).map_err(io)?,
                        proved: true,
                    },
                }));
            }
        }
        if let Some(place) = marked {
            let reached = back_from(&mut source, place.offset, at + 1, expected).map_err(io)?;
            let reached = reached.filter(|reached| reached.next_seq == place.next_seq);
            return Ok(Some(reached.map_or(
                Resume { offset: place.offset, seq: place.next_seq, proved: true },
                |reached| Resume { offset: reached.offset, seq: reached.seq, proved: true },
            )));
        }
        let Some(end) = self.end.filter(|end| *end > at) else { return Ok(None) };
        let reached = back_from(&mut source, end, at + 1, expected).map_err(io)?;
        Ok(reached.map(|reached| Resume {
            offset: reached.offset,
            seq: reached.seq,
            proved: self.end_proved,
        }))
    }
}

fn first_at(source: &mut RecordSource, offset: u64, end: u64) -> std::io::Result<u64> {
    Ok(match source.record_at(offset, end)? {
        crate::segment::Step::Record(record) => record.seq(),
        _ => 0,
    })
}

/// A segment's index, and what is to be said of it.
pub(super) fn index_of(
    storage: &dyn crate::storage::Storage,
    path: &Path,
    log_id: Option<u128>,
    ordinal: u64,
    len: u64,
) -> (Option<Index>, IndexState) {
    let file = log_id.and_then(|id| IndexFile::open(storage, path, id, ordinal, len, None));
    match file.and_then(|file| file.load()) {
        Some(index) => (Some(index), IndexState::Sound),
        None => (None, IndexState::Stale),
    }
}
