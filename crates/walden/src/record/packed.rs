//! The body of a record that holds a batch: `count`, `count` cumulative end offsets, the entries' bytes.

use super::decode::Fault;
use super::layout::read_u32;
use crate::num;

/// The most entries that one record can hold: each takes at least its end offset.
const COUNT_LEN: usize = 4;

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
        let count = num::index(Self::count(stored)?);
        let table = count.checked_mul(4).ok_or(Fault::Batch)?;
        let rest = stored.get(COUNT_LEN..).ok_or(Fault::Batch)?;
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

    /// The body of a record that was decoded before, so that its offsets need no second proof.
    pub(crate) fn proved(stored: &'a [u8]) -> Option<Self> {
        let table = num::index(Self::count(stored).ok()?).checked_mul(4)?;
        let (ends, bytes) = stored.get(COUNT_LEN..)?.split_at_checked(table)?;
        Some(Self { ends, bytes })
    }

    /// How many entries there are; at least one.
    pub(crate) fn len(&self) -> u64 {
        num::size(self.ends.len() / 4)
    }

    /// Where entry `index` lies in the stored payload.
    pub(crate) fn bounds(&self, index: u64) -> Option<std::ops::Range<usize>> {
        let index = num::index(index);
        let base = COUNT_LEN + self.ends.len();
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => num::index(u64::from(read_u32(self.ends, before.checked_mul(4)?)?)),
        };
        let end = num::index(u64::from(read_u32(self.ends, index.checked_mul(4)?)?));
        (end <= self.bytes.len()).then_some(base + start..base + end)
    }
}
