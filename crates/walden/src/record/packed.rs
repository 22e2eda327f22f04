//! The body of a record that holds a batch: `count`, `count` cumulative end offsets, the entries' bytes.

use std::ops::Range;

use super::decode::Fault;
use super::layout::read_u32;
use crate::num;

/// Bytes of `count`.
pub(super) const COUNT_LEN: usize = 4;

/// A batch whose offsets are proved: in order, and ending at the last byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    ends: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// `count` alone, which stands in clear whatever the codec.
    pub(crate) fn count(stored: &[u8]) -> Result<u64, Fault> {
        match read_u32(stored, 0) {
            Some(0) | None => Err(Fault::Batch),
            Some(count) => Ok(u64::from(count)),
        }
    }

    /// Proves the offsets of an uncompressed body.
    pub(crate) fn parse(stored: &'a [u8]) -> Result<Self, Fault> {
        Self::prove(Self::count(stored)?, stored.get(COUNT_LEN..).ok_or(Fault::Batch)?)
    }

    /// Proves what follows `count`, which may have been compressed.
    pub(crate) fn prove(count: u64, rest: &'a [u8]) -> Result<Self, Fault> {
        let table = num::index(count).checked_mul(4).ok_or(Fault::Batch)?;
        let (ends, bytes) = rest.split_at_checked(table).ok_or(Fault::Batch)?;
        let mut last = 0;
        for end in ends.chunks_exact(4) {
            let end = read_u32(end, 0).ok_or(Fault::Batch)?;
            if end < last {
                return Err(Fault::Batch);
            }
            last = end;
        }
        if num::size(bytes.len()) != u64::from(last) {
            return Err(Fault::Batch);
        }
        Ok(Self { ends, bytes })
    }

    /// Entry `index` of the body of a record that was decoded before, so that its offsets need no second proof.
    #[inline]
    pub(crate) fn entry(stored: &'a [u8], index: u64) -> Option<&'a [u8]> {
        let (count, rest) = stored.split_first_chunk::<COUNT_LEN>()?;
        Self::entry_behind(u64::from(read_u32(count, 0)?), rest, index)
    }

    /// Where in such a body, of `count` entries, entry `index` lies.
    #[inline]
    pub(crate) fn place(stored: &[u8], count: u64, index: u64) -> Option<Range<usize>> {
        let at = COUNT_LEN + num::index(index).checked_mul(4)?;
        let start = match index {
            0 => 0,
            _ => read_u32(stored, at - 4)?,
        };
        let end = read_u32(stored, at)?;
        let bytes = COUNT_LEN + num::index(count).checked_mul(4)?;
        let place = |offset: u32| bytes.checked_add(num::index(u64::from(offset)));
        Some(place(start)?..place(end)?)
    }

    /// Entry `index` of what follows `count`, proved before.
    #[inline]
    pub(crate) fn entry_behind(count: u64, rest: &'a [u8], index: u64) -> Option<&'a [u8]> {
        let table = num::index(count).checked_mul(4)?;
        let (ends, bytes) = rest.split_at_checked(table)?;
        Self { ends, bytes }.get(index)
    }

    /// How many entries there are; at least one.
    pub(crate) fn len(&self) -> u64 {
        num::size(self.ends.len() / 4)
    }

    /// Entry `index`.
    #[inline]
    pub(crate) fn get(&self, index: u64) -> Option<&'a [u8]> {
        let at = num::index(index).checked_mul(4)?;
        let start = match at.checked_sub(4) {
            None => 0,
            Some(before) => read_u32(self.ends, before)?,
        };
        let end = read_u32(self.ends, at)?;
        self.bytes.get(num::index(u64::from(start))..num::index(u64::from(end)))
    }
}
