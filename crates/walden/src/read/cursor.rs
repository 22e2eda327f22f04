//! One record at hand: read, proved, and kept in a window of its segment.

use std::ops::Range;

use bytes::Bytes;

use super::fault;
use super::unpacked::Unpacked;
use crate::error::{Error, Result};
use crate::num;
use crate::record::{HEADER_LEN, Header, Packed, decode_plain};
use crate::segment::{ONE_RECORD, READ_AHEAD, RecordSource, Segment, Step};
use crate::sync::Arc;

/// Less is not worth a call.
const LEAST: u64 = 512;

/// A proved record in the window of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) offset: u64,
    header: Header,
    count: u64,
    /// The window that it was proved in.
    fill: u64,
}

impl Held {
    pub(super) const fn header(&self) -> Header {
        self.header
    }

    pub(super) const fn seq(&self) -> u64 {
        self.header.seq
    }

    pub(super) const fn next_seq(&self) -> u64 {
        self.header.seq.saturating_add(self.count)
    }

    pub(super) const fn contains(&self, seq: u64) -> bool {
        seq >= self.seq() && seq < self.next_seq()
    }

    pub(super) const fn end(&self) -> u64 {
        self.offset + self.header.record_len()
    }
}

/// A segment being read, and the record at hand.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) segment: Arc<Segment>,
    pub(super) source: RecordSource,
    pub(super) held: Option<Held>,
    /// What it holds, if it is compressed.
    unpacked: Unpacked,
    /// Bytes to be read at once: few after a seek, more the longer reading goes on.
    ahead: u64,
}

impl Cursor {
    /// Begins in a segment. No compressed record may hold more than `most` bytes.
    pub(super) fn new(segment: Arc<Segment>, most: u64) -> Result<Self> {
        let source = RecordSource::new(Arc::clone(&segment.opened()?.file), ONE_RECORD);
        let unpacked = Unpacked::new(most);
        Ok(Self { segment, source, held: None, unpacked, ahead: ONE_RECORD })
    }

    /// Goes to another segment.
    pub(super) fn enter(&mut self, segment: Arc<Segment>) -> Result<()> {
        // Whatever happens now, what was held is not in the segment to come.
        self.forget();
        self.segment = segment;
        self.source.switch(Arc::clone(&self.segment.opened()?.file));
        Ok(())
    }

    /// Forgets what was read.
    pub(super) fn forget(&mut self) {
        self.held = None;
        self.source.forget();
        self.unpacked.forget();
    }

    /// Reads the record at `offset` and holds it if it is the expected one; `None`: whichever it is.
    pub(super) fn take(&mut self, offset: u64, limit: u64, expected: Option<u64>) -> Result<()> {
        let (segment, named) = (&self.segment, expected.unwrap_or(0));
        let step = self
            .source
            .record_at(offset, limit)
            .map_err(|error| Error::io("read", &segment.path, error).offset_at(offset))?;
        let fault = match step {
            Step::Record(record) if expected.is_none_or(|seq| seq == record.seq()) => {
                let (header, count) = (record.header, record.count);
                self.held = Some(Held { offset, header, count, fill: self.source.fills() });
                return Ok(());
            }
            Step::Record(record) => {
                return Err(fault::misplaced(segment, offset, named, record.seq()));
            }
            Step::Unwritten | Step::End => {
                let what = "zeros stand where a record should be";
                return Err(fault::damage(segment, offset, named, what));
            }
            Step::Bad(fault) => fault,
        };
        let header = self.source.held(offset, HEADER_LEN).and_then(Header::parse);
        Err(fault::unsound(segment, offset, named, fault, header))
    }

    /// Whether the record at hand still is the one that was proved, and has the entry.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.held.is_some_and(|held| held.contains(seq) && held.fill == self.source.fills())
    }

    /// Has the entry `seq` at hand if no file need be asked: it is in the record held, or a plain one right
    /// behind that in the window.
    #[inline]
    pub(super) fn step_in_window(&mut self, seq: u64) -> bool {
        let Some(held) = self.held.filter(|held| held.fill == self.source.fills()) else {
            return false;
        };
        if held.contains(seq) {
            return true;
        }
        // The window ends where reading was allowed to when it was filled, and what was written stays: so
        // no limit is to be asked for.
        let offset = held.end();
        let header = match held.next_seq() == seq {
            true => decode_plain(self.source.rest(offset), seq),
            false => None,
        };
        let Some(header) = header else { return false };
        self.held = Some(Held { offset, header, count: 1, ..held });
        true
    }

    /// The payload of the entry `seq`, as a part of the window, if it is in the record held or a plain one right behind,
    /// and not compressed: what reading on and on nearly always meets, in one step instead of two.
    #[inline]
    pub(super) fn pass_in_window(&mut self, seq: u64) -> Option<Range<usize>> {
        let held = self.held.filter(|held| held.fill == self.source.fills())?;
        if held.next_seq() != seq {
            return self.in_batch(held, seq);
        }
        let offset = held.end();
        let rest = self.source.rest_range(offset);
        let header = decode_plain(self.source.part(rest.clone()), seq)?;
        self.held = Some(Held { offset, header, count: 1, ..held });
        let from = rest.start + num::index(HEADER_LEN);
        Some(from..from + num::index(header.payload_len()))
    }

    /// An entry of the batch held.
    #[inline]
    fn in_batch(&self, held: Held, seq: u64) -> Option<Range<usize>> {
        if !held.contains(seq) || !held.header.is_packed() || held.header.codec() != 0 {
            return None;
        }
        let (body, index) = (held.offset + HEADER_LEN, seq - held.seq());
        let body = self.source.place(body, held.header.payload_len())?;
        let entry = Packed::place(self.source.part(body.clone()), held.count, index)?;
        Some(body.start + entry.start..body.start + entry.end)
    }

    /// The held record: its header, its seq ids, and its bytes.
    pub(super) fn record(&self) -> Option<(Header, Range<u64>, &[u8])> {
        let held = self.held?;
        let bytes = self.source.held(held.offset, held.header.record_len())?;
        Some((held.header, held.seq()..held.next_seq(), bytes))
    }

    /// Has the content of the held record at hand, if it is compressed: to be called before an entry of it is asked for.
    #[inline]
    pub(super) fn unpack(&mut self, seq: u64) -> Result<()> {
        match self.held {
            Some(held) if held.header.codec() != 0 => self.unpack_held(held, seq),
            _ => Ok(()),
        }
    }

    /// The payload of an entry of the held record.
    #[inline]
    pub(super) fn entry(&self, seq: u64) -> Result<&[u8]> {
        let held = self.held.ok_or_else(|| self.unproved(seq))?;
        if held.header.codec() != 0 {
            return self.unpacked_entry(held, seq);
        }
        self.stored_entry(held, seq)
    }

    /// The payload of an entry of the held record, kept alive instead of borrowed.
    #[inline]
    pub(super) fn share(&mut self, seq: u64) -> Result<Bytes> {
        let held = self.held.ok_or_else(|| self.unproved(seq))?;
        if held.header.codec() == 0 {
            return Ok(self.source.share(self.stored_entry(held, seq)?));
        }
        let shared = self.unpacked.share(held.count, seq.saturating_sub(held.seq()));
        shared.ok_or_else(|| self.unproved(seq))
    }

    #[inline]
    fn stored_entry(&self, held: Held, seq: u64) -> Result<&[u8]> {
        let stored = self.source.held(held.offset + HEADER_LEN, held.header.payload_len());
        let entry = match held.header.is_packed() {
            false => stored,
            true => stored.and_then(|body| Packed::entry(body, seq.checked_sub(held.seq())?)),
        };
        entry.ok_or_else(|| self.unproved(seq))
    }

    fn unpacked_entry(&self, held: Held, seq: u64) -> Result<&[u8]> {
        let entry = self.unpacked.entry(held.count, seq.saturating_sub(held.seq()));
        entry.ok_or_else(|| self.unproved(seq))
    }

    fn unpack_held(&mut self, held: Held, seq: u64) -> Result<()> {
        let (offset, header) = (held.offset, held.header);
        if self.unpacked.holds(offset, header) {
            return Ok(());
        }
        let Some(stored) = self.source.held(offset + HEADER_LEN, header.payload_len()) else {
            return Err(self.unproved(seq));
        };
        let seqs = held.seq()..held.next_seq();
        let dictionary = self.segment.dictionary_of(&header, stored);
        let dictionary = dictionary.map_err(|error| fault::of_record(error, &seqs))?;
        let filled = self.unpacked.fill(offset, header, stored, dictionary.as_deref());
        filled.map_err(|why| fault::unreadable(&self.segment, offset, &seqs, why))
    }

    #[cold]
    fn unproved(&self, seq: u64) -> Error {
        let offset = self.held.map_or(0, |held| held.offset);
        fault::damage(&self.segment, offset, seq, "a record is not at hand")
    }

    /// The next read is for so many bytes; `None`: for as many as are read anyway.
    pub(super) fn expect(&mut self, bytes: Option<u64>) {
        let bytes = bytes.map_or(self.ahead, |bytes| bytes.clamp(LEAST, ONE_RECORD));
        self.source.set_read_ahead(bytes);
    }

    /// Begins to read few bytes at once, for a jump.
    pub(super) fn slow_down(&mut self) {
        self.ahead = ONE_RECORD;
        self.source.set_read_ahead(ONE_RECORD);
    }

    /// Reads more at once, since reading goes on and on.
    pub(super) fn speed_up(&mut self, fills_before: u64) {
        if self.source.fills() != fills_before && self.ahead < READ_AHEAD {
            self.ahead = (self.ahead * 8).min(READ_AHEAD);
            self.source.set_read_ahead(self.ahead);
        }
    }
}
