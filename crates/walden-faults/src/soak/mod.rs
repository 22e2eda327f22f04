//! Everything at once, for minutes: writers, readers, followers, cuts at both ends and retention. Every entry that
//! is read is checked, nobody waits for ever, and memory, descriptors and mappings do not grow.

mod usage;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use walden::{Retention, Wal};
use walden_sim::Rng;

use crate::Outcome;
use crate::evidence::Evidence;
use crate::setup::{Files, Setup, Strategy};
use usage::Usage;

/// Runs readers, writers, followers, cuts and retention at once, and checks every entry.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Minutes for all cases together.
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    #[arg(long)]
    seed: Option<u64>,
    /// The folder in which logs are made; a temporary one is made in it.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0.0 && minutes <= 100_000.0 => Ok(minutes),
        _ => Err("a number over 0, and at most 100000".into()),
    }
}

/// What is run, one after the other.
const CASES: [(Strategy, Files); 4] = [
    (Strategy::OsCache, Files::Os),
    (Strategy::OsCache, Files::Mmap),
    (Strategy::Always, Files::Os),
    (Strategy::Background, Files::Mmap),
];

/// After so long without a step of some thread something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the threads share.
struct Shared {
    wal: Wal,
    setup: Setup,
    stop: AtomicBool,
    number: AtomicU64,
    /// Odd while the back is being cut: what was appended may be gone.
    cuts: AtomicU64,
}

/// A thread's steps, and entries that it checked or appended.
#[derive(Debug, Default)]
struct Progress {
    steps: AtomicU64,
    entries: AtomicU64,
}

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("soak", args.seed);
    let mut rng = Rng::new(evidence.seed);
    let mut figures = Map::new();
    let mut findings = Vec::new();
    for (strategy, engine) in CASES {
        let name = format!("{}, {}", strategy.name(), engine.name());
        let folder = crate::machine::folder(args.dir.as_deref())?;
        let setup = Setup { dir: folder.path().join("log"), strategy, engine };
        let time = Duration::from_secs_f64(args.minutes * 60.0 / 4.0);
        match soak(setup, time, &mut rng) {
            Ok(said) => {
                println!("{name}: {said}");
                figures.insert(name, said);
            }
            Err(why) => findings.push(format!("{name}: {why}")),
        }
    }
    evidence.end(args.evidence.as_deref(), &Value::Object(figures), &findings)?;
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n").into()) }
}

fn soak(setup: Setup, time: Duration, rng: &mut Rng) -> Outcome<Value> {
    let retention = Retention::keep_all().max_bytes(4 << 20);
    let config = setup.config().segment_size(256 << 10).retention(retention);
    let shared = Arc::new(Shared {
        wal: Wal::open(&setup.dir, config.clone())?,
        setup,
        stop: AtomicBool::new(false),
        number: AtomicU64::new(1),
        cuts: AtomicU64::new(0),
    });
    let mut threads = Vec::new();
    for (name, work) in work::ALL {
        let (shared, mut rng) = (Arc::clone(&shared), rng.split());
        let progress = Arc::new(Progress::default());
        let mine = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name((*name).to_owned()).spawn(move || {
            let outcome = work(&shared, &mine, &mut rng);
            // The first who fails ends it for all.
            shared.stop.store(true, Ordering::Relaxed);
            outcome.map_err(|why| why.to_string())
        })?;
        threads.push((*name, progress, thread));
    }
    let usage = watch(
        &shared,
        &threads.iter().map(|(name, at, _)| (*name, &**at)).collect::<Vec<_>>(),
        time,
    )?;
    shared.stop.store(true, Ordering::Relaxed);
    let mut counts = Map::new();
    for (name, progress, thread) in threads {
        let outcome = thread.join().map_err(|_| format!("the {name} panicked"))?;
        outcome.map_err(|why| format!("the {name}: {why}"))?;
        counts.insert(name.to_owned(), progress.entries.load(Ordering::Relaxed).into());
    }
    usage.has_not_grown()?;
    let (first, next) = (shared.wal.first_seq(), shared.wal.next_seq());
    shared.wal.close()?;
    let wal = Wal::open(&shared.setup.dir, config)?;
    // Retention may have gone on while it was closed.
    if wal.first_seq() < first || wal.next_seq() != next {
        return Err(format!("closed with {first}..{next}, opened with {wal:?}").into());
    }
    Ok(json!({ "seconds": time.as_secs_f64(), "entries": counts, "usage": usage.as_json() }))
}

/// Looks after the threads until the time is over. Ends the process where one of them stands still: it could not be
/// joined.
fn watch(shared: &Shared, threads: &[(&str, &Progress)], time: Duration) -> Outcome<Usage> {
    let mut usage = Usage::default();
    let mut last: Vec<_> = threads.iter().map(|_| (0, Duration::ZERO)).collect();
    // Counted by naps and not by the clock: a machine that stood still is nobody's fault here.
    let mut awake = Duration::ZERO;
    while awake < time && !shared.stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        awake += Duration::from_millis(100);
        usage.sample(awake.as_secs_f64() / time.as_secs_f64())?;
        for ((name, progress), (steps, since)) in threads.iter().zip(&mut last) {
            let now = progress.steps.load(Ordering::Relaxed);
            if now != *steps {
                (*steps, *since) = (now, awake);
            } else if awake - *since > PATIENCE {
                eprintln!(
                    "error: the {name} has stood still for {PATIENCE:?}: {:?}",
                    shared.wal.stats()
                );
                std::process::exit(1);
            }
        }
    }
    Ok(usage)
}
