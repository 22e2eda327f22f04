//! CRC32C (Castagnoli), as records carry it.
//!
//! A well-kept crate computes it, and does so best from some hundred bytes on. For fewer it spends most of its time
//! on reading byte by byte up to an aligned address, which x86-64 does not ask for: 144 bytes, a record of 128, took
//! 28 ns by the crate and 13 by the loop here (`docs/design.md`). Here because what only some processors have is
//! called by `unsafe`.

/// From so many bytes on the crate, which computes three parts at once, is as fast.
#[cfg(target_arch = "x86_64")]
const SHORT: usize = 768;

/// The checksum of `bytes`.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The checksum of what `crc` is the checksum of, followed by `bytes`.
#[inline]
pub(crate) fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < SHORT && std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has SSE 4.2, which is all that the function asks for.
        return unsafe { short(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
#[expect(clippy::cast_possible_truncation, reason = "the instruction leaves the upper half zero")]
fn short(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let (words, rest) = bytes.as_chunks();
    let wide = words
        .iter()
        .fold(u64::from(!crc), |crc, word| _mm_crc32_u64(crc, u64::from_le_bytes(*word)));
    let mut crc = wide as u32;
    let mut rest = rest;
    if let Some((half, last)) = rest.split_first_chunk() {
        crc = _mm_crc32_u32(crc, u32::from_le_bytes(*half));
        rest = last;
    }
    !rest.iter().fold(crc, |crc, byte| _mm_crc32_u8(crc, *byte))
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

    #[test]
    fn every_length_at_every_alignment_is_as_the_crate_computes_it() {
        let bytes: Vec<u8> = (0..1600_u32).map(|i| (i * 151 % 251) as u8).collect();
        for from in 0..8 {
            for part in (0..=bytes.len() - from).map(|len| &bytes[from..from + len]) {
                assert_eq!(crc32c(part), ::crc32c::crc32c(part), "{} from {from}", part.len());
                let begun = 0x1234_5678;
                assert_eq!(crc32c_append(begun, part), ::crc32c::crc32c_append(begun, part));
            }
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
