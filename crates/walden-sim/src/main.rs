//! Runs histories of a log on a simulated disk, against a model: see `walden_sim::workload`.
#![forbid(unsafe_code)]

mod cli;

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use walden_sim::workload::{Counts, History, Violation};

use crate::cli::{Args, HELP, Wish};

/// A line on standard output. Who reads it may have read enough and be gone: the exit code tells all the same.
macro_rules! say {
    ($($what:tt)*) => { drop(writeln!(stdout(), $($what)*)) };
}

/// Seeds whose histories share one digest in the output.
const BLOCK: u64 = 1000;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Wish::Help) => {
            drop(write!(stdout(), "{HELP}"));
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Run(args)) => args,
        Err(error) => {
            drop(writeln!(stderr(), "walden-sim: {error}; walden-sim --help tells what there is"));
            return ExitCode::from(2);
        }
    };
    // A panic of the log is a finding, told with its history.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(steps) = &args.steps {
        return replay(&args, steps);
    }
    let run = Runner::new(&args);
    run.all();
    run.tell()
}

/// Runs one history, with all or some of its steps, and tells what it did.
fn replay(args: &Args, steps: &[u64]) -> ExitCode {
    let history = History::of_seed(args.first_seed).only(steps);
    match history.run() {
        Ok(report) => {
            say!("no promise is broken: {report:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            print_violation(&violation);
            ExitCode::FAILURE
        }
    }
}

/// All threads of a run.
struct Runner<'a> {
    args: &'a Args,
    begun: Instant,
    next_seed: AtomicU64,
    stop: AtomicBool,
    total: Mutex<Total>,
}

/// What was found.
#[derive(Default)]
struct Total {
    histories: u64,
    counts: Counts,
    /// For each block: how many of its histories were run, and the sum of their digests.
    blocks: Vec<(u64, u64)>,
    finding: Option<(u64, Violation)>,
}

impl<'a> Runner<'a> {
    fn new(args: &'a Args) -> Self {
        Self {
            args,
            begun: Instant::now(),
            next_seed: AtomicU64::new(args.first_seed),
            stop: AtomicBool::new(false),
            total: Mutex::default(),
        }
    }

    fn all(&self) {
        std::thread::scope(|scope| {
            for _ in 0..self.args.jobs {
                scope.spawn(|| {
                    while let Some(seed) = self.take_seed() {
                        self.one(seed)
                    }
                });
            }
        });
    }

    fn take_seed(&self) -> Option<u64> {
        let over = self.args.time.is_some_and(|time| self.begun.elapsed() >= time);
        if over || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
        let end = self.args.seeds.map(|seeds| self.args.first_seed.saturating_add(seeds));
        end.is_none_or(|end| seed < end).then_some(seed)
    }

    fn one(&self, seed: u64) {
        let ran = History::of_seed(seed).run();
        let mut total = self.total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.histories += 1;
        match ran {
            Ok(report) => {
                total.counts.add(&report.counts);
                let at = usize::try_from((seed - self.args.first_seed) / BLOCK).unwrap_or(0);
                if total.blocks.len() <= at {
                    total.blocks.resize(at + 1, (0, 0));
                }
                if let Some((count, digest)) = total.blocks.get_mut(at) {
                    *count += 1;
                    *digest = digest.wrapping_add(report.digest);
                }
            }
            Err(violation) => {
                self.stop.store(true, Ordering::Relaxed);
                if total.finding.as_ref().is_none_or(|(other, _)| seed < *other) {
                    total.finding = Some((seed, violation));
                }
            }
        }
    }

    fn tell(self) -> ExitCode {
        let (seconds, first) = (self.begun.elapsed().as_secs_f64(), self.args.first_seed);
        let total = self.total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Counts {
            steps,
            calls,
            crashes,
            openings,
            faults,
            poisonings,
            restores,
            shipments,
            rewritten,
            ..
        } = total.counts;
        if self.args.json {
            let blocks: Vec<String> = total
                .blocks
                .iter()
                .map(|(count, digest)| format!("[{count},\"{digest:016x}\"]"))
                .collect();
            let found =
                total.finding.as_ref().map_or_else(|| "null".into(), |(s, _)| s.to_string());
            say!(
                "{{\"first_seed\":{first},\"histories\":{},\"steps\":{steps},\"disk_calls\":{calls},\
                 \"crashes\":{crashes},\"openings\":{openings},\"faults\":{faults},\
                 \"failed_logs\":{poisonings},\"restores\":{restores},\"shipments\":{shipments},\
                 \"rewritten_segments\":{rewritten},\"failed_seed\":{found},\"block\":{BLOCK},\"blocks\":[{}]}}",
                total.histories,
                blocks.join(",")
            );
        } else {
            say!(
                "{} histories from seed {first} on: {steps} steps, {calls} calls of the disk, \
                 {crashes} crashes, {openings} openings, {faults} calls that met a fault, \
                 {poisonings} logs that failed, {restores} backups restored, {shipments} shipments \
                 to a copy, {rewritten} segments rewritten ({seconds:.1} s)",
                total.histories
            );
        }
        let Some((seed, violation)) = total.finding else {
            if !self.args.json {
                say!("no promise is broken");
            }
            return ExitCode::SUCCESS;
        };
        tell_finding(seed, &violation);
        ExitCode::FAILURE
    }
}

/// The seed, the shortest history that breaks the same promise, and how to run that again.
fn tell_finding(seed: u64, violation: &Violation) {
    say!("\nseed {seed}: {violation}\n");
    let short = History::of_seed(seed).shrink(violation.rule);
    let ids: Vec<String> = short.steps().iter().map(|step| step.id.to_string()).collect();
    match short.run() {
        Err(violation) => print_violation(&violation),
        Ok(_) => {
            say!("the shortened history breaks nothing: is something not decided by the seed?")
        }
    }
    say!("\nagain: cargo run --release -p walden-sim -- --seed {seed} --steps {}", ids.join(","));
}

fn print_violation(violation: &Violation) {
    say!("{violation}");
    for line in &violation.trace {
        say!("  {line}");
    }
}
