//! `walden get`: one entry.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use walden::ErrorKind;

use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Format;

/// Print one entry, its bytes as they are
///
/// On a terminal it is shown as a line, with control characters escaped, unless a format is given.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden get log 42\n  \
     walden get log 7 > photo.jpg\n  \
     walden get log 42 --format hex\n",
    exit_codes!()
))]
pub(crate) struct Get {
    /// The log's folder
    dir: PathBuf,

    /// The entry's seq id
    seq: u64,

    /// How it is printed [default: raw, with --json jsonl]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Get {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let log = context.reader(&self.dir)?;
        let Some(entry) = log.get(self.seq)? else {
            return Err(Failure::new(
                ErrorKind::BeyondEnd,
                format!("there is no such entry: the log's next seq id is {}", log.next_seq()),
            )
            .path(&self.dir)
            .seq(self.seq));
        };
        let otherwise = if context.out.terminal { Format::Lines } else { Format::Raw };
        let format = Format::choose(self.format, otherwise, &context.out);
        let mut stdout = context.out.lock();
        format
            .write(&mut *stdout, entry.seq, &entry.payload, context.out.terminal)
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::stdout(&error))?;
        Ok(Code::Fine)
    }
}
