//! Bytes to payloads. Nothing is believed before it is proved: the length against what there is, then
//! the checksum, then the footer, then a batch's offsets.

use std::fmt;

use super::layout::{FOOTER_LEN, HEADER_LEN, Header, LEN_MASK, OVERHEAD, read_u64};
use super::packed::Packed;
use crate::checksum::crc32c;
use crate::num;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fewer bytes are left than a header needs, and they are not all zero.
    ShortHeader,
    /// The length in the header does not fit what is left.
    Length,
    /// The checksum does not match.
    Checksum,
    /// The checksum matches, the footer does not: outside the doubt zone the entry is proved all the same.
    Footer,
    /// The checksum matches, and what it covers is no batch: never a torn write.
    Batch,
    /// Sound, and with a flag of a newer version.
    Newer,
    /// Sound, and with another seq id than the one before it demands.
    Sequence { found: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortHeader => f.write_str("a record's header is cut off"),
            Self::Length => f.write_str("a record's length does not fit the file"),
            Self::Checksum => f.write_str("a record's checksum does not match"),
            Self::Footer => f.write_str("a record's footer does not repeat its size"),
            Self::Batch => {
                f.write_str("a batch's end offsets are not sound under a sound checksum")
            }
            Self::Newer => f.write_str("a record was written by a newer version of the format"),
            Self::Sequence { found } => write!(f, "a record has seq id {found} out of order"),
        }
    }
}

/// A proved record, borrowed from the bytes it was read into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header,
    /// How many entries it holds; 1 if it is not packed.
    pub(crate) count: u64,
    /// The payload as it is stored.
    pub(crate) stored: &'a [u8],
    /// False only where the caller asked to tolerate it.
    pub(crate) footer_ok: bool,
}

impl Record<'_> {
    pub(crate) const fn seq(&self) -> u64 {
        self.header.seq
    }

    /// The seq id that the next record must have.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.header.seq.saturating_add(self.count)
    }

    pub(crate) const fn len(&self) -> u64 {
        self.header.record_len()
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Decoded<'a> {
    /// A sound record.
    Record(Record<'a>),
    /// Zeros where a header would be.
    Unwritten,
    /// Not a sound record.
    Bad(Fault),
}

/// Decodes the record at the beginning of `bytes`, which must hold all of it (`Header::record_len`).
///
/// `bytes` shorter than the record's own length are a `Fault::Length`.
pub(crate) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let Some(header) = Header::parse(bytes) else {
        return if bytes.iter().all(|byte| *byte == 0) {
            Decoded::Unwritten
        } else {
            Decoded::Bad(Fault::ShortHeader)
        };
    };
    if header.is_unwritten() {
        return Decoded::Unwritten;
    }
    let Some((covered, footer)) = split(bytes, &header) else {
        return Decoded::Bad(Fault::Length);
    };
    if crc32c(covered) != header.crc {
        return Decoded::Bad(Fault::Checksum);
    }
    let footer_ok = footer == header.size;
    let stored = covered.get(16..).unwrap_or_default();
    prove(header, stored, footer_ok)
}

/// The header of the record at the beginning of `bytes`, if that is sound, plain, whole, and has seq id `seq`: what
/// reading on and on nearly always meets, told with the fewest steps. `None`: ask [`decode`] what it is.
#[inline]
pub(crate) fn decode_plain(bytes: &[u8], seq: u64) -> Option<Header> {
    let header = Header::parse(bytes)?;
    let plain = header.size <= LEN_MASK && header.seq == seq && seq != 0 && seq != u64::MAX;
    if !plain || num::size(bytes.len()) < header.record_len() {
        return None;
    }
    let covered = bytes.get(4..num::index(HEADER_LEN + header.size))?;
    (crc32c(covered) == header.crc).then_some(header)
}

/// What a header and a payload of proved checksum amount to.
fn prove(header: Header, stored: &[u8], footer_ok: bool) -> Decoded<'_> {
    if header.has_unknown_flags() {
        let fault = if footer_ok { Fault::Newer } else { Fault::Footer };
        return Decoded::Bad(fault);
    }
    if header.seq == 0 {
        return Decoded::Bad(Fault::Sequence { found: 0 });
    }
    let count = match (header.is_packed(), header.codec()) {
        (false, _) => Ok(1),
        (true, 0) => Packed::parse(stored).map(|batch| batch.len()),
        (true, _) => Packed::count(stored),
    };
    match count {
        // No seq id comes behind it: nothing of ours, and an end that could not be told.
        Ok(count) if header.seq.checked_add(count).is_none() => {
            Decoded::Bad(Fault::Sequence { found: header.seq })
        }
        Ok(count) => Decoded::Record(Record { header, count, stored, footer_ok }),
        Err(fault) => Decoded::Bad(fault),
    }
}

/// The bytes under the checksum, and the footer.
fn split<'a>(bytes: &'a [u8], header: &Header) -> Option<(&'a [u8], u64)> {
    const { assert!(HEADER_LEN + FOOTER_LEN == OVERHEAD) };
    let len = num::index(header.record_len());
    let footer_at = len.checked_sub(num::index(FOOTER_LEN))?;
    let footer = read_u64(bytes.get(..len)?, footer_at)?;
    Some((bytes.get(4..footer_at)?, footer))
}

#[cfg(test)]
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
mod tests {
    use super::super::layout::PACKED;
    use super::super::{encode, encode_packed};
    use super::*;

    fn record(bytes: &[u8]) -> Record<'_> {
        match decode(bytes) {
            Decoded::Record(record) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_go_librarys_bytes() {
        // The first record of the `basic` vector: seq id 1, payload "entry-0".
        let mut bytes = Vec::new();
        encode(&mut bytes, 1, &[b"entry", b"-0"]);
        assert_eq!(bytes.len(), 35);
        assert_eq!(&bytes[4..20], &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(&bytes[27..], &[0, 0, 0, 0, 0, 0, 0, 7]);
        let crc = crc32c::crc32c(&bytes[4..27]);
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()), crc);
        assert_eq!(record(&bytes).stored, b"entry-0");
    }

    #[test]
    fn every_bit_of_a_record_counts() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 7, &[b"some payload"]);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode(&flipped) {
                Decoded::Record(record) => assert!(!record.footer_ok && bit / 8 >= 32, "bit {bit}"),
                Decoded::Unwritten => panic!("bit {bit}"),
                Decoded::Bad(_) => assert!(bit / 8 < 32, "bit {bit}"),
            }
        }
    }

    #[test]
    fn a_batch_is_one_record() {
        let mut bytes = Vec::new();
        encode_packed(&mut bytes, 10, &[b"a", b"", b"ccc"]);
        let record = record(&bytes);
        assert_eq!((record.seq(), record.count, record.next_seq()), (10, 3, 13));
        let batch = Packed::parse(record.stored).unwrap();
        let entries: Vec<&[u8]> = (0..3).map(|i| batch.get(i).unwrap()).collect();
        assert_eq!(entries, [&b"a"[..], b"", b"ccc"]);
        assert_eq!(batch.get(3), None);
    }

    #[test]
    fn a_batch_that_lies_is_damage_not_torn() {
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 1],
            &[0, 0, 0, 1, 0, 0, 0, 9, b'x'],
            &[0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, b'x', b'y'],
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'x'],
        ] {
            let mut bytes = Vec::new();
            let size = u64::try_from(body.len()).unwrap() | PACKED;
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(&5_u64.to_be_bytes());
            bytes.extend_from_slice(body);
            let crc = crc32c::crc32c(&bytes[4..]);
            bytes[..4].copy_from_slice(&crc.to_be_bytes());
            bytes.extend_from_slice(&size.to_be_bytes());
            assert!(matches!(decode(&bytes), Decoded::Bad(Fault::Batch)), "{body:?}");
        }
    }

    #[test]
    fn unknown_flags_are_newer_only_if_all_else_is_sound() {
        let mut bytes = vec![0; 4];
        let size = 1_u64 | 1 << 62;
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&1_u64.to_be_bytes());
        bytes.push(b'x');
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_be_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
        assert!(matches!(decode(&bytes), Decoded::Bad(Fault::Newer)));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(matches!(decode(&bytes), Decoded::Bad(Fault::Footer)));
        bytes[20] ^= 1;
        assert!(matches!(decode(&bytes), Decoded::Bad(Fault::Checksum)));
    }

    #[test]
    fn zeros_are_unwritten_and_cut_headers_are_told() {
        assert!(matches!(decode(&[0; 64]), Decoded::Unwritten));
        assert!(matches!(decode(&[0; 3]), Decoded::Unwritten));
        assert!(matches!(decode(&[0, 0, 1]), Decoded::Bad(Fault::ShortHeader)));
        assert!(matches!(decode(&[0xff; 64]), Decoded::Bad(Fault::Length)));
    }
}
