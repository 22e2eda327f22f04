//! From a moment to a seq id, by the append times in the index.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::num;
use crate::segment::index::{EVERY, micros, time};
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

/// Seq ids of `seqs`, in order, each with a moment at or before which it was appended, as far as the index knows:
/// of every 32nd entry of a segment.
pub(crate) fn append_times(view: &dyn View, seqs: &Range<u64>) -> Vec<(u64, SystemTime)> {
    let snapshot = view.snapshot();
    let mut times = Vec::new();
    // Not through all of them: each is opened to be asked.
    let begun = snapshot.segments.partition_point(
        |segment| matches!(segment.first_seq(), Ok(Some(first)) if first <= seqs.start),
    );
    for segment in snapshot.segments.iter().skip(begun.saturating_sub(1)) {
        let Ok(Some(first)) = segment.first_seq() else { continue };
        if first >= seqs.end {
            break;
        }
        let Some(index) = segment.index(snapshot.log_id) else { continue };
        if index.first_seq != first {
            continue;
        }
        // Where the file's own time stands in, its clock may be behind the one that stamps.
        let lag = if index.times_from_file { FILE_TIME_LAG } else { Duration::ZERO };
        for (at, entry) in (0_u64..).zip(&index.entries) {
            let seq = first.saturating_add(at.saturating_mul(EVERY));
            if seqs.contains(&seq)
                && let Some(moment) = time(entry.micros).checked_add(lag)
            {
                times.push((seq, moment));
            }
        }
    }
    times
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
