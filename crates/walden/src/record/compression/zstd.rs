//! Zstandard frames, by `zstd`.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

pub(super) fn stated_len(stored: &[u8]) -> Option<u64> {
    let frame = find_frame_compressed_size(stored).ok()?;
    let len = get_frame_content_size(stored).ok()??;
    (frame == stored.len()).then_some(len)
}

/// As much as there was: where that is not enough room, nothing is gained.
pub(super) const fn most(plain: usize) -> usize {
    plain
}

pub(super) struct Decompress(Option<Decompressor<'static>>);

impl Decompress {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Decompresses what states `len` bytes. They are written where there is room in `out`, which is not filled
    /// with zeros first: what is stated and not there takes no memory.
    pub(super) fn decompress(
        &mut self,
        stored: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        out.clear();
        out.try_reserve_exact(len).ok()?;
        if self.0.is_none() {
            self.0 = Decompressor::new().ok();
        }
        self.0.as_mut()?.decompress_to_buffer(stored, out).ok()
    }
}

/// A compressor, and the level it was set to.
#[derive(Default)]
pub(super) struct Compress(Option<(Compressor<'static>, i32)>);

impl Compress {
    pub(super) fn compress(&mut self, level: i32, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.0.as_ref().is_none_or(|(_, set)| *set != level) {
            self.0 = Compressor::new(level).ok().map(|made| (made, level));
        }
        let (compressor, _) = self.0.as_mut()?;
        compressor.compress_to_buffer(plain, out).ok()
    }
}
