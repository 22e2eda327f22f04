//! Reads records out of a file, one at a time, forwards or backwards.
//!
//! The one place where bytes of a segment come into memory. It never allocates by a length that is not
//! proved: a record above [`BUFFER_LIMIT`] has its checksum computed piecewise first.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::checksum::crc32c_append;
use crate::num;
use crate::record::{Decoded, FOOTER_LEN, Fault, HEADER_LEN, Header, OVERHEAD, Record, decode};
use crate::storage::{File, read_full};
use crate::sync::Arc;

/// Records up to this length are read into the buffer before they are proved.
const BUFFER_LIMIT: u64 = 4 << 20;

/// Bytes read at once by those who read on and on.
pub(crate) const READ_AHEAD: u64 = 256 << 10;

/// Bytes read at once by those who want one record.
pub(crate) const ONE_RECORD: u64 = 8 << 10;

/// A window lies in memory as the file does in its pages, up to a multiple of this. Processors copy a string that lies up
/// to 31 bytes further in its page than what it is copied from five times as slowly (AMD's Zen 3), and where records' lengths
/// divide a page, all windows of a log would be such ones, or none.
const LINE: usize = 64;

/// What stands at a place of a segment.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A sound record.
    Record(Record<'a>),
    /// The end of what may be read.
    End,
    /// Zeros where a header would be.
    Unwritten,
    /// Something else.
    Bad(Fault),
}

/// A file with a window of it in memory.
#[derive(Debug)]
pub(crate) struct RecordSource {
    file: Arc<dyn File>,
    /// Shared with those who were given slices of it: filled in place only while it is not.
    buf: Bytes,
    /// Offset in the file of the window's first byte.
    start: u64,
    /// Where in `buf` that is.
    lead: usize,
    /// Bytes of `buf` that hold the window.
    valid: usize,
    read_ahead: u64,
    fills: u64,
}

impl RecordSource {
    pub(crate) fn new(file: Arc<dyn File>, read_ahead: u64) -> Self {
        Self { file, buf: Bytes::new(), start: 0, lead: 0, valid: 0, read_ahead, fills: 0 }
    }

    /// Goes on in another file with the same buffer.
    pub(crate) fn switch(&mut self, file: Arc<dyn File>) {
        self.file = file;
        self.forget();
    }

    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    /// Reads so many bytes at once from now on.
    pub(crate) fn set_read_ahead(&mut self, read_ahead: u64) {
        self.read_ahead = read_ahead;
    }

    /// How often the file was read: who has proved something knows by it whether the window still is
    /// the same.
    #[inline]
    pub(crate) fn fills(&self) -> u64 {
        self.fills
    }

    /// Bytes of the window, without asking the file; `None` where it doesn't hold all of them.
    #[inline]
    pub(crate) fn held(&self, offset: u64, len: u64) -> Option<&[u8]> {
        self.buf.get(self.place(offset, len)?)
    }

    /// What the window holds from `offset` on, without asking the file.
    #[inline]
    pub(crate) fn rest(&self, offset: u64) -> &[u8] {
        self.part(self.rest_range(offset))
    }

    /// Where in the window that lies.
    #[inline]
    pub(crate) fn rest_range(&self, offset: u64) -> Range<usize> {
        let from = offset.checked_sub(self.start).map_or(self.valid, num::index);
        self.lead.saturating_add(from)..self.lead + self.valid
    }

    /// A part of the window.
    #[inline]
    pub(crate) fn part(&self, range: Range<usize>) -> &[u8] {
        self.buf.get(range).unwrap_or_default()
    }

    /// A part of the window, kept alive instead of borrowed.
    ///
    /// # Panics
    /// If it is not a part of the window.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        self.buf.slice_ref(part)
    }

    /// As [`part`](Self::part), kept alive instead of borrowed.
    #[inline]
    pub(crate) fn share_part(&self, range: Range<usize>) -> Bytes {
        let is_there = range.start <= range.end && range.end <= self.buf.len();
        if is_there { self.buf.slice(range) } else { Bytes::new() }
    }

    /// Where in the window bytes of the file lie; `None` where it doesn't hold all of them.
    #[inline]
    pub(crate) fn place(&self, offset: u64, len: u64) -> Option<Range<usize>> {
        let from = self.lead.checked_add(num::index(offset.checked_sub(self.start)?))?;
        let to = from.checked_add(num::index(len))?;
        (to <= self.lead + self.valid).then_some(from..to)
    }

    /// Drops the window, so that the next read asks the file again.
    pub(crate) fn forget(&mut self) {
        self.valid = 0;
    }

    /// The record at `offset`, where nothing at or behind `limit` may be read.
    ///
    /// # Errors
    /// What reading the file gives. A file that is shorter than `limit` is not an error but a
    /// `Fault::Length` or `Fault::ShortHeader`.
    pub(crate) fn record_at(&mut self, offset: u64, limit: u64) -> io::Result<Step<'_>> {
        let Some(left) = limit.checked_sub(offset).filter(|left| *left > 0) else {
            return Ok(Step::End);
        };
        if left < HEADER_LEN {
            return Ok(step(decode(self.window(offset, left, limit)?)));
        }
        let Some(header) = Header::parse(self.window(offset, HEADER_LEN, limit)?) else {
            return Ok(Step::Bad(Fault::ShortHeader));
        };
        if header.is_unwritten() {
            return Ok(Step::Unwritten);
        }
        let len = header.record_len();
        if len > left {
            return Ok(Step::Bad(Fault::Length));
        }
        if len > BUFFER_LIMIT && !self.proves(offset, &header)? {
            return Ok(Step::Bad(Fault::Checksum));
        }
        Ok(step(decode(self.window(offset, len, limit)?)))
    }

    /// The record that ends at `end`, found by its footer. A footer that does not lead to a record
    /// whose own end is `end` is `Bad`.
    ///
    /// # Errors
    /// What reading the file gives.
    pub(crate) fn record_before(&mut self, end: u64) -> io::Result<(u64, Step<'_>)> {
        if end == 0 {
            return Ok((0, Step::End));
        }
        let Some(footer_at) = end.checked_sub(FOOTER_LEN).filter(|_| end >= OVERHEAD) else {
            return Ok((0, Step::Bad(Fault::ShortHeader)));
        };
        if !self.holds(footer_at, FOOTER_LEN) {
            let from = end.saturating_sub(self.read_ahead);
            self.window(from, end - from, end)?;
        }
        let footer = crate::record::read_footer(self.window(footer_at, FOOTER_LEN, end)?);
        let Some(start) = footer
            .map(|size| size & crate::record::LEN_MASK)
            .and_then(|len| end.checked_sub(len + OVERHEAD))
        else {
            return Ok((footer_at, Step::Bad(Fault::Footer)));
        };
        match self.record_at(start, end)? {
            Step::Record(record) if start + record.len() == end => {
                Ok((start, Step::Record(record)))
            }
            Step::Bad(fault) => Ok((start, Step::Bad(fault))),
            _ => Ok((start, Step::Bad(Fault::Footer))),
        }
    }

    /// Bytes `offset..offset + len` of the file, or as much of them as there are.
    pub(crate) fn window(&mut self, offset: u64, len: u64, limit: u64) -> io::Result<&[u8]> {
        if !self.holds(offset, len) {
            self.fill(offset, len, limit)?;
        }
        let from = num::index(offset.saturating_sub(self.start)).min(self.valid);
        let to = from.saturating_add(num::index(len)).min(self.valid);
        Ok(self.part(self.lead + from..self.lead + to))
    }

    fn holds(&self, offset: u64, len: u64) -> bool {
        offset >= self.start && offset + len <= self.start + num::size(self.valid)
    }

    fn fill(&mut self, offset: u64, len: u64, limit: u64) -> io::Result<()> {
        let want = num::index(len.max(self.read_ahead.min(limit.saturating_sub(offset))));
        let room = want.saturating_add(LINE);
        let mut buf = match std::mem::take(&mut self.buf).try_into_mut() {
            Ok(buf) if buf.len() >= room => buf,
            Ok(_) | Err(_) => BytesMut::zeroed(room),
        };
        self.valid = 0;
        self.start = offset;
        self.lead = num::index(offset).wrapping_sub(buf.as_ptr().addr()) % LINE;
        self.fills += 1;
        let place = buf.get_mut(self.lead..self.lead + want);
        let got = place.map_or(Ok(0), |place| read_full(&*self.file, place, offset));
        self.buf = buf.freeze();
        self.valid = got?;
        Ok(())
    }

    /// Computes a large record's checksum piece by piece.
    fn proves(&mut self, offset: u64, header: &Header) -> io::Result<bool> {
        let end = offset + header.record_len() - FOOTER_LEN;
        let mut at = offset + 4;
        let mut crc = 0;
        while at < end {
            let piece = self.window(at, (end - at).min(READ_AHEAD), end)?;
            if piece.is_empty() {
                return Ok(false);
            }
            crc = crc32c_append(crc, piece);
            at += num::size(piece.len());
        }
        Ok(crc == header.crc)
    }
}

fn step(decoded: Decoded<'_>) -> Step<'_> {
    match decoded {
        Decoded::Record(record) => Step::Record(record),
        Decoded::Unwritten => Step::Unwritten,
        Decoded::Bad(fault) => Step::Bad(fault),
    }
}

/// Whether all bytes of `file` from `from` to `to` are zero; with the first that is not. What was never written to, as most of a
/// segment's space, is not read; but for the first piece, so that what is torn is seen whatever a filesystem says of it.
pub(crate) fn first_nonzero(file: &dyn File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let behind = from.saturating_add(READ_AHEAD).min(to);
    // All of it is asked before anything is read: kernels read ahead, and what they have read counts as written to.
    let written = written_parts(file, behind, to)?;
    let mut buf = vec![0; num::index(READ_AHEAD.min(to.saturating_sub(from)))];
    for part in std::iter::once(from..behind).chain(written) {
        let found = nonzero_in(file, part, &mut buf)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The parts of `from..to` that a byte may have been written to, in order; the last one may be longer.
fn written_parts(file: &dyn File, from: u64, to: u64) -> io::Result<Vec<Range<u64>>> {
    /// A file that is in more pieces is read from there on.
    const MOST: usize = 1000;
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut at = from;
    while at < to {
        let Some(part) = file.next_data(at)?.filter(|part| part.start < to) else { break };
        let end = if parts.len() < MOST { part.end.clamp(at + 1, to) } else { to };
        parts.push(part.start.max(at)..end);
        at = end;
    }
    Ok(parts)
}

fn nonzero_in(file: &dyn File, part: Range<u64>, buf: &mut [u8]) -> io::Result<Option<u64>> {
    let mut at = part.start;
    while at < part.end {
        let want = num::index((part.end - at).min(num::size(buf.len())));
        let Some(piece) = buf.get_mut(..want) else { break };
        let got = read_full(file, piece, at)?;
        if got == 0 {
            break;
        }
        let piece = piece.get(..got).unwrap_or_default();
        if let Some(index) = piece.iter().position(|byte| *byte != 0) {
            return Ok(Some(at + num::size(index)));
        }
        at += num::size(got);
    }
    Ok(None)
}
