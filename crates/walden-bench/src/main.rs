//! Measures Walden beside bare loops of system calls: interleaved, several rounds, medians and ratios.
//!
//! A figure taken alone says little on a shared machine: each workload runs in turn with its baseline, and what
//! is quoted is the median of the ratios of the rounds, with their spread.
#![expect(clippy::print_stdout, reason = "a report is what it is for")]

mod baseline;
mod report;
mod workload;

use std::path::PathBuf;

use clap::Parser;

use crate::report::Table;
use crate::workload::{Case, cases};

/// Measures Walden beside bare loops.
#[derive(Debug, Parser)]
struct Args {
    /// A folder on the disk to be measured; a temporary one is made in it.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Rounds: each runs every case and its baseline once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds a case runs in a round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir_in(&args.dir)?;
    let cases: Vec<Case> =
        cases().into_iter().filter(|case| case.name.contains(&args.only)).collect();
    let mut table = Table::new(&cases);
    for round in 0..args.rounds {
        for (at, case) in cases.iter().enumerate() {
            // Which goes first changes each round, so that neither gains by it.
            let (mine, bare) = if round % 2 == 0 {
                let mine = case.run(dir.path(), args.seconds)?;
                (mine, case.run_baseline(dir.path(), args.seconds)?)
            } else {
                let bare = case.run_baseline(dir.path(), args.seconds)?;
                (case.run(dir.path(), args.seconds)?, bare)
            };
            table.add(at, mine, bare);
        }
    }
    print!("{table}");
    Ok(())
}
