//! Zstandard frames, by `zstd`.

use zstd::zstd_safe::{self, CCtx, CDict, DCtx, DDict};

pub(super) fn stated_len(stored: &[u8]) -> Option<u64> {
    let frame = zstd_safe::find_frame_compressed_size(stored).ok()?;
    let len = zstd_safe::get_frame_content_size(stored).ok()??;
    (frame == stored.len()).then_some(len)
}

/// As much as there was: where that is not enough room, nothing is gained.
pub(super) const fn most(plain: usize) -> usize {
    plain
}

/// A dictionary made ready to decompress with.
pub(super) struct ForReading(DDict<'static>);

impl ForReading {
    pub(super) fn new(dictionary: &[u8]) -> Option<Self> {
        DDict::try_create(dictionary).map(Self)
    }
}

/// A dictionary made ready to compress with.
pub(super) struct ForWriting(CDict<'static>);

impl ForWriting {
    pub(super) fn new(dictionary: &[u8], level: i32) -> Option<Self> {
        CDict::try_create(dictionary, level).map(Self)
    }
}

pub(super) fn train(samples: &[u8], lengths: &[usize], size: usize) -> Option<Vec<u8>> {
    let mut dictionary = Vec::with_capacity(size);
    zstd_safe::train_from_buffer(&mut dictionary, samples, lengths).ok()?;
    Some(dictionary)
}

pub(super) struct Decompress(Option<DCtx<'static>>);

impl Decompress {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Decompresses what states `len` bytes. They are written where there is room in `out`, which is not filled
    /// with zeros first: what is stated and not there takes no memory.
    pub(super) fn decompress(
        &mut self,
        dictionary: Option<&ForReading>,
        stored: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        out.clear();
        out.try_reserve_exact(len).ok()?;
        if self.0.is_none() {
            self.0 = DCtx::try_create();
        }
        let context = self.0.as_mut()?;
        match dictionary {
            Some(dictionary) => context.decompress_using_ddict(out, stored, &dictionary.0).ok(),
            None => context.decompress(out, stored).ok(),
        }
    }
}

#[derive(Default)]
pub(super) struct Compress(Option<CCtx<'static>>);

impl Compress {
    pub(super) fn compress(
        &mut self,
        level: i32,
        dictionary: Option<&ForWriting>,
        plain: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        if self.0.is_none() {
            self.0 = CCtx::try_create();
        }
        let context = self.0.as_mut()?;
        match dictionary {
            Some(dictionary) => context.compress_using_cdict(out, plain, &dictionary.0).ok(),
            None => context.compress(out, plain, level).ok(),
        }
    }
}
