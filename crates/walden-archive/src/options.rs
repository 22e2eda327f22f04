//! How the store is used, and what is done with the log.

use std::time::Duration;

use crate::error::{Error, Result};

/// How a store is used: tries, pauses, bandwidth.
///
/// The cloud stores try again by themselves, too, for up to three minutes a request; these tries come on top.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) tries: u32,
    pub(crate) pause: Duration,
    pub(crate) longest_pause: Duration,
    pub(crate) bytes_per_second: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            tries: 5,
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            bytes_per_second: None,
        }
    }
}

impl StoreOptions {
    /// Tries of each request before it fails; at least 1. 5 by default.
    #[must_use]
    pub const fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Before the second try, doubled before each further one up to `longest`; some of it is left to chance, so that
    /// many archivers don't come back at once. 100 ms and 10 s by default.
    #[must_use]
    pub const fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.pause = first;
        self.longest_pause = longest;
        self
    }

    /// At most so many bytes a second, on average, in both directions together; an object is sent at once, and what
    /// comes next waits. No limit by default.
    #[must_use]
    pub const fn bytes_per_second(mut self, bytes: Option<u64>) -> Self {
        self.bytes_per_second = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.tries == 0 {
            return Err(Error::invalid("at least one try of each request is needed"));
        }
        if self.bytes_per_second == Some(0) {
            return Err(Error::invalid("a bandwidth of 0 bytes a second lets nothing through"));
        }
        Ok(())
    }
}

/// What an archiver ships, and what it does where log and archive part.
#[derive(Debug, Clone)]
pub struct ArchiverOptions {
    pub(crate) tail: bool,
    pub(crate) chunk_bytes: u64,
    pub(crate) parallel: usize,
    pub(crate) follow_cuts: bool,
    pub(crate) keep: Keep,
}

impl Default for ArchiverOptions {
    fn default() -> Self {
        Self {
            tail: false,
            chunk_bytes: 8 << 20,
            parallel: 4,
            follow_cuts: false,
            keep: Keep::default(),
        }
    }
}

impl ArchiverOptions {
    /// Ships what is durable in the segment that is being written, too, and not only once it is complete.
    #[must_use]
    pub const fn tail(mut self, tail: bool) -> Self {
        self.tail = tail;
        self
    }

    /// Bytes of records in an object, unless a single record is larger. 8 MiB by default. So much memory is used
    /// for each object on its way.
    #[must_use]
    pub const fn chunk_bytes(mut self, bytes: u64) -> Self {
        self.chunk_bytes = bytes;
        self
    }

    /// Objects on their way at once. 4 by default.
    #[must_use]
    pub const fn parallel(mut self, objects: usize) -> Self {
        self.parallel = objects;
        self
    }

    /// Where the log was cut at its end (a follower of Raft does that) and other entries came in their place, the
    /// archive is cut, too. Otherwise that is [`Diverged`](crate::ErrorKind::Diverged), and nothing is changed.
    #[must_use]
    pub const fn follow_cuts(mut self, follow: bool) -> Self {
        self.follow_cuts = follow;
        self
    }

    /// Removes what is older from the archive, after what is new was shipped. Everything is kept by default.
    #[must_use]
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=1 << 30).contains(&self.chunk_bytes) {
            return Err(Error::invalid("an object holds from 1 byte to 1 GiB of records"));
        }
        if !(1..=64).contains(&self.parallel) {
            return Err(Error::invalid("from 1 to 64 objects can be on their way at once"));
        }
        Ok(())
    }
}

/// What an archive keeps. Whole objects go, oldest first, never the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    pub(crate) age: Option<Duration>,
    pub(crate) bytes: Option<u64>,
}

impl Keep {
    /// Objects whose last entry was appended longer ago go.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// The oldest go as long as there are more bytes than that.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(crate) const fn is_all(&self) -> bool {
        self.age.is_none() && self.bytes.is_none()
    }
}
