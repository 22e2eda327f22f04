//! The work that is counted from outside: this test's own program, started again under strace or valgrind.

use std::path::Path;
use std::process::{Command, Output};

use walden::{Maintenance, Wal};

use super::{PAYLOAD, Way};

const CHILD: &str = "WALDEN_COST_CHILD";

/// Entries of each batch.
pub(crate) const BATCH: usize = 64;

/// What the child does: not a test of its own.
#[test]
fn child() {
    let Ok(args) = std::env::var(CHILD) else { return };
    let mut args = args.splitn(5, ':');
    let mut next = || args.next().expect("work:way:maintenance:count:dir");
    let (work, way, maintenance) = (next(), Way::named(next()), next());
    let count: usize = next().parse().unwrap();
    let config = match maintenance {
        "manual" => way.config().maintenance(Maintenance::Manual).segment_size(16 << 20),
        _ => way.config(),
    };
    let wal = Wal::open(next(), config).expect("the child opens the log");
    assert_eq!(wal.stats().mapped, way.name.ends_with("mmap"), "the engine that was asked for");
    let payload = vec![7; PAYLOAD];
    // Buffers get their size.
    for _ in 0..count.min(1000) {
        wal.append(&payload).unwrap();
    }
    match work {
        "append" => counted_appends(&wal, &payload, count),
        "batch" => counted_batches(&wal, &[payload.as_slice(); BATCH], count),
        "read" => {
            for _ in 0..count {
                wal.append(&payload).unwrap();
            }
            counted_reads(&wal, count);
        }
        "back" => {
            counted_appends(&wal, &payload, count - count.min(1000));
            let mut reader = wal.reader_at(wal.next_seq()).unwrap();
            while reader.read_prev().unwrap().is_some() {}
        }
        "killed" => std::process::abort(),
        other => panic!("{other}"),
    }
}

/// Callgrind counts within functions of these names.
#[inline(never)]
fn counted_appends(wal: &Wal, payload: &[u8], count: usize) {
    for _ in 0..count {
        wal.append(payload).unwrap();
    }
}

#[inline(never)]
fn counted_batches(wal: &Wal, batch: &[&[u8]], count: usize) {
    for _ in 0..count / batch.len() {
        wal.append_batch(batch).unwrap();
    }
}

#[inline(never)]
fn counted_reads(wal: &Wal, count: usize) {
    let mut reader = wal.reader();
    for _ in 0..count {
        assert!(reader.read_next().unwrap().is_some());
    }
}

/// Runs `work` `count` times on a new log, under a program that looks on.
pub(crate) fn run_under(
    watcher: &mut Command,
    dir: &Path,
    (work, way, maintenance): (&str, &str, &str),
    count: usize,
) -> Output {
    let log = dir.join(format!("{work}-{way}-{count}"));
    let program = std::env::current_exe().unwrap();
    let out = does(watcher.arg(program), &log, (work, way, maintenance), count);
    assert!(out.status.success(), "{work}, {way}: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::remove_dir_all(log).unwrap();
    out
}

/// Has some thousand entries appended to `log` by a process that is gone then, with nothing closed.
pub(crate) fn killed(log: &Path, way: &str) {
    let program = std::env::current_exe().unwrap();
    let out = does(&mut Command::new(program), log, ("killed", way, "thread"), 1000);
    assert!(!out.status.success() && log.exists(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// What the program prints that does the child's work on `log`.
fn does(
    program: &mut Command,
    log: &Path,
    (work, way, maintenance): (&str, &str, &str),
    count: usize,
) -> Output {
    let args = format!("{work}:{way}:{maintenance}:{count}:{}", log.display());
    let child = program.args(["--exact", "child::child", "--test-threads=1"]);
    child.env(CHILD, args).output().unwrap()
}
