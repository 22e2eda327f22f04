//! What compressed records hold: looked into where that can be, so that damage under a sound checksum is found.

use super::segment::Piece;
use crate::record::{Decoder, MOST_CONTENT, Record, Unreadable};

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

/// Looks into one record after another.
#[derive(Debug)]
pub(super) struct Contents {
    decoder: Decoder,
    out: Vec<u8>,
}

impl Contents {
    pub(super) const fn new() -> Self {
        Self { decoder: Decoder::new(), out: Vec::new() }
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
        let told = self.decoder.content(&record.header, record.stored, MOST_CONTENT, &mut self.out);
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
