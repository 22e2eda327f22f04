//! A position in the log, and stepping from record to record in both directions.
//!
//! The order of every step: know that the entry is there (`end`); read and prove the record; then, for
//! a log that another process writes, ask what it did meanwhile; then look whether the era is still
//! the same and the entry still is in the log; only then hand it out. What looks unsound is damage only if
//! nothing was cut or removed meanwhile ([`Walk::settle`]).
//!
//! After an error the position is where it was, so that the same call gives the same answer.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::backward::Trail;
use super::cursor::{Cursor, Held};
use super::fault;
use crate::error::{Error, Result};
use crate::record::Header;
use crate::segment::Segment;
use crate::snapshot::{Snapshot, View};
use crate::sync::Arc;
use crate::watermark::{Level, truncated};

/// How often a step is tried again because the log changed meanwhile.
const RETRIES: u32 = 64;

/// A position in a log.
#[derive(Debug)]
pub(crate) struct Walk {
    view: Arc<dyn View>,
    level: Level,
    /// The seq id that `forward` gives; `backward` gives the one before.
    position: u64,
    /// The era in which the position means something.
    era: u64,
    /// Entries below it were there in this era.
    end: u64,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) cursor: Option<Cursor>,
    pub(super) trail: Trail,
    /// The window after which it was last asked what happened to the log meanwhile.
    asked: u64,
    /// Why the last try failed, while there is another.
    failed: Option<Error>,
    /// Its files were opened anew since the last entry that was at hand.
    anew: bool,
}

impl Walk {
    /// Begins at `position`, of which nothing is asked.
    pub(crate) fn new(view: Arc<dyn View>, position: u64) -> Self {
        let era = view.era();
        let snapshot = view.snapshot();
        let level = Level::Written;
        Self {
            view,
            level,
            position,
            era,
            end: 0,
            snapshot,
            cursor: None,
            trail: Trail::default(),
            asked: 0,
            failed: None,
            anew: false,
        }
    }

    pub(crate) fn view(&self) -> &Arc<dyn View> {
        &self.view
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    pub(crate) const fn era(&self) -> u64 {
        self.era
    }

    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn set_level(&mut self, level: Level) {
        self.level = level;
        self.end = 0;
    }

    /// Takes `position` in the log as it is now, whatever was cut before.
    ///
    /// # Errors
    /// `Removed`, `BeyondEnd`, what keeps the entry before it from being read; then nothing changed.
    pub(crate) fn seek(&mut self, position: u64) -> Result<()> {
        if position >= self.view.end(Level::Written) {
            self.view.refresh()?;
        }
        let era = self.view.era();
        let (first, next) = (self.view.first_seq(), self.view.end(Level::Written));
        if position < first {
            return Err(fault::removed(position, first));
        }
        if position > next {
            self.view.has_come(position - 1)?;
            return Err(fault::beyond(position, next));
        }
        if era != self.era {
            self.resync(era);
        }
        self.position = position;
        Ok(())
    }

    /// If the entry before the position was cut: goes to where the new history begins, and tells where.
    pub(crate) fn follow_cut(&mut self) -> Option<u64> {
        let era = self.view.era();
        let at = self.view.cut_since(self.era).filter(|at| *at < self.position)?;
        self.resync(era);
        // After a reset the new history may begin further on.
        self.position = at.max(self.view.first_seq());
        Some(at)
    }

    /// Has the entry at the position at hand; false at the end. The position stays.
    ///
    /// # Errors
    /// Whatever reading gives.
    #[inline]
    pub(crate) fn forward(&mut self) -> Result<bool> {
        if self.step_in_window() {
            return Ok(true);
        }
        self.forward_anywhere()
    }

    /// The step that nearly every `forward` is, if it is one: to an entry known to be there, in a window that
    /// was read and asked about before, in a log without losses, with nothing cut or removed since.
    #[inline]
    fn step_in_window(&mut self) -> bool {
        let (asked, position) = (self.asked, self.position);
        position < self.end
            && self.snapshot.losses.is_empty()
            && self.cursor.as_mut().is_some_and(|cursor| {
                cursor.source.fills() == asked && cursor.step_in_window(position)
            })
            && self.view.still(self.era, position)
    }

    /// The entry at the position, if the step to it is one of those and it is not compressed: its seq id, and where in
    /// the window ([`part`](Self::part)) its payload lies. The position then moves behind it.
    #[inline]
    pub(crate) fn pass_in_window(&mut self) -> Option<(u64, Range<usize>)> {
        let position = self.position;
        if position >= self.end || !self.snapshot.losses.is_empty() {
            return None;
        }
        let cursor = self.cursor.as_mut().filter(|cursor| cursor.source.fills() == self.asked)?;
        let payload = cursor.pass_in_window(position)?;
        if !self.view.still(self.era, position) {
            return None;
        }
        self.position = position.saturating_add(1);
        Some((position, payload))
    }

    /// A part of the window.
    #[inline]
    pub(crate) fn part(&self, range: Range<usize>) -> &[u8] {
        self.cursor.as_ref().map_or(&[], |cursor| cursor.source.part(range))
    }

    /// The same, kept alive instead of borrowed.
    #[inline]
    pub(crate) fn share_part(&self, range: Range<usize>) -> Bytes {
        self.cursor.as_ref().map_or_else(Bytes::new, |cursor| cursor.source.share_part(range))
    }

    fn forward_anywhere(&mut self) -> Result<bool> {
        for _ in 0..RETRIES {
            if self.position >= self.end {
                self.end = self.view.end(self.level);
                if self.position >= self.end {
                    if self.moved()? {
                        continue;
                    }
                    return Ok(false);
                }
            }
            let there = self.hold(self.position)?;
            if !self.moved()? && there {
                return Ok(true);
            }
        }
        Err(self.give_up())
    }

    /// Has the entry before the position at hand; false at the beginning. The position stays.
    ///
    /// # Errors
    /// Whatever reading gives.
    pub(crate) fn backward(&mut self) -> Result<bool> {
        for _ in 0..RETRIES {
            let first = self.view.first_seq();
            let Some(target) = self.position.checked_sub(1).filter(|seq| *seq >= first) else {
                if self.moved()? {
                    continue;
                }
                return Ok(false);
            };
            let there = self.hold(target)?;
            if !self.moved()? && there && target >= self.view.first_seq() {
                return Ok(true);
            }
        }
        Err(self.give_up())
    }

    /// The payload of the entry at hand, borrowed; the position moves on to `position`.
    ///
    /// # Errors
    /// Where it is compressed and cannot be told: then the position stays.
    pub(crate) fn borrow(&mut self, seq: u64, position: u64) -> Result<&[u8]> {
        self.unpack(seq)?;
        let cursor = self.cursor.as_mut().ok_or_else(fault::restless)?;
        let payload = cursor.entry(seq).map_err(|error| told(&*self.view, error))?;
        self.position = position;
        Ok(payload)
    }

    /// The payload of the entry at hand, sharing the memory that it lies in; the position moves on.
    ///
    /// # Errors
    /// Where it is compressed and cannot be told: then the position stays.
    pub(crate) fn share(&mut self, seq: u64, position: u64) -> Result<Bytes> {
        self.unpack(seq)?;
        let cursor = self.cursor.as_mut().ok_or_else(fault::restless)?;
        let payload = cursor.share(seq).map_err(|error| told(&*self.view, error))?;
        self.position = position;
        Ok(payload)
    }

    #[inline]
    fn unpack(&mut self, seq: u64) -> Result<()> {
        match self.cursor.as_mut().map(|cursor| cursor.unpack(seq)) {
            Some(Err(error)) => self.unpack_anew(seq, error),
            _ => Ok(()),
        }
    }

    /// In another process's log the record at hand may lie in a complete segment that was written anew since it was opened
    /// (`compress`), and need a dictionary that is gone since (`dictionary prune`): then it is read from what is there now.
    #[cold]
    fn unpack_anew(&mut self, seq: u64, error: Error) -> Result<()> {
        let segment = self.cursor.as_ref().map(|cursor| Arc::clone(&cursor.segment));
        let doubted = segment.filter(|segment| self.view.is_foreign() && segment.is_sealed());
        let Some(segment) = doubted else {
            return Err(told(&*self.view, error));
        };
        self.view.look_anew(&[segment])?;
        let newest = self.view.snapshot();
        if Arc::ptr_eq(&newest, &self.snapshot) {
            return Err(told(&*self.view, error));
        }
        self.snapshot = newest;
        self.drop_held();
        for _ in 0..RETRIES {
            if seq >= self.view.end(self.level) {
                return Err(truncated(seq));
            }
            let there = self.hold(seq)?;
            if let Some(at) = self.view.cut_since(self.era).filter(|at| *at <= seq) {
                return Err(truncated(at));
            }
            if !self.moved()? && there {
                let unpacked = self.cursor.as_mut().map_or(Ok(()), |cursor| cursor.unpack(seq));
                return unpacked.map_err(|error| told(&*self.view, error));
            }
        }
        Err(self.give_up())
    }

    /// The record with the entry at hand: its header, its seq ids, and its bytes as they lie.
    ///
    /// # Errors
    /// None where `forward` said that there is an entry.
    pub(crate) fn record(&self) -> Result<(Header, Range<u64>, &[u8])> {
        self.cursor.as_ref().and_then(Cursor::record).ok_or_else(fault::restless)
    }

    /// Moves the position on, behind entries that were at hand.
    pub(crate) fn pass(&mut self, position: u64) {
        self.position = position;
    }

    /// Whether the log was cut behind the position, so that the step is to be made again.
    fn moved(&mut self) -> Result<bool> {
        let era = self.view.era();
        if era == self.era {
            let first = self.view.first_seq();
            if self.position < first {
                return Err(fault::removed(self.position, first));
            }
            return Ok(false);
        }
        if let Some(at) = self.view.cut_since(self.era).filter(|at| *at < self.position) {
            return Err(truncated(at));
        }
        self.resync(era);
        Ok(true)
    }

    fn resync(&mut self, era: u64) {
        self.era = era;
        self.end = 0;
        self.drop_held();
    }

    fn drop_held(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            cursor.forget();
        }
    }

    /// Has the record with entry `target` at hand; false if the log changed and the step is to be made
    /// again.
    fn hold(&mut self, target: u64) -> Result<bool> {
        if !self.snapshot.losses.is_empty() {
            self.refuse_lost(target)?;
        }
        if !self.cursor.as_ref().is_some_and(|cursor| cursor.has(target))
            && let Err(error) = self.reach(target)
        {
            return self.settle(target, error).map(|()| false);
        }
        let fills = self.cursor.as_ref().map_or(0, |cursor| cursor.source.fills());
        if self.asked != fills && self.view.is_foreign() {
            self.view.refresh()?;
        }
        self.asked = fills;
        self.anew = false;
        Ok(true)
    }

    fn refuse_lost(&self, target: u64) -> Result<()> {
        let lost =
            self.snapshot.losses.iter().find(|(first, last)| (*first..=*last).contains(&target));
        lost.map_or(Ok(()), |(first, last)| Err(fault::lost(*first, *last)))
    }

    fn reach(&mut self, target: u64) -> Result<()> {
        let Some((held, cursor)) =
            self.cursor.as_mut().and_then(|cursor| Some((cursor.held?, cursor)))
        else {
            return self.locate(target);
        };
        if held.contains(target) {
            // Proved once, but the window has moved on since.
            let limit = cursor.segment.end()?;
            return cursor.take(held.offset, limit, Some(held.seq()));
        }
        let fills = cursor.source.fills();
        if target == held.next_seq() {
            self.step_on(held.end(), target)?;
        } else if target.checked_add(1) == Some(held.seq()) {
            self.step_back(held.offset, target)?;
        } else {
            return self.locate(target);
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.speed_up(fills);
        }
        Ok(())
    }

    /// Holds the record at `offset` of the current segment, or the first one behind it.
    pub(super) fn step_on(&mut self, mut offset: u64, expected: u64) -> Result<()> {
        loop {
            let Some(cursor) = &mut self.cursor else { return Err(fault::restless()) };
            // Asked after `end` was: so a record that is there lies before it, or in a later segment.
            let limit = cursor.segment.end()?;
            if offset < limit {
                return cursor.take(offset, limit, Some(expected));
            }
            if offset > limit {
                let what = "the segment ends inside a record";
                return Err(fault::damage(&cursor.segment, limit, expected, what));
            }
            let ordinal = cursor.segment.ordinal;
            self.snapshot = self.view.snapshot();
            let segments = &self.snapshot.segments;
            let own = segments.partition_point(|segment| segment.ordinal < ordinal);
            let again = segments.get(own).filter(|segment| segment.ordinal == ordinal);
            if let Some(again) = again.filter(|again| !Arc::ptr_eq(again, &cursor.segment)) {
                // It has got its name since, or was completed: the same file. Or it was written anew (`compress`), and
                // the offset is another one in what is there now.
                let (again, held) = (Arc::clone(again), cursor.held);
                self.enter(again)?;
                if held.is_some_and(|held| self.still_stands(held)) {
                    continue;
                }
                return self.locate(expected);
            }
            if again.is_none() {
                // It is gone, with its entries. What comes first now need not follow it: in another process's log a cut may
                // have come before.
                return self.locate(expected);
            }
            let Some(segment) = segments.get(own + 1).map(Arc::clone) else {
                let what = "the log ends before an entry that it has";
                return Err(fault::damage(&cursor.segment, limit, expected, what));
            };
            self.enter(segment)?;
            offset = 0;
        }
    }

    /// Whether the current segment has the very same record in the same place.
    fn still_stands(&mut self, held: Held) -> bool {
        let found = self.take(held.offset, Some(held.seq()));
        matches!(found, Ok(Some(found)) if found.header() == held.header())
    }

    /// Goes to the beginning of another segment.
    pub(super) fn enter(&mut self, segment: Arc<Segment>) -> Result<()> {
        self.trail.forget();
        match &mut self.cursor {
            Some(cursor) => cursor.enter(segment),
            None => {
                self.cursor = Some(Cursor::new(segment, self.view.most_content())?);
                Ok(())
            }
        }
    }

    /// Holds whatever record is at `offset`; that it belongs there is for the caller to see.
    pub(super) fn take(&mut self, offset: u64, expected: Option<u64>) -> Result<Option<Held>> {
        let Some(cursor) = &mut self.cursor else { return Err(fault::restless()) };
        let limit = cursor.segment.end()?;
        cursor.take(offset, limit, expected)?;
        Ok(cursor.held)
    }

    /// What to make of a failed read. If the log changed meanwhile, it is to be tried again, from a fresh
    /// start; else it is what it looks like.
    fn settle(&mut self, target: u64, error: Error) -> Result<()> {
        if self.view.is_foreign() {
            // A segment may have been written anew since it was opened (`compress`, `repair --from`), and be another file now.
            let damaged = error.file().filter(|_| error.is_corruption());
            let doubted = damaged.map_or_else(Vec::new, |path| self.doubted(path));
            match doubted.is_empty() || std::mem::replace(&mut self.anew, true) {
                true => self.view.refresh()?,
                false => self.view.look_anew(&doubted)?,
            }
        }
        if self.view.era() != self.era {
            return self.fail_later(error);
        }
        let newest = self.view.snapshot();
        if target < newest.first_seq {
            return Err(fault::removed(target, newest.first_seq));
        }
        if !Arc::ptr_eq(&newest, &self.snapshot) {
            self.snapshot = newest;
            self.drop_held();
            return self.fail_later(error);
        }
        let error = match error.file() {
            Some(path) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => {
                fault::missing(path, target)
            }
            _ => error,
        };
        Err(told(&*self.view, error))
    }

    /// Segments that may have led to an error about this file: its own, and the one before, where that ended elsewhere than it
    /// does.
    fn doubted(&self, path: &Path) -> Vec<Arc<Segment>> {
        let segments = &self.snapshot.segments;
        let Some(at) = segments.iter().position(|segment| segment.path == path) else {
            return Vec::new();
        };
        segments.get(at.saturating_sub(1)..=at).unwrap_or_default().to_vec()
    }

    /// Keeps the error, in case trying again and again comes to nothing.
    fn fail_later(&mut self, error: Error) -> Result<()> {
        self.failed = Some(error);
        Ok(())
    }

    fn give_up(&mut self) -> Error {
        self.failed.take().unwrap_or_else(fault::restless)
    }
}

/// An error that is about to be given to the user, once the log knows.
#[cold]
fn told(view: &dyn View, error: Error) -> Error {
    view.met(&error);
    error
}
