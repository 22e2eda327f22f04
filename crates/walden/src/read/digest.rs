//! What a range of entries amounts to, whatever records, batches and segments they are stored in.

use std::fmt;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::Entries;
use crate::error::Result;
use crate::num;

/// SHA-256 over a range of entries: of each its seq id and its length (u64, little-endian) and its payload.
///
/// Two logs with the same digest hold the same entries there, however they are stored: other segments,
/// batches or single records. Compare `seqs` as well: the range is brought down to what is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Digest {
    /// The seq ids that it covers.
    pub seqs: Range<u64>,
    /// The hash.
    pub sha256: [u8; 32],
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// # Errors
/// As reading.
pub(crate) fn digest(entries: Entries) -> Result<Digest> {
    let mut seqs = entries.seqs();
    seqs.end = seqs.end.max(seqs.start);
    let mut hash = Sha256::new();
    for entry in entries {
        let entry = entry?;
        hash.update(entry.seq.to_le_bytes());
        hash.update(num::size(entry.payload.len()).to_le_bytes());
        hash.update(&entry.payload);
    }
    Ok(Digest { seqs, sha256: hash.finalize().into() })
}
