//! The errors of reading: each names the file, the byte, the seq ids and what to do.

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, ErrorKind, shell_word};
use crate::record::{Fault, Header, Unreadable};
use crate::segment::Segment;

/// What stands at `offset` is not the record with seq id `expected`.
pub(super) fn damage(segment: &Segment, offset: u64, expected: u64, what: &str) -> Error {
    segment.corrupt(offset, what).seq_at(expected).advice(verify(&segment.path))
}

/// A sound record, but not the one that must follow.
pub(super) fn misplaced(segment: &Segment, offset: u64, expected: u64, found: u64) -> Error {
    let error = damage(
        segment,
        offset,
        expected,
        &format!("seq id {expected} should follow, and {found} is here"),
    );
    match found.checked_sub(1) {
        Some(last) if last > expected => error.seqs(expected, last),
        _ => error,
    }
}

/// What decoding found wrong.
pub(super) fn unsound(
    segment: &Segment,
    offset: u64,
    expected: u64,
    fault: Fault,
    header: Option<Header>,
) -> Error {
    if fault != Fault::Newer {
        return damage(segment, offset, expected, &fault.to_string());
    }
    let size = header.map_or(0, |header| header.size);
    let flags = size & !crate::record::LEN_MASK;
    Error::new(
        ErrorKind::Unsupported,
        format!("the record was written by a newer version (flags {flags:#018x})"),
    )
    .path(&segment.path)
    .offset_at(offset)
    .seq_at(expected)
    .advice("use a newer walden")
}

/// The segment's file is not there, and nothing says that it was removed.
pub(super) fn missing(path: &Path, expected: u64) -> Error {
    Error::corrupt("the segment's file is missing").path(path).seq_at(expected).advice(verify(path))
}

/// A sound record, compressed, of which it cannot be told what it holds.
pub(super) fn unreadable(
    segment: &Segment,
    offset: u64,
    seqs: &Range<u64>,
    why: Unreadable,
) -> Error {
    let error = of_record(why.error().path(&segment.path).offset_at(offset), seqs);
    if error.is_corruption() { error.advice(verify(&segment.path)) } else { error }
}

/// An error about all entries of a record.
pub(super) fn of_record(error: Error, seqs: &Range<u64>) -> Error {
    match seqs.end.saturating_sub(1) {
        last if last > seqs.start => error.seqs(seqs.start, last),
        _ => error.seq_at(seqs.start),
    }
}

pub(super) fn removed(seq: u64, first: u64) -> Error {
    Error::new(ErrorKind::Removed, format!("removed: the log begins at seq id {first}")).seq_at(seq)
}

pub(super) fn beyond(seq: u64, next: u64) -> Error {
    Error::new(ErrorKind::BeyondEnd, format!("the log's next seq id is {next}")).seq_at(seq)
}

pub(super) fn lost(first: u64, last: u64) -> Error {
    Error::new(ErrorKind::Lost, "given up by `walden repair --accept-loss`")
        .seqs(first, last)
        .advice(format!("seek to {} to go on behind it", last.saturating_add(1)))
}

/// The log did not hold still.
pub(super) fn restless() -> Error {
    Error::new(ErrorKind::Busy, "the log changed again and again while it was read; try again")
}

/// Advice to look at the folder that `path` lies in.
pub(super) fn verify(path: &Path) -> String {
    format!("run: walden verify {}", folder(path))
}

/// Advice for a log without a manifest that it had.
pub(super) fn rebuild(path: &Path) -> String {
    format!(
        "nothing was changed; to see how to rebuild it from the segments, run: walden repair {}",
        folder(path)
    )
}

/// The folder that `path` lies in, as a word of a command.
fn folder(path: &Path) -> String {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    shell_word(dir.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_can_be_pasted_into_a_shell() {
        assert_eq!(verify(Path::new("log/a-0000.wal")), "run: walden verify log");
        assert_eq!(verify(Path::new("a-0000.wal")), "run: walden verify .");
        assert_eq!(verify(Path::new("my log's/a.wal")), r"run: walden verify 'my log'\''s'");
    }
}
