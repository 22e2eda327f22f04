//! Segments behind a cut that begin before it: copies of one that stays, or what something else wrote.
//!
//! A cut unlinks what lies behind it, and refuses a file that begins before it: that holds entries which the cut does
//! not cover. Where the same bytes stay elsewhere nothing is lost by it.

use super::survey::{Piece, Survey};
use crate::error::{Error, Result};
use crate::num;
use crate::recover::scan::Candidate;
use crate::segment::source::first_nonzero;
use crate::segment::{ONE_RECORD, READ_AHEAD, RecordSource, Step};
use crate::storage::read_full;
use crate::sync::Arc;

/// What lies behind a cut and begins before it.
#[derive(Debug, Default)]
pub(super) struct Doubled<'a> {
    /// Each with the piece that stays and has all its bytes.
    pub(super) copies: Vec<(&'a Piece, &'a Piece)>,
    /// The first that holds something else, with the seq id that it begins with.
    pub(super) other: Option<(&'a Piece, u64)>,
}

/// Looks for them behind `kept`: the piece that a cut at `seq` keeps the end of, and how many of its bytes.
///
/// # Errors
/// `Io`.
pub(super) fn doubled<'a>(
    survey: &'a Survey,
    kept: Option<(usize, u64)>,
    seq: u64,
) -> Result<Doubled<'a>> {
    let mut found = Doubled::default();
    // A cut that empties the log covers whatever there is.
    let Some((last, offset)) = kept else { return Ok(found) };
    let stay = survey.pieces.get(..=last).unwrap_or_default();
    for piece in survey.pieces.iter().skip(last + 1) {
        let io = |error| Error::io("read", &piece.from.path, error);
        let Some(begin) = first_record(&piece.from).map_err(io)?.filter(|begin| *begin < seq)
        else {
            continue;
        };
        let mut original = None;
        for (at, staying) in stay.iter().enumerate() {
            let end = if at == last { offset } else { staying.end };
            if is_copy(&piece.from, &staying.from, end).map_err(io)? {
                original = Some(staying);
                break;
            }
        }
        match original {
            Some(original) => found.copies.push((piece, original)),
            None => found.other = found.other.or(Some((piece, begin))),
        }
    }
    Ok(found)
}

/// The seq id of the record that a file begins with, if it begins with a sound one.
fn first_record(from: &Candidate) -> std::io::Result<Option<u64>> {
    let mut source = RecordSource::new(Arc::clone(&from.file), ONE_RECORD);
    Ok(match source.record_at(0, from.len)? {
        Step::Record(record) => Some(record.seq()),
        _ => None,
    })
}

/// Whether all bytes of `from` are among the first `end` of `original`, at the same places; but for zeros at its end.
fn is_copy(from: &Candidate, original: &Candidate, end: u64) -> std::io::Result<bool> {
    let shared = from.len.min(end);
    let size = num::index(READ_AHEAD.min(shared));
    let (mut ours, mut theirs) = (vec![0; size], vec![0; size]);
    let mut at = 0;
    while at < shared {
        let want = num::index((shared - at).min(READ_AHEAD));
        let got = piece(&from.file, &mut ours, want, at)?;
        if got.len() != want || got != piece(&original.file, &mut theirs, want, at)? {
            return Ok(false);
        }
        at += num::size(want);
    }
    Ok(first_nonzero(&*from.file, shared, from.len)?.is_none())
}

/// As many as `want` bytes from `at` on.
fn piece<'a>(
    file: &Arc<dyn crate::storage::File>,
    buffer: &'a mut [u8],
    want: usize,
    at: u64,
) -> std::io::Result<&'a [u8]> {
    let Some(part) = buffer.get_mut(..want) else { return Ok(&[]) };
    let got = read_full(&**file, part, at)?;
    Ok(part.get(..got).unwrap_or_default())
}
