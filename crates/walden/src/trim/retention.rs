//! Retention: what the limits allow to go, at the border of a segment.

use super::front::ends;
use crate::config::Retention;
use crate::cursors::Hold;
use crate::error::Result;
use crate::log::Log;
use crate::snapshot::{Snapshot, View};
use crate::stats::Counters;
use crate::sync::Arc;
use crate::trace;
use crate::watermark::refuse_in_callback;

/// Looks that may meet a cut. Segments are begun and sealed all the time, too: so what is met again and again is told.
const RETRIES: u32 = 8;

impl Log {
    /// Removes what the limits allow: whole sealed segments, oldest first, and none that a cursor needs. Returns how
    /// many went: none, too, where what was judged is not in the log any more.
    ///
    /// # Errors
    /// `Corrupt` where a cursor cannot be read; `Poisoned`, `Io`.
    pub(crate) fn retain(&self, limits: &Retention) -> Result<u64> {
        self.check()?;
        refuse_in_callback()?;
        // Where there is no room for what was committed, what was on disk before counts.
        let persisted = self.cursors.persist();
        persisted.or_else(|error| if error.is_out_of_space() { Ok(()) } else { Err(error) })?;
        let (border, holds) = self.find_border(limits)?;
        let Some(border) = border else { return self.remove_left_over().map(|()| 0) };
        let _span = trace::retaining(self.names.dir());
        if let Some(error) = self.cursors.unreadable() {
            return Err(error);
        }
        self.remove_up_to(border, &holds)
    }

    /// Up to where the limits let all go, `None` where they keep all; and what cursors held back then.
    fn find_border(&self, limits: &Retention) -> Result<(Option<Border>, Vec<Hold>)> {
        let mut tries = 0;
        loop {
            // Of one moment: what ends where another one begins, ends there.
            let (snapshot, open_seq) = {
                let keeper = self.keeper();
                (View::snapshot(self), keeper.manifest.open_seq)
            };
            let holds = self.cursors.holds(&snapshot.epochs);
            // Without the lock: it asks each segment's file, and sealing must not wait for that.
            let judged = self.judge(&snapshot, open_seq, limits, &holds);
            if judged.is_err() && tries < RETRIES && self.has_changed(&snapshot) {
                // What it asked for may have been removed or shortened by a cut meanwhile.
                tries += 1;
                continue;
            }
            return Ok((judged?, holds));
        }
    }

    /// Whether the log's segments are others by now; waits for the cut that is at it.
    fn has_changed(&self, snapshot: &Arc<Snapshot>) -> bool {
        let _keeper = self.keeper();
        !Arc::ptr_eq(snapshot, &View::snapshot(self))
    }

    /// Up to where the limits let all go; `None`: they keep all.
    fn judge(
        &self,
        snapshot: &Snapshot,
        open_seq: u64,
        limits: &Retention,
        holds: &[Hold],
    ) -> Result<Option<Border>> {
        let sealed = ends(snapshot, open_seq)?;
        let mut bytes = 0;
        for segment in &snapshot.segments {
            bytes += segment.end()?;
        }
        let mut count = crate::num::size(snapshot.segments.len());
        let now = self.now_for_ages();
        let mut last_to_go = None;
        let times = last_times(snapshot, now);
        for ((segment, next), last) in sealed.iter().zip(times) {
            let age = now.saturating_sub(last);
            let held = holds.iter().any(|hold| hold.from < *next);
            let spared = held && !self.settings.cursor_cap.is_passed(count, bytes, age);
            if spared || !limits.is_passed(count, bytes, age) {
                break;
            }
            count -= 1;
            bytes = bytes.saturating_sub(segment.end()?);
            last_to_go = Some(Border { ordinal: segment.ordinal, next: *next });
        }
        Ok(last_to_go.filter(|border| border.next > snapshot.first_seq))
    }

    /// Removes what was judged, if it is still there. It is if the last of it is, and ends where it did: an ordinal is
    /// never given twice, a cut that came before it removed or shortened it, and what is sealed does not grow.
    fn remove_up_to(&self, border: Border, holds: &[Hold]) -> Result<u64> {
        let first = border.next;
        let mut keeper = self.keeper();
        self.check()?;
        let snapshot = View::snapshot(self);
        let sealed = ends(&snapshot, keeper.manifest.open_seq)?;
        let mut borders = sealed.iter().map(|(segment, next)| (segment.ordinal, *next));
        let there = borders.any(|found| found == (border.ordinal, border.next));
        if !there || first <= keeper.manifest.first_seq {
            return Ok(0);
        }
        // Asked once more: no cursor is made or moved back while the maintenance lock is held.
        let holding = || self.cursors.holds(&snapshot.epochs);
        if holding().iter().any(|hold| hold.from < first && !hold.is_among(holds, first)) {
            return Ok(0);
        }
        let expired = self.cursors.expire(holds, first, &snapshot.epochs)?;
        Counters::add(&self.counters.cursors_expired, expired);
        if holding().iter().any(|hold| hold.from < first) {
            return Ok(0);
        }
        let dead = self.raise_first(&mut keeper, first, &sealed)?;
        // How long each is was asked when it was judged.
        let bytes = dead.iter().map(|segment| segment.end().unwrap_or(0)).sum();
        let count = crate::num::size(dead.len());
        self.remove_front(&mut keeper, dead)?;
        drop(keeper);
        Counters::add(&self.counters.segments_expired, count);
        Counters::add(&self.counters.bytes_expired, bytes);
        if count > 0 {
            trace::retained(count, bytes, self.first_seq());
        }
        Ok(count)
    }
}

/// The end of a sealed segment: all up to there may go.
#[derive(Debug, Clone, Copy)]
struct Border {
    ordinal: u64,
    /// The seq id that follows.
    next: u64,
}

/// When each segment's last entry was appended, oldest segment first. A clock that jumped must neither block nor
/// hurry: a time to come is no time, and is taken from the segment behind. One that is too early needs nothing:
/// its segment goes no sooner than those before it.
fn last_times(snapshot: &Snapshot, now: u64) -> Vec<u64> {
    let mut times: Vec<u64> = Vec::with_capacity(snapshot.segments.len());
    let mut behind = now;
    for segment in snapshot.segments.iter().rev() {
        let own = segment.last_micros(snapshot.log_id).filter(|last| *last > 0);
        let last = own.or_else(|| segment.modified_micros()).filter(|last| *last <= now);
        behind = last.unwrap_or(behind);
        times.push(behind);
    }
    times.reverse();
    times
}
