//! What can go wrong, and how openraft is told.

use std::fmt;
use std::io;

use openraft::{AnyError, ErrorSubject, ErrorVerb, NodeId, StorageError, StorageIOError};

/// The result of the operations of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// What the log said: what, where, and what to do.
    Log(walden::Error),
    /// Stored bytes that cannot be read back, or a value that cannot be stored.
    Format(String),
    /// What is there is not what a Raft node may go on with: the folder is not as it was left.
    Lost(String),
    /// Something was asked for that would leave a hole, or go back.
    Order(String),
    /// The store's thread has ended.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Format(what) | Self::Order(what) => f.write_str(what),
            Self::Lost(what) => write!(
                f,
                "{what}; a node that has lost what it acknowledged must not vote: \
                 remove it from the cluster, and add it again with an empty folder"
            ),
            Self::Stopped => f.write_str("the thread of this Raft log has ended"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(error) => Some(error),
            _ => None,
        }
    }
}

impl From<walden::Error> for Error {
    fn from(error: walden::Error) -> Self {
        Self::Log(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Log(error) => error.into(),
            Error::Format(_) | Error::Lost(_) => Self::new(io::ErrorKind::InvalidData, error),
            Error::Order(_) => Self::new(io::ErrorKind::InvalidInput, error),
            Error::Stopped => Self::other(error),
        }
    }
}

impl Error {
    /// As openraft wants it. The log's own words are in it.
    pub(crate) fn of<N: NodeId>(
        self,
        subject: ErrorSubject<N>,
        verb: ErrorVerb,
    ) -> StorageError<N> {
        StorageIOError::new(subject, verb, AnyError::new(&self)).into()
    }
}
