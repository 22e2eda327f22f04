//! `kill -9`, over and over on the same log, at any moment of any operation, opening among them.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use walden::{ErrorKind, LogReader, Wal};
use walden_sim::Rng;

use crate::Outcome;
use crate::child::{Ended, Writer};
use crate::event::{Change, Event};
use crate::evidence::Evidence;
use crate::model::{Fault, Found, Model};
use crate::setup::{Files, INTERVAL, Setup, Strategy};
use crate::writer::QUIET;

/// Kills a writing process over and over, and looks for every entry it acknowledged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Replays the choices of a run, though not its moments.
    #[arg(long)]
    seed: Option<u64>,
    /// The folder in which logs are made; a temporary one is made in it.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

/// What was met.
#[derive(Debug, Default)]
struct Counts {
    logs: u64,
    kills: u64,
    while_opening: u64,
    while_changing: [u64; 5],
    acknowledged: u64,
    openings: u64,
    by_reader: u64,
    by_opening: u64,
    torn_tails: u64,
    finished_cuts: u64,
    quiet: u64,
    longest_quiet: Duration,
}

/// How much longer than the interval what nobody waits for may take until it is written: other processes may have the
/// processor, and the log's own thread may be sealing on a slow disk.
const ALLOWANCE: Duration = Duration::from_secs(10);

const CHANGES: [&str; 5] = ["truncate_front", "truncate_back", "reset", "retain", "set_meta"];

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("kill", args.seed);
    let mut rng = Rng::new(evidence.seed);
    let folder = crate::machine::folder(args.dir.as_deref())?;
    let mut counts = Counts::default();
    let mut log = Log::new(folder.path(), &mut counts);
    let mut outcome = Ok(());
    while counts.kills < args.kills {
        // A new log now and then, so that its making is killed too.
        if rng.below(100) == 0 {
            std::fs::remove_dir_all(&log.dir).or_else(crate::machine::missing_is_fine)?;
            log = Log::new(folder.path(), &mut counts);
        }
        if let Err(why) = log.round(&mut rng, &mut counts) {
            outcome = Err(format!("kill {}: {why}", counts.kills).into());
            break;
        }
        if counts.kills.is_multiple_of(1000) {
            // Also what a run that is cut off has done is done.
            evidence.end(args.evidence.as_deref(), &counts.figures(), &[])?;
        }
    }
    let findings: Vec<String> =
        outcome.as_ref().err().map(ToString::to_string).into_iter().collect();
    evidence.end(args.evidence.as_deref(), &counts.figures(), &findings)?;
    if outcome.is_err() {
        println!("the log is kept in {}", folder.keep().display());
    }
    outcome
}

impl Counts {
    fn figures(&self) -> serde_json::Value {
        let changing: serde_json::Map<_, _> = CHANGES
            .iter()
            .zip(self.while_changing)
            .map(|(name, n)| (String::from(*name), n.into()))
            .collect();
        json!({
            "logs": self.logs,
            "kills": self.kills,
            "killed_while_opening": self.while_opening,
            "killed_during": changing,
            "acknowledged_entries": self.acknowledged,
            "openings_by_the_writer": self.openings,
            "verified_by_reader": self.by_reader,
            "verified_by_opening": self.by_opening,
            "torn_tails": self.torn_tails,
            "cuts_finished_by_opening": self.finished_cuts,
            "quiet_writers": self.quiet,
            "longest_until_written_ms": u64::try_from(self.longest_quiet.as_millis()).ok(),
        })
    }

    fn killed_with(&mut self, pending: &[Change]) {
        for change in pending {
            let at = match change {
                Change::Front(_) => 0,
                Change::Back { .. } => 1,
                Change::Reset { .. } => 2,
                Change::Retain => 3,
                Change::Meta(_) => 4,
            };
            if let Some(count) = self.while_changing.get_mut(at) {
                *count += 1;
            }
        }
    }
}

/// A log that lives through many kills.
struct Log {
    dir: PathBuf,
    model: Model,
    /// The next number for an entry.
    number: u64,
}

impl Log {
    fn new(folder: &Path, counts: &mut Counts) -> Self {
        counts.logs += 1;
        Self { dir: folder.join("log"), model: Model::new(), number: 1 }
    }

    /// One life of a writer, and what is left of the log.
    fn round(&mut self, rng: &mut Rng, counts: &mut Counts) -> Outcome<()> {
        let strategy = Strategy::ALL[rng.index(3)];
        let setup = Setup { dir: self.dir.clone(), strategy, engine: Files::ALL[rng.index(2)] };
        let mut command = vec![String::from("writer")];
        command.extend(setup.args());
        command.push(format!("--begin={}", self.number));
        command.push(format!("--seed={}", rng.next_u64()));
        // What fills no buffer is written within the interval: by a writer that does nothing else.
        if strategy == Strategy::Background && rng.below(8) == 0 {
            command.push(String::from("--quiet"));
            return self.quiet_round(&setup, &command, rng, counts);
        }
        let mut writer = Writer::spawn(&command)?;
        // Every third is killed while it starts and opens the log; the others live on for a while.
        let early = rng.below(3) == 0;
        let life = Duration::from_micros(rng.below(if early { 8_000 } else { 60_000 }));
        if !early {
            writer.tells_within(Duration::from_secs(600))?;
        }
        if writer.ends_within(life)? {
            let ended = writer.kill()?;
            return Err(
                format!("the writer ended by itself: {}: {}", ended.status, ended.errors).into()
            );
        }
        let ended = writer.kill()?;
        counts.kills += 1;
        self.take_in(&ended, strategy, counts).map_err(|why| format!("{setup:?}: {why}"))?;
        self.verify(&setup, rng, counts).map_err(|why| format!("{setup:?}: {why}").into())
    }

    /// A writer that appends a little and waits: it is killed once another process finds that written.
    fn quiet_round(
        &mut self,
        setup: &Setup,
        command: &[String],
        rng: &mut Rng,
        counts: &mut Counts,
    ) -> Outcome<()> {
        let mut writer = Writer::spawn(command)?;
        writer.tells_within(Duration::from_secs(600))?;
        let next = loop {
            let acked: Vec<u64> = (writer.events()?.into_iter())
                .filter_map(|event| match event {
                    Event::Acked { seq, count, .. } => Some(seq + count),
                    _ => None,
                })
                .collect();
            if u64::try_from(acked.len())? == QUIET {
                break acked.into_iter().max().unwrap_or_default();
            }
            if writer.ends_within(Duration::from_millis(1))? {
                return Err(format!("the quiet writer ended: {}", writer.kill()?.errors).into());
            }
        };
        let begun = Instant::now();
        let written = loop {
            // It may be in the middle of a change, which is tried again then.
            let waited = begun.elapsed();
            if LogReader::open(&setup.dir).is_ok_and(|reader| reader.next_seq() >= next) {
                counts.longest_quiet = counts.longest_quiet.max(waited);
                break true;
            }
            if waited > INTERVAL + ALLOWANCE {
                break false;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let ended = writer.kill()?;
        (counts.kills, counts.quiet) = (counts.kills + 1, counts.quiet + 1);
        if !written {
            return Err(format!("{setup:?}: what was appended before {next} is not written").into());
        }
        self.take_in(&ended, setup.strategy, counts).map_err(|why| format!("{setup:?}: {why}"))?;
        self.model.told(Event::Flushed { next }, setup.strategy)?;
        self.verify(setup, rng, counts).map_err(|why| format!("{setup:?}: {why}").into())
    }

    fn take_in(&mut self, ended: &Ended, strategy: Strategy, counts: &mut Counts) -> Outcome<()> {
        if ended.status.signal() != Some(9) {
            return Err(
                format!("the writer ended otherwise: {}: {}", ended.status, ended.errors).into()
            );
        }
        let mut opened = false;
        for event in ended.events()? {
            match event {
                Event::Opened { .. } => {
                    opened = true;
                    counts.openings += 1;
                }
                Event::Acked { number, count, .. } => {
                    counts.acknowledged += count;
                    self.number = self.number.max(number + count);
                }
                _ => {}
            }
            self.model.told(event, strategy)?;
        }
        // Numbers of entries that were under way are given to no others.
        self.number += 1000;
        counts.while_opening += u64::from(!opened);
        counts.killed_with(self.model.pending());
        Ok(())
    }

    /// Mostly as another process reads it, so that the next writer is the first to open it.
    fn verify(&mut self, setup: &Setup, rng: &mut Rng, counts: &mut Counts) -> Outcome<()> {
        let found = if rng.below(4) == 0 {
            counts.by_opening += 1;
            let wal = Wal::open(&setup.dir, setup.config())?;
            let recovery = wal.recovery();
            counts.torn_tails += u64::from(recovery.cut.is_some());
            counts.finished_cuts += u64::from(recovery.finished_cut);
            Found::by_log(&wal)?
        } else {
            counts.by_reader += 1;
            match LogReader::open(&setup.dir) {
                Ok(reader) => Found::by_reader(&reader)?,
                Err(error) if error.kind() == ErrorKind::NotFound && self.model.is_new() => {
                    Found::nothing()
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.model.check(found, Fault::Kill)
    }
}
