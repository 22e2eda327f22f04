//! Single entries, and iterators over many.

use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;

use super::fault;
use super::walk::Walk;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::num;
use crate::snapshot::View;
use crate::sync::Arc;
use crate::watermark::{Level, truncated};

/// Payloads from this length on share the memory they were read into, even if only one is wanted.
const WORTH_SHARING: usize = 4096;

/// The entry `seq`; `None` at or above the log's end.
///
/// # Errors
/// `Removed` below the first seq id; what kept an entry that was appended from being written; whatever reading
/// gives.
pub(crate) fn get(view: &Arc<dyn View>, seq: u64) -> Result<Option<Entry>> {
    if seq >= view.end(Level::Written) {
        view.refresh()?;
    }
    let mut walk = Walk::new(Arc::clone(view), seq);
    loop {
        let first = view.first_seq();
        if seq < first {
            return Err(fault::removed(seq, first));
        }
        match walk.forward() {
            Ok(true) => break,
            Ok(false) if view.has_come(seq)? => {}
            Ok(false) => return Ok(None),
            // Cut while it was looked for: what is there now is as good an answer as what was.
            Err(error) if error.is_truncated() => walk = Walk::new(Arc::clone(view), seq),
            Err(error) => return Err(error),
        }
    }
    let next = seq.saturating_add(1);
    let borrowed = walk.borrow(seq, next)?;
    let payload = if borrowed.len() < WORTH_SHARING {
        Bytes::copy_from_slice(borrowed)
    } else {
        walk.share(seq, next)?
    };
    Ok(Some(Entry::new(seq, payload)))
}

/// The entries in `bounds`, as far as they are there now: a bound above the log's end is brought down to it.
///
/// # Errors
/// `Removed` where a start is given that lies below the first seq id, `BeyondEnd` where it lies above the
/// next one; what keeps the entry before it from being read.
pub(crate) fn range(view: &Arc<dyn View>, bounds: &impl RangeBounds<u64>) -> Result<Entries> {
    let wanted = match bounds.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    if wanted > view.end(Level::Written) {
        view.refresh()?;
    }
    let era = view.era();
    let (first, next) = (view.first_seq(), view.end(Level::Written));
    let start = match bounds.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => {
            before.checked_add(1).ok_or_else(|| fault::beyond(*before, next))?
        }
        Bound::Unbounded => first,
    };
    if start < first {
        return Err(fault::removed(start, first));
    }
    if start > next {
        view.has_come(start - 1)?;
        return Err(fault::beyond(start, next));
    }
    let front = Walk::new(Arc::clone(view), start);
    Ok(Entries { front, back: None, end: wanted.min(next), era })
}

/// An iterator over a range of entries, from both ends.
///
/// Its end is fixed when it is made: what is appended later is not in it, and what is cut meanwhile gives
/// [`Truncated`](crate::ErrorKind::Truncated), never entries of another history. After an error it is at its
/// end. Payloads share the buffers that they were read into; see [`Entry::payload`].
#[derive(Debug)]
pub struct Entries {
    front: Walk,
    /// Made when it is first asked for.
    back: Option<Walk>,
    /// The seq id after the last one not yet given.
    end: u64,
    /// The era in which the range was fixed.
    era: u64,
}

impl Entries {
    /// The seq ids that are left.
    #[cfg(feature = "digest")]
    pub(crate) fn seqs(&self) -> std::ops::Range<u64> {
        self.front.position()..self.end
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.front.position())
    }

    /// Refuses an entry that is not of the history that the range was fixed in.
    fn same_history(&self, seq: u64) -> Result<()> {
        let view = self.front.view();
        if view.era() == self.era {
            return Ok(());
        }
        match view.cut_since(self.era) {
            Some(at) if seq >= at => Err(truncated(at)),
            _ => Ok(()),
        }
    }

    fn take_front(&mut self) -> Result<Entry> {
        if let Some((seq, payload)) = self.front.pass_in_window() {
            // Asked already, where it reads in the same era.
            if self.front.era() != self.era {
                self.same_history(seq)?;
            }
            return Ok(Entry::new(seq, self.front.share_part(payload)));
        }
        let seq = self.front.position();
        let there = self.front.forward()?;
        self.same_history(seq)?;
        if !there {
            return Err(truncated(seq));
        }
        Ok(Entry::new(seq, self.front.share(seq, seq.saturating_add(1))?))
    }

    fn take_back(&mut self) -> Result<Entry> {
        let end = self.end;
        let seq = end.saturating_sub(1);
        let view = self.front.view();
        let back = self.back.get_or_insert_with(|| Walk::new(Arc::clone(view), end));
        let there = back.backward()?;
        let first = view.first_seq();
        self.same_history(seq)?;
        match &mut self.back {
            Some(back) if there => {
                let payload = back.share(seq, seq)?;
                self.end = seq;
                Ok(Entry::new(seq, payload))
            }
            _ => Err(fault::removed(seq, first)),
        }
    }

    fn end_at(&mut self, error: Error) -> Error {
        self.end = 0;
        error
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left() == 0 {
            return None;
        }
        Some(self.take_front().map_err(|error| self.end_at(error)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error ends it early.
        let left = self.left();
        (num::index(left.min(1)), usize::try_from(left).ok())
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left() == 0 {
            return None;
        }
        Some(self.take_back().map_err(|error| self.end_at(error)))
    }
}

impl FusedIterator for Entries {}

#[cfg(test)]
mod tests;
