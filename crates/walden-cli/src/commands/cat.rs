//! `walden cat`: entries to stdout.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use walden::LogReader;

use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Format;

/// Print the entries of a log
///
/// Reads beside a writer without disturbing it, and writes nothing: a read-only folder will do. Where the
/// log is damaged, the entries before the damage are printed, then the error.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden cat log\n  \
     walden cat log --from 10 --to 20 --format hex\n  \
     walden cat log --reverse | head -5              the last five, newest first\n  \
     walden cat log --format raw > out               payloads back to back, nothing added\n",
    exit_codes!()
))]
pub(crate) struct Cat {
    /// The log's folder
    dir: PathBuf,

    /// The first seq id to print [default: the log's first]
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,

    /// The last seq id to print [default: the log's last]
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,

    /// Newest first
    #[arg(long)]
    reverse: bool,

    /// How entries are printed [default: lines, with --json jsonl]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Cat {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(Failure::usage(format!("--from {from} lies behind --to {to}")));
        }
        let log = context.reader(&self.dir)?;
        if let Some(to) = self.to.filter(|to| *to < log.first_seq()) {
            // None of it is there any more: that is not nothing to print.
            log.reader_at(to)?;
        }
        let format = Format::choose(self.format, Format::Lines, &context.out);
        if self.reverse {
            self.backward(context, &log, format)?;
        } else {
            self.forward(context, &log, format)?;
        }
        Ok(Code::Fine)
    }

    fn forward(&self, context: &Context, log: &LogReader, format: Format) -> Result<(), Failure> {
        // The end is fixed now: a busy writer would have this go on for ever.
        let end = log.next_seq().min(self.to.map_or(u64::MAX, |to| to.saturating_add(1)));
        let mut reader = match self.from {
            Some(from) => log.reader_at(from)?,
            None => log.reader(),
        };
        let mut stdout = context.out.lock();
        while reader.position() < end {
            let Some(entry) = reader.read_next()? else { break };
            format
                .write(&mut *stdout, entry.seq, entry.payload, context.out.terminal)
                .map_err(|error| Failure::stdout(&error))?;
        }
        stdout.flush().map_err(|error| Failure::stdout(&error))
    }

    fn backward(&self, context: &Context, log: &LogReader, format: Format) -> Result<(), Failure> {
        if let Some(from) = self.from {
            // Wrong where it is wrong in the other direction.
            log.reader_at(from)?;
        }
        let first = self.from.unwrap_or(0);
        let end = log.next_seq().min(self.to.map_or(u64::MAX, |to| to.saturating_add(1)));
        let mut reader = log.reader_at(end)?;
        let mut stdout = context.out.lock();
        while reader.position() > first {
            let Some(entry) = reader.read_prev()? else { break };
            format
                .write(&mut *stdout, entry.seq, entry.payload, context.out.terminal)
                .map_err(|error| Failure::stdout(&error))?;
        }
        stdout.flush().map_err(|error| Failure::stdout(&error))
    }
}
