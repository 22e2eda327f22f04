//! What a reader sees: an immutable list of live segments, swapped whole, and how to learn of changes.

use std::fmt;

use crate::error::{Error, Result};
use crate::manifest::Epoch;
use crate::segment::Segment;
use crate::sync::Arc;
use crate::watermark::{Level, Watermark};

/// The live segments at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) log_id: u128,
    /// In order of ordinal. The last is the active one. Never empty.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The first entry that there is; equal to the end where there is none.
    pub(crate) first_seq: u64,
    /// Which stretch of history each entry belongs to, in order; empty for a Go log.
    pub(crate) epochs: Vec<Epoch>,
    /// Accepted losses: inclusive ranges of seq ids, in order.
    pub(crate) losses: Vec<(u64, u64)>,
}

/// A log as readers know it: the live one of this process, or one that is only read.
///
/// The order of a sound read is: take `era` and `snapshot`; read; then ask `cut_since(era)`, and hand
/// out only what lies before an answer. A short or unsound read is damage only if nothing was cut and
/// the segment still is in the newest snapshot (else it is `Truncated` or `Removed`).
pub(crate) trait View: Send + Sync + fmt::Debug {
    /// The newest list.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Brings what is seen up to date: the live log hands its buffers to the kernel, a read-only one
    /// reads the manifest again and looks for new records. Called where a reader comes to an end, and
    /// (by a read-only log's readers) before anything is handed out.
    ///
    /// # Errors
    /// A read-only log: what reading gives.
    fn refresh(&self) -> Result<()>;

    /// As `refresh`; where the file of one of these segments is another one than was opened, or may be, with nothing
    /// taken for granted of any.
    ///
    /// # Errors
    /// As `refresh`.
    fn look_anew(&self, _doubted: &[Arc<Segment>]) -> Result<()> {
        self.refresh()
    }

    /// Whether `refresh` must come before each handing out: another process may cut the log.
    fn is_foreign(&self) -> bool;

    /// The seq id after the last one that has reached `level`.
    fn end(&self, level: Level) -> u64;

    /// Asked where reading ends before `seq`: whether that entry has come since. False: it was never appended.
    ///
    /// # Errors
    /// It was appended, and this keeps it from being read: its bytes could not be written.
    fn has_come(&self, _seq: u64) -> Result<bool> {
        Ok(false)
    }

    /// The first seq id that there is.
    fn first_seq(&self) -> u64 {
        self.snapshot().first_seq
    }

    /// Counts the cuts seen.
    fn era(&self) -> u64;

    /// Whether nothing was cut since `era`, and `seq` not removed: asked with every entry.
    fn still(&self, era: u64, seq: u64) -> bool {
        self.era() == era && self.first_seq() <= seq
    }

    /// The first seq id that was cut since `era`.
    fn cut_since(&self, era: u64) -> Option<u64>;

    /// Where to wait for news; `None`: there are none to be had, ask again from time to time.
    fn watermark(&self) -> Option<&Watermark>;

    /// Told of what a reader is about to give its user.
    fn met(&self, _error: &Error) {}

    /// The most that a compressed record may hold: memory is taken for it.
    fn most_content(&self) -> u64 {
        crate::record::MOST_CONTENT
    }
}
