//! The command's own files, since the command is no library.
#![no_main]
#![allow(dead_code, reason = "a part of the command is asked")]

#[path = "../../crates/walden-cli/src/args.rs"]
mod args;
#[path = "../../crates/walden-cli/src/commands/mod.rs"]
mod commands;
#[path = "../../crates/walden-cli/src/context.rs"]
mod context;
#[path = "../../crates/walden-cli/src/exit.rs"]
mod exit;
#[path = "../../crates/walden-cli/src/framing.rs"]
mod framing;
#[path = "../../crates/walden-cli/src/fuzzing.rs"]
mod fuzzing;
#[path = "../../crates/walden-cli/src/output.rs"]
mod output;
#[path = "../../crates/walden-cli/src/signal.rs"]
mod signal;
#[path = "../../crates/walden-cli/src/size.rs"]
mod size;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::arguments(data));
