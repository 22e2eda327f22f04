//! The commands, one file each.

mod append;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Code, Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Append(append::Append),
}

impl Command {
    /// # Errors
    /// What went wrong; the failure knows the code to end with.
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        match self {
            Self::Append(command) => command.run(context),
        }
    }
}
