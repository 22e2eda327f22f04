//! Records, and what looks like records: made by the format's description alone.

use arbitrary::Arbitrary;

/// A part of a segment.
#[derive(Debug, Arbitrary)]
pub(crate) enum Piece {
    /// Sound, with the seq id that comes next.
    Next(Vec<u8>),
    /// Sound, with another one.
    Skips(i16, Vec<u8>),
    /// Sound, with one near the end of the range, or any.
    At(u64, Vec<u8>),
    /// A sound batch.
    Batch(Vec<Vec<u8>>),
    /// A batch with a body that may make no sense, under a right checksum.
    Body(u32, Vec<u32>, Vec<u8>),
    /// Whatever the size says, with a right checksum over `payload`.
    Sized {
        size: u64,
        payload: Vec<u8>,
        footer: Option<u64>,
    },
    /// Flags of the size, with a right checksum and length.
    Flagged {
        flags: u16,
        payload: Vec<u8>,
    },
    /// A sound record with one bit turned over.
    Flipped(u16, Vec<u8>),
    /// A sound record whose end is missing.
    Cut(u16, Vec<u8>),
    /// A sound record in the payload of a sound one.
    Within(i16, Vec<u8>),
    Zeros(u8),
    Raw(Vec<u8>),
}

pub(crate) const PACKED: u64 = 1 << 59;
pub(crate) const LEN_MASK: u64 = (1 << 48) - 1;

/// A record of any size, seq id and footer, with a right checksum.
pub(crate) fn record(size: u64, seq: u64, payload: &[u8], footer: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(size.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(payload);
    let crc = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_be_bytes());
    bytes.extend(footer.to_be_bytes());
    bytes
}

pub(crate) fn sound(flags: u64, seq: u64, payload: &[u8]) -> Vec<u8> {
    let size = flags | payload.len() as u64;
    record(size, seq, payload, size)
}

fn body(count: u32, ends: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut body = count.to_be_bytes().to_vec();
    body.extend(ends.iter().flat_map(|end| end.to_be_bytes()));
    body.extend(bytes);
    body
}

fn batch(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut end = 0;
    let ends: Vec<u32> = entries
        .iter()
        .map(|entry| {
            end += entry.len() as u32;
            end
        })
        .collect();
    body(entries.len() as u32, &ends, &entries.concat())
}

/// The bytes of `pieces`, the first of which gets `next`.
pub(crate) fn build(pieces: &[Piece], mut next: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        let count = match piece {
            Piece::Batch(entries) => entries.len() as u64,
            Piece::Body(count, ..) => u64::from(*count),
            Piece::Zeros(_) | Piece::Raw(_) | Piece::Cut(..) => 0,
            _ => 1,
        };
        if let Piece::Skips(by, _) = piece {
            next = next.saturating_add_signed(i64::from(*by));
        } else if let Piece::At(seq, _) = piece {
            next = *seq;
        }
        out.extend(piece.bytes(next));
        next = next.saturating_add(count);
    }
    out
}

impl Piece {
    fn bytes(&self, next: u64) -> Vec<u8> {
        match self {
            Self::Next(payload) | Self::Skips(_, payload) | Self::At(_, payload) => {
                sound(0, next, payload)
            }
            Self::Batch(entries) => sound(PACKED, next, &batch(entries)),
            Self::Body(count, ends, bytes) => sound(PACKED, next, &body(*count, ends, bytes)),
            Self::Sized { size, payload, footer } => {
                record(*size, next, payload, footer.unwrap_or(*size))
            }
            Self::Flagged { flags, payload } => sound(u64::from(*flags) << 48, next, payload),
            Self::Flipped(bit, payload) => {
                let mut bytes = sound(0, next, payload);
                let bit = usize::from(*bit) % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            }
            Self::Cut(len, payload) => {
                let mut bytes = sound(0, next, payload);
                bytes.truncate(usize::from(*len) % bytes.len());
                bytes
            }
            Self::Within(by, payload) => {
                let inner = sound(0, next.saturating_add_signed(i64::from(*by)), payload);
                sound(0, next, &inner)
            }
            Self::Zeros(len) => vec![0; usize::from(*len)],
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}
