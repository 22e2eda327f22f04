//! Histories of a log against a model: everything a log can do, on a disk that fails, fills up, loses power and
//! is opened again, with the promises checked after every step: the watermarks, what is stored beside the log, an entry,
//! and that nobody else can write. All of the log is read after each recovery and every sixteenth step, in one history of
//! eight after every step; while a fault is set, only what costs no call of the disk is looked at.
//! At every call of the disk, which locks are held.
//!
//! A history comes from a seed ([`History::of_seed`]) or is written down ([`History::new`]). Its steps are plain
//! data, so that one that fails can be shrunk ([`History::shrink`]) to a few steps that fail in the same way.
//! Nothing in it takes time, order or chance from the machine: the same history gives the same bytes.
//!
//! ```
//! use walden::SyncStrategy;
//! use walden_sim::workload::{History, Op, Setup};
//!
//! let report = History::of_seed(1).run().expect("no promise is broken");
//! assert_eq!(report, History::of_seed(1).run().unwrap());
//!
//! // Cut off at each call of the disk, with the images that a power cut can leave there.
//! let ops = [Op::Append { len: 20 }, Op::Back { at: 0 }];
//! let history = History::new(Setup::new(SyncStrategy::Always, 100), ops);
//! let images = history.every_crash(10).expect("no promise is broken");
//! assert!(images > 20);
//! ```
//!
//! `cargo run --release -p walden-sim -- --help` runs many of them.

mod apply;
mod consumer;
mod enumerated;
mod generate;
mod held;
mod lz4;
mod mirror;
mod model;
mod mount;
mod op;
mod raw;
mod read;
mod recovery;
mod rot;
mod run;
mod tail;
#[cfg(test)]
mod tests;
mod violation;
mod way;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use self::op::{Crash, Op, Opening, Setup, Step};
use self::run::{Run, last_calls};
pub use self::violation::{Rule, Violation};
use crate::SimDisk;
use crate::shrink::shrink;

/// Where the log lies on its disk.
const DIR: &str = "/log";

/// What a history did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Steps.
    pub steps: u64,
    /// Mutating calls of the disk.
    pub calls: u64,
    /// Crashes: kills and power cuts.
    pub crashes: u64,
    /// Openings of the log after the first one, those that crashed or failed among them.
    pub openings: u64,
    /// Calls that met a fault.
    pub faults: u64,
    /// Times that a fault was final for the log.
    pub poisonings: u64,
    /// Backups that took the folder's place.
    pub restores: u64,
    /// Shipments to a copy.
    pub shipments: u64,
    /// Segments that were compressed, or stored as before, while the log was closed.
    pub rewritten: u64,
}

impl Counts {
    /// Adds those of another history.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.calls += other.calls;
        self.crashes += other.crashes;
        self.openings += other.openings;
        self.faults += other.faults;
        self.poisonings += other.poisonings;
        self.restores += other.restores;
        self.shipments += other.shipments;
        self.rewritten += other.rewritten;
    }
}

/// A history that broke no promise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What was done.
    pub counts: Counts,
    /// A number that all bytes on the disk at the end, all its calls and all that the log said went into.
    pub digest: u64,
}

/// A log's setup, and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    setup: Setup,
    steps: Vec<Step>,
}

impl History {
    /// The history of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let (setup, steps) = generate::history(seed);
        Self { setup, steps }
    }

    /// A history as it is given.
    #[must_use]
    pub fn new(setup: Setup, ops: impl IntoIterator<Item = Op>) -> Self {
        let steps = ops.into_iter().zip(1..).map(|(op, id)| Step { id, op }).collect();
        Self { setup, steps }
    }

    /// The same with those of its steps that have these numbers.
    #[must_use]
    pub fn only(mut self, ids: &[u64]) -> Self {
        self.steps.retain(|step| ids.contains(&step.id));
        self
    }

    /// How the log is set up.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What is done.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Runs it.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn run(&self) -> Result<Report, Violation> {
        let mut run = None;
        // The log's own panic is a finding like any other.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let run = run.insert(Run::new(self.setup)?);
            self.steps.iter().try_for_each(|step| run.step(step))?;
            run.end()
        }));
        let ran = ran.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            violation::broken(Rule::Panic, words.unwrap_or("without words"))
        });
        let Some(run) = run else { return ran.map(|()| Report::default_of(0)) };
        match ran {
            Ok(()) => {
                let calls = run.disk.op_log();
                let digest = digest(&run.disk, &run.trace, &calls);
                let mut counts = run.counts.clone();
                counts.calls += run.disk.mutations();
                counts.faults += run.disk.faults_met();
                Ok(Report { counts, digest })
            }
            Err(mut violation) => {
                violation.trace.clone_from(&run.trace);
                let calls = run.before.into_iter().chain(last_calls(&run.disk));
                violation.trace.extend(calls.map(|call| format!("       disk {call}")));
                // What is left of the log is not closed: the disk it is on is evidence.
                run.disk.stop_after(0);
                Err(violation)
            }
        }
    }

    /// The shortest that was found of the histories that break the same promise: this one with steps left out.
    #[must_use]
    pub fn shrink(&self, rule: Rule) -> Self {
        let steps = shrink(&self.steps, |steps| {
            let history = Self { setup: self.setup, steps: steps.to_vec() };
            history.run().is_err_and(|violation| violation.rule == rule)
        });
        Self { setup: self.setup, steps }
    }
}

impl Report {
    fn default_of(digest: u64) -> Self {
        Self { counts: Counts::default(), digest }
    }
}

/// FNV-1a over everything.
fn digest(disk: &SimDisk, trace: &[String], calls: &[String]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for path in disk.files() {
        add(path.as_os_str().as_encoded_bytes());
        add(&disk.read_file(&path).unwrap_or_default());
    }
    trace.iter().chain(calls).for_each(|line| add(line.as_bytes()));
    hash
}
