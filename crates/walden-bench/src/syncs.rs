//! Counts the system calls that make appends durable, by strace: what a store says is checked by what it does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::figures::{RATE, Result};
use crate::peers;
use crate::run::Bench;
use crate::subject::{Bare, Engine, Store, Strategy, Subject, Walden};

const CALLS: &str =
    "fsync,fdatasync,sync_file_range,msync,io_uring_enter,write,writev,pwrite64,pwritev,pwritev2";
const APPENDS: u64 = 960;

/// The table, as Markdown.
pub(crate) fn table(bench: &Bench) -> Result<String> {
    if !has_strace() {
        return Err("strace is needed, and not there".into());
    }
    let mut out = String::new();
    writeln!(
        out,
        "System calls of a whole run of {APPENDS} appends of 128 B, opening and closing included (`strace -f -c`). \
         Calls under `O_SYNC` show as writes.\n"
    )?;
    writeln!(
        out,
        "| store | threads | fsync | fdatasync | msync | io_uring_enter | writes | syncs for each append |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for (name, store) in stores() {
        for threads in [1, 8, 64] {
            let subject = Subject::Append { store, threads, payload: 128, batch: 1, most: APPENDS };
            let counts = match count(bench, &subject) {
                Ok(counts) => counts,
                Err(error) => {
                    writeln!(out, "| {name} | {threads} | failed: {error} | | | | | |")?;
                    continue;
                }
            };
            let of = |call: &str| counts.get(call).copied().unwrap_or_default();
            let writes: u64 =
                ["write", "writev", "pwrite64", "pwritev", "pwritev2"].map(of).iter().sum();
            let syncs = of("fsync") + of("fdatasync") + of("msync") + of("sync_file_range");
            writeln!(
                out,
                "| {name} | {threads} | {} | {} | {} | {} | {writes} | {:.3} |",
                of("fsync"),
                of("fdatasync"),
                of("msync"),
                of("io_uring_enter"),
                syncs as f64 / APPENDS as f64
            )?;
        }
    }
    Ok(out)
}

/// Those that say they are durable, and Walden's other strategies.
fn stores() -> Vec<(String, Store)> {
    let ours = |strategy, engine| Store::Walden(Walden::new(strategy, engine));
    let mut stores = vec![
        ("Walden Always".to_owned(), ours(Strategy::Always, Engine::Os)),
        ("Walden Always mmap".to_owned(), ours(Strategy::Always, Engine::Mmap)),
        ("Walden OsCache".to_owned(), ours(Strategy::OsCache, Engine::Os)),
        ("Walden OsCache mmap".to_owned(), ours(Strategy::OsCache, Engine::Mmap)),
        ("bare group commit".to_owned(), Store::Bare(Bare::Group)),
    ];
    for durable in [true, false] {
        for peer in peers::at_hand().into_iter().filter(|peer| peers::offers(*peer, durable)) {
            let promise = if durable { "durable" } else { "with the kernel" };
            stores.push((format!("{}, {promise}", peer.name()), Store::Peer { peer, durable }));
        }
    }
    stores
}

fn has_strace() -> bool {
    let mut command = Command::new("strace");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn count(bench: &Bench, subject: &Subject) -> Result<BTreeMap<String, u64>> {
    let summary = bench.dir.join("strace.txt");
    let strace: Vec<String> = ["strace", "-f", "-c", "-e", &format!("trace={CALLS}"), "-o"]
        .into_iter()
        .map(str::to_owned)
        .chain([path_text(&summary)])
        .collect();
    let figures = bench.measure_under(&strace, subject, 60.0)?;
    if figures.get(RATE).is_none_or(|rate| *rate <= 0.0) {
        return Err("nothing was appended".into());
    }
    Ok(counts(&std::fs::read_to_string(summary)?))
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The calls in strace's summary: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn counts(summary: &str) -> BTreeMap<String, u64> {
    summary
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let calls = fields.get(3)?.parse().ok()?;
            let name = fields.last()?;
            (*name != "total").then(|| ((*name).to_owned(), calls))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_understood() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 98.51    0.113312         118       960           fdatasync
  1.49    0.001716           1       961         2 pwrite64
------ ----------- ----------- --------- --------- ----------------
100.00    0.115028          59      1921         2 total
";
        let counts = counts(summary);
        assert_eq!(counts.len(), 2);
        assert_eq!((counts["fdatasync"], counts["pwrite64"]), (960, 961));
    }
}
