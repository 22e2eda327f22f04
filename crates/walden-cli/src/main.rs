//! The `walden` command: a write-ahead log from the shell.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod context;
mod exit;
mod framing;
#[cfg(test)]
mod fuzzing;
mod output;
mod signal;
mod size;

use std::process::ExitCode;

use crate::exit::Code;

fn main() -> ExitCode {
    signal::install();
    let code = run();
    signal::end_if_terminated();
    code
}

fn run() -> ExitCode {
    let (global, command) = match args::parse() {
        Ok(parsed) => parsed,
        Err(code) => return code.into(),
    };
    let context = context::Context::new(global);
    let outcome = command.run(&context).and_then(|code| context.out.finish().map(|()| code));
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            // What was read before the failure is already on its way; the failure is what counts now.
            let flushed = context.out.finish();
            failure.report(&context.out);
            if failure.code == Code::Error && flushed.is_err_and(|other| other.code == Code::Fine) {
                return Code::Fine.into();
            }
            failure.code.into()
        }
    }
}
