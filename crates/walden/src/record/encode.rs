//! Payloads to bytes.

use super::compression::Compressed;
use super::layout::{PACKED, be32, be64};
use crate::checksum::{crc32c, crc32c_append};
use crate::num;

const HEADER_BYTES: usize = 20;

/// Appends one plain record with the concatenation of `parts` as its payload.
#[inline(always)]
pub(crate) fn encode(out: &mut Vec<u8>, seq: u64, parts: &[&[u8]]) {
    // Without a loop for what is nearly always one part.
    let (first, others) =
        parts.split_first().map_or((&[][..], &[][..]), |(first, others)| (*first, others));
    let len = first.len() + others.iter().map(|part| part.len()).sum::<usize>();
    let start = begin(out, num::size(len), seq, len);
    out.extend_from_slice(first);
    for part in others {
        out.extend_from_slice(part);
    }
    finish(out, start, num::size(len));
}

/// Appends one record with a payload that was compressed.
pub(crate) fn encode_stored(out: &mut Vec<u8>, seq: u64, payload: &Compressed<'_>) {
    let len = payload.stored.len();
    let size = num::size(len) | payload.flags;
    let start = begin(out, size, seq, len);
    out.extend_from_slice(payload.stored);
    finish(out, start, size);
}

/// What stands before and after the stored payload `parts` of a record with these flags: for who writes the
/// payload from where it is.
pub(crate) fn frame(flags: u64, seq: u64, parts: &[&[u8]]) -> ([u8; HEADER_BYTES], [u8; 8]) {
    let len: u64 = parts.iter().map(|part| num::size(part.len())).sum();
    let mut header = header(len | flags, seq);
    let (crc_field, rest) = header.split_at_mut(4);
    let crc = parts.iter().fold(crc32c(rest), |crc, part| crc32c_append(crc, part));
    crc_field.copy_from_slice(&be32(crc));
    (header, be64(len | flags))
}

/// A record's header, but for its checksum.
#[inline(always)]
fn header(size: u64, seq: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (size_field, seq_field) = header[4..].split_at_mut(8);
    size_field.copy_from_slice(&be64(size));
    seq_field.copy_from_slice(&be64(seq));
    header
}

/// Length of a packed batch's stored payload; `None` if it overflows.
pub(crate) fn packed_body_len(entries: u64, bytes: u64) -> Option<u64> {
    entries.checked_mul(4)?.checked_add(4)?.checked_add(bytes)
}

/// Appends one record that holds all of `entries` (at least one); `seq` is the first one's.
///
/// The caller has checked that count and length fit 32 bits.
pub(crate) fn encode_packed(out: &mut Vec<u8>, seq: u64, entries: &[&[u8]]) {
    let bytes: usize = entries.iter().map(|entry| entry.len()).sum();
    let len = 4 + 4 * entries.len() + bytes;
    let size = num::size(len) | PACKED;
    let start = begin(out, size, seq, len);
    out.extend_from_slice(&be32(clamp32(entries.len())));
    packed_rest(out, entries);
    finish(out, start, size);
}

/// What follows the `count` of a batch: where each entry ends, and the entries.
#[inline]
pub(super) fn packed_rest(out: &mut Vec<u8>, entries: &[&[u8]]) {
    let mut end = 0;
    for entry in entries {
        end += entry.len();
        out.extend_from_slice(&be32(clamp32(end)));
    }
    for entry in entries {
        out.extend_from_slice(entry);
    }
}

#[inline(always)]
fn begin(out: &mut Vec<u8>, size: u64, seq: u64, payload: usize) -> usize {
    out.reserve(payload + num::index(super::OVERHEAD));
    let start = out.len();
    out.extend_from_slice(&header(size, seq));
    start
}

#[inline(always)]
fn finish(out: &mut Vec<u8>, start: usize, size: u64) {
    let crc = crc32c(out.get(start + 4..).unwrap_or_default());
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&be32(crc));
    }
    out.extend_from_slice(&be64(size));
}

pub(super) fn clamp32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
