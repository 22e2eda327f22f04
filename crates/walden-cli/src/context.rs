//! What every command needs: what was asked for everywhere, where to write, and how to find the log.

use std::path::Path;

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

    /// The prefix of the log in `dir`, which may have to be made.
    ///
    /// # Errors
    /// None so far.
    pub(crate) fn prefix_or_new(&self, _dir: &Path) -> Result<String, Failure> {
        Ok(self.global.prefix.clone().unwrap_or_else(|| NEW_PREFIX.to_owned()))
    }
}
