//! Payloads that prove themselves: a number that is given once, the place in the batch, and bytes that follow
//! from both.

use crate::Outcome;

/// What an entry says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Given to no other entry.
    pub(crate) number: u64,
    /// Its place in the batch it was appended in, and how many those are; 0 of 1 for a single one.
    pub(crate) index: u16,
    pub(crate) count: u16,
}

const HEADER: usize = 12;
const HEADER_BYTES: u64 = 12;
const LONG: u64 = 20_000;

impl Proof {
    /// Bytes of the longest payload.
    pub(crate) const LONGEST: u64 = HEADER_BYTES + LONG;

    pub(crate) const fn single(number: u64) -> Self {
        Self { number, index: 0, count: 1 }
    }

    /// The members of a batch whose first number is `number`.
    pub(crate) fn batch(number: u64, count: u16) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { number: number + u64::from(index), index, count })
    }

    fn mixed(self) -> u64 {
        self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Whether its payload is long enough to be written by a call of its own.
    pub(crate) fn is_long(self) -> bool {
        self.count == 1 && self.mixed() >> 58 == 0
    }

    fn fill(self) -> u64 {
        if self.is_long() { LONG } else { 8 + (self.mixed() >> 55) }
    }

    /// How many bytes its payload has. Its record has more.
    pub(crate) fn bytes(self) -> u64 {
        HEADER_BYTES + self.fill()
    }

    /// The payload. Most are short; one in sixty-four is long.
    pub(crate) fn payload(self) -> Vec<u8> {
        let fill = self.fill();
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend(self.index.to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        let place = u64::from(self.index) << 16 | u64::from(self.count) << 32;
        let step = (self.number.wrapping_mul(31) ^ place).to_le_bytes();
        bytes.extend(step.iter().cycle().zip(0..fill).map(|(byte, at)| {
            let [low, ..] = at.to_le_bytes();
            byte.wrapping_add(low)
        }));
        bytes
    }

    /// What a payload says, if its bytes bear it out.
    pub(crate) fn of(payload: &[u8]) -> Outcome<Self> {
        let proof =
            Self::header(payload).ok_or("an entry is shorter than any that was appended")?;
        if proof.payload() == payload {
            Ok(proof)
        } else {
            Err(format!("an entry was altered: it calls itself {proof:?}").into())
        }
    }

    fn header(payload: &[u8]) -> Option<Self> {
        let (number, rest) = payload.split_at_checked(8)?;
        let (index, rest) = rest.split_at_checked(2)?;
        let (count, _) = rest.split_at_checked(HEADER - 10)?;
        Some(Self {
            number: u64::from_le_bytes(number.try_into().ok()?),
            index: u16::from_le_bytes(index.try_into().ok()?),
            count: u16::from_le_bytes(count.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        for proof in (1..200).map(Proof::single).chain(Proof::batch(900, 5)) {
            let payload = proof.payload();
            assert_eq!(Proof::of(&payload).unwrap(), proof);
            assert_eq!(u64::try_from(payload.len()).unwrap(), proof.bytes());
            for at in [0, 8, 10, 11, payload.len() / 2, payload.len() - 1] {
                let mut altered = payload.clone();
                altered[at] ^= 1;
                assert!(Proof::of(&altered).is_err(), "{proof:?}, byte {at}");
            }
            assert!(Proof::of(&payload[..payload.len() - 1]).is_err());
        }
        assert!(Proof::of(b"").is_err());
    }
}
