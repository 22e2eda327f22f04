//! From a moment to a seq id, by the append times in the index.

use std::time::{Duration, SystemTime};

use crate::num;
use crate::segment::index::{EVERY, micros};
use crate::segment::{Index, Segment};
use crate::snapshot::View;
use crate::sync::Arc;
use crate::watermark::Level;

/// How far a file's time may lag behind the clock that entries are stamped with: kernels keep it in ticks.
const FILE_TIME_LAG: Duration = Duration::from_secs(1);

/// A seq id such that nothing before it was appended at or after `time`, as near as the index allows.
pub(super) fn first_since(view: &dyn View, time: SystemTime) -> u64 {
    let time = micros(time);
    let snapshot = view.snapshot();
    let segments: Vec<&Arc<Segment>> =
        snapshot.segments.iter().filter(|segment| !matches!(segment.end(), Ok(0))).collect();
    // One after the other: a clock that jumped back between segments leaves times that do not rise.
    let at = segments
        .iter()
        .position(|segment| latest(segment, snapshot.log_id) >= time)
        .unwrap_or(segments.len());
    // What the index says of its last entries ends at the last number that it holds: so the one before may
    // have a tail that belongs here.
    let own = segments.get(at).and_then(|segment| behind(segment, snapshot.log_id, time));
    let seq = own
        .or_else(|| behind(segments.get(at.checked_sub(1)?)?, snapshot.log_id, time))
        .or_else(|| segments.get(at)?.first_seq().ok()?)
        .unwrap_or(if at == 0 { 0 } else { u64::MAX });
    seq.clamp(snapshot.first_seq, view.end(Level::Written).max(snapshot.first_seq))
}

/// A time that no entry of the segment is behind.
fn latest(segment: &Segment, log_id: u128) -> u64 {
    if let Some(last) = segment.last_micros(log_id) {
        return last;
    }
    let modified = segment.opened().ok().and_then(|opened| opened.file.modified().ok());
    modified.map_or(u64::MAX, file_time)
}

/// A file's time as one that no entry in it is behind.
pub(super) fn file_time(time: SystemTime) -> u64 {
    time.checked_add(FILE_TIME_LAG).map_or(u64::MAX, micros)
}

/// The seq id after the last one of this segment that is known to be before `time`.
fn behind(segment: &Segment, log_id: u128, time: u64) -> Option<u64> {
    let index: Index = segment.index(log_id)?;
    if segment.first_seq().ok()? != Some(index.first_seq) {
        return None;
    }
    let before = index.entries.partition_point(|entry| entry.micros < time).checked_sub(1)?;
    index.first_seq.checked_add(num::size(before).checked_mul(EVERY)?)?.checked_add(1)
}
