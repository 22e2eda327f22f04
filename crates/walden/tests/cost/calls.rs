//! System calls of the real thing, with its threads, counted by strace.
//!
//! Two runs that differ only in how often they append: opening, closing and the test's own start cancel out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::child::run_under;
use super::{RECORD, skipped};

/// What neither strategy nor disk asks for: an allocator that grows, a thread that wakes.
const STRAY: u64 = 60;

/// What work on `count` entries asks the kernel for, by name.
fn calls(dir: &Path, work: &str, way: &str, count: usize) -> BTreeMap<String, u64> {
    let table = dir.join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&table);
    run_under(&mut strace, dir, (work, way, "thread"), count);
    let table = std::fs::read_to_string(table).unwrap();
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (words.last()?, words.get(3)?.parse().ok()?);
        (*name != "total").then(|| ((*name).to_owned(), calls))
    });
    rows.collect()
}

/// Checks that `count` appends ask for what `expected` says, and hardly anything else: but what the log's own thread
/// may do `ahead` of them, in one of the two runs or in both.
fn check(way: &str, count: usize, expected: &[(&str, u64)], ahead: u64) {
    if !may_trace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // As many appends before: what a log asks for only once is the same in both.
    let few = calls(dir.path(), "append", way, 1000);
    let mut many = calls(dir.path(), "append", way, 1000 + count);
    for (name, calls) in few {
        let more = many.entry(name).or_default();
        *more = more.saturating_sub(calls);
    }
    for (name, expected) in expected {
        let found = many.remove(*name).unwrap_or_default();
        let slack = expected / 50 + 2 + ahead;
        assert!(found.abs_diff(*expected) <= slack, "{way}: {found} {name}, {expected} expected");
    }
    let stray: u64 = many.values().sum();
    many.retain(|_, calls| *calls > 0);
    assert!(stray <= STRAY, "{way}: {stray} calls that an append has no need of: {many:?}");
}

fn may_trace() -> bool {
    match Command::new("strace").args(["-c", "-o", "/dev/null", "true"]).output() {
        Err(error) => skipped(&format!("strace cannot be run: {error}")),
        Ok(out) if !out.status.success() => skipped("strace may not trace here"),
        Ok(_) => return true,
    }
    false
}

#[test]
fn background_writes_whole_buffers() {
    check("Background", 10_000, &[("pwrite64", 10_000 * RECORD / (64 << 10))], 0);
}

#[test]
fn os_cache_writes_once_an_append() {
    check("OsCache", 10_000, &[("pwrite64", 10_000)], 0);
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn os_cache_with_a_mapping_asks_for_pages_only() {
    // By the append where it comes first, 64 KiB at a time; by the log's thread ahead of it, in larger pieces, and up to
    // 2 MiB in two files.
    let most = 10_000 * RECORD / (64 << 10);
    check("OsCache+mmap", 10_000, &[("madvise", most / 2)], most / 2 + 2 * 2048 / 256);
}

/// The record, the sync, the mark.
#[test]
fn always_writes_twice_and_syncs_once() {
    check("Always", 1000, &[("pwrite64", 2000), ("fdatasync", 1000)], 0);
}

/// 128 KiB at a time, but for the first blocks; with either engine.
#[test]
fn reading_backwards_asks_the_kernel_ahead() {
    if !may_trace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for way in ["OsCache", "OsCache+mmap"] {
        let calls = calls(dir.path(), "back", way, 10_000);
        let asked = calls.get("fadvise64").copied().unwrap_or_default();
        let least = 10_000 * RECORD / (128 << 10) - 1;
        assert!((least..2 * least).contains(&asked), "{way}: {asked} of {least}");
    }
}
