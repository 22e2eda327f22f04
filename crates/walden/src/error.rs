//! The one error type: opaque outside, precise inside.
//!
//! It says what went wrong, where (file, offset, seq id) and what to do. Cloning it is cheap, since a
//! failed sync gives the same cause to every waiter.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of the operations of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of thing went wrong, for a program to decide by. Text is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused something; [`Error::io_kind`] has its kind.
    Io,
    /// No room on the disk. Nothing happened to the log; free some and try again.
    OutOfSpace,
    /// A sync or a write failed before, and the log takes no more changes until it is opened again.
    Poisoned,
    /// The log was closed.
    Closed,
    /// Another process, or another handle in this one, has the log open for writing; or a cursor has an owner.
    Locked,
    /// Bytes that were durable are not what was written: the log is damaged.
    Corrupt,
    /// A torn tail was found and `RecoveryMode::Strict` says not to cut it.
    TornTail,
    /// Written by a newer version, or with a feature that is not compiled in; or what a copy or a salvage left that was ended.
    Unsupported,
    /// A record is compressed with a dictionary whose file, which [`Error::file`] names, is not there.
    MissingDictionary,
    /// A position above the next seq id; a cursor's, above what is durable.
    BeyondEnd,
    /// A position below the first seq id: truncated or expired by retention.
    Removed,
    /// A cut outside the log.
    OutOfRange,
    /// The entries at this position were cut by `truncate_back` or `reset`; [`Error::seq`] says from where.
    Truncated,
    /// Retention went past a cursor that held back more than its cap.
    Expired,
    /// The entries at this position were given up by `walden repair --accept-loss`.
    Lost,
    /// A record, batch or metadata larger than its limit; nothing was written.
    TooLarge,
    /// Too many bytes in flight (`try_submit`).
    Busy,
    /// A setting or an argument that makes no sense.
    InvalidInput,
    /// There is no log here.
    NotFound,
    /// Frames that begin behind the next seq id, which [`Error::seq`] has.
    Gap,
    /// Frames of another history than the log's; [`Error::seq`] says from where on.
    Diverged,
}

/// What went wrong, where, and what to do about it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    seq: Option<u64>,
    last_seq: Option<u64>,
    advice: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            path: None,
            offset: None,
            seq: None,
            last_seq: None,
            advice: None,
            source: None,
        }))
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the log is closed")
    }

    /// An error of the operating system, with what was being done and to which file.
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        if let Some(own) = source.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return own.clone();
        }
        let kind = if is_full(&source) { ErrorKind::OutOfSpace } else { ErrorKind::Io };
        let error = Self::new(kind, format!("cannot {doing}: {source}")).path(path);
        let error = if kind == ErrorKind::OutOfSpace {
            error.advice("free some space (truncate_front and retention work on a full disk)")
        } else {
            error
        };
        error.with(|inner| inner.source = Some(Arc::new(source)))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn path(self, path: &Path) -> Self {
        self.with(|inner| inner.path = Some(path.to_owned()))
    }

    pub(crate) fn offset_at(self, offset: u64) -> Self {
        self.with(|inner| inner.offset = Some(offset))
    }

    pub(crate) fn seq_at(self, seq: u64) -> Self {
        self.with(|inner| inner.seq = Some(seq))
    }

    /// The inclusive range of seq ids that the error is about.
    pub(crate) fn seqs(self, first: u64, last: u64) -> Self {
        self.with(|inner| {
            inner.seq = Some(first);
            inner.last_seq = Some(last);
        })
    }

    /// Without the seq ids that it is about, where they are not those of who gets it.
    pub(crate) fn without_seqs(self) -> Self {
        self.with(|inner| {
            inner.seq = None;
            inner.last_seq = None;
        })
    }

    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        self.with(|inner| inner.advice = Some(advice.into()))
    }

    /// `self` as the consequence of `cause`.
    pub(crate) fn caused_by(self, cause: &Self) -> Self {
        self.with(|inner| inner.source = Some(Arc::new(cause.clone())))
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or folder it is about.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte in that file.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The seq id it is about: the first one, where it is about several.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.0.seq
    }

    /// The last seq id it is about, where it is about several.
    #[must_use]
    pub fn last_seq(&self) -> Option<u64> {
        self.0.last_seq
    }

    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn what_to_do(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// The kind of the operating system's error behind it, where there is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let mut source: Option<&(dyn StdError + 'static)> = StdError::source(self);
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return Some(io.kind());
            }
            source = error.source();
        }
        None
    }

    /// The log is damaged: durable bytes are not what was written.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        self.0.kind == ErrorKind::Corrupt
    }

    /// A sync or a write failed, and the log takes no more changes until it is opened again.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.0.kind == ErrorKind::Poisoned
    }

    /// The disk is full; nothing happened.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.0.kind == ErrorKind::OutOfSpace
    }

    /// The log was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == ErrorKind::Closed
    }

    /// Another writer holds the log.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.kind == ErrorKind::Locked
    }

    /// The entries were cut by `truncate_back` or `reset`.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.0.kind == ErrorKind::Truncated
    }

    /// The entries are gone by `truncate_front` or retention.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.0.kind == ErrorKind::Removed
    }
}

/// A path as one word of a shell command that the reader may copy.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    shell_quoted(text)
}

/// `text` as one word of a shell, which it may not begin.
pub(crate) fn shell_quoted(text: String) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The disk, or a quota on it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(path) = &inner.path {
            write!(f, "{}", path.display())?;
            if let Some(offset) = inner.offset {
                write!(f, " at byte {offset}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", inner.message)?;
        match (inner.seq, inner.last_seq) {
            (Some(first), Some(last)) if first != last => write!(f, " (seq ids {first}..={last})")?,
            (Some(seq), _) => write!(f, " (seq id {seq})")?,
            (None, _) => {}
        }
        if let Some(advice) = &inner.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::OutOfSpace => io::ErrorKind::StorageFull,
            ErrorKind::Corrupt | ErrorKind::TornTail => io::ErrorKind::InvalidData,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::InvalidInput
            | ErrorKind::TooLarge
            | ErrorKind::OutOfRange
            | ErrorKind::Diverged => io::ErrorKind::InvalidInput,
            ErrorKind::NotFound
            | ErrorKind::MissingDictionary
            | ErrorKind::Removed
            | ErrorKind::Expired
            | ErrorKind::Truncated
            | ErrorKind::Lost => io::ErrorKind::NotFound,
            ErrorKind::BeyondEnd | ErrorKind::Gap => io::ErrorKind::UnexpectedEof,
            ErrorKind::Locked | ErrorKind::Busy => io::ErrorKind::WouldBlock,
            ErrorKind::Io => error.io_kind().unwrap_or(io::ErrorKind::Other),
            ErrorKind::Poisoned | ErrorKind::Closed => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_place_and_advice() {
        let error = Error::corrupt("checksum does not match")
            .path(Path::new("log/segment-0003.wal"))
            .offset_at(4096)
            .seqs(17, 19)
            .advice("run `walden verify log`");
        assert_eq!(
            error.to_string(),
            "log/segment-0003.wal at byte 4096: checksum does not match (seq ids 17..=19); \
             run `walden verify log`"
        );
        assert!(error.is_corruption());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_error_of_ours_survives_the_way_through_io() {
        let poisoned = Error::new(ErrorKind::Poisoned, "fsync failed");
        let back = Error::io("write", Path::new("x"), io::Error::from(poisoned));
        assert!(back.is_poisoned());
    }

    #[test]
    fn a_full_disk_has_its_own_kind() {
        let error = Error::io("write", Path::new("x"), io::ErrorKind::StorageFull.into());
        assert!(error.is_out_of_space());
        assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull));
    }
}
