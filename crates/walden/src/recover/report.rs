//! What opening found and did.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// How the log was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// There was none: it was made.
    Created,
    /// A log of the Go library, or one without its manifest's word for what is durable.
    Adopted,
    /// Closed cleanly: nothing had to be read but its last record.
    Clean,
    /// Not closed cleanly: what was in doubt was read, proved and synced.
    Recovered,
}

/// A tail that was no sound record and was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutTail {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the last sound record ends.
    pub offset: u64,
    /// Bytes behind it, in all segments; space that was never written is among them.
    pub bytes: u64,
    /// Why the bytes there are no record.
    pub reason: String,
    /// Copies of what was cut.
    pub kept_in: Vec<PathBuf>,
    /// Seq ids that may have been acknowledged: none of them was durable as far as the log can tell, but
    /// damage to the very last records cannot be told from a torn write.
    pub possibly_acknowledged: RangeInclusive<u64>,
    /// False while there was no room to keep a copy: the tail is still there, and appends are refused.
    pub done: bool,
}

/// What opening found and did; see [`Wal::recovery`](crate::Wal::recovery).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How the log was found.
    pub origin: Origin,
    /// Bytes of records that were read and checked.
    pub bytes_checked: u64,
    /// How long opening took.
    pub took: Duration,
    /// The torn tail, if there was one.
    pub cut: Option<CutTail>,
    /// Whether a cut of the log, begun before a crash, was finished.
    pub finished_cut: bool,
    /// What was adjusted, in words.
    pub notes: Vec<String>,
}
