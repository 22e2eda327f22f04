//! What a reader gets: a seq id and the bytes that were appended under it.

use bytes::Bytes;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its seq id.
    pub seq: u64,
    /// The bytes that were appended. They may share memory with their neighbours in the log (up to
    /// 256 KiB are read at once, and a compressed batch is one piece): who keeps a few of many for long
    /// copies them.
    pub payload: Bytes,
}

impl Entry {
    pub(crate) fn new(seq: u64, payload: Bytes) -> Self {
        Self { seq, payload }
    }
}

/// An entry of the log, borrowed from the reader that it was read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryRef<'a> {
    /// Its seq id.
    pub seq: u64,
    /// The bytes that were appended.
    pub payload: &'a [u8],
}

impl<'a> EntryRef<'a> {
    pub(crate) fn new(seq: u64, payload: &'a [u8]) -> Self {
        Self { seq, payload }
    }

    /// The entry with a copy of its payload.
    #[must_use]
    pub fn to_owned(&self) -> Entry {
        Entry::new(self.seq, Bytes::copy_from_slice(self.payload))
    }
}

impl From<EntryRef<'_>> for Entry {
    fn from(entry: EntryRef<'_>) -> Self {
        entry.to_owned()
    }
}
