//! By registers of 32 bytes, which AMD has from Zen 3 and Intel from Ice Lake on.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi64_si128, _mm256_castsi256_si128, _mm256_clmulepi64_epi128,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_set_epi64x, _mm256_setzero_si256,
    _mm256_xor_si256, _mm256_zextsi128_si256,
};

use super::{fold, joined, onto, over, short, sum};

/// Bytes of a block that are folded by multiplying, and that are summed, in each round of both.
const FOLDED: usize = 128;
const SUMMED: usize = 40;
const ROUND: usize = FOLDED + SUMMED;

/// Bytes of blocks of so many rounds: putting both parts together takes as long as summing some 100 bytes.
const FEW: usize = 2 * ROUND;
const SOME: usize = 8 * ROUND;
const MANY: usize = 64 * ROUND;

/// Fewer bytes are summed faster.
pub(in super::super) const LEAST: usize = FEW;

const BY_ROUND: (i64, i64) = onto(FOLDED);
const BY_LANE: (i64, i64) = onto(32);
const BY_HALF: (i64, i64) = onto(16);

/// Whether the processor has what [`crc`] asks for.
#[inline]
pub(in super::super) fn is_known() -> bool {
    super::narrow::is_known()
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("vpclmulqdq")
}

/// Block after block, and the rest as [`short`].
#[target_feature(enable = "sse4.2,pclmulqdq,avx2,vpclmulqdq")]
#[expect(clippy::cast_possible_truncation, reason = "the instruction leaves the upper half zero")]
pub(in super::super) fn crc(crc: u32, bytes: &[u8]) -> u32 {
    let (many, rest) = bytes.as_chunks::<MANY>();
    let (some, rest) = rest.as_chunks::<SOME>();
    let (few, rest) = rest.as_chunks::<FEW>();
    let crc = many.iter().fold(u64::from(!crc), |crc, bytes| block(crc, bytes));
    let crc = some.iter().fold(crc, |crc, bytes| block(crc, bytes));
    let crc = few.iter().fold(crc, |crc, bytes| block(crc, bytes));
    short(!(crc as u32), rest)
}

#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq,avx2,vpclmulqdq")]
#[expect(clippy::cast_possible_wrap, reason = "registers hold bits")]
fn block<const N: usize>(crc: u64, bytes: &[u8; N]) -> u64 {
    let (first, second) = bytes.split_at(N / ROUND * FOLDED);
    let (first, second) = (first.as_chunks::<FOLDED>().0, second.as_chunks::<SUMMED>().0);
    let mut lanes = [_mm256_setzero_si256(); FOLDED / 32];
    let mut summed = 0;
    for (i, (folds, sums)) in first.iter().zip(second).enumerate() {
        for (lane, bytes) in lanes.iter_mut().zip(folds.as_chunks().0) {
            *lane = fold_both(*lane, BY_ROUND, load_both(bytes));
        }
        if i == 0 {
            let begun = _mm256_zextsi128_si256(_mm_cvtsi64_si128(crc as i64));
            lanes[0] = _mm256_xor_si256(lanes[0], begun);
        }
        summed = sum(summed, sums.as_chunks().0);
    }
    let [a, b, c, d] = lanes;
    let last = fold_both(fold_both(fold_both(a, BY_LANE, b), BY_LANE, c), BY_LANE, d);
    let (low, high) = (_mm256_castsi256_si128(last), _mm256_extracti128_si256::<1>(last));
    joined(fold(low, BY_HALF, high), const { over(N / ROUND * SUMMED) }, summed)
}

/// As [`fold`], of two at once.
#[inline]
#[target_feature(enable = "avx2,vpclmulqdq")]
fn fold_both(lane: __m256i, (low, high): (i64, i64), next: __m256i) -> __m256i {
    let by = _mm256_set_epi64x(high, low, high, low);
    let low = _mm256_clmulepi64_epi128::<0x00>(lane, by);
    let high = _mm256_clmulepi64_epi128::<0x11>(lane, by);
    _mm256_xor_si256(_mm256_xor_si256(low, high), next)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_both(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: so many bytes can be read there, and none need be aligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
