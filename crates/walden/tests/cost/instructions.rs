//! Instructions of an append and of a read, counted by callgrind in a release build.
//!
//! They are the same from run to run, but another compiler or C library counts differently by some per cent. So a
//! figure may rise by a tenth; beyond that somebody has to look, and to write it anew if it is meant.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::child::run_under;
use super::{figures, skipped};

const FIGURES: &str = "instructions.txt";
/// How much more than kept is still taken, in per cent.
const MARGIN: u64 = 10;

/// Work, way, and how often.
const CASES: [(&str, &str, usize); 8] = [
    ("append", "Background", 20_000),
    ("append", "OsCache", 20_000),
    ("append", "OsCache+mmap", 20_000),
    ("append", "Always", 500),
    ("batch", "Background", 20_000),
    ("batch", "OsCache", 20_000),
    ("batch", "OsCache+mmap", 20_000),
    ("read", "OsCache", 20_000),
];

/// Instructions of one append, or of one entry of a batch or a read.
fn instructions(dir: &Path, (work, way, count): (&str, &str, usize)) -> u64 {
    let out = dir.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--toggle-collect=*counted_*"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    run_under(&mut valgrind, dir, (work, way, "manual"), count);
    let text = std::fs::read_to_string(out).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.and_then(|total| total.trim().parse().ok()).expect("a total");
    assert!(total > 0, "nothing was counted");
    total / count as u64
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output().map(|out| out.stdout);
    String::from_utf8(version.unwrap_or_default()).unwrap().trim().to_owned()
}

/// The figures by name, and the compiler they were counted with.
fn kept() -> (BTreeMap<String, u64>, String) {
    let text = figures::kept(FIGURES);
    let compiler = text.lines().find_map(|line| line.strip_prefix("# Counted with "));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.filter_map(|line| {
        let (name, count) = line.rsplit_once(' ')?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    });
    (rows.collect(), compiler.unwrap_or("an unknown compiler").to_owned())
}

#[test]
fn no_more_instructions_than_before() {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        return skipped(&format!("valgrind cannot be run: {error}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let (kept, kept_compiler) = kept();
    let compiler = compiler();
    let mut text = format!(
        "# Instructions of each append, and of each entry of a batch of 64 or a read; 128 bytes each.\n\
         # A tenth more fails.\n\
         # Written anew by: WALDEN_BLESS=1 cargo test --release -p walden --test cost\n\
         # Counted with {compiler}\n"
    );
    let mut wrong = Vec::new();
    for case in CASES {
        let name = format!("{} {}", case.0, case.1);
        let now = instructions(dir.path(), case);
        text += &format!("{name:<22} {now}\n");
        let before = kept.get(&name).copied().unwrap_or(0);
        println!("{name}: {now}, kept {before}");
        if now * 100 > before * (100 + MARGIN) {
            wrong.push(format!("{name}: {now} instructions, {before} before"));
        }
    }
    if figures::blessing() {
        return figures::keep(FIGURES, &text);
    }
    assert!(
        wrong.is_empty(),
        "{}\n{FIGURES} was counted with {kept_compiler}, this with {compiler}. If it is meant: \
         WALDEN_BLESS=1 cargo test --release -p walden --test cost",
        wrong.join("\n")
    );
}
