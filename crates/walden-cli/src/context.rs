//! What every command needs: what was asked for everywhere, where to write, and how to find the log.

use std::path::Path;

use walden::{ErrorKind, LogReader};

use crate::args::Global;
use crate::exit::Failure;
use crate::output::Output;

/// The prefix of a log that is made.
const NEW_PREFIX: &str = "segment";

#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    pub(crate) out: Output,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let out = Output::new(global.json);
        Self { global, out }
    }

    /// The prefix of the log in `dir`: as given, else the only one there.
    ///
    /// # Errors
    /// `NotFound` where there is no log; a complaint about the arguments where there are several.
    pub(crate) fn prefix(&self, dir: &Path) -> Result<String, Failure> {
        match self.known_prefix(dir)? {
            Some(prefix) => Ok(prefix),
            None => Err(Failure::new(ErrorKind::NotFound, "there is no log in this folder")
                .path(dir)
                .advice("`walden append` makes one")),
        }
    }

    /// As [`prefix`](Self::prefix), for a command that makes the log if there is none.
    ///
    /// # Errors
    /// As [`prefix`](Self::prefix), but for a missing log.
    pub(crate) fn prefix_or_new(&self, dir: &Path) -> Result<String, Failure> {
        if !dir.try_exists().unwrap_or(true) {
            return Ok(self.global.prefix.clone().unwrap_or_else(|| NEW_PREFIX.to_owned()));
        }
        Ok(self.known_prefix(dir)?.unwrap_or_else(|| NEW_PREFIX.to_owned()))
    }

    /// As [`prefix`](Self::prefix), for a log of which so much may be missing that no file names it.
    ///
    /// # Errors
    /// As [`prefix`](Self::prefix), but for a missing log.
    pub(crate) fn prefix_at_rest(&self, dir: &Path) -> Result<String, Failure> {
        Ok(self.known_prefix(dir)?.unwrap_or_else(|| NEW_PREFIX.to_owned()))
    }

    fn known_prefix(&self, dir: &Path) -> Result<Option<String>, Failure> {
        if let Some(prefix) = &self.global.prefix {
            return Ok(Some(prefix.clone()));
        }
        let mut found = walden::logs_in(dir)?;
        if found.len() > 1 {
            return Err(Failure::usage(format!(
                "{} holds several logs: say which one by --prefix: {}",
                dir.display(),
                found.join(", ")
            )));
        }
        Ok(found.pop())
    }

    /// Opens the log in `dir` for reading: no lock, nothing written.
    ///
    /// # Errors
    /// As [`prefix`](Self::prefix), and what opening finds.
    pub(crate) fn reader(&self, dir: &Path) -> Result<LogReader, Failure> {
        let prefix = self.prefix(dir)?;
        Ok(LogReader::open_prefix(dir, &prefix)?)
    }
}
