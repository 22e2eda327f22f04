//! What the records of frames hold, one entry after another.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::Frames;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::num;
use crate::record::{Decoded, Packed, content, decode};

/// The entries of frames; at its end after an error.
pub(super) struct Entries {
    /// Records that are not begun.
    records: Bytes,
    record: Option<Begun>,
    max_content: u64,
}

/// A record of which entries are given.
struct Begun {
    /// The entry, or what follows the `count` of a batch.
    content: Bytes,
    packed: bool,
    count: u64,
    seqs: Range<u64>,
    first: u64,
}

impl Entries {
    pub(super) fn new(frames: Frames, max_content: u64) -> Self {
        Self { records: frames.records, record: None, max_content }
    }

    fn begin(&mut self) -> Result<Option<Begun>> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let Decoded::Record(record) = decode(&self.records) else {
            return Err(Error::corrupt("frames hold what is no record"));
        };
        // Frames carry no dictionary: where one is needed, that is said.
        let what = content(&record.header, record.stored, None, self.max_content);
        let content = match what.map_err(|why| why.error().seq_at(record.seq()))? {
            std::borrow::Cow::Borrowed(part) => self.records.slice_ref(part),
            std::borrow::Cow::Owned(content) => Bytes::from(content),
        };
        let begun = Begun {
            content,
            packed: record.header.is_packed(),
            count: record.count,
            seqs: record.seq()..record.next_seq(),
            first: record.seq(),
        };
        let len = num::index(record.len());
        self.records.advance(len.min(self.records.len()));
        Ok(Some(begun))
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(begun) = &mut self.record
                && let Some(seq) = begun.seqs.next()
            {
                return begun.entry(seq).map(Some);
            }
            self.record = self.begin()?;
            if self.record.is_none() {
                return Ok(None);
            }
        }
    }
}

impl Begun {
    fn entry(&self, seq: u64) -> Result<Entry> {
        if !self.packed {
            return Ok(Entry::new(seq, self.content.clone()));
        }
        let entry = Packed::entry_behind(self.count, &self.content, seq - self.first);
        let entry = entry.ok_or_else(|| Error::corrupt("a batch lacks an entry").seq_at(seq))?;
        Ok(Entry::new(seq, self.content.slice_ref(entry)))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            (self.records, self.record) = (Bytes::new(), None);
        }
        step.transpose()
    }
}
