//! System calls that fail under the real log: each kind of call, at the nth of the whole process, once or for good.
//!
//! strace counts the calls of each thread by itself, so that "the third sync" is another one in each run. Here a
//! supervisor of the process itself (seccomp's user notification) puts them in one order.

pub(crate) mod left;
mod made;
mod rules;
pub(crate) mod victim;
mod watch;

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
use crate::model::{Fault, Found};
use crate::setup::{Files, Setup, Strategy};
use left::{Begin, Left};
use watch::{Call, Of, Place};

/// Makes system calls of the log fail, one after the other, and looks at what comes of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// At how many of the calls of a kind each failure is tried.
    #[arg(long, default_value_t = 4)]
    places: u64,
    /// Only this kind of call.
    #[arg(long, value_enum)]
    call: Option<Call>,
    /// Only calls on this.
    #[arg(long, value_enum)]
    of: Option<Of>,
    /// Only in a log that is found so.
    #[arg(long, value_enum)]
    begin: Option<Begin>,
    /// Each failure of each call, but not with every strategy and engine: a sixth of them all.
    #[arg(long)]
    sample: bool,
    /// Chooses the places.
    #[arg(long)]
    seed: Option<u64>,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
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
    of: Of,
    errno: Errno,
    begin: Begin,
    strategy: Strategy,
    engine: Files,
    for_good: bool,
}

/// What a victim said at its end.
#[derive(Debug, Default)]
struct Said {
    failed: u64,
    outcome: String,
    calls: BTreeMap<Place, u64>,
}

/// Outcomes of each case, each with how often it was met.
type Table = BTreeMap<Case, BTreeMap<String, u64>>;

#[derive(Debug, Default)]
struct Report {
    table: Table,
    runs: u64,
    findings: Vec<String>,
}

/// What is to be tried: the case, what the log is found as, and which call it is.
type Try<'a> = (Case, &'a Left, u64);

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("calls", args.seed);
    let mut rng = Rng::new(evidence.seed);
    let probe = Case::new((Call::Fsync, Of::Segment), Begin::New, Strategy::Always, Files::Os);
    if let Err(why) = strike(probe, &Left::nothing(), 0) {
        return crate::machine::skip(&format!("calls cannot be supervised: {why}"));
    }
    let mut report = Report::default();
    let mut grounds = Vec::new();
    for begin in
        Begin::value_variants().iter().filter(|b| args.begin.is_none_or(|only| only == **b))
    {
        for (strategy, engine) in Strategy::ALL.into_iter().flat_map(|s| Files::ALL.map(|f| (s, f)))
        {
            let left = Left::by(*begin, strategy, engine)?;
            let calls = dry(*begin, strategy, engine, &left)?;
            let wrong = made::check(*begin, engine, &calls);
            report.findings.extend(
                wrong.into_iter().map(|why| format!("{begin:?}, {strategy:?}, {engine:?}: {why}")),
            );
            grounds.push((*begin, strategy, engine, left, calls));
        }
    }
    let mut todo = Vec::new();
    for (at, (begin, strategy, engine, left, calls)) in grounds.iter().enumerate() {
        for (row, (case, total)) in cases(*begin, *strategy, *engine, calls).enumerate() {
            let wanted = args.call.is_none_or(|only| only == case.call)
                && args.of.is_none_or(|only| only == case.of)
                && (!args.sample || (row + at).is_multiple_of(6));
            let places = places(if wanted { total } else { 0 }, args.places, &mut rng);
            todo.extend(places.map(|nth| (case, left, nth)));
        }
    }
    let report = strike_all(todo, report)?;
    print_table(&report.table);
    let figures = json!({ "runs": report.runs, "outcomes": as_json(&report.table) });
    evidence.end(args.evidence.as_deref(), &figures, &report.findings)?;
    if report.findings.is_empty() { Ok(()) } else { Err(report.findings.join("\n").into()) }
}

impl Case {
    const fn new((call, of): Place, begin: Begin, strategy: Strategy, engine: Files) -> Self {
        Self { call, of, errno: Errno::Eio, begin, strategy, engine, for_good: false }
    }
}

/// Each call that was made, with each failure, and how often it was made.
fn cases(
    begin: Begin,
    strategy: Strategy,
    engine: Files,
    calls: &BTreeMap<Place, u64>,
) -> impl Iterator<Item = (Case, u64)> {
    calls.iter().flat_map(move |(place, total)| {
        let case = Case::new(*place, begin, strategy, engine);
        [Errno::Eio, Errno::Enospc].into_iter().flat_map(move |errno| {
            [false, true].map(|for_good| (Case { errno, for_good, ..case }, *total))
        })
    })
}

fn strike_all(todo: Vec<Try<'_>>, report: Report) -> Outcome<Report> {
    let (todo, report) = (Mutex::new(todo), Mutex::new(report));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((case, left, nth)) = todo.lock().ok().and_then(|mut todo| todo.pop())
                {
                    let outcome = strike(case, left, nth)
                        .map_err(|why| why.to_string())
                        .and_then(|said| rules::judge(case, nth, &said));
                    record(
                        &report,
                        case,
                        outcome.map_err(|why| format!("{case:?}, call {nth}: {why}")),
                    );
                }
            });
        }
    });
    report.into_inner().map_err(|_| "a thread panicked".into())
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

/// The first call, the last, and some between them; any one where only one is asked for.
fn places(total: u64, count: u64, rng: &mut Rng) -> impl Iterator<Item = u64> + use<> {
    let ends = usize::from(total > 0 && count > 1) * 2;
    let mut chosen: Vec<u64> = [1, total].into_iter().take(ends).collect();
    while u64::try_from(chosen.len()).is_ok_and(|len| len < count.min(total)) {
        chosen.push(1 + rng.below(total));
        chosen.sort_unstable();
        chosen.dedup();
    }
    chosen.dedup();
    chosen.into_iter()
}

/// The calls that are made when none fails.
fn dry(
    begin: Begin,
    strategy: Strategy,
    engine: Files,
    left: &Left,
) -> Outcome<BTreeMap<Place, u64>> {
    let said = strike(Case::new((Call::Write, Of::Other), begin, strategy, engine), left, 0)?;
    if said.outcome == "no call failed" { Ok(said.calls) } else { Err(said.outcome.into()) }
}

/// How long a victim may take until it counts as hanging; it takes less than a second where nobody else is at work.
const PATIENCE: Duration = Duration::from_secs(300);

/// One victim; then the log is opened again, and held against what was acknowledged, before its time too.
fn strike(case: Case, left: &Left, nth: u64) -> Outcome<Said> {
    let folder = crate::machine::folder(None)?;
    // In a folder that has to be made as well.
    let dir = folder.path().join("in").join("log");
    left.copy_to(&dir)?;
    let setup = Setup { dir, strategy: case.strategy, engine: case.engine };
    let mut command = vec![String::from("victim")];
    command.extend(setup.args());
    command.push(format!("--call={}", name_of(&case.call)));
    command.push(format!("--of={}", name_of(&case.of)));
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
    let mut model = left.model.clone();
    for event in ended.events()? {
        model.told(event, case.strategy)?;
    }
    if case.errno == Errno::Enospc {
        model.met_a_full_disk(victim::THREADS);
    }
    let wal = Wal::open(&setup.dir, setup.config())?;
    model.check(Found::by_log(&wal)?, Fault::Kill)?;
    wal.append("it goes on")?;
    wal.close()?;
    no_leftovers(&setup.dir)?;
    said(&ended.errors)
}

/// What could not be removed is, once the log was opened and closed where nothing fails.
fn no_leftovers(dir: &std::path::Path) -> Outcome<()> {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".next") || name.ends_with(".new") {
            return Err(format!("{name} is left over in a closed log").into());
        }
    }
    Ok(())
}

/// A line with how many calls failed and what came of it; then one for each kind of call, with how many there were.
fn said(text: &str) -> Outcome<Said> {
    let mut lines = text.trim().lines();
    let (failed, outcome) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .ok_or_else(|| format!("the victim said {text:?}"))?;
    let mut calls = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [count, call, of] = words.as_slice() else {
            return Err(format!("the victim said {line:?}").into());
        };
        calls.insert((Call::from_str(call, false)?, Of::from_str(of, false)?), count.parse()?);
    }
    Ok(Said { failed: failed.parse()?, outcome: outcome.to_owned(), calls })
}

fn in_words(outcomes: &BTreeMap<String, u64>) -> String {
    let words = outcomes.iter().map(|(outcome, count)| match count {
        1 => outcome.clone(),
        count => format!("{count}× {outcome}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn print_table(table: &Table) {
    println!("| call | on | error | log | strategy | engine | | outcome |");
    println!("|---|---|---|---|---|---|---|---|");
    for (case, outcomes) in table {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            name_of(&case.call),
            name_of(&case.of),
            name_of(&case.errno).to_uppercase(),
            name_of(&case.begin),
            case.strategy.name(),
            case.engine.name(),
            if case.for_good { "for good" } else { "once" },
            in_words(outcomes),
        );
    }
}

/// What came of each call and error, over all strategies, engines and beginnings: the table that is printed tells them apart,
/// and has thousands of lines.
fn as_json(table: &Table) -> serde_json::Value {
    let mut sums: BTreeMap<[String; 3], BTreeMap<&str, u64>> = BTreeMap::new();
    for (case, outcomes) in table {
        let key = [name_of(&case.call), name_of(&case.of), name_of(&case.errno).to_uppercase()];
        let sum = sums.entry(key).or_default();
        for (outcome, count) in outcomes {
            *sum.entry(outcome).or_default() += count;
        }
    }
    let rows = sums.iter().map(|([call, on, error], outcomes)| {
        json!({ "call": call, "on": on, "error": error, "outcomes": outcomes })
    });
    rows.collect()
}
