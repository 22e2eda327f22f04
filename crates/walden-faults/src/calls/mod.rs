//! System calls that fail under the real log: each kind of call, at the nth of the whole process, once or for good.
//!
//! strace counts the calls of each thread by itself, so that "the third sync" is another one in each run. Here a
//! supervisor of the process itself (seccomp's user notification) puts them in one order.

mod rules;
pub(crate) mod victim;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use walden::Wal;
use walden_sim::Rng;

use crate::Outcome;
use crate::child::Writer;
use crate::evidence::Evidence;
use crate::model::{Fault, Found, Model};
use crate::setup::{Files, Setup, Strategy};

/// Makes system calls of the log fail, one after the other, and looks at what comes of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// At how many of the calls of a kind each failure is tried.
    #[arg(long, default_value_t = 4)]
    places: u64,
    /// Only this kind of call.
    #[arg(long, value_enum)]
    call: Option<Call>,
    /// Chooses the places.
    #[arg(long)]
    seed: Option<u64>,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

/// A kind of system call, on the log's files and folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Call {
    Write,
    Pwrite,
    Pwritev,
    Fsync,
    Fdatasync,
    Fallocate,
    Ftruncate,
    Rename,
    Open,
    Unlink,
    /// Of shared mappings: the others are the allocator's.
    Mmap,
}

impl Call {
    const fn numbers(self) -> &'static [i64] {
        match self {
            Self::Write => &[libc::SYS_write, libc::SYS_writev],
            Self::Pwrite => &[libc::SYS_pwrite64],
            Self::Pwritev => &[libc::SYS_pwritev, libc::SYS_pwritev2],
            Self::Fsync => &[libc::SYS_fsync],
            Self::Fdatasync => &[libc::SYS_fdatasync],
            Self::Fallocate => &[libc::SYS_fallocate],
            Self::Ftruncate => &[libc::SYS_ftruncate],
            Self::Rename => &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2],
            Self::Open => &[libc::SYS_open, libc::SYS_openat],
            Self::Unlink => &[libc::SYS_unlink, libc::SYS_unlinkat],
            Self::Mmap => &[libc::SYS_mmap],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Errno {
    Eio,
    Enospc,
}

impl Errno {
    const fn number(self) -> i32 {
        match self {
            Self::Eio => libc::EIO,
            Self::Enospc => libc::ENOSPC,
        }
    }
}

fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What fails, and under what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    call: Call,
    errno: Errno,
    strategy: Strategy,
    engine: Files,
    for_good: bool,
}

/// What a victim said at its end.
#[derive(Debug)]
struct Said {
    calls: u64,
    failed: u64,
    outcome: String,
}

/// Outcomes of each case, each with how often it was met.
type Table = BTreeMap<Case, BTreeMap<String, u64>>;

#[derive(Debug, Default)]
struct Report {
    table: Table,
    runs: u64,
    findings: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("calls", args.seed);
    let mut rng = Rng::new(evidence.seed);
    let calls = args.call.map_or_else(|| Call::value_variants().to_vec(), |call| vec![call]);
    if let Err(why) = dry(calls[0], Strategy::Always, Files::Os) {
        return crate::machine::skip(&format!("calls cannot be supervised: {why}"));
    }
    let mut todo = Vec::new();
    let report = Mutex::new(Report::default());
    for call in calls {
        for (strategy, engine) in Strategy::ALL.into_iter().flat_map(|s| Files::ALL.map(|f| (s, f)))
        {
            let total = dry(call, strategy, engine)?;
            for errno in [Errno::Eio, Errno::Enospc] {
                for for_good in [false, true] {
                    let case = Case { call, errno, strategy, engine, for_good };
                    if total == 0 {
                        record(&report, case, Ok(String::from("never called")));
                    }
                    todo.extend(places(total, args.places, &mut rng).map(|nth| (case, nth)));
                }
            }
        }
    }
    let todo = Mutex::new(todo);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((case, nth)) = todo.lock().ok().and_then(|mut todo| todo.pop()) {
                    let outcome = strike(case, nth)
                        .map_err(|why| why.to_string())
                        .and_then(|said| rules::judge(case, &said));
                    record(
                        &report,
                        case,
                        outcome.map_err(|why| format!("{case:?}, call {nth}: {why}")),
                    );
                }
            });
        }
    });
    let report = report.into_inner().map_err(|_| "a thread panicked")?;
    print_table(&report.table);
    let figures = json!({ "runs": report.runs, "outcomes": as_json(&report.table) });
    evidence.end(args.evidence.as_deref(), &figures, &report.findings)?;
    if report.findings.is_empty() { Ok(()) } else { Err(report.findings.join("\n").into()) }
}

fn record(report: &Mutex<Report>, case: Case, outcome: Result<String, String>) {
    let Ok(mut report) = report.lock() else { return };
    report.runs += 1;
    let outcome = outcome.unwrap_or_else(|why| {
        report.findings.push(why);
        String::from("WRONG")
    });
    *report.table.entry(case).or_default().entry(outcome).or_default() += 1;
}

/// The first call, the last, and some between them.
fn places(total: u64, count: u64, rng: &mut Rng) -> impl Iterator<Item = u64> + use<> {
    let mut chosen: Vec<u64> = [1, total].into_iter().take(usize::from(total > 0) * 2).collect();
    while u64::try_from(chosen.len()).is_ok_and(|len| len < count.min(total)) {
        chosen.push(1 + rng.below(total));
        chosen.sort_unstable();
        chosen.dedup();
    }
    chosen.dedup();
    chosen.into_iter()
}

/// How many such calls there are when none fails.
fn dry(call: Call, strategy: Strategy, engine: Files) -> Outcome<u64> {
    let case = Case { call, errno: Errno::Eio, strategy, engine, for_good: false };
    let said = strike(case, 0)?;
    if said.outcome == "no call failed" { Ok(said.calls) } else { Err(said.outcome.into()) }
}

/// How long a victim may take until it counts as hanging; it takes less than a second where nobody else is at work.
const PATIENCE: Duration = Duration::from_secs(300);

/// One victim; then the log is opened again, and held against what was acknowledged.
fn strike(case: Case, nth: u64) -> Outcome<Said> {
    let folder = crate::machine::folder(None)?;
    // A log that is there already, so that opening it is struck too, and not its making alone.
    let dir = folder.path().join("log");
    let setup = Setup { dir, strategy: case.strategy, engine: case.engine };
    let mut command = vec![String::from("victim")];
    command.extend(setup.args());
    command.push(format!("--call={}", name_of(&case.call)));
    command.push(format!("--errno={}", name_of(&case.errno)));
    command.push(format!("--nth={nth}"));
    command.extend(case.for_good.then(|| String::from("--for-good")));
    let mut writer = Writer::spawn(&command)?;
    let by_itself = writer.ends_within(PATIENCE)?;
    let ended = writer.kill()?;
    if !by_itself {
        return Err(format!("it hangs: {}", ended.errors).into());
    }
    if !ended.status.success() || ended.errors.contains("panicked") {
        return Err(format!("{}: {}", ended.status, ended.errors.trim()).into());
    }
    let mut model = Model::new();
    for event in ended.events()? {
        model.told(event, case.strategy)?;
    }
    let wal = Wal::open(&setup.dir, setup.config())?;
    model.check(Found::by_log(&wal)?, Fault::Kill)?;
    wal.append("it goes on")?;
    wal.close()?;
    said(&ended.errors)
}

fn said(text: &str) -> Outcome<Said> {
    let mut words = text.trim().splitn(3, ' ');
    let mut word = || words.next().ok_or_else(|| format!("the victim said {text:?}"));
    Ok(Said { calls: word()?.parse()?, failed: word()?.parse()?, outcome: word()?.to_owned() })
}

fn in_words(outcomes: &BTreeMap<String, u64>) -> String {
    let words = outcomes.iter().map(|(outcome, count)| match count {
        1 => outcome.clone(),
        count => format!("{count}× {outcome}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn print_table(table: &Table) {
    println!("| call | error | strategy | engine | | outcome |\n|---|---|---|---|---|---|");
    for (case, outcomes) in table {
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            name_of(&case.call),
            name_of(&case.errno).to_uppercase(),
            case.strategy.name(),
            case.engine.name(),
            if case.for_good { "for good" } else { "once" },
            in_words(outcomes),
        );
    }
}

fn as_json(table: &Table) -> serde_json::Value {
    let rows = table.iter().map(|(case, outcomes)| {
        json!({
            "call": name_of(&case.call),
            "error": name_of(&case.errno).to_uppercase(),
            "strategy": case.strategy.name(),
            "engine": case.engine.name(),
            "for_good": case.for_good,
            "outcomes": outcomes,
        })
    });
    rows.collect()
}
