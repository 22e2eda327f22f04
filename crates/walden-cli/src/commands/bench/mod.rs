//! `walden bench`: what a log can give on the user's own disk, and what to make of it.

mod advice;
mod disk;
mod figures;
mod log;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use tempfile::TempDir;
use walden::ErrorKind;
use walden::storage::{OsStorage, Storage};

use self::figures::{Figures, Until};
use self::log::Work;
use super::filesystem;
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::{signal, size};

/// The most that is written into one file or log: enough for a rate, little enough for a small disk.
const MOST_BYTES: u64 = 256 << 20;
/// Less than this is too little to measure with.
const LEAST_BYTES: u64 = 8 << 20;
/// A log needs segments made ready besides what is appended, and no disk should be filled.
const SHARE_OF_FREE: u64 = 4;

/// How long the parts take, in relation to each other.
const FLOOR: u32 = 1;
const SEQUENTIAL: u32 = 2;
const ALWAYS: u32 = 3;
const OTHER: u32 = 2;
const WHOLE: u32 = 3 * FLOOR + SEQUENTIAL + 2 * ALWAYS + 5 * OTHER;

/// Measure a disk: what a sync costs, what each strategy gives, and which to choose
///
/// Works in a folder of its own within DIR, at most some hundred megabytes large, which is removed at the end. A log
/// that lies in DIR is not touched. The first three rows are the floor: a small write and a sync, one after the other,
/// without Walden. Each thread appends the next entry when the one before has returned; latencies hold the reading of
/// a clock, some 30 ns. Let nothing else use the disk meanwhile.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden bench /var/lib/app                        the disk that the log will lie on\n  \
     walden bench . --seconds 60 --payload 1KiB --threads 16\n  \
     walden bench . --json | jq .log.always.p99_ns\n",
    exit_codes!()
))]
pub(crate) struct Bench {
    /// An existing folder on the disk to be measured
    dir: PathBuf,

    /// How long it may take, about
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// As --seconds 5: a first impression
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,

    /// Bytes of each entry
    #[arg(long, default_value = "128", value_name = "SIZE", value_parser = payload_size)]
    payload: u64,

    /// How many threads append where several do
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=256))]
    threads: u64,
}

const MOST_PAYLOAD: u64 = 1 << 20;

fn payload_size(text: &str) -> Result<u64, String> {
    match size::parse_size(text)? {
        0 => Err("an entry of no bytes measures little".to_owned()),
        bytes if bytes > MOST_PAYLOAD => Err("at most 1MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

impl Bench {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let free = look_at(&self.dir)?;
        let mut run = Run::begin(context, &self, free)?;
        let figures = run.measure()?;
        run.end()?;
        report::show(&context.out, &self.dir, &figures)?;
        Ok(Code::Fine)
    }
}

/// How much may be written into `dir`, which must be a folder.
fn look_at(dir: &Path) -> Result<u64, Failure> {
    match dir.metadata() {
        Ok(data) if data.is_dir() => {}
        Ok(_) => {
            return Err(Failure::new(ErrorKind::InvalidInput, "this is not a folder").path(dir));
        }
        Err(error) => return Err(Failure::io("look into the folder", &error).path(dir)),
    }
    let free = OsStorage::new().free_space(dir).ok().flatten();
    let most = free.map_or(MOST_BYTES, |free| MOST_BYTES.min(free / SHARE_OF_FREE));
    if most >= LEAST_BYTES {
        return Ok(most);
    }
    let needed = size::bytes(LEAST_BYTES * SHARE_OF_FREE);
    let free = size::bytes(free.unwrap_or(0));
    let message = format!("{free} are free, and measuring needs {needed}");
    Err(Failure::new(ErrorKind::OutOfSpace, message).path(dir))
}

/// A run: its folder goes with it, however it ends.
struct Run {
    place: TempDir,
    bar: ProgressBar,
    filesystem: Option<String>,
    work: Work,
    whole: Duration,
    deadline: Instant,
    /// What is still to do, in the parts' units.
    left: u32,
    ended: Arc<AtomicBool>,
}

impl Run {
    fn begin(context: &Context, args: &Bench, most_bytes: u64) -> Result<Self, Failure> {
        let ended = Arc::new(AtomicBool::new(false));
        signal::on_end(&ended);
        let place = tempfile::Builder::new().prefix("walden-bench-").tempdir_in(&args.dir);
        let place = place.map_err(|error| Failure::io("make a folder", &error).path(&args.dir))?;
        let whole = Duration::from_secs(if args.quick { 5 } else { args.seconds });
        Ok(Self {
            bar: context.out.steps("measuring", u64::from(WHOLE)),
            filesystem: filesystem::kind(place.path()),
            work: Work {
                dir: place.path().join("log"),
                payload: vec![7; usize::try_from(args.payload).unwrap_or(usize::MAX)],
                threads: args.threads,
                most_bytes,
            },
            place,
            whole,
            deadline: Instant::now() + whole,
            left: WHOLE,
            ended,
        })
    }

    /// Runs one part for its share of the time that is left: what closing and removing took is made up for, but not
    /// so that a part measures nothing.
    fn part<T>(
        &mut self,
        name: &'static str,
        weight: u32,
        measure: impl FnOnce(&Self, &Until) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.bar.set_message(name);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let share = (left * weight / self.left.max(1)).max(self.whole * weight / WHOLE / 2);
        self.left = self.left.saturating_sub(weight);
        let until = Until { deadline: Instant::now() + share, ended: Arc::clone(&self.ended) };
        let measured = measure(self, &until);
        // What was broken off is no figure, and its error may come of that.
        if self.ended.load(Ordering::Acquire) {
            return Err(Failure::interrupted());
        }
        self.bar.inc(u64::from(weight));
        measured
    }

    fn measure(&mut self) -> Result<Figures, Failure> {
        let file = self.place.path().join("file");
        let entry = self.work.payload.len();
        let floor = |space| {
            let file = file.clone();
            move |_: &Self, until: &Until| disk::write_and_sync(&file, space, entry, until)
        };
        let growing =
            self.part("a sync", FLOOR, floor(disk::Space::Growing))?.ok_or_else(not_measured)?;
        let reserved = self.part("a sync", FLOOR, floor(disk::Space::Reserved))?;
        let written =
            self.part("a sync", FLOOR, floor(disk::Space::Written))?.ok_or_else(not_measured)?;
        let sequential = self.part("writing", SEQUENTIAL, |run, until| {
            disk::sequential(&file, run.work.most_bytes, until)
        })?;
        let always =
            self.part("Always", ALWAYS, |run, until| run.work.alone(log::durable(), until))?;
        let always_threads =
            self.part("Always", ALWAYS, |run, until| run.work.together(log::durable(), until))?;
        let always_tickets =
            self.part("Always", OTHER, |run, until| run.work.tickets(log::durable(), until))?;
        let os_cache =
            self.part("OsCache", OTHER, |run, until| run.work.alone(run.work.os_cache(), until))?;
        let os_cache_threads = self
            .part("OsCache", OTHER, |run, until| run.work.together(run.work.os_cache(), until))?;
        let mapped = self.part("OsCache, mapped", OTHER, |run, until| run.work.mapped(until))?;
        let background = self
            .part("Background", OTHER, |run, until| run.work.alone(run.work.background(), until))?;
        Ok(Figures {
            filesystem: self.filesystem.clone(),
            payload: u64::try_from(entry).unwrap_or(u64::MAX),
            threads: self.work.threads,
            growing,
            reserved,
            written,
            sequential,
            always,
            always_threads,
            always_tickets,
            os_cache,
            os_cache_threads,
            mapped,
            background,
        })
    }

    fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let path = self.place.path().to_owned();
        let removed = self.place.close();
        removed.map_err(|error| Failure::io("remove the folder", &error).path(&path))
    }
}

fn not_measured() -> Failure {
    Failure::new(ErrorKind::Io, "the disk took no write")
}
