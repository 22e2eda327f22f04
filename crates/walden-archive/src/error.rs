//! What went wrong with an archive, where in the bucket, and what to do.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of the operations of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of thing went wrong, for a program to decide by. Text is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store refused or could not be reached, after all tries; or its answer to a write was lost.
    Store,
    /// The log beside it failed; [`Error::log`] has its error.
    Log,
    /// There is no archive here, or no such bucket.
    NotFound,
    /// What is in the bucket is not what was written there.
    Corrupt,
    /// Written by a newer version; or the store cannot do what is needed.
    Unsupported,
    /// Another archiver has taken over; this one must not go on.
    Fenced,
    /// Log and archive hold different entries from [`Error::seq`] on.
    Diverged,
    /// Entries between the end of one and the beginning of the other are missing, or were given up in the log by
    /// `walden repair --accept-loss`; [`Error::seq`] is the first.
    Gap,
    /// A position outside of what is archived.
    OutOfRange,
    /// A setting or an argument that makes no sense.
    InvalidInput,
}

/// What went wrong, where, and what to do about it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    object: Option<String>,
    seq: Option<u64>,
    advice: Option<String>,
    log: Option<walden::Error>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            object: None,
            seq: None,
            advice: None,
            log: None,
            source: None,
        }))
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn object(self, name: impl Into<String>) -> Self {
        self.with(|inner| inner.object = Some(name.into()))
    }

    pub(crate) fn seq_at(self, seq: u64) -> Self {
        self.with(|inner| inner.seq = Some(seq))
    }

    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        self.with(|inner| inner.advice = Some(advice.into()))
    }

    pub(crate) fn caused_by(self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.source = Some(Arc::new(cause)))
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The object in the bucket that it is about.
    #[must_use]
    pub fn object_name(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The seq id that it is about.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.0.seq.or_else(|| self.0.log.as_ref().and_then(walden::Error::seq))
    }

    /// What to do about it.
    #[must_use]
    pub fn what_to_do(&self) -> Option<&str> {
        let of_log = || self.0.log.as_ref().and_then(walden::Error::what_to_do);
        self.0.advice.as_deref().or_else(of_log)
    }

    /// The log's own error, where it is one.
    #[must_use]
    pub fn log(&self) -> Option<&walden::Error> {
        self.0.log.as_ref()
    }

    /// Whether trying again is of no use: another archiver took over, say.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Fenced
                | ErrorKind::Diverged
                | ErrorKind::Gap
                | ErrorKind::Corrupt
                | ErrorKind::Unsupported
        )
    }

    /// The text without the advice, which [`what_to_do`](Self::what_to_do) has.
    #[must_use]
    pub fn message(&self) -> String {
        let inner = &*self.0;
        let mut text = String::new();
        if let Some(object) = &inner.object {
            text.push_str(&format!("{object}: "));
        }
        text.push_str(&inner.message);
        if let Some(seq) = inner.seq {
            text.push_str(&format!(" (seq id {seq})"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match &self.0.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
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

/// What to do where entries of the log were given up.
const LOST: &str = "the log has given these entries up, so an archive cannot go on over them: cut the log in \
                    front, up to the segment behind them, and archive to another prefix";

impl From<walden::Error> for Error {
    fn from(error: walden::Error) -> Self {
        let kind = match error.kind() {
            walden::ErrorKind::Diverged => ErrorKind::Diverged,
            // What was given up does not come back: nobody can ship it, or read on over it.
            walden::ErrorKind::Gap | walden::ErrorKind::Lost => ErrorKind::Gap,
            _ => ErrorKind::Log,
        };
        let lost = error.kind() == walden::ErrorKind::Lost;
        let of_log = Self::new(kind, error.to_string()).with(|inner| inner.log = Some(error));
        if lost { of_log.advice(LOST) } else { of_log }
    }
}
