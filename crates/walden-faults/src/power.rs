//! The power fails, on real filesystems: the kernel is told to shut a mounted filesystem down under the writer,
//! without writing its journal; it is mounted again, and the log is opened.
//!
//! A sync that runs while the filesystem is being shut down can return success without having made anything
//! durable; a bare loop of writes and syncs sees that too. So what the writer told after the call had begun is
//! not judged.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use walden::Wal;
use walden_sim::Rng;

use crate::Outcome;
use crate::child::{Ended, Writer};
use crate::event::{Event, SIZE};
use crate::evidence::Evidence;
use crate::model::{Fault, Found, Model};
use crate::setup::{Files, Setup, Strategy};
use crate::volume::{Filesystem, Volume};

/// Shuts ext4 and XFS down under a writing process, over and over, and looks for every entry that was durable.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Power cuts on each filesystem, for each strategy and engine.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Replays the choices of a run, though not its moments.
    #[arg(long)]
    seed: Option<u64>,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

/// What was met on one filesystem, with one strategy and engine.
#[derive(Debug, Default)]
struct Counts {
    cuts: u64,
    while_opening: u64,
    while_changing: u64,
    acknowledged: u64,
    /// Acknowledgements that came after the cut had begun.
    not_judged: u64,
    entries_found: u64,
    torn_tails: u64,
    cuts_finished: u64,
    ended_by_sigbus: u64,
}

impl Counts {
    fn figures(&self) -> Value {
        json!({
            "power_cuts": self.cuts,
            "while_opening": self.while_opening,
            "while_a_change_was_under_way": self.while_changing,
            "acknowledged_entries": self.acknowledged,
            "acknowledged_too_late_to_be_judged": self.not_judged,
            "entries_found": self.entries_found,
            "torn_tails": self.torn_tails,
            "log_cuts_finished_by_opening": self.cuts_finished,
            "writer_ended_by_sigbus": self.ended_by_sigbus,
        })
    }
}

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("power", args.seed);
    let mut rng = Rng::new(evidence.seed);
    let mut figures = Map::new();
    let mut findings = Vec::new();
    for filesystem in Filesystem::ALL {
        for (strategy, engine) in Strategy::ALL.into_iter().flat_map(|s| Files::ALL.map(|f| (s, f)))
        {
            let name = format!("{}, {}, {}", filesystem.name(), strategy.name(), engine.name());
            let volume = match Volume::new(filesystem, 64 << 20) {
                Ok(volume) => volume,
                Err(why) => {
                    crate::machine::skip(&format!("{name}: {why}"))?;
                    continue;
                }
            };
            let setup = Setup { dir: volume.path().join("log"), strategy, engine };
            let mut log = Log { setup, volume, model: Model::new(), number: 1 };
            let mut counts = Counts::default();
            while counts.cuts < args.rounds {
                if let Err(why) = log.round(&mut rng, &mut counts) {
                    findings.push(format!("{name}, cut {}: {why}", counts.cuts));
                    break;
                }
            }
            println!("{name}: {} cuts", counts.cuts);
            figures.insert(name, counts.figures());
        }
    }
    evidence.end(args.evidence.as_deref(), &Value::Object(figures), &findings)?;
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n").into()) }
}

/// A log that lives through many cuts.
struct Log {
    setup: Setup,
    volume: Volume,
    model: Model,
    number: u64,
}

impl Log {
    fn round(&mut self, rng: &mut Rng, counts: &mut Counts) -> Outcome<()> {
        let mut command = vec![String::from("writer")];
        command.extend(self.setup.args());
        command.push(format!("--begin={}", self.number));
        command.push(format!("--seed={}", rng.next_u64()));
        let mut writer = Writer::spawn(&command)?;
        let early = rng.below(6) == 0;
        if !early {
            writer.tells_within(Duration::from_secs(600))?;
        }
        std::thread::sleep(Duration::from_micros(rng.below(if early { 10_000 } else { 250_000 })));
        let in_time = writer.told_before(|| self.volume.cut_power())?;
        counts.cuts += 1;
        let by_itself = writer.ends_within(Duration::from_secs(20))?;
        let ended = writer.kill()?;
        if !by_itself {
            return Err(format!("the writer hangs: {}", ended.errors).into());
        }
        self.as_expected(&ended, counts)?;
        self.take_in(&ended, in_time, counts)?;
        self.volume.unmount()?;
        self.volume.mount()?;
        self.verify(counts)
    }

    /// The writer met an error and said so; where files are mapped, a signal may have come instead.
    fn as_expected(&self, ended: &Ended, counts: &mut Counts) -> Outcome<()> {
        let wrong = |what: &str| {
            Err(format!("the writer {what}: {}: {}", ended.status, ended.errors).into())
        };
        if ended.errors.contains("panicked") {
            return wrong("panicked");
        }
        match (ended.status.code(), ended.status.signal()) {
            (Some(1), _) => Ok(()),
            (_, Some(libc::SIGBUS)) if self.setup.engine == Files::Mmap => {
                counts.ended_by_sigbus += 1;
                Ok(())
            }
            _ => wrong("ended oddly"),
        }
    }

    fn take_in(&mut self, ended: &Ended, in_time: usize, counts: &mut Counts) -> Outcome<()> {
        let events = ended.events()?;
        let mut opened = false;
        for (at, event) in events.into_iter().enumerate() {
            let judged = (at + 1) * SIZE <= in_time;
            if let Event::Acked { number, count, .. } = event {
                self.number = self.number.max(number + count);
                *(if judged { &mut counts.acknowledged } else { &mut counts.not_judged }) += count;
            }
            if judged {
                opened |= matches!(event, Event::Opened { .. });
                self.model.told(event, self.setup.strategy)?;
            } else {
                self.model.told_too_late(event);
            }
        }
        self.number += 1000;
        counts.while_opening += u64::from(!opened);
        counts.while_changing += u64::from(!self.model.pending().is_empty());
        Ok(())
    }

    fn verify(&mut self, counts: &mut Counts) -> Outcome<()> {
        let wal = Wal::open(&self.setup.dir, self.setup.config())?;
        let recovery = wal.recovery();
        counts.torn_tails += u64::from(recovery.cut.is_some());
        counts.cuts_finished += u64::from(recovery.finished_cut);
        let found = Found::by_log(&wal)?;
        counts.entries_found += u64::try_from(found.entries.len())?;
        self.model.check(found, Fault::Power)?;
        Ok(wal.close()?)
    }
}
