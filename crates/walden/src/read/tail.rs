//! Where a log ends that is only read: its last records are looked at one by one.

use super::fault;
use super::time::file_time;
use crate::error::{Error, Result};
use crate::manifest::Place;
use crate::recover::scan::later_record;
use crate::segment::source::first_nonzero;
use crate::segment::{ONE_RECORD, READ_AHEAD, RecordSource, Segment, Step};
use crate::storage::File;
use crate::sync::Arc;

/// How far the records of the log have been seen to be sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) ordinal: u64,
    pub(super) offset: u64,
    /// 0: whatever the next record says.
    pub(super) next_seq: u64,
}

impl Tail {
    pub(super) fn at(place: Place) -> Self {
        Self { ordinal: place.ordinal, offset: place.offset, next_seq: place.next_seq }
    }
}

/// Why a run of sound records ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the end of the file.
    End,
    /// At zeros.
    Zeros,
    /// At something else.
    Unsound,
}

/// Follows sound records, one after the other, from `tail` on. Where one begins before `trusted`, which was durable, a wrong
/// footer is no end: its checksum proves it, and readers are given it.
///
/// # Errors
/// `Io`; `Corrupt` for a flagged record where none may be.
pub(super) fn run(
    segment: &Segment,
    tail: &mut Tail,
    limit: u64,
    trusted: u64,
    plain: bool,
) -> Result<Stop> {
    let opened = segment.opened()?;
    let mut source = RecordSource::new(Arc::clone(&opened.file), ONE_RECORD);
    let (mut fills, mut time) = (0, u64::MAX);
    loop {
        let step = source
            .record_at(tail.offset, limit)
            .map_err(|error| Error::io("read", &segment.path, error).offset_at(tail.offset))?;
        let (seq, next, len) = match step {
            Step::Record(record)
                if (record.footer_ok || tail.offset < trusted)
                    && (tail.next_seq == 0 || tail.next_seq == record.seq()) =>
            {
                if plain && record.header.size != record.header.payload_len() {
                    return Err(no_manifest(segment));
                }
                (record.seq(), record.next_seq(), record.len())
            }
            Step::End => return Ok(Stop::End),
            Step::Unwritten => return Ok(Stop::Zeros),
            Step::Record(_) | Step::Bad(_) => return Ok(Stop::Unsound),
        };
        if fills != source.fills() {
            // Asked after they were read, the file's time is not before that of the entries.
            fills = source.fills();
            time = opened.file.modified().map_or(u64::MAX, file_time);
            source.set_read_ahead(READ_AHEAD);
        }
        segment.note_first_seq(seq);
        segment.building(|index| {
            if let Some(index) = index {
                index.times_from_file = true;
                index.add(tail.offset, seq, next, time);
            }
        });
        tail.offset += len;
        tail.next_seq = next;
    }
}

/// Raises what readers may look at, never lowers it: others may be reading.
pub(super) fn raise_end(segment: &Segment, end: u64) -> Result<()> {
    if segment.end()? < end {
        segment.set_end(end);
    }
    Ok(())
}

fn no_manifest(segment: &Segment) -> Error {
    Error::corrupt(
        "the manifest is missing: this log has a record that is never written without one",
    )
    .path(&segment.path)
    .advice(fault::rebuild(&segment.path))
}

/// Whether a segment begins with the record `seq`; its footer may be wrong if that was durable. `None`: it is empty as yet.
pub(super) fn begins_with(segment: &Segment, seq: u64, trusted: bool) -> Result<Option<bool>> {
    let file = &segment.opened()?.file;
    let len = length(&**file, segment)?;
    let mut source = RecordSource::new(Arc::clone(file), ONE_RECORD);
    let step = source.record_at(0, len).map_err(|error| Error::io("read", &segment.path, error))?;
    Ok(match step {
        Step::Record(record) => Some((record.footer_ok || trusted) && record.seq() == seq),
        Step::End | Step::Unwritten => None,
        Step::Bad(_) => Some(false),
    })
}

/// The file's length.
pub(super) fn length(file: &dyn File, segment: &Segment) -> Result<u64> {
    file.len().map_err(|error| Error::io("tell the length", &segment.path, error))
}

/// In a log without a manifest: whether what is unsound at `tail` is damage, since sound records that must
/// have come later lie behind it.
///
/// # Errors
/// `Io`.
pub(super) fn is_damage(segment: &Segment, tail: &Tail, limit: u64, stop: Stop) -> Result<bool> {
    let file = &segment.opened()?.file;
    let io = |error| Error::io("read", &segment.path, error);
    match stop {
        Stop::End => return Ok(false),
        Stop::Zeros if first_nonzero(&**file, tail.offset, limit).map_err(io)?.is_none() => {
            return Ok(false);
        }
        Stop::Zeros | Stop::Unsound => {}
    }
    later_record(&**file, tail.offset + 1, limit, tail.next_seq).map_err(io)
}

/// The seq id after the last record of a complete segment; with whether something is wrong behind it.
///
/// # Errors
/// `Io`; `Corrupt` for a flagged record.
pub(super) fn after(segment: &Segment) -> Result<Option<(u64, bool)>> {
    let end = segment.end()?;
    if end == 0 {
        return Ok(None);
    }
    let opened = segment.opened()?;
    let mut source = RecordSource::new(Arc::clone(&opened.file), ONE_RECORD);
    let (_, step) =
        source.record_before(end).map_err(|error| Error::io("read", &segment.path, error))?;
    if let Step::Record(record) = step {
        if record.header.size != record.header.payload_len() {
            return Err(no_manifest(segment));
        }
        return Ok(Some((record.next_seq(), false)));
    }
    let mut tail = Tail { ordinal: segment.ordinal, offset: 0, next_seq: 0 };
    run(segment, &mut tail, end, 0, true)?;
    Ok((tail.next_seq > 0).then_some((tail.next_seq, true)))
}
