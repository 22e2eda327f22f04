//! Retention: what the limits allow to go, at the border of a segment.

use super::live::ends;
use crate::config::Retention;
use crate::cursors::Hold;
use crate::error::Result;
use crate::log::Log;
use crate::snapshot::{Snapshot, View};
use crate::stats::Counters;
use crate::trace;
use crate::watermark::refuse_in_callback;

impl Log {
    /// Removes what the limits allow: whole sealed segments, oldest first, and none that a cursor needs. Returns how
    /// many went.
    ///
    /// # Errors
    /// `Corrupt` where a cursor cannot be read; `Poisoned`, `Io`.
    pub(crate) fn retain(&self, limits: &Retention) -> Result<u64> {
        self.check()?;
        refuse_in_callback()?;
        // Where there is no room for what was committed, what was on disk before counts.
        let persisted = self.cursors.persist();
        persisted.or_else(|error| if error.is_out_of_space() { Ok(()) } else { Err(error) })?;
        let snapshot = View::snapshot(self);
        let holds = self.cursors.holds(&snapshot.epochs);
        let Some(first) = self.retained_from(&snapshot, limits, &holds)? else {
            return self.remove_left_over().map(|()| 0);
        };
        let _span = trace::retaining(self.names.dir());
        if let Some(error) = self.cursors.unreadable() {
            return Err(error);
        }
        Counters::add(
            &self.counters.cursors_expired,
            self.cursors.expire(&holds, first, &snapshot.epochs)?,
        );
        self.cut_front(first, true)?;
        let after = View::snapshot(self);
        let oldest = after.segments.first().map_or(0, |segment| segment.ordinal);
        let gone = snapshot.segments.iter().filter(|segment| segment.ordinal < oldest);
        // How long each is was asked when it was judged.
        let (mut count, mut bytes) = (0, 0);
        for segment in gone {
            (count, bytes) = (count + 1, bytes + segment.end().unwrap_or(0));
        }
        Counters::add(&self.counters.segments_expired, count);
        Counters::add(&self.counters.bytes_expired, bytes);
        if count > 0 {
            trace::retained(count, bytes, self.first_seq());
        }
        Ok(count)
    }

    /// The first seq id that the limits keep; `None`: all.
    fn retained_from(
        &self,
        snapshot: &Snapshot,
        limits: &Retention,
        holds: &[Hold],
    ) -> Result<Option<u64>> {
        let open_seq = self.keeper().manifest.open_seq;
        let sealed = ends(snapshot, open_seq)?;
        let mut bytes = 0;
        for segment in &snapshot.segments {
            bytes += segment.end()?;
        }
        let mut count = crate::num::size(snapshot.segments.len());
        let now = self.now_for_ages();
        let mut first = None;
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
            first = Some(*next);
        }
        Ok(first.filter(|first| *first > snapshot.first_seq))
    }
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
