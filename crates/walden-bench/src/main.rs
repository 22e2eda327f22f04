//! Measures Walden beside bare loops of system calls and beside its peers: interleaved, several rounds, medians
//! and ratios.
//!
//! A figure taken alone says little on a shared machine: in each round everything that stands in a case runs in
//! turn, and what is quoted is the median of the ratios of the rounds, with their spread.
//!
//! `cases` says what is measured, `work` and `baseline` and `peers` do it, `run` interleaves it in child processes,
//! `results` keeps it, `report` and `plot` show it. `scale` asks how much there can be of something.

mod baseline;
mod case;
mod cases;
mod compression;
mod figures;
mod machine;
mod peers;
mod plot;
mod report;
mod results;
mod run;
mod scale;
mod stats;
mod store;
mod subject;
mod syncs;
mod work;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::cases::Sizes;
use crate::figures::Result;
use crate::machine::Machine;
use crate::results::{Results, Settings};
use crate::run::Bench;
use crate::subject::{Fixture, Subject};

/// Measures Walden beside bare loops, and beside its peers if built with `--features peers`.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and write results.json, report.md and plots.
    Run(RunArgs),
    /// Read results.json again and write report.md and plots.
    Report {
        /// The file of a run; of several runs of parts, on one machine, one after the other.
        #[arg(required = true)]
        results: Vec<PathBuf>,
        /// Where report.md and plots go: beside the first file, if not told.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Count the syncs of each store by strace, as a Markdown table on standard output.
    Syncs {
        /// A folder on the disk to be measured; a temporary one is made in it.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// How much there can be of something, as a Markdown table on standard output.
    #[command(subcommand)]
    Scale(scale::Scale),
    /// Measure what compression makes of real data, and what it costs, as Markdown tables on standard output.
    Compression(compression::Args),
    /// List the cases and what stands in them.
    List {
        #[command(flatten)]
        sizes: SizeArgs,
    },
    /// One measurement in this process: what a run starts for each.
    #[command(hide = true)]
    Measure {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        fixtures: PathBuf,
        #[arg(long)]
        seconds: f64,
        #[arg(long)]
        result: PathBuf,
        #[arg(value_parser = parse::<Subject>)]
        subject: Subject,
    },
    /// Makes a log that several measurements read.
    #[command(hide = true)]
    Fixture {
        #[arg(long)]
        fixtures: PathBuf,
        /// Append to it instead, and wait to be killed.
        #[arg(long)]
        kill_me: bool,
        #[arg(value_parser = parse::<Fixture>)]
        fixture: Fixture,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// A folder on the disk to be measured; a temporary one is made in it.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Where results.json, report.md and plots go.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Rounds: each runs all that stands in a case once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds for each measurement in a round.
    #[arg(long, value_parser = positive)]
    seconds: Option<f64>,
    /// Only cases whose section and name, as `list` shows them, contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Not those that contain this.
    #[arg(long)]
    skip: Option<String>,
    #[command(flatten)]
    sizes: SizeArgs,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct SizeArgs {
    /// About a minute: one round of what is demanded, small logs, short times.
    #[arg(long)]
    quick: bool,
    /// Logs of 16 GiB and of 100 million records, too (60 GiB of disk).
    #[arg(long)]
    large: bool,
    /// Logs of a few MiB: only to see that everything runs.
    #[arg(long, hide = true)]
    tiny: bool,
}

impl SizeArgs {
    fn sizes(&self) -> (Sizes, &'static str) {
        match self {
            Self { quick: true, .. } => (Sizes::quick(), "quick"),
            Self { large: true, .. } => (Sizes::large(), "large"),
            Self { tiny: true, .. } => (Sizes::tiny(), "tiny"),
            _ => (Sizes::usual(), "usual"),
        }
    }

    /// Rounds and seconds, where they are not given.
    const fn usual(&self) -> (u32, f64) {
        match self {
            Self { quick: true, .. } => (1, 0.25),
            Self { tiny: true, .. } => (2, 0.01),
            _ => (5, 1.0),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text)
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let sensible = seconds.is_finite() && seconds > 0.0 && seconds <= 3600.0;
    if sensible { Ok(seconds) } else { Err("not above 0 and up to 3600".to_owned()) }
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(args) => run(&args),
        Command::Report { results, out } => report(&results, out.as_deref()),
        Command::Syncs { dir } => syncs(&dir),
        Command::Scale(scale) => scale::run(&scale).and_then(|page| print(&page)),
        Command::Compression(args) => compression::run(&args).and_then(|page| print(&page)),
        Command::List { sizes } => list(&sizes),
        Command::Measure { dir, fixtures, seconds, result, subject } => {
            measure(&subject, &work::Place { dir, fixtures, seconds }, &result)
        }
        Command::Fixture { fixtures, kill_me, fixture } if kill_me => {
            work::fixture::append_and_wait(&fixtures, &fixture)
        }
        Command::Fixture { fixtures, fixture, .. } => work::fixture::make(&fixtures, &fixture),
    };
    if let Err(error) = done {
        drop(writeln!(std::io::stderr(), "walden-bench: {error}"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A folder of its own in `dir`, removed in the end.
fn scratch(dir: &Path) -> Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("walden-bench-").tempdir_in(dir);
    Ok(made.map_err(|error| format!("{}: {error}", dir.display()))?)
}

fn run(args: &RunArgs) -> Result<()> {
    let (sizes, name) = args.sizes.sizes();
    let (rounds, seconds) = args.sizes.usual();
    let (rounds, seconds) = (args.rounds.unwrap_or(rounds), args.seconds.unwrap_or(seconds));
    let mut cases = cases::cases(&sizes);
    cases.retain(|case| {
        let title = title(case);
        title.contains(&args.only) && !args.skip.as_ref().is_some_and(|skip| title.contains(skip))
    });
    if cases.is_empty() {
        let text = format!("no case is left of those with {:?}; `list` shows them", args.only);
        Args::command().error(ErrorKind::ValueValidation, text).exit();
    }
    std::fs::create_dir_all(&args.out)
        .map_err(|error| format!("{}: {error}", args.out.display()))?;
    let scratch = scratch(&args.dir)?;
    let dir = scratch.path().canonicalize()?;
    let settings = Settings {
        rounds: usize::try_from(rounds)?,
        seconds,
        sizes: name.to_owned(),
        only: args.only.clone(),
    };
    if args.sizes.large && args.only.is_empty() {
        has_room(&dir)?;
    }
    let bench = Bench { dir, seconds, rounds: settings.rounds };
    let mut results = Results::new(Machine::look(&args.dir), settings, peers::facts());
    let path = args.out.join("results.json");
    bench.run(&cases, &mut results, &path)?;
    report(&[path], None)
}

/// What `--large` needs, known before an hour is spent.
fn has_room(dir: &Path) -> Result<()> {
    const NEEDED: u64 = 60 << 30;
    let space = rustix::fs::statvfs(dir)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < NEEDED {
        let (free, needed) = (free >> 30, NEEDED >> 30);
        let dir = dir.parent().unwrap_or(dir).display();
        return Err(format!(
            "{dir} has {free} GiB free and --large needs {needed}; --dir names another folder, --only fewer cases"
        )
        .into());
    }
    Ok(())
}

/// What `--only` looks in.
fn title(case: &case::Case) -> String {
    format!("{:?}: {}", case.section, case.name)
}

fn report(paths: &[PathBuf], out: Option<&Path>) -> Result<()> {
    let (first, others) = paths.split_first().ok_or("no file")?;
    let mut results = Results::read(first)?;
    for other in others {
        results.outcomes.extend(Results::read(other)?.outcomes);
    }
    let out = out.or_else(|| first.parent()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let plots = plot::draw_all(&results, out)?;
    let page = report::page(&results, &plots);
    std::fs::write(out.join("report.md"), &page)?;
    print(&page)
}

fn syncs(dir: &Path) -> Result<()> {
    let scratch = scratch(dir)?;
    let bench = Bench { dir: scratch.path().canonicalize()?, seconds: 1.0, rounds: 1 };
    print(&syncs::table(&bench)?)
}

fn list(sizes: &SizeArgs) -> Result<()> {
    let mut page = String::new();
    for case in cases::cases(&sizes.sizes().0) {
        page.push_str(&title(&case));
        page.push('\n');
        for entry in &case.entries {
            page.push_str("    ");
            page.push_str(&entry.label);
            page.push('\n');
        }
    }
    print(&page)
}

/// A page on standard output. Who has read enough of it may close the pipe.
fn print(page: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(page.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn measure(subject: &Subject, place: &work::Place, result: &Path) -> Result<()> {
    let figures = work::measure(subject, place)?;
    Ok(std::fs::write(result, serde_json::to_vec(&figures)?)?)
}
