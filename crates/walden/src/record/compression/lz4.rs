//! LZ4's block format behind the length of what it holds, by `lz4_flex`.

use lz4_flex::block::{self, CompressTable};

/// The bytes before the block.
const HEAD: usize = 4;

pub(super) fn stated_len(stored: &[u8]) -> Option<u64> {
    stored.first_chunk::<HEAD>().map(|len| u64::from(u32::from_le_bytes(*len)))
}

/// Room for what `plain` bytes can become.
pub(super) fn most(plain: usize) -> usize {
    block::get_maximum_output_size(plain).saturating_add(HEAD)
}

pub(super) struct Decompress;

impl Decompress {
    pub(super) const fn new() -> Self {
        Self
    }

    /// Decompresses what states `len` bytes.
    pub(super) fn decompress(&self, stored: &[u8], len: usize, out: &mut Vec<u8>) -> Option<usize> {
        out.resize(len, 0);
        block::decompress_into(stored.get(HEAD..)?, out).ok()
    }
}

#[derive(Default)]
pub(super) struct Compress(Option<CompressTable>);

impl Compress {
    pub(super) fn compress(&mut self, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let (head, out) = out.split_first_chunk_mut::<HEAD>()?;
        *head = u32::try_from(plain.len()).ok()?.to_le_bytes();
        let table = self.0.get_or_insert_default();
        block::compress_into_with_table(plain, out, table).ok()?.checked_add(HEAD)
    }
}
