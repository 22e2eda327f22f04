//! Records by hand, from the format's description alone.

/// What a record takes beside its payload.
pub(crate) const OVERHEAD: usize = 28;

/// A record's place in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) seq: u64,
    pub(crate) next: u64,
}

impl Place {
    pub(crate) fn footer(&self) -> usize {
        self.end - 8
    }
}

/// A record with any size field, sound as far as checksum and footer go.
pub(crate) fn with_size(seq: u64, size: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(payload);
    let crc = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes
}

pub(crate) fn plain(seq: u64, payload: &[u8]) -> Vec<u8> {
    with_size(seq, payload.len() as u64, payload)
}

/// The records of a sound file, up to its end or to zeros.
pub(crate) fn places(bytes: &[u8]) -> Vec<Place> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() && bytes[at..].iter().take(20).any(|byte| *byte != 0) {
        let size = be64(bytes, at + 4);
        let seq = be64(bytes, at + 12);
        let end = at + OVERHEAD + usize::try_from(size & ((1 << 48) - 1)).unwrap();
        assert_eq!(be64(bytes, end - 8), size, "the record at {at} is sound");
        let packed = size & 1 << 59 != 0;
        let count = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let next = seq + if packed { u64::from(count(at + 20)) } else { 1 };
        out.push(Place { at, end, seq, next });
        at = end;
    }
    out
}

pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}
