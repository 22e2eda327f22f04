//! What x86-64 computes faster than by one instruction after the other, in two widths.
//!
//! Both take blocks of some rounds: in each round a piece of the first part of a block is folded onto the next piece, by
//! multiplying, and a piece of the second part is summed, which has nothing to wait for in the first. In the end what was
//! folded is summed and moved over the second part.

use std::arch::x86_64::{
    __m128i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64, _mm_cvtsi64_si128,
    _mm_cvtsi128_si64, _mm_extract_epi64, _mm_set_epi64x, _mm_xor_si128,
};

pub(super) mod narrow;
pub(super) mod wide;

/// x to the power of `n` modulo the polynomial, bits in the order of the checksum's: the highest is that of x^0.
const fn power(n: usize) -> i64 {
    let mut crc = 1_u32 << 31;
    let mut i = 0;
    while i < n {
        crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        i += 1;
    }
    crc as i64
}

/// Moves 16 bytes onto those that stand `bytes` behind: a factor for each half. Both are a power of x by 32
/// off, since the halves are 64 apart and the product of reflected numbers comes out one lower (hence the shift).
const fn onto(bytes: usize) -> (i64, i64) {
    (power(8 * bytes + 32) << 1, power(8 * bytes - 32) << 1)
}

/// Moves a checksum over `bytes` that follow, with [`_mm_crc32_u64`] of the product, which is x^33 more.
const fn over(bytes: usize) -> i64 {
    power(8 * bytes - 33)
}

/// One instruction after the other.
#[target_feature(enable = "sse4.2")]
#[expect(clippy::cast_possible_truncation, reason = "the instruction leaves the upper half zero")]
pub(super) fn short(crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let mut crc = sum(u64::from(!crc), words) as u32;
    let mut rest = rest;
    if let Some((half, last)) = rest.split_first_chunk() {
        crc = _mm_crc32_u32(crc, u32::from_le_bytes(*half));
        rest = last;
    }
    !rest.iter().fold(crc, |crc, byte| _mm_crc32_u8(crc, *byte))
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn sum(crc: u64, words: &[[u8; 8]]) -> u64 {
    words.iter().fold(crc, |crc, word| _mm_crc32_u64(crc, u64::from_le_bytes(*word)))
}

/// The checksum of a block, of whose first part these 16 bytes have the checksum, and of whose second part it is `summed`.
#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
#[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "registers hold bits")]
fn joined(folded: __m128i, over: i64, summed: u64) -> u64 {
    let crc = _mm_crc32_u64(0, _mm_cvtsi128_si64(folded) as u64);
    let crc = _mm_crc32_u64(crc, _mm_extract_epi64::<1>(folded) as u64);
    let moved = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(crc as i64), _mm_cvtsi64_si128(over));
    _mm_crc32_u64(0, _mm_cvtsi128_si64(moved) as u64) ^ summed
}

/// `lane`, moved by these factors, onto `next`.
#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn fold(lane: __m128i, (low, high): (i64, i64), next: __m128i) -> __m128i {
    let by = _mm_set_epi64x(high, low);
    let low = _mm_clmulepi64_si128::<0x00>(lane, by);
    let high = _mm_clmulepi64_si128::<0x11>(lane, by);
    _mm_xor_si128(_mm_xor_si128(low, high), next)
}

#[inline]
#[target_feature(enable = "sse2")]
#[expect(clippy::cast_possible_truncation, reason = "registers hold bits")]
fn load(bytes: &[u8; 16]) -> __m128i {
    let bits = u128::from_le_bytes(*bytes);
    _mm_set_epi64x((bits >> 64) as i64, bits as i64)
}
