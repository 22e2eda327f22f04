//! CRC32C (Castagnoli), as records carry it.
//!
//! A well-kept crate computes it, wherever nothing here is faster. On x86-64, where a log spends much of its time on
//! it, two things are (`docs/design.md`). Few bytes: the crate reads byte by byte up to an aligned address, which such
//! processors do not ask for; 144 bytes, a record of 128, take 28 ns by the crate and 13 by the loop here. Many bytes: one
//! half of the processor can multiply polynomials while another sums by the instruction for it; 64 KiB take 11.6 us by
//! the crate and 6.7 here. Not optimised, each step of that is a call: 490 us, by the crate 86; so with debug assertions, which
//! such builds have, the crate computes it. In this folder because what only some processors have is called by `unsafe`.

/// The checksum of `bytes`.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The checksum of what `crc` is the checksum of, followed by `bytes`.
#[inline]
pub(crate) fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        if bytes.len() < x86::SHORT_BLOCK {
            // SAFETY: the processor has SSE 4.2, which is all that the function asks for.
            return unsafe { x86::short(crc, bytes) };
        }
        if !cfg!(debug_assertions) && x86::has_long() {
            // SAFETY: the processor has what the function asks for.
            return unsafe { x86::long(crc, bytes) };
        }
    }
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_truncation, reason = "the instruction leaves the upper half zero")]
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers hold bits, not numbers"
)]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64,
        _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_set_epi64x, _mm_xor_si128,
    };

    /// Bytes of a block that are folded by multiplying, and that are summed, in each round of both.
    const FOLDED: usize = 64;
    const SUMMED: usize = 24;

    /// Bytes of a block of 8 rounds: with fewer, putting both parts together takes longer than is saved.
    pub(super) const SHORT_BLOCK: usize = 8 * (FOLDED + SUMMED);
    const LONG_BLOCK: usize = 64 * (FOLDED + SUMMED);

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

    const BY_ROUND: (i64, i64) = onto(FOLDED);
    const BY_LANE: (i64, i64) = onto(16);
    const OVER_SHORT: i64 = over(SHORT_BLOCK / (FOLDED + SUMMED) * SUMMED);
    const OVER_LONG: i64 = over(LONG_BLOCK / (FOLDED + SUMMED) * SUMMED);

    /// Whether the processor has what [`long`] asks for.
    #[inline]
    pub(super) fn has_long() -> bool {
        std::arch::is_x86_feature_detected!("sse4.2")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }

    /// One instruction after the other.
    #[target_feature(enable = "sse4.2")]
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

    /// Block after block, and the rest as [`short`].
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub(super) fn long(crc: u32, bytes: &[u8]) -> u32 {
        let (long, rest) = bytes.as_chunks::<LONG_BLOCK>();
        let (middle, rest) = rest.as_chunks::<SHORT_BLOCK>();
        let crc = long.iter().fold(u64::from(!crc), |crc, bytes| block(crc, bytes, OVER_LONG));
        let crc = middle.iter().fold(crc, |crc, bytes| block(crc, bytes, OVER_SHORT));
        short(!(crc as u32), rest)
    }

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn sum(crc: u64, words: &[[u8; 8]]) -> u64 {
        words.iter().fold(crc, |crc, word| _mm_crc32_u64(crc, u64::from_le_bytes(*word)))
    }

    /// The first part of a block is folded into 64 bytes that have the same checksum, while the second is summed.
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn block(crc: u64, bytes: &[u8], over: i64) -> u64 {
        let (first, second) = bytes.split_at(bytes.len() / (FOLDED + SUMMED) * FOLDED);
        let (first, second) = (first.as_chunks::<FOLDED>().0, second.as_chunks::<SUMMED>().0);
        let mut lanes = [_mm_set_epi64x(0, 0); FOLDED / 16];
        let mut summed = 0;
        for (i, (folds, sums)) in first.iter().zip(second).enumerate() {
            for (lane, bytes) in lanes.iter_mut().zip(folds.as_chunks().0) {
                *lane = fold(*lane, BY_ROUND, load(bytes));
            }
            if i == 0 {
                lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi64_si128(crc as i64));
            }
            summed = sum(summed, sums.as_chunks().0);
        }
        let [a, b, c, d] = lanes;
        let last = fold(fold(fold(a, BY_LANE, b), BY_LANE, c), BY_LANE, d);
        let crc = _mm_crc32_u64(0, _mm_cvtsi128_si64(last) as u64);
        let crc = _mm_crc32_u64(crc, _mm_extract_epi64::<1>(last) as u64);
        let moved =
            _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(crc as i64), _mm_cvtsi64_si128(over));
        _mm_crc32_u64(0, _mm_cvtsi128_si64(moved) as u64) ^ summed
    }

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
    fn load(bytes: &[u8; 16]) -> __m128i {
        let bits = u128::from_le_bytes(*bytes);
        _mm_set_epi64x((bits >> 64) as i64, bits as i64)
    }
}

#[cfg(all(test, not(walden_model)))]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_checksum_of_the_standard() {
        // RFC 3720, appendix B.4.
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(&falling), 0x113f_db5c);
        assert_eq!(crc32c(b""), 0);
    }

    /// The checksum as optimised builds compute it, whatever this build is.
    fn optimised(crc: u32, bytes: &[u8]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if bytes.len() >= x86::SHORT_BLOCK && x86::has_long() {
            // SAFETY: the processor has what the function asks for.
            return unsafe { x86::long(crc, bytes) };
        }
        crc32c_append(crc, bytes)
    }

    fn is_as_the_crate_computes_it(bytes: &[u8]) {
        for begun in [0, 0x1234_5678, !0] {
            let wanted = ::crc32c::crc32c_append(begun, bytes);
            assert_eq!(crc32c_append(begun, bytes), wanted, "{} bytes", bytes.len());
            assert_eq!(optimised(begun, bytes), wanted, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn every_length_at_every_alignment_is_as_the_crate_computes_it() {
        let bytes: Vec<u8> = (0..2600_u32).map(|i| (i * 151 % 251) as u8).collect();
        for from in 0..8 {
            for len in 0..=bytes.len() - from {
                is_as_the_crate_computes_it(&bytes[from..from + len]);
            }
        }
    }

    #[test]
    fn long_ones_are_as_the_crate_computes_them() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|i| (i * i % 241) as u8).collect();
        for len in (2600..40_000).step_by(61) {
            is_as_the_crate_computes_it(&bytes[len % 16..len]);
        }
    }

    #[test]
    fn in_pieces_it_is_the_same() {
        let bytes: Vec<u8> = (0..2000_u32).map(|i| (i * 89 % 253) as u8).collect();
        for at in [0, 1, 7, 8, 16, 767, 768, 1999, 2000] {
            let (first, rest) = bytes.split_at(at);
            assert_eq!(crc32c_append(crc32c(first), rest), crc32c(&bytes), "cut at {at}");
        }
    }
}
