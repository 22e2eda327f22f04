//! `Reader`: one entry after another, in either direction, borrowed from a buffer.

use std::time::SystemTime;

use super::time;
use super::walk::Walk;
use crate::entry::EntryRef;
use crate::error::Result;
use crate::snapshot::View;
use crate::sync::Arc;

/// A position in the log that is read from in both directions.
///
/// Entries are borrowed from the reader's buffer, so each is to be used (or copied) before the next is
/// read; [`range`](crate::LogReader::range) gives entries that can be kept. A reader sees what was
/// appended after it was made. Any number of readers work beside the writer without waiting for it.
///
/// It ends where what is written ends. Where the disk is full, or the log has failed, entries may be behind
/// that, in the writer's memory alone: [`Wal::next_seq`](crate::Wal::next_seq) counts them, and
/// [`Wal::get`](crate::Wal::get) says why they cannot be read.
///
/// After an error the reader stays where it is, and the same call gives the same error again: damage
/// ([`Corrupt`](crate::ErrorKind::Corrupt)) or a loss that was accepted ([`Lost`](crate::ErrorKind::Lost)) is
/// never passed but by [`seek`](Self::seek). After a cut ([`Truncated`](crate::ErrorKind::Truncated)) too,
/// it takes a `seek` to go on, in what is the log then.
#[derive(Debug)]
pub struct Reader {
    walk: Walk,
}

impl Reader {
    /// Begins at the first entry.
    pub(crate) fn new(view: Arc<dyn View>) -> Self {
        let first = view.first_seq();
        Self { walk: Walk::new(view, first) }
    }

    /// Begins at `seq`.
    pub(crate) fn at(view: Arc<dyn View>, seq: u64) -> Result<Self> {
        let mut reader = Self::new(view);
        reader.seek(seq)?;
        Ok(reader)
    }

    /// The entry at the position, which then moves behind it; `None` at the log's end, for now.
    ///
    /// # Errors
    /// `Removed` (the position fell below the first seq id), `Truncated`, `Lost`, `Corrupt`, `Unsupported`,
    /// `Io`; the position stays.
    #[inline]
    pub fn read_next(&mut self) -> Result<Option<EntryRef<'_>>> {
        if let Some((seq, payload)) = self.walk.pass_in_window() {
            return Ok(Some(EntryRef::new(seq, self.walk.part(payload))));
        }
        self.read_next_anywhere()
    }

    fn read_next_anywhere(&mut self) -> Result<Option<EntryRef<'_>>> {
        if !self.walk.forward()? {
            self.walk.view().refresh()?;
            if !self.walk.forward()? {
                return Ok(None);
            }
        }
        let seq = self.walk.position();
        let payload = self.walk.borrow(seq, seq.saturating_add(1))?;
        Ok(Some(EntryRef::new(seq, payload)))
    }

    /// The entry before the position, which then moves before it; `None` at the log's beginning.
    ///
    /// # Errors
    /// As [`read_next`](Self::read_next).
    pub fn read_prev(&mut self) -> Result<Option<EntryRef<'_>>> {
        if !self.walk.backward()? {
            return Ok(None);
        }
        let seq = self.walk.position().saturating_sub(1);
        let payload = self.walk.borrow(seq, seq)?;
        Ok(Some(EntryRef::new(seq, payload)))
    }

    /// Moves to `seq`: `read_next` gives it, `read_prev` the one before. The log's end is a position too.
    ///
    /// # Errors
    /// `Removed` below the first seq id, `BeyondEnd` above the next one; the position stays.
    pub fn seek(&mut self, seq: u64) -> Result<()> {
        self.walk.seek(seq)
    }

    /// Moves to the first entry that may have been appended at or after `time`, so that none of those is
    /// missed: as far as the index knows, which keeps the time of every 32nd seq id, so that up to that many
    /// earlier ones may come first. Where a segment has no index, its file's own time serves.
    ///
    /// # Errors
    /// `Io`.
    pub fn seek_time(&mut self, time: SystemTime) -> Result<()> {
        let view = Arc::clone(self.walk.view());
        view.refresh()?;
        let seq = time::first_since(&*view, time);
        self.walk.seek(seq.max(view.first_seq()))
    }

    /// The seq id that `read_next` gives.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.walk.position()
    }
}

#[cfg(test)]
mod tests;
