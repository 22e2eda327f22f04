//! Where each field lies.

/// Checksum, size and seq id.
pub(crate) const HEADER_LEN: u64 = 20;
/// The size again.
pub(crate) const FOOTER_LEN: u64 = 8;
/// What a record adds to its payload.
pub(crate) const OVERHEAD: u64 = HEADER_LEN + FOOTER_LEN;

/// Width of the stored payload's length.
pub(crate) const LEN_BITS: u32 = 48;
/// The bits of Size that are the stored payload's length, in every version for ever.
pub(crate) const LEN_MASK: u64 = (1 << LEN_BITS) - 1;
/// Where the codec's three bits begin.
pub(crate) const CODEC_SHIFT: u32 = 56;
const CODEC_MASK: u64 = 0b111 << CODEC_SHIFT;
/// The record holds a batch.
pub(crate) const PACKED: u64 = 1 << 59;
const KNOWN: u64 = LEN_MASK | CODEC_MASK | PACKED;

const _: () = {
    assert!(HEADER_LEN == 4 + 8 + 8);
    assert!(OVERHEAD == 28);
    assert!(LEN_MASK & CODEC_MASK == 0 && (LEN_MASK | CODEC_MASK) & PACKED == 0);
    assert!(CODEC_SHIFT >= LEN_BITS + 8, "bits 48 to 55 stay zero");
};

/// The first 20 bytes of a record, as they lie: nothing about them is proved yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) crc: u32,
    pub(crate) size: u64,
    pub(crate) seq: u64,
}

impl Header {
    /// `None` if there are fewer than 20 bytes.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        // One look at the length: what is read of an array of known length needs none.
        let bytes = bytes.first_chunk::<20>()?;
        Some(Self {
            crc: read_u32(bytes, 0)?,
            size: read_u64(bytes, 4)?,
            seq: read_u64(bytes, 12)?,
        })
    }

    /// Space that was never written to.
    pub(crate) const fn is_unwritten(&self) -> bool {
        self.crc == 0 && self.size == 0 && self.seq == 0
    }

    /// Length of the stored payload, N.
    pub(crate) const fn payload_len(&self) -> u64 {
        self.size & LEN_MASK
    }

    /// Length of the whole record. Cannot overflow: N has 48 bits.
    pub(crate) const fn record_len(&self) -> u64 {
        self.payload_len() + OVERHEAD
    }

    pub(crate) const fn is_packed(&self) -> bool {
        self.size & PACKED != 0
    }

    pub(crate) const fn codec(&self) -> u64 {
        (self.size & CODEC_MASK) >> CODEC_SHIFT
    }

    /// Whether a bit is set that this version does not know.
    pub(crate) const fn has_unknown_flags(&self) -> bool {
        self.size & !KNOWN != 0 || self.codec() > 3
    }
}

/// The big-endian u32 at an offset.
#[inline]
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The big-endian u64 at an offset.
#[inline]
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
pub(crate) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
pub(super) const fn be32(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
pub(super) const fn be64(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

/// The size that a record's last 8 bytes repeat.
pub(crate) fn read_footer(bytes: &[u8]) -> Option<u64> {
    read_u64(bytes, 0)
}

/// The last 8 bytes of a record with this size.
pub(crate) const fn footer(size: u64) -> [u8; 8] {
    be64(size)
}
