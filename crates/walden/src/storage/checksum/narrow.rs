//! By registers of 16 bytes.

use std::arch::x86_64::{_mm_cvtsi64_si128, _mm_set_epi64x, _mm_xor_si128};

use super::{fold, joined, load, onto, over, short, sum};

/// Bytes of a block that are folded by multiplying, and that are summed, in each round of both.
const FOLDED: usize = 64;
const SUMMED: usize = 24;
const ROUND: usize = FOLDED + SUMMED;

/// Bytes of a block of 8 rounds: with fewer, putting both parts together takes longer than is saved.
const FEW: usize = 8 * ROUND;
const MANY: usize = 64 * ROUND;

/// Fewer bytes are summed faster.
pub(in super::super) const LEAST: usize = FEW;

const BY_ROUND: (i64, i64) = onto(FOLDED);
const BY_LANE: (i64, i64) = onto(16);

/// Whether the processor has what [`crc`] asks for.
#[inline]
pub(in super::super) fn is_known() -> bool {
    std::arch::is_x86_feature_detected!("sse4.2")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
}

/// Block after block, and the rest as [`short`].
#[target_feature(enable = "sse4.2,pclmulqdq")]
#[expect(clippy::cast_possible_truncation, reason = "the instruction leaves the upper half zero")]
pub(in super::super) fn crc(crc: u32, bytes: &[u8]) -> u32 {
    let (many, rest) = bytes.as_chunks::<MANY>();
    let (few, rest) = rest.as_chunks::<FEW>();
    let crc = many.iter().fold(u64::from(!crc), |crc, bytes| block(crc, bytes));
    let crc = few.iter().fold(crc, |crc, bytes| block(crc, bytes));
    short(!(crc as u32), rest)
}

#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
#[expect(clippy::cast_possible_wrap, reason = "registers hold bits")]
fn block<const N: usize>(crc: u64, bytes: &[u8; N]) -> u64 {
    let (first, second) = bytes.split_at(N / ROUND * FOLDED);
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
    let folded = fold(fold(fold(a, BY_LANE, b), BY_LANE, c), BY_LANE, d);
    joined(folded, const { over(N / ROUND * SUMMED) }, summed)
}
