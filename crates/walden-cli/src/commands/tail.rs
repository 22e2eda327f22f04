//! `walden tail`: the last entries, and those to come.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use walden::{Event, Follower, LogReader};

use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Format;
use crate::signal;

/// How soon Ctrl-C is noticed.
const LOOK: Duration = Duration::from_millis(100);

/// Print the last entries of a log, and with --follow those to come
///
/// Reads beside a writer without disturbing it, and writes nothing. With --follow it goes on until Ctrl-C
/// (exit code 130) or until the reader of its output goes; a cut of what was printed is told on stderr
/// (with --json as {"event":"truncated","at":SEQ}), and it goes on with what is the log then.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden tail log\n  \
     walden tail log -n 100 --format jsonl\n  \
     walden tail log -n 0 --follow          only what comes from now on\n",
    exit_codes!()
))]
pub(crate) struct Tail {
    /// The log's folder
    dir: PathBuf,

    /// How many of the entries that are there
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: u64,

    /// Wait for more
    #[arg(short, long)]
    follow: bool,

    /// How entries are printed [default: lines, with --json jsonl]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Tail {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let log = context.reader(&self.dir)?;
        let format = Format::choose(self.format, Format::Lines, &context.out);
        let from = log.next_seq().saturating_sub(self.lines).max(log.first_seq());
        if self.follow {
            return follow(context, log.follow(from)?, format);
        }
        print(context, &log, from, format)?;
        Ok(Code::Fine)
    }
}

fn print(context: &Context, log: &LogReader, from: u64, format: Format) -> Result<(), Failure> {
    let end = log.next_seq();
    let mut reader = log.reader_at(from)?;
    let mut stdout = context.out.lock();
    while reader.position() < end {
        let Some(entry) = reader.read_next()? else { break };
        format
            .write(&mut *stdout, entry.seq, entry.payload, context.out.terminal)
            .map_err(|error| Failure::stdout(&error))?;
    }
    stdout.flush().map_err(|error| Failure::stdout(&error))
}

fn follow(context: &Context, mut follower: Follower, format: Format) -> Result<Code, Failure> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    signal::on_interrupt(move || flag.store(true, Ordering::Release));
    while !ended.load(Ordering::Acquire) {
        let event = match follower.try_next()? {
            Some(event) => Some(event),
            None => {
                // Nothing more at once: what was printed is to be seen now.
                context.out.finish()?;
                reader_is_there()?;
                follower.next_timeout(LOOK)?
            }
        };
        match event {
            Some(Event::Entry(entry)) => format
                .write(&mut *context.out.lock(), entry.seq, &entry.payload, context.out.terminal)
                .map_err(|error| Failure::stdout(&error))?,
            Some(Event::Truncated { at }) => told(context, at)?,
            _ => {}
        }
    }
    context.out.finish()?;
    Ok(Code::Interrupted)
}

/// On a silent log nothing is written that would tell that nobody reads it any more.
fn reader_is_there() -> Result<(), Failure> {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    // What cannot be polled is told by the next write.
    let told = poll(&mut polled, Some(&Timespec::default())).is_ok();
    let gone = PollFlags::ERR | PollFlags::HUP;
    if told && polled.iter().any(|fd| fd.revents().intersects(gone)) {
        return Err(Failure::stdout(&io::ErrorKind::BrokenPipe.into()));
    }
    Ok(())
}

/// Tells of a cut, after what was printed before it.
fn told(context: &Context, at: u64) -> Result<(), Failure> {
    context.out.finish()?;
    if context.out.json {
        context.out.stderr(&json!({"event": "truncated", "at": at}).to_string());
    } else {
        context.out.note(&format!("the entries from {at} on were cut from the log"));
    }
    Ok(())
}
