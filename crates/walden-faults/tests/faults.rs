//! Each command, for a moment. How to run them for longer: `cargo run --release -p walden-faults -- --help`.
//!
//! What needs root, loop devices or supervised system calls says `skipped: ` where they are missing.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![expect(clippy::print_stdout, reason = "what is skipped is said")]

use std::process::{Command, Output};

fn faults(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_walden-faults")).args(args).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    output
}

fn passes(args: &[&str]) {
    let output = faults(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn kills() {
    passes(&["kill", "--kills", "100"]);
}

#[test]
fn power_cuts() {
    passes(&["power", "--rounds", "2"]);
}

#[test]
fn failing_calls() {
    passes(&["calls", "--sample", "--places", "2"]);
}

#[test]
fn full_disks() {
    passes(&["full", "--sample"]);
}

#[test]
fn everything_at_once() {
    passes(&["soak", "--minutes", "0.3"]);
}

#[test]
fn what_broke_others() {
    passes(&["play", "--rounds", "3"]);
}

/// Bad arguments: a line, and exit code 2.
#[test]
fn bad_arguments() {
    for args in [&["kill", "--kills", "many"][..], &["strike"], &[], &["soak", "--minutes", "0"]] {
        let output = faults(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}
