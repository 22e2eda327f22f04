//! Where a seq id lies: which segment, by its first record; where in it, by the index.
//!
//! Neither is believed. What they lead to is read and proved, and from there on it is a walk of a few
//! records. Damage somewhere else must not stop it: a segment whose first record cannot be read is
//! judged by its neighbours.

use super::fault;
use super::walk::Walk;
use crate::error::{Error, Result};
use crate::segment::Segment;
use crate::sync::Arc;

/// What is known about where a seq id lies.
struct Place {
    /// The last segment whose first seq id is known and not above it.
    last: Option<usize>,
    /// The first one behind whose first seq id is above it. Between the two are segments that are empty,
    /// or unsound at their beginning.
    next: usize,
}

fn place(segments: &[Arc<Segment>], seq: u64) -> Place {
    let known = |at: usize| {
        let first = segments.get(at).map(|segment| segment.first_seq());
        first.and_then(Result::ok).flatten()
    };
    let (mut low, mut high, mut last) = (0, segments.len(), None);
    while low < high {
        let middle = low + (high - low) / 2;
        let nearest = (low..=middle).rev().find_map(|at| Some((at, known(at)?)));
        match nearest {
            Some((at, first)) if first <= seq => {
                last = Some(at);
                low = middle + 1;
            }
            Some((at, _)) => high = at,
            None => low = middle + 1,
        }
    }
    Place { last, next: high }
}

impl Walk {
    /// Holds the record that has entry `target`, wherever it is.
    pub(super) fn locate(&mut self, target: u64) -> Result<()> {
        self.snapshot = self.view().snapshot();
        let snapshot = Arc::clone(&self.snapshot);
        let Place { last, next } = place(&snapshot.segments, target);
        if let Some(cursor) = &mut self.cursor {
            cursor.slow_down();
        }
        let behind = last.map_or(0, |last| last + 1);
        for segment in snapshot.segments.get(behind..next).unwrap_or_default().iter().rev() {
            if self.enter_by_index(segment, target)
                || self.enter_behind_loss(segment, target)?
                || (self.begins_removed(segment)? && self.enter_behind(segment, target)?)
            {
                return self.walk_to(target);
            }
        }
        if let Some(segment) = last.and_then(|last| snapshot.segments.get(last)) {
            if self.enter_behind_loss(segment, target)? {
                return self.walk_to(target);
            }
            let walked = self.walk_from_border(segment, target);
            return walked.or_else(|error| self.walk_behind_removed(segment, target, error));
        }
        // Nothing that is known begins before it: what is there must tell why.
        let Some(segment) = snapshot.segments.iter().find(|s| !matches!(s.end(), Ok(0))) else {
            return Err(
                Error::corrupt("the log has no segment for an entry that it has").seq_at(target)
            );
        };
        self.enter(Arc::clone(segment))?;
        let first = snapshot.first_seq.min(target);
        let found = self.take(0, None).map_err(|error| error.seq_at(first))?;
        let found = found.map_or(0, |held| held.seq());
        if found <= target {
            return self.walk_to(target);
        }
        Err(fault::misplaced(segment, 0, target, found))
    }

    /// Steps to the entry from where the index leads, or from the segment's beginning.
    fn walk_from_border(&mut self, segment: &Arc<Segment>, target: u64) -> Result<()> {
        if !self.enter_by_index(segment, target) {
            self.enter(Arc::clone(segment))?;
            let first = segment.first_seq()?;
            self.take(0, first)?;
        }
        self.walk_to(target)
    }

    /// Whether what is unsound at a segment's beginning lies before the log's first entry: that one is proved behind it.
    fn begins_removed(&self, segment: &Segment) -> Result<bool> {
        let first = self.snapshot.first_seq;
        Ok(segment.behind_loss(first, self.snapshot.log_id)?.is_some())
    }

    /// What is unsound before the log's first entry, in the segment that has it, was removed, and is nobody's damage:
    /// an entry behind is found from the next border back.
    fn walk_behind_removed(
        &mut self,
        segment: &Arc<Segment>,
        target: u64,
        error: Error,
    ) -> Result<()> {
        let removed = error.seq().is_some_and(|seq| seq < self.snapshot.first_seq);
        if error.is_corruption() && removed && self.enter_behind(segment, target)? {
            return self.walk_to(target);
        }
        Err(if removed { error.seq_at(target) } else { error })
    }

    /// Holds the record that the index gives for `target`, if it is sound and not behind it.
    fn enter_by_index(&mut self, segment: &Arc<Segment>, target: u64) -> bool {
        let log_id = self.snapshot.log_id;
        let Some(hint) = segment.hint(target, log_id) else { return false };
        if self.enter(Arc::clone(segment)).is_err() {
            return false;
        }
        let expect = |walk: &mut Self, bytes| {
            if let Some(cursor) = &mut walk.cursor {
                cursor.expect(bytes);
            }
        };
        // As far as its entry, and not farther: what is read for nothing costs more than what is done with it.
        expect(self, hint.about);
        let found = self.take(hint.offset, None);
        expect(self, None);
        matches!(found, Ok(Some(held)) if held.seq() <= target)
    }

    /// Holds the record with entry `target`, where entries before it in the same segment were given up: no
    /// step forward leads over them, but footers do, from the next border back.
    fn enter_behind_loss(&mut self, segment: &Arc<Segment>, target: u64) -> Result<bool> {
        let given_up = |first: u64| {
            let losses = &self.snapshot.losses;
            losses.iter().any(|(_, last)| *last < target && *last >= first)
        };
        let first = segment.first_seq().ok().flatten().unwrap_or(0);
        if given_up(first) { self.enter_behind(segment, target) } else { Ok(false) }
    }

    fn enter_behind(&mut self, segment: &Arc<Segment>, target: u64) -> Result<bool> {
        let Some(offset) = segment.behind_loss(target, self.snapshot.log_id)? else {
            return Ok(false);
        };
        self.enter(Arc::clone(segment))?;
        Ok(matches!(self.take(offset, None), Ok(Some(held)) if held.seq() <= target))
    }

    /// Steps forward from the record at hand.
    fn walk_to(&mut self, target: u64) -> Result<()> {
        while let Some((held, cursor)) =
            self.cursor.as_mut().and_then(|cursor| Some((cursor.held?, cursor)))
        {
            if held.next_seq() > target {
                return Ok(());
            }
            let stepped = cursor.step_in_window(held.next_seq());
            self.remember(held);
            if !stepped {
                self.step_on(held.end(), held.next_seq())?;
            }
        }
        Err(fault::restless())
    }
}
