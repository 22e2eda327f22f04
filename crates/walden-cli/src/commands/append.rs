//! `walden append`: stdin to log.

mod input;

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;
use walden::{BatchFormat, Config, ErrorKind, Ticket, Wal};

use self::input::{CHUNK_BYTES, Chunk, Item, input};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::framing::{BadInput, Framing, MAX_RECORD};
use crate::size;

/// Append stdin to a log, which is made if there is none
///
/// Prints the seq ids of what was appended, such as `1..=42`. Exit code 0 means that all of it is durable,
/// with any --sync: neither a crash nor a power cut loses it. After an error, what was appended before is
/// named and stays.
///
/// The input is read in pieces; memory does not grow with it. A record may have up to 256 MiB.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     echo hello | walden append log\n  \
     journalctl --follow | walden append log         each line durable soon after it came\n  \
     walden append log --batch 1000 < events.txt     fast; each 1,000 lines whole or absent\n  \
     walden append log --framing whole < photo.jpg   one entry\n",
    exit_codes!()
))]
pub(crate) struct Append {
    /// The log's folder
    dir: PathBuf,

    /// What a group of records has survived before the next group is appended
    #[arg(long, value_enum, default_value_t = Sync::Always, value_name = "WHEN")]
    sync: Sync,

    /// What is a record in the input
    #[arg(long, value_enum, default_value_t = Framing::Lines, value_name = "HOW")]
    framing: Framing,

    /// Put N records at a time into one batch: after a crash it is there whole or not at all
    ///
    /// It is appended once it is full, has grown to 256 MiB (each record counts 24 bytes more), or the input ends.
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,

    /// Write a batch as separate records, for the Go library to read: it is not atomic then
    #[arg(long, requires = "batch")]
    separate: bool,

    /// Begin a new segment file after so many bytes, such as 64MiB
    #[arg(long, value_parser = size::parse_segment_size, value_name = "SIZE")]
    segment_size: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// It is durable: records are synced in groups as they come
    Always,
    /// The kernel has it; synced every second and at the end
    OsCache,
    /// It is in memory; written and synced behind our back and at the end
    Background,
}

impl Append {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let prefix = context.prefix_or_new(&self.dir)?;
        let wal = Wal::open(&self.dir, self.config(prefix))?;
        if let Some(cut) = wal.recovery().cut {
            context.out.note(&format!(
                "the log was not closed; a torn tail was cut off {} at byte {}",
                cut.path.display(),
                cut.offset
            ));
        }
        if io::stdin().is_terminal() {
            context.out.note("reading from the terminal: Ctrl-D ends the input");
        }
        let first = wal.next_seq();
        let bar = context.out.progress("appending", None);
        let outcome = self.feed(&wal, &bar);
        bar.finish_and_clear();
        let closed = wal.close();
        // What cannot be told to be durable is not claimed.
        let next = match &closed {
            Ok(()) => wal.next_seq(),
            Err(_) => wal.durable_seq().saturating_add(1).max(first),
        };
        let done = Appended { first, next };
        match verdict(outcome, closed.map_err(Failure::from)) {
            Ok(()) => context.out.result(&done.json(), done.text()).map(|()| Code::Fine),
            Err(failure) => {
                let note = format!("{} before that", done.text_for_people());
                Err(failure.detail("appended", done.json(), note))
            }
        }
    }

    fn config(&self, prefix: String) -> Config {
        let config = match self.sync {
            Sync::Always => Config::durable(),
            Sync::OsCache => Config::os_cache(),
            Sync::Background => Config::background(),
        };
        let config = match self.segment_size {
            Some(bytes) => config.segment_size(bytes),
            None => config,
        };
        let format = if self.separate { BatchFormat::Separate } else { BatchFormat::Packed };
        // A batch is ended before it grows past one record more than `CHUNK_MOST`; its table is small beside that.
        config
            .segment_prefix(prefix)
            .batch_format(format)
            .max_record_size(2 * MAX_RECORD + (MAX_RECORD >> 1))
    }

    /// Appends what the input thread sends, until the input ends.
    fn feed(&self, wal: &Wal, bar: &ProgressBar) -> Result<(), Ended> {
        let batch = self.batch.map_or(1, NonZeroUsize::get);
        let chunks = input(self.framing, batch);
        let mut bytes = 0;
        let mut next = chunks.next();
        loop {
            let chunk = match next {
                Item::Chunk(chunk) => chunk,
                Item::End => return Ok(()),
                Item::Bad(bad) => return Err(Ended::Input(explain(bad))),
                Item::Interrupted => return Err(Ended::Input(Failure::interrupted())),
            };
            let last = self.append(wal, &chunk)?;
            bytes += chunk.bytes.len();
            bar.inc(u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX));
            // What is there already shares a sync, up to a size.
            let more = if bytes < CHUNK_BYTES { chunks.next_if_there() } else { None };
            next = match more {
                Some(item) => item,
                None => {
                    self.settle(wal, last)?;
                    bytes = 0;
                    chunks.next()
                }
            };
        }
    }

    /// Appends a chunk; the ticket of its last record.
    fn append(&self, wal: &Wal, chunk: &Chunk) -> Result<Option<Ticket>, Failure> {
        let mut last = None;
        let records = chunk.records();
        match self.batch {
            None => {
                for record in records {
                    last = Some(wal.submit(record)?);
                }
            }
            Some(size) => {
                for batch in records.chunks(size.get()) {
                    last = Some(wal.submit_batch(batch)?);
                }
            }
        }
        Ok(last)
    }

    /// Waits for what --sync promises, once for all chunks since the last time, while the input thread gathers others.
    fn settle(&self, wal: &Wal, last: Option<Ticket>) -> Result<(), Failure> {
        match (self.sync, last) {
            (Sync::Always, Some(last)) => last.wait().map(drop)?,
            (Sync::OsCache, _) => wal.flush()?,
            _ => {}
        }
        Ok(())
    }
}

fn explain(bad: BadInput) -> Failure {
    match bad {
        BadInput::Io(error) => Failure::io("read stdin", &error),
        BadInput::TooLarge { offset } => Failure::new(
            ErrorKind::TooLarge,
            format!(
                "the record at byte {offset} of the input is larger than {}",
                size::bytes(MAX_RECORD)
            ),
        )
        .offset(offset),
        BadInput::CutOff { offset, wanted, found } => Failure::new(
            ErrorKind::InvalidInput,
            format!(
                "the input ends in the middle of the frame at byte {offset}: \
                 it should have {wanted} bytes with its length, and has {found}"
            ),
        )
        .offset(offset),
    }
}

/// What ended it before the input's end.
enum Ended {
    /// The log.
    Log(Failure),
    /// The input, or Ctrl-C.
    Input(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Log(failure)
    }
}

/// What is to be told first: that entries may not be durable counts more than what ended the input.
fn verdict(outcome: Result<(), Ended>, closed: Result<(), Failure>) -> Result<(), Failure> {
    match (outcome, closed) {
        (Ok(()), closed) => closed,
        (Err(Ended::Log(failure) | Ended::Input(failure)), Ok(())) => Err(failure),
        // The first failure of a log is the cause of those after it.
        (Err(Ended::Log(failure)), Err(close)) => Err(failure.beside("close", &close)),
        (Err(Ended::Input(input)), Err(close)) => Err(close.beside("input", &input)),
    }
}

/// The seq ids that were given.
struct Appended {
    first: u64,
    next: u64,
}

impl Appended {
    fn json(&self) -> serde_json::Value {
        let any = self.next > self.first;
        json!({
            "first": any.then_some(self.first),
            "last": any.then(|| self.next - 1),
            "count": self.next - self.first,
        })
    }

    fn text(&self) -> String {
        if self.next == self.first {
            return "nothing".to_owned();
        }
        format!("{}..={}", self.first, self.next - 1)
    }

    fn text_for_people(&self) -> String {
        format!("appended {}", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    #[test]
    fn a_failed_close_is_told_before_what_ended_the_input() {
        let disk = || Failure::new(ErrorKind::Io, "cannot sync");
        let told = |outcome, closed| verdict(outcome, closed).unwrap_err();
        let stopped = told(Err(Ended::Input(Failure::interrupted())), Ok(()));
        assert_eq!(stopped.code, Code::Interrupted);
        let failed = told(Err(Ended::Input(Failure::interrupted())), Err(disk()));
        assert_eq!(failed.code, Code::Error);
        assert!(format!("{failed:?}").contains("ended by Ctrl-C"), "{failed:?}");
        let full = Failure::new(ErrorKind::OutOfSpace, "full");
        let first = told(Err(Ended::Log(full)), Err(disk()));
        assert!(
            first.to_json()["kind"] == "OutOfSpace" && first.to_json()["close"]["kind"] == "Io"
        );
        assert!(verdict(Ok(()), Ok(())).is_ok());
    }
}
