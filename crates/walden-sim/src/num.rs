//! Conversions of integers that can neither panic nor wrap.

/// A file length or offset as an index. Saturates; every user bounds the result.
pub(crate) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A length in memory as a length in a file.
pub(crate) fn size(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
