//! CRC32C (Castagnoli), as records carry it.
//!
//! A well-kept crate computes it, wherever nothing here is faster. On x86-64, where a log spends much of its time on
//! it, two things are (`docs/design.md`). Few bytes: the crate reads byte by byte up to an aligned address, which such
//! processors do not ask for; 144 bytes, a record of 128, take 28 ns by the crate and 13 by the loop here. Many bytes: one
//! half of the processor can multiply polynomials while another sums by the instruction for it; 64 KiB take 11.6 us by
//! the crate and 6.7 here, and where 32 bytes can be multiplied at once, on another processor, 3.1 and 2.1 to 2.4. Not optimised, each
//! step of that is a call: 490 us, by the crate 86; so with debug assertions, which such builds have, the crate computes it. In
//! this folder because what only some processors have is called by `unsafe`.

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
        let (len, optimised) = (bytes.len(), !cfg!(debug_assertions));
        if optimised && len >= x86::wide::LEAST && x86::wide::is_known() {
            // SAFETY: the processor has what the function asks for.
            return unsafe { x86::wide::crc(crc, bytes) };
        }
        if optimised && len >= x86::narrow::LEAST && x86::narrow::is_known() {
            // SAFETY: the processor has what the function asks for.
            return unsafe { x86::narrow::crc(crc, bytes) };
        }
        if len < x86::narrow::LEAST {
            // SAFETY: the processor has SSE 4.2, which is all that the function asks for.
            return unsafe { x86::short(crc, bytes) };
        }
    }
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(target_arch = "x86_64")]
#[path = "checksum/x86.rs"]
mod x86;

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

    /// In every way that this processor knows, whatever this build takes.
    fn is_as_the_crate_computes_it(bytes: &[u8]) {
        for begun in [0, 0x1234_5678, !0] {
            let wanted = ::crc32c::crc32c_append(begun, bytes);
            assert_eq!(crc32c_append(begun, bytes), wanted, "{} bytes", bytes.len());
            #[cfg(target_arch = "x86_64")]
            if x86::narrow::is_known() {
                // SAFETY: the processor has what the function asks for.
                let narrow = unsafe { x86::narrow::crc(begun, bytes) };
                assert_eq!(narrow, wanted, "{} bytes", bytes.len());
            }
            #[cfg(target_arch = "x86_64")]
            if x86::wide::is_known() {
                // SAFETY: the processor has what the function asks for.
                let wide = unsafe { x86::wide::crc(begun, bytes) };
                assert_eq!(wide, wanted, "{} bytes", bytes.len());
            }
        }
    }

    /// What nothing here is tried of.
    #[cfg(target_arch = "x86_64")]
    #[expect(clippy::print_stdout, reason = "a test that skips says so")]
    fn say_what_is_skipped() {
        for (name, known) in [("narrow", x86::narrow::is_known()), ("wide", x86::wide::is_known())]
        {
            if !known {
                println!("skipped: this processor cannot compute checksums the {name} way");
            }
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
        #[cfg(target_arch = "x86_64")]
        say_what_is_skipped();
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
