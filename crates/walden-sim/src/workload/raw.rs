//! Reads a log's files by itself, from the format's description alone: the library is not asked.

use std::borrow::Cow;
use std::path::Path;

use super::lz4;
use super::violation::{Checked, Rule, broken, hold};
use crate::SimDisk;
use crate::num::{index, size};

const HEADER: usize = 20;
const FOOTER: usize = 8;
const PACKED: u64 = 1 << 59;
const CODEC: u64 = 7 << 56;
const LZ4: u64 = 3 << 56;
const LEN: u64 = (1 << 48) - 1;

/// All entries from `first` on, checked for checksum, footer and sequence across all segments.
pub(crate) fn entries(disk: &SimDisk, dir: &Path, first: u64) -> Checked<Vec<Vec<u8>>> {
    let mut files = disk.files();
    files.retain(|path| path.starts_with(dir) && holds_entries(disk, path));
    let mut out = Vec::new();
    let mut expected = None;
    for path in files {
        let bytes = disk.read_file(&path).unwrap_or_default();
        let mut at = 0;
        let bad =
            |at: usize, what: &str| broken(Rule::Altered, format!("{path:?} at {at}: {what}"));
        while let Some(record) = bytes.get(at..).filter(|rest| !unwritten(rest)) {
            let Some((size_word, seq, end)) = frame(record) else { return bad(at, "no record") };
            let Some(body) = record.get(HEADER..end - FOOTER) else { return bad(at, "cut off") };
            let crc = record.get(4..end - FOOTER).map(crc32c::crc32c);
            if crc != be(record, 0, 4).and_then(|crc| u32::try_from(crc).ok()) {
                return bad(at, "checksum");
            }
            if be(record, end - FOOTER, 8) != Some(size_word) {
                return bad(at, "footer");
            }
            // What lies before the log may have gaps: a reset leaves what cannot be removed to the next opening.
            if expected.replace(seq).is_some_and(|due| due != seq && !out.is_empty()) {
                return bad(at, "sequence");
            }
            let Some(body) = plain(size_word, body) else { return bad(at, "compressed payload") };
            let payloads = if size_word & PACKED == 0 { Some(vec![&*body]) } else { packed(&body) };
            let Some(payloads) = payloads else { return bad(at, "batch") };
            let kept = payloads.iter().zip(seq..).filter(|(_, seq)| *seq >= first);
            out.extend(kept.map(|(payload, _)| payload.to_vec()));
            expected = Some(seq + size(payloads.len()));
            at += end;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        hold(Rule::Altered, rest.iter().all(|byte| *byte == 0), || {
            format!("{path:?}: something behind {at}")
        })?;
    }
    Ok(out)
}

/// A segment, or what is left of a batch that was cut: that waits under a name that ends in `.next` until the cut is
/// done. A segment that was only made ready is empty.
fn holds_entries(disk: &SimDisk, path: &Path) -> bool {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("wal") => true,
        Some("next") => disk.read_file(path).is_ok_and(|bytes| !unwritten(&bytes)),
        _ => false,
    }
}

fn unwritten(rest: &[u8]) -> bool {
    rest.iter().take(HEADER).all(|byte| *byte == 0)
}

/// The Size word, the seq id and where the record ends.
fn frame(record: &[u8]) -> Option<(u64, u64, usize)> {
    let (size_word, seq) = (be(record, 4, 8)?, be(record, 12, 8)?);
    let end = index(size_word & LEN).checked_add(HEADER + FOOTER)?;
    (end <= record.len()).then_some((size_word, seq, end))
}

/// A stored payload as it is without its codec; what is before a batch's ends is in clear.
fn plain(size_word: u64, stored: &[u8]) -> Option<Cow<'_, [u8]>> {
    let clear = if size_word & PACKED == 0 { 0 } else { 4 };
    match size_word & CODEC {
        0 => Some(Cow::Borrowed(stored)),
        LZ4 => {
            let (count, rest) = stored.split_at_checked(clear)?;
            Some(Cow::Owned([count, &lz4::decompress(rest)?].concat()))
        }
        _ => None,
    }
}

fn packed(stored: &[u8]) -> Option<Vec<&[u8]>> {
    let count = index(be(stored, 0, 4)?);
    let begin = 4 + 4 * count;
    let mut from = begin;
    let entry = |i: usize| {
        let to = begin + index(be(stored, 4 + 4 * i, 4)?);
        let entry = stored.get(from..to)?;
        from = to;
        Some(entry)
    };
    (0..count).map(entry).collect()
}

/// A big-endian integer.
fn be(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
