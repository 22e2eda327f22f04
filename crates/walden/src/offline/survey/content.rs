//! What compressed records hold: looked into where that can be, so that damage under a sound checksum is found.

use std::collections::BTreeMap;

use super::segment::Piece;
use crate::dictionaries::Dictionaries;
use crate::record::{Decoder, MOST_CONTENT, Record, Unreadable, dictionary_of};

/// Compressed records that could not be looked into, in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Unseen {
    /// Where the first one is.
    pub(in super::super) offset: u64,
    /// The first one's seq id.
    pub(in super::super) seq: u64,
    /// How many there are.
    pub(in super::super) records: u64,
    /// Why not the first one.
    pub(in super::super) why: Unreadable,
}

/// The records that need one dictionary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Needed {
    pub(in super::super) records: u64,
    /// The first one's seq id.
    pub(in super::super) first: u64,
}

/// Looks into one record after another.
#[derive(Debug)]
pub(super) struct Contents {
    decoder: Decoder,
    out: Vec<u8>,
    dictionaries: Dictionaries,
    /// By id.
    pub(super) needed: BTreeMap<u32, Needed>,
}

impl Contents {
    pub(super) fn new(dictionaries: Dictionaries) -> Self {
        let needed = BTreeMap::new();
        Self { decoder: Decoder::new(), out: Vec::new(), dictionaries, needed }
    }

    /// Whether a sound record at `at`, which is the expected one and compressed, is not sound inside: never a
    /// torn write.
    pub(super) fn are_malformed(
        &mut self,
        record: &Record<'_>,
        (at, expected): (u64, Option<u64>),
        piece: &mut Piece,
    ) -> bool {
        if record.header.codec() == 0 || expected.is_some_and(|seq| seq != record.seq()) {
            return false;
        }
        let (header, stored) = (&record.header, record.stored);
        if let Some(id) = dictionary_of(header, stored) {
            let first = Needed { records: 0, first: record.seq() };
            self.needed.entry(id).or_insert(first).records += 1;
        }
        // What is wrong with a dictionary is told once, not of each record.
        let dictionary = self.dictionaries.of(header, stored).ok().flatten();
        let told = self.decoder.content(
            header,
            stored,
            dictionary.as_deref(),
            MOST_CONTENT,
            &mut self.out,
        );
        if told == Err(Unreadable::Malformed) {
            return true;
        }
        piece.compressed += 1;
        let Err(why) = told else { return false };
        let first = Unseen { offset: at, seq: record.seq(), records: 0, why };
        piece.unseen.get_or_insert(first).records += 1;
        false
    }
}
