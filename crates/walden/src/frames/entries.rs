//! What the records of frames hold, one entry after another.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::Frames;
use crate::dictionaries::alone::Dictionary;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::num;
use crate::record::{Codec, Decoded, Packed, content, decode, dictionary_of};

/// The entries of frames; at its end after an error.
pub(super) struct Entries<F> {
    /// Records that are not begun.
    records: Bytes,
    record: Option<Begun>,
    max_content: u64,
    /// Gives the dictionary of an id.
    dictionary: F,
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

impl<F> Entries<F> {
    pub(super) fn new(frames: Frames, max_content: u64, dictionary: F) -> Self {
        Self { records: frames.records, record: None, max_content, dictionary }
    }

    fn begin<E: From<Error>>(&mut self) -> std::result::Result<Option<Begun>, E>
    where
        F: FnMut(u32) -> std::result::Result<Option<Dictionary>, E>,
    {
        if self.records.is_empty() {
            return Ok(None);
        }
        let Decoded::Record(record) = decode(&self.records) else {
            return Err(Error::corrupt("frames hold what is no record").into());
        };
        let needed = dictionary_of(&record.header, record.stored);
        let needed = needed.filter(|_| Codec::Zstd.is_compiled_in());
        let dictionary = needed.map(&mut self.dictionary).transpose()?.flatten();
        let dictionary = dictionary.as_ref().map(Dictionary::proved);
        let what = content(&record.header, record.stored, dictionary, self.max_content);
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

    fn step<E: From<Error>>(&mut self) -> std::result::Result<Option<Entry>, E>
    where
        F: FnMut(u32) -> std::result::Result<Option<Dictionary>, E>,
    {
        loop {
            if let Some(begun) = &mut self.record
                && let Some(seq) = begun.seqs.next()
            {
                return Ok(Some(begun.entry(seq)?));
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

impl<E, F> Iterator for Entries<F>
where
    E: From<Error>,
    F: FnMut(u32) -> std::result::Result<Option<Dictionary>, E>,
{
    type Item = std::result::Result<Entry, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            (self.records, self.record) = (Bytes::new(), None);
        }
        step.transpose()
    }
}
