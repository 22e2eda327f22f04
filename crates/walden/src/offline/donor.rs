//! Another log, or an archive, that entries are taken from which this log has lost.
//!
//! An entry is taken only where it is proved to be the one that was lost. An epoch is an id for one unforked stretch of
//! history: if both logs have the last one of a lost range under the same epoch, all before it is the same. Where this
//! log's epochs are not known any more (a manifest made anew), the entries on both sides of the range must be there, and
//! the same. Those are compared in any case.

use std::error::Error as StdError;

use bytes::Bytes;

use super::survey::{Run, Survey};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::{Frames, History};
use crate::num;
use crate::read::LogReader;
use crate::record::{MOST_CONTENT, encode};
use crate::segment::{READ_AHEAD, RecordSource, Step};
use crate::sync::Arc;

/// Bytes asked for at once.
const PIECE: u64 = 1 << 20;

/// Where entries can be had that a log has lost: [`LogReader`](crate::LogReader), an archive.
pub trait Donor {
    /// The records from the one with entry `from` on, as many as fit `max_bytes`, but at least one; `None` where there
    /// are none.
    ///
    /// # Errors
    /// Whatever keeps them from being read.
    fn frames(
        &self,
        from: u64,
        max_bytes: u64,
    ) -> std::result::Result<Option<Frames>, Box<dyn StdError + Send + Sync>>;
}

impl Donor for LogReader {
    fn frames(
        &self,
        from: u64,
        max_bytes: u64,
    ) -> std::result::Result<Option<Frames>, Box<dyn StdError + Send + Sync>> {
        Ok(Self::frames(self, from, max_bytes)?)
    }
}

/// Takes lost entries of one log from a donor.
pub(super) struct Taking<'a> {
    donor: &'a dyn Donor,
    survey: &'a Survey,
}

impl<'a> Taking<'a> {
    pub(super) const fn new(donor: &'a dyn Donor, survey: &'a Survey) -> Self {
        Self { donor, survey }
    }

    /// Gives the records of entries `first..=last` to `put`, piece by piece, each piece once it is proved. Returns
    /// their bytes.
    ///
    /// # Errors
    /// `Diverged`: the donor's are not proved to be those that were lost; `NotFound`: it does not have them; what
    /// `put` gives.
    pub(super) fn take(
        &self,
        (first, last): (u64, u64),
        put: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let before = first.checked_sub(1).filter(|before| *before >= self.survey.first_seq);
        let before = before.map(|seq| self.compare(seq)).transpose()?.unwrap_or(true);
        let after = self.compare(last.saturating_add(1))?;
        let (mut at, mut bytes) = (first, 0);
        while at <= last {
            let frames = self.ask(at)?;
            let proved = self.proves(&frames, last) || (before && after);
            if !proved {
                let what = "it cannot be proved that the other log has the entries that were lost here: \
                            their history differs, and so do, or are missing, their neighbours";
                return Err(Error::new(ErrorKind::Diverged, what).seqs(at, last));
            }
            let end = frames.seqs().end.min(last.saturating_add(1));
            let records = records_of(&frames, at, end)?;
            put(&records)?;
            bytes += num::size(records.len());
            at = end;
        }
        Ok(bytes)
    }

    fn ask(&self, from: u64) -> Result<Frames> {
        let frames = self.donor.frames(from, PIECE).map_err(|error| {
            let kind = match error.downcast_ref::<Error>().map(Error::kind) {
                Some(ErrorKind::BeyondEnd | ErrorKind::Removed) => ErrorKind::NotFound,
                Some(kind) => kind,
                None => ErrorKind::Io,
            };
            Error::new(kind, format!("cannot be taken from the other log: {error}")).seq_at(from)
        })?;
        let frames = frames.filter(|frames| frames.seqs().contains(&from));
        frames.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the other log does not have this entry").seq_at(from)
        })
    }

    /// Whether an entry of the donor's, up to the last one that is wanted, has the epoch that it had here.
    fn proves(&self, frames: &Frames, last: u64) -> bool {
        let Some(manifest) = self.survey.known.manifest() else { return false };
        let own = History { epochs: &manifest.epochs, end: self.survey.next_seq };
        let theirs = History { epochs: &frames.epochs, end: frames.seqs().end };
        let seq = last.min(frames.seqs().end.saturating_sub(1));
        own.epoch_of(seq).is_some() && own.epoch_of(seq) == theirs.epoch_of(seq)
    }

    /// Whether entry `seq` is here and there, and the same.
    ///
    /// # Errors
    /// `Diverged` where it is another one.
    fn compare(&self, seq: u64) -> Result<bool> {
        let Some(own) = self.own(seq)? else { return Ok(false) };
        let Some(theirs) = self.donor.frames(seq, 1).ok().flatten() else { return Ok(false) };
        let theirs = theirs.entries(MOST_CONTENT).find(|entry| of(entry, seq));
        let (Ok(own), Ok(Some(theirs))) = (own, theirs.transpose()) else { return Ok(false) };
        if own == theirs {
            return Ok(true);
        }
        let what = "the two logs part: this entry is sound here, and another one there";
        Err(Error::new(ErrorKind::Diverged, what)
            .seq_at(seq)
            .advice("nothing was changed; take another log to repair from"))
    }

    /// Entry `seq` as it is here, if it is sound; within, why it cannot be read.
    fn own(&self, seq: u64) -> Result<Option<Result<Entry>>> {
        let holds = |run: &&Run| (run.first_seq..run.next_seq).contains(&seq);
        for piece in &self.survey.pieces {
            let Some(run) = piece.runs.iter().find(holds) else { continue };
            let io = |error| Error::io("read", &piece.from.path, error);
            let mut source = RecordSource::new(Arc::clone(&piece.from.file), READ_AHEAD);
            let mut at = run.from;
            while at < run.to {
                let (seqs, len) = match source.record_at(at, run.to).map_err(io)? {
                    Step::Record(record) => (record.seq()..record.next_seq(), record.len()),
                    _ => return Ok(None),
                };
                if seqs.contains(&seq) {
                    let bytes = source.window(at, len, run.to).map_err(io)?;
                    let records = Bytes::copy_from_slice(bytes);
                    let frames = Frames { log_id: 0, seqs, epochs: Vec::new(), records };
                    return Ok(frames.entries(MOST_CONTENT).find(|entry| of(entry, seq)));
                }
                at += len;
            }
        }
        Ok(None)
    }
}

/// The entry looked for, or what keeps it from being read.
fn of(entry: &Result<Entry>, seq: u64) -> bool {
    entry.as_ref().map_or(true, |entry| entry.seq == seq)
}

/// The records of entries `at..end`: as they are, where none reaches over, else an entry each.
fn records_of(frames: &Frames, at: u64, end: u64) -> Result<Bytes> {
    let within = frames.within(at..end);
    if let Some(whole) = within.as_ref().filter(|within| within.seqs() == (at..end)) {
        return Ok(whole.records.clone());
    }
    let mut out = Vec::new();
    for entry in within.iter().flat_map(|within| within.entries(MOST_CONTENT)) {
        let entry = entry?;
        if (at..end).contains(&entry.seq) {
            encode(&mut out, entry.seq, &[&entry.payload]);
        }
    }
    Ok(Bytes::from(out))
}
