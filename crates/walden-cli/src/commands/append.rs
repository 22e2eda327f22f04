//! `walden append`: stdin to log.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;
use walden::{BatchFormat, Config, ErrorKind, Ticket, Wal};

use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::framing::{BadInput, Framing, MAX_RECORD, Records};
use crate::signal;
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
    #[arg(long, value_parser = size::parse_size, value_name = "SIZE")]
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
        match outcome.and(closed.map_err(Failure::from)) {
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
    fn feed(&self, wal: &Wal, bar: &ProgressBar) -> Result<(), Failure> {
        let batch = self.batch.map_or(1, NonZeroUsize::get);
        let chunks = input(self.framing, batch);
        let mut bytes = 0;
        let mut next = chunks.recv().ok();
        while let Some(item) = next {
            let chunk = match item {
                Item::Chunk(chunk) => chunk,
                Item::End => return Ok(()),
                Item::Bad(bad) => return Err(explain(bad)),
                Item::Interrupted => return Err(Failure::interrupted()),
            };
            let last = self.append(wal, &chunk)?;
            bytes += chunk.bytes.len();
            bar.inc(u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX));
            // What is there already shares a sync, up to a size.
            next = if bytes < CHUNK_BYTES { chunks.try_recv().ok() } else { None };
            if next.is_none() {
                self.settle(wal, last)?;
                bytes = 0;
                next = chunks.recv().ok();
            }
        }
        Err(Failure::new(ErrorKind::Io, "the thread that reads the input died"))
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

/// Records that are appended together.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
}

impl Chunk {
    /// However small its records are: memory must not grow with the input.
    fn is_full(&self) -> bool {
        self.bytes.len() + self.ends.len() * RECORD_COST >= CHUNK_MOST
    }

    fn records(&self) -> Vec<&[u8]> {
        let mut begin = 0;
        let mut records = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            records.push(self.bytes.get(begin..*end).unwrap_or_default());
            begin = *end;
        }
        records
    }
}

/// What the input thread tells.
#[derive(Debug)]
enum Item {
    Chunk(Chunk),
    End,
    Bad(BadInput),
    Interrupted,
}

/// Enough for a sync to be worth its time.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_RECORDS: usize = 4096;
/// A chunk ends here even if its last batch is not full.
const CHUNK_MOST: usize = 256 << 20;
/// What a record takes besides its bytes: where it ends, and a slice of it.
const RECORD_COST: usize = 24;

/// Chunks that wait while others are synced. One of a pipe is small: the pipe holds no more.
const CHUNKS_WAITING: usize = 4;

/// Reads the input on a thread of its own, so that a sync and the reading of what comes next overlap, and
/// Ctrl-C is noticed while the input is silent.
fn input(framing: Framing, batch: usize) -> Receiver<Item> {
    let (sender, receiver) = mpsc::sync_channel(CHUNKS_WAITING);
    let interrupt = sender.clone();
    signal::on_interrupt(move || {
        // Nobody listens any more: then it is over already.
        drop(interrupt.send(Item::Interrupted));
    });
    thread::spawn(move || {
        let mut records = Records::new(io::stdin(), framing);
        let last = match read(&mut records, batch, &sender) {
            Ok(()) => Item::End,
            Err(bad) => Item::Bad(bad),
        };
        drop(sender.send(last));
    });
    receiver
}

fn read(
    records: &mut Records<io::Stdin>,
    batch: usize,
    sender: &SyncSender<Item>,
) -> Result<(), BadInput> {
    loop {
        let mut chunk = Chunk::default();
        let outcome = gather(records, batch, &mut chunk);
        // What came before a bad record is appended all the same.
        if !chunk.ends.is_empty() && sender.send(Item::Chunk(chunk)).is_err() {
            return Ok(());
        }
        if !outcome? {
            return Ok(());
        }
    }
}

/// Fills a chunk with whole batches: until it is worth a sync or more would have to be waited for. False
/// at the input's end.
fn gather(
    records: &mut Records<io::Stdin>,
    batch: usize,
    chunk: &mut Chunk,
) -> Result<bool, BadInput> {
    loop {
        if !records.next_into(&mut chunk.bytes)? {
            return Ok(false);
        }
        chunk.ends.push(chunk.bytes.len());
        let worth = chunk.ends.len() >= CHUNK_RECORDS || chunk.bytes.len() >= CHUNK_BYTES;
        let whole = chunk.ends.len().is_multiple_of(batch);
        if (whole && (worth || records.is_dry())) || chunk.is_full() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_full_of_bytes_or_of_records() {
        let records = |count| Chunk { bytes: Vec::new(), ends: vec![0; count] };
        assert!(!records(CHUNK_MOST / RECORD_COST - 1).is_full());
        assert!(records(CHUNK_MOST / RECORD_COST + 1).is_full());
        let bytes = |count| Chunk { bytes: vec![0; count], ends: vec![count] };
        assert!(!bytes(CHUNK_MOST - 2 * RECORD_COST).is_full());
        assert!(bytes(CHUNK_MOST).is_full());
    }
}
