//! Real faults under the real log: processes killed, filesystems shut down, system calls that fail, disks that are
//! full. What a simulated disk leaves out (the kernel, the filesystem, signals, threads) is in here; what the
//! kernel never does on demand is in `walden-sim`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report is what it is for")]
#![expect(
    clippy::indexing_slicing,
    reason = "a command of the project's own: a panic is a finding"
)]

#[cfg(target_os = "linux")]
mod child;
mod event;
mod evidence;
mod kill;
mod machine;
mod model;
mod payload;
mod power;
mod setup;
mod sys;
mod volume;
mod writer;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What can fail, with whatever says why.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Real faults under the real log.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Kill(kill::Args),
    Power(power::Args),
    /// What the others start: not for you.
    #[command(hide = true)]
    Writer(writer::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Kill(args) => kill::run(&args),
        Command::Power(args) => power::run(&args),
        Command::Writer(args) => writer::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
