//! The whole way from measuring to the page, with tiny logs.

#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::path::Path;
use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walden-bench")).args(args).output().unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn everything_runs_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (scratch, out_text) = (text(dir.path()), text(&out));
    let ran = bench(&["run", "--tiny", "--rounds", "1", "--dir", &scratch, "--out", &out_text]);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{stderr}");
    assert!(!stderr.contains("failed:"), "{stderr}");
    for wanted in ["## Where it stands", "## Reading", "| sustained, OsCache", "## Memory"] {
        assert!(stdout.contains(wanted), "{wanted} is not in {stdout}");
    }
    for plot in ["threads-kernel.svg", "latency-durable.png", "open.svg", "seek.png"] {
        assert!(out.join(plot).exists(), "{plot}");
    }
    let again = dir.path().join("again");
    let results = text(&out.join("results.json"));
    let reported = bench(&["report", &results, "--out", &text(&again)]);
    assert!(reported.status.success());
    let page = |dir: &Path| std::fs::read(dir.join("report.md")).unwrap();
    assert_eq!(page(&out), page(&again));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "the temporary folder is still there: {left:?}");
}

#[test]
fn wrong_arguments_are_refused_in_a_line() {
    for args in [
        vec!["run", "--seconds", "0"],
        vec!["run", "--rounds", "0"],
        vec!["run", "--quick", "--large"],
        vec!["nothing"],
    ] {
        assert_eq!(bench(&args).status.code(), Some(2), "{args:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let out = text(&dir.path().join("out"));
    let ran = bench(&["run", "--only", "no such case", "--out", &out]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("no such case"));
}

/// A peer in a program of its own stands in the tables by what that prints; of its memory nothing is known, and nothing said.
#[cfg(unix)]
#[test]
fn a_peer_that_is_a_program_stands_beside_the_others() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("peer");
    let script =
        "#!/bin/sh\nif [ \"$1\" = version ]; then echo 1.2.3; else echo 3000 1000000; fi\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = dir.path().join("out");
    let ran = Command::new(env!("CARGO_BIN_EXE_walden-bench"))
        .args(["run", "--tiny", "--rounds", "1", "--only", "1 thread, 128 B, single"])
        .args([Path::new("--dir"), dir.path(), Path::new("--out"), &out])
        .env("WALDEN_BENCH_GO", &program)
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let row = "\n| hungpdn/wal (Go) | 3.00 M | 3.00 M to 3.00 M |  |\n";
    assert!(page.contains(row), "{page}");
    assert!(page.contains("| hungpdn/wal (Go) 1.2.3 |"), "{page}");
}

/// The page in `docs/` is written by hand around the tables of a run: they are those of the files that lie beside it.
#[test]
fn the_page_in_the_docs_is_of_the_files_beside_it() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let files = ["results", "sweeps", "sustained"]
        .map(|name| text(&docs.join(format!("benchmarks/{name}.json"))));
    let dir = tempfile::tempdir().unwrap();
    let [results, sweeps, sustained] = &files;
    let reported = bench(&["report", results, sweeps, sustained, "--out", &text(dir.path())]);
    assert!(reported.status.success(), "{}", String::from_utf8_lossy(&reported.stderr));
    let page = std::fs::read_to_string(docs.join("benchmarks.md")).unwrap();
    let report = String::from_utf8(reported.stdout).unwrap();
    let rows: Vec<_> = report.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        assert!(page.lines().any(|line| line == row), "docs/benchmarks.md has no row {row}");
    }
}
