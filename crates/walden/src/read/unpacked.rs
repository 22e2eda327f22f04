//! What a compressed record holds, kept while its entries are asked for, in memory that is used again.

use bytes::Bytes;

use crate::record::{Decoder, Dictionary, Header, Packed, Unreadable};

/// The content of one compressed record at a time.
#[derive(Debug)]
pub(super) struct Unpacked {
    decoder: Decoder,
    body: Body,
    /// The record, by its place in the segment and its header, which has its checksum.
    of: Option<(u64, Header)>,
    /// The most that it may hold.
    most: u64,
}

#[derive(Debug)]
enum Body {
    Own(Vec<u8>),
    /// Shared with those who were given slices of it.
    Shared(Bytes),
}

impl Unpacked {
    pub(super) const fn new(most: u64) -> Self {
        Self { decoder: Decoder::new(), body: Body::Own(Vec::new()), of: None, most }
    }

    pub(super) fn forget(&mut self) {
        self.of = None;
    }

    pub(super) fn holds(&self, offset: u64, header: Header) -> bool {
        self.of == Some((offset, header))
    }

    /// Takes in what the record at `offset` holds, by the dictionary that it names.
    ///
    /// # Errors
    /// Whatever keeps it from being told.
    pub(super) fn fill(
        &mut self,
        offset: u64,
        header: Header,
        stored: &[u8],
        dictionary: Option<&Dictionary>,
    ) -> Result<(), Unreadable> {
        self.of = None;
        let mut own = match std::mem::replace(&mut self.body, Body::Own(Vec::new())) {
            Body::Own(own) => own,
            Body::Shared(shared) if shared.is_unique() => Vec::from(shared),
            Body::Shared(_) => Vec::new(),
        };
        let filled = self.decoder.content(&header, stored, dictionary, self.most, &mut own);
        self.body = Body::Own(own);
        filled?;
        self.of = Some((offset, header));
        Ok(())
    }

    /// Entry `index` of the record, which holds `count`.
    pub(super) fn entry(&self, count: u64, index: u64) -> Option<&[u8]> {
        let (_, header) = self.of?;
        let content: &[u8] = match &self.body {
            Body::Own(own) => own,
            Body::Shared(shared) => &shared[..],
        };
        match header.is_packed() {
            false => Some(content),
            true => Packed::entry_behind(count, content, index),
        }
    }

    /// The same, kept alive instead of borrowed.
    pub(super) fn share(&mut self, count: u64, index: u64) -> Option<Bytes> {
        if let Body::Own(own) = &mut self.body {
            // A buffer that was larger once is not kept for the sake of a small entry.
            own.shrink_to_fit();
            self.body = Body::Shared(Bytes::from(std::mem::take(own)));
        }
        let entry = self.entry(count, index)?;
        match &self.body {
            Body::Shared(shared) => Some(shared.slice_ref(entry)),
            Body::Own(_) => None,
        }
    }
}
