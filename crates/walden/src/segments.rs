//! The live segments as one would list them.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::error::Result;
use crate::segment::index::time;
use crate::snapshot::View;
use crate::watermark::Level;

/// A live segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The number in its name.
    pub ordinal: u64,
    /// Its file.
    pub path: PathBuf,
    /// Bytes of records.
    pub bytes: u64,
    /// The first seq id in it, dead entries included; `None` for an empty one.
    pub first_seq: Option<u64>,
    /// The last seq id in it.
    pub last_seq: Option<u64>,
    /// Complete, and never written again.
    pub sealed: bool,
    /// When its last entry was appended, as far as its index knows.
    pub last_append: Option<SystemTime>,
}

pub(crate) fn list(view: &dyn View) -> Result<Vec<SegmentInfo>> {
    view.refresh()?;
    let snapshot = view.snapshot();
    let mut next = view.end(Level::Written);
    let mut out = Vec::with_capacity(snapshot.segments.len());
    for segment in snapshot.segments.iter().rev() {
        let first = segment.first_seq()?.filter(|first| *first < next);
        out.push(SegmentInfo {
            ordinal: segment.ordinal,
            path: segment.path.clone(),
            bytes: segment.end()?,
            first_seq: first,
            last_seq: first.map(|_| next - 1),
            sealed: segment.is_sealed(),
            last_append: segment
                .last_micros(snapshot.log_id)
                .filter(|micros| *micros > 0)
                .map(time),
        });
        next = first.unwrap_or(next);
    }
    out.reverse();
    Ok(out)
}
