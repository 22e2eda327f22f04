//! LZ4 read from its description alone: the library's codec is not asked.

/// What a block holds that stands behind its length (u32, little-endian).
pub(super) fn decompress(stored: &[u8]) -> Option<Vec<u8>> {
    let (len, mut rest) = stored.split_first_chunk::<4>()?;
    let mut out = Vec::new();
    loop {
        let token = *take(&mut rest, 1)?.first()?;
        let literals = length(token >> 4, &mut rest)?;
        out.extend_from_slice(take(&mut rest, literals)?);
        if rest.is_empty() {
            break;
        }
        let (offset, behind) = rest.split_first_chunk::<2>()?;
        rest = behind;
        let from = out.len().checked_sub(usize::from(u16::from_le_bytes(*offset)))?;
        // What is copied may reach into what is being copied.
        for at in from..from + length(token & 15, &mut rest)? + 4 {
            out.push(*out.get(at)?);
        }
    }
    (crate::num::size(out.len()) == u64::from(u32::from_le_bytes(*len))).then_some(out)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

/// A length of which four bits stand in the token: 15 says that bytes follow, up to one below 255.
fn length(bits: u8, rest: &mut &[u8]) -> Option<usize> {
    let mut len = usize::from(bits);
    let mut last = if bits == 15 { u8::MAX } else { 0 };
    while last == u8::MAX {
        last = *take(rest, 1)?.first()?;
        len += usize::from(last);
    }
    Some(len)
}
