//! A mark: a note of how far the log was durable. It never names a byte that was not.

use super::Place;
use super::codec::FAR;

/// One sector, so that it is written whole.
pub(crate) const MARK_LEN: usize = 512;
pub(crate) const MARK_MAGIC: [u8; 8] = *b"WALDMARK";
const MARK_VERSION: u32 = 1;
const COVERED: usize = 4 + 16 + 16 + 5 * 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) log_id: u128,
    pub(crate) epoch: u128,
    /// The last generation of the manifest that was synced when the mark's sync began.
    pub(crate) generation: u64,
    pub(crate) place: Place,
    /// The higher one is the later one.
    pub(crate) counter: u64,
}

impl Mark {
    pub(super) fn encode(&self) -> [u8; MARK_LEN] {
        let numbers = [
            self.generation,
            self.place.ordinal,
            self.place.offset,
            self.place.next_seq,
            self.counter,
        ];
        let mut covered = [0; COVERED];
        let ids = [self.log_id, self.epoch].into_iter().flat_map(u128::to_le_bytes);
        let numbers = numbers.into_iter().flat_map(u64::to_le_bytes);
        fill(&mut covered, MARK_VERSION.to_le_bytes().into_iter().chain(ids).chain(numbers));
        let crc = crc32c::crc32c(&covered).to_le_bytes();
        let mut out = [0; MARK_LEN];
        fill(&mut out, MARK_MAGIC.into_iter().chain(crc).chain(covered));
        out
    }

    /// `None` for anything that is not a whole mark of a known version.
    pub(super) fn decode(slot: &[u8]) -> Option<Self> {
        let (crc, rest) = slot.strip_prefix(&MARK_MAGIC)?.split_first_chunk::<4>()?;
        let covered = rest.get(..COVERED)?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        let u64_at =
            |at: usize| Some(u64::from_le_bytes(covered.get(at..at + 8)?.try_into().ok()?));
        let u128_at =
            |at: usize| Some(u128::from_le_bytes(covered.get(at..at + 16)?.try_into().ok()?));
        if covered.get(..4)? != MARK_VERSION.to_le_bytes() {
            return None;
        }
        let mark = Self {
            log_id: u128_at(4)?,
            epoch: u128_at(20)?,
            generation: u64_at(36)?,
            place: Place { ordinal: u64_at(44)?, offset: u64_at(52)?, next_seq: u64_at(60)? },
            counter: u64_at(68)?,
        };
        // Sums with what we wrote cannot overflow; nothing else is believed.
        (mark.counter < FAR && mark.place.next_seq >= 1).then_some(mark)
    }
}

fn fill(out: &mut [u8], bytes: impl Iterator<Item = u8>) {
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_bit() {
        let mark = Mark {
            log_id: 1 << 99,
            epoch: 77,
            generation: 12,
            place: Place { ordinal: 3, offset: 4096, next_seq: 99 },
            counter: 1_000_001,
        };
        let slot = mark.encode();
        assert_eq!(slot.len(), MARK_LEN);
        assert_eq!(Mark::decode(&slot), Some(mark));
        for bit in 0..(12 + COVERED) * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&flipped), None, "bit {bit}");
        }
    }
}
