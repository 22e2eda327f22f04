//! `walden demo`: what the log is for, on this machine, in under 30 seconds.

mod after;
mod proof;
mod source;
pub(super) mod writer;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;
use walden::{ErrorKind, Origin, Recovery, Wal};

use self::proof::{Acknowledged, Proof};
use self::source::Corpus;
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::{signal, size};

/// A writer is killed so long after its first acknowledgement.
const KILLED_AFTER_MS: std::ops::Range<u64> = 50..700;
/// How long to wait for a first acknowledgement.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the log survive crashes, on this machine's own text
///
/// A process appends lines of this machine's text files from several threads, each append durable before
/// it returns, and tells of each one after it returned. It is killed at a random moment (SIGKILL). Then the
/// log is opened, and every entry that was told of must be there: once, and intact. This goes on for some
/// rounds on the same log; after that entries are sought, followed and cut. All in a temporary folder that
/// is removed, unless one is given.
///
/// Exit code 1 means that something was lost. A kill shows what a crash of a process leaves; what a power
/// cut leaves is tested on a simulated disk, with the library.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden demo\n  \
     walden demo my-log                    on the disk that matters; the log stays there\n  \
     walden demo --files access.log --seed 7\n",
    exit_codes!()
))]
pub(crate) struct Demo {
    /// A new or empty folder for the log, which stays [default: a temporary one]
    dir: Option<PathBuf>,

    /// Append the lines of these files
    #[arg(long, value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,

    /// How often to kill the writer
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,

    /// How many threads append
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,

    /// Choose the moments of the kills again as a run before that told its seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// A run of the demonstration.
struct Run<'a> {
    context: &'a Context,
    /// Holds what the writers read, and the log unless a folder was given.
    scratch: TempDir,
    dir: PathBuf,
    corpus: Corpus,
    threads: u64,
    random: Random,
    acknowledged: Acknowledged,
    ended: Arc<AtomicBool>,
}

impl Demo {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let begun = Instant::now();
        let seed = self.seed.or_else(|| getrandom::u64().ok()).unwrap_or(1);
        let mut run = self.prepare(context, seed)?;
        run.introduce(seed)?;
        let mut rounds = Vec::new();
        let mut lost = Vec::new();
        for round in 1..=self.rounds {
            let (told, proof) = run.round(round)?;
            rounds.push(told);
            lost.extend(proof.wrong);
        }
        let more = if lost.is_empty() { run.after()? } else { Value::Null };
        run.conclude(seed, &rounds, more, &lost, begun.elapsed())
    }

    fn prepare<'a>(&self, context: &'a Context, seed: u64) -> Result<Run<'a>, Failure> {
        let scratch = tempfile::Builder::new().prefix("walden-demo-").tempdir();
        let scratch = scratch.map_err(|error| Failure::io("make a temporary folder", &error))?;
        let dir = match &self.dir {
            Some(dir) => free(dir)?,
            None => scratch.path().join("log"),
        };
        let corpus = Corpus::gather(&self.files)?;
        corpus
            .save(&scratch.path().join("lines"))
            .map_err(|error| Failure::io("keep the lines", &error).path(scratch.path()))?;
        let ended = Arc::new(AtomicBool::new(false));
        signal::on_end(&ended);
        Ok(Run {
            context,
            scratch,
            dir,
            corpus,
            threads: self.threads,
            random: Random(seed),
            acknowledged: Acknowledged::default(),
            ended,
        })
    }
}

/// The folder, if there is nothing in it that could be harmed.
fn free(dir: &Path) -> Result<PathBuf, Failure> {
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::io("look into the folder", &error).path(dir)),
    };
    if empty {
        return Ok(dir.to_owned());
    }
    Err(Failure::new(ErrorKind::InvalidInput, "the folder is not empty")
        .path(dir)
        .advice("give one that is, or that does not exist"))
}

impl Run<'_> {
    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.context.out.json { Ok(()) } else { self.context.out.line(text) }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.ended.load(Ordering::Acquire) { Err(Failure::interrupted()) } else { Ok(()) }
    }

    fn introduce(&self, seed: u64) -> Result<(), Failure> {
        let Corpus { lines, from } = &self.corpus;
        let count = size::count(lines.len() as u64);
        let bytes = size::bytes(self.corpus.bytes());
        let filesystem = filesystem(&self.dir).map_or(String::new(), |name| format!(" ({name})"));
        self.say(&format!("input   {count} lines, {bytes}, of {from}"))?;
        self.say(&format!("log     {}{filesystem}", self.dir.display()))?;
        self.say(&format!("seed    {seed}"))?;
        self.say(&format!(
            "\n{} threads append, each append durable before it returns. Then: kill -9.\n",
            self.threads
        ))
    }

    /// Lets a writer run, kills it, and proves what is left.
    fn round(&mut self, round: u64) -> Result<(Value, Proof), Failure> {
        let before = self.acknowledged.len();
        let ran = self.write_until_killed(round)?;
        self.check()?;
        let wal = Wal::open(&self.dir, writer::config())?;
        let begun = Instant::now();
        let proof = proof::prove(&wal, &self.corpus.lines, self.threads, &self.acknowledged)?;
        let read = begun.elapsed();
        let recovery = wal.recovery();
        wal.close()?;
        let told = self.acknowledged.len() - before;
        let rate = per_second(told, ran);
        self.say(&format!(
            "{round}  killed after {:>8}: {} appends acknowledged, {} a second",
            size::time(ran),
            size::count(told),
            size::count(rate)
        ))?;
        self.say(&format!("   opened in {}: {}", size::time(recovery.took), words(&recovery)))?;
        let out = &self.context.out;
        let verdict = if proof.wrong.is_empty() {
            out.on_stdout.good("all acknowledged are there, once and intact")
        } else {
            out.on_stdout.bad(&proof.wrong.iter().take(5).cloned().collect::<Vec<_>>().join("; "))
        };
        self.say(&format!(
            "   read {} entries in {}: {verdict}",
            size::count(proof.entries),
            size::time(read)
        ))?;
        let value = json!({
            "round": round,
            "killed_after_ms": u64::try_from(ran.as_millis()).unwrap_or(u64::MAX),
            "acknowledged": told,
            "appends_per_second": rate,
            "opened_in_us": u64::try_from(recovery.took.as_micros()).unwrap_or(u64::MAX),
            "bytes_checked": recovery.bytes_checked,
            "torn_tail": recovery.cut.is_some(),
            "entries": proof.entries,
        });
        Ok((value, proof))
    }

    /// Runs a writer until a random moment. Returns how long after its first acknowledgement it was killed.
    fn write_until_killed(&mut self, round: u64) -> Result<Duration, Failure> {
        let program = std::env::current_exe();
        let program = program.map_err(|error| Failure::io("find this program", &error))?;
        let mut child = Command::new(program)
            .arg("demo-writer")
            .arg("--")
            .arg(&self.dir)
            .arg(self.scratch.path().join("lines"))
            .arg(round.to_string())
            .arg(self.threads.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::io("start the writer", &error))?;
        let (first, came) = mpsc::channel();
        let pipe = child.stdout.take();
        let told = thread::spawn(move || pipe.map(|pipe| listen(pipe, &first)).unwrap_or_default());
        let began = came.recv_timeout(PATIENCE);
        let wait = Duration::from_millis(self.random.within(KILLED_AFTER_MS));
        if began.is_ok() {
            thread::sleep(wait);
        }
        let killed = child.kill().and_then(|()| child.wait().map(drop));
        let ran = began.as_ref().map_or(Duration::ZERO, Instant::elapsed);
        killed.map_err(|error| Failure::io("kill the writer", &error))?;
        for (seq, checksum) in told.join().unwrap_or_default() {
            self.acknowledged.add(seq, checksum);
        }
        self.check()?;
        match began {
            Ok(_) => Ok(ran),
            Err(_) => Err(Failure::new(ErrorKind::Io, "the writer did not append anything")),
        }
    }

    fn conclude(
        self,
        seed: u64,
        rounds: &[Value],
        more: Value,
        lost: &[String],
        took: Duration,
    ) -> Result<Code, Failure> {
        let fine = lost.is_empty();
        let count = size::count(self.acknowledged.len());
        let out = &self.context.out;
        let kept = self.dir.starts_with(self.scratch.path());
        let place = if kept { "the log was removed" } else { "the log is kept" };
        let end = if fine {
            out.on_stdout.good(&format!("{} kills, {count} acknowledged, none lost", rounds.len()))
        } else {
            out.on_stdout.bad(&format!("LOST: {} findings; seed {seed}", lost.len()))
        };
        let text = format!("\n{end} ({}; {place})", size::time(took));
        let value = json!({
            "seed": seed,
            "lines": self.corpus.lines.len(),
            "input": self.corpus.from,
            "filesystem": filesystem(&self.dir),
            "acknowledged": self.acknowledged.len(),
            "rounds": rounds,
            "then": more,
            "lost": lost,
            "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        out.result(&value, text)?;
        if !fine {
            // What was found must be there to be looked at.
            let kept = self.scratch.keep();
            out.note(&format!("the log is left in {}", self.dir.display()));
            drop(kept);
            return Ok(Code::Error);
        }
        let path = self.scratch.path().to_owned();
        let removed = self.scratch.close();
        removed.map_err(|error| Failure::io("remove the folder", &error).path(&path))?;
        Ok(Code::Fine)
    }
}

/// Reads what a writer tells until it dies; a last line that is not whole tells nothing.
fn listen(pipe: ChildStdout, first: &Sender<Instant>) -> Vec<(u64, u32)> {
    let mut pipe = BufReader::new(pipe);
    let mut told = Vec::new();
    let mut line = String::new();
    while pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
        let Some((seq, checksum)) = line.strip_suffix('\n').and_then(|line| line.split_once(' '))
        else {
            break;
        };
        let (Ok(seq), Ok(checksum)) = (seq.parse(), checksum.parse()) else { break };
        if told.is_empty() {
            first.send(Instant::now()).ok();
        }
        told.push((seq, checksum));
        line.clear();
    }
    told
}

fn words(recovery: &Recovery) -> String {
    let origin = match recovery.origin {
        Origin::Created => "made",
        Origin::Clean => "closed cleanly before",
        Origin::Adopted => "adopted",
        _ => "recovered",
    };
    let checked = size::bytes(recovery.bytes_checked);
    let tail = match &recovery.cut {
        Some(cut) => format!("a torn tail at byte {} was cut and kept aside", cut.offset),
        None => "no torn tail".to_owned(),
    };
    format!("{origin}, {checked} checked, {tail}")
}

fn per_second(count: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// The type of the filesystem that `path` will lie on, and a word where it is no disk.
fn filesystem(path: &Path) -> Option<String> {
    let kind = super::filesystem::kind(path)?;
    if super::filesystem::is_memory(&kind) {
        return Some(format!(
            "{kind}: memory, where a sync costs nothing; name a folder on a disk"
        ));
    }
    Some(kind)
}

/// SplitMix64: enough to choose moments and places, and the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start).max(1);
        range.start + self.next() % width
    }
}
