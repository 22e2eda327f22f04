//! Snappy's raw format, by `snap`.

use snap::raw;

use crate::num;

pub(super) fn stated_len(stored: &[u8]) -> Option<u64> {
    // Nothing at all would be taken for a block of length 0.
    let len = raw::decompress_len(stored).ok().filter(|_| !stored.is_empty())?;
    Some(num::size(len))
}

/// Room for what `plain` bytes can become; 0 where they are too many for this codec.
pub(super) fn most(plain: usize) -> usize {
    raw::max_compress_len(plain)
}

pub(super) struct Decompress;

impl Decompress {
    pub(super) const fn new() -> Self {
        Self
    }

    /// Decompresses what states `len` bytes.
    pub(super) fn decompress(&self, stored: &[u8], len: usize, out: &mut Vec<u8>) -> Option<usize> {
        out.resize(len, 0);
        raw::Decoder::new().decompress(stored, out).ok()
    }
}

#[derive(Default)]
pub(super) struct Compress(Option<raw::Encoder>);

impl Compress {
    pub(super) fn compress(&mut self, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.get_or_insert_with(raw::Encoder::new).compress(plain, out).ok()
    }
}
