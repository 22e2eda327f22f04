//! Real faults under the real log: processes killed, filesystems shut down, system calls that fail, disks that are
//! full. What a simulated disk leaves out (the kernel, the filesystem, signals, threads) is in here; what the
//! kernel never does on demand is in `walden-sim`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report is what it is for")]
#![expect(
    clippy::indexing_slicing,
    reason = "a command of the project's own: a panic is a finding"
)]

#[cfg(target_os = "linux")]
mod calls;
mod child;
mod event;
mod evidence;
mod full;
mod kill;
mod machine;
mod model;
mod payload;
mod play;
mod power;
mod setup;
mod soak;
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
    Calls(calls::Args),
    Full(full::Args),
    Kill(kill::Args),
    Play(play::Args),
    Power(power::Args),
    Soak(soak::Args),
    /// What the others start: not for you.
    #[command(hide = true)]
    Writer(writer::Args),
    /// Likewise.
    #[command(hide = true)]
    Victim(calls::victim::Args),
    /// Likewise.
    #[command(hide = true)]
    Leaver(calls::left::Args),
    /// Likewise.
    #[command(hide = true)]
    Filler(full::filler::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Calls(args) => calls::run(&args),
        Command::Victim(args) => calls::victim::run(args),
        Command::Leaver(args) => calls::left::run(args),
        Command::Full(args) => full::run(&args),
        Command::Filler(args) => full::filler::run(args),
        Command::Kill(args) => kill::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Play(args) => play::run(&args),
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
