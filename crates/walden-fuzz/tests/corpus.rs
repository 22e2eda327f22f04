//! The stored inputs of all fuzz targets, as ordinary tests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use walden_fuzz::TARGETS;

fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Each input by itself, so that the message of a failure names it.
fn replay(name: &str) {
    let (_, body) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let inputs = inputs(name);
    assert!(!inputs.is_empty(), "no input is stored for {name}");
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| body(&bytes));
        assert!(outcome.is_ok(), "{}", input.display());
    }
}

#[test]
fn record() {
    replay("record");
}

#[test]
fn folder() {
    replay("folder");
}

#[test]
fn index() {
    replay("index");
}

#[test]
fn manifest() {
    replay("manifest");
}

#[test]
fn cursors() {
    replay("cursors");
}

#[test]
fn frames() {
    replay("frames");
}

#[test]
fn operations() {
    replay("operations");
}

#[test]
fn consumers() {
    replay("consumers");
}
