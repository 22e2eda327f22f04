//! `walden bench` as its users meet it: figures, and a folder that is left as it was however it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_walden");

fn bench(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("bench").arg(dir).args(args).stdin(Stdio::null());
    command
}

/// A folder that has a log in it.
fn place() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("segment-0000.wal"), "not to be touched").unwrap();
    dir
}

#[track_caller]
fn is_as_before(dir: &TempDir) {
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["segment-0000.wal"]);
    let text = fs::read_to_string(dir.path().join("segment-0000.wal")).unwrap();
    assert_eq!(text, "not to be touched");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn ended(out: Output, code: i32) -> (String, String) {
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

#[test]
fn figures_for_programs() {
    let dir = place();
    let args = ["--seconds", "1", "--threads", "2", "--payload", "1KiB", "--json"];
    let (stdout, stderr) = ended(bench(dir.path(), &args).output().unwrap(), 0);
    assert_eq!(stderr, "");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["payload_bytes"], 1024);
    assert_eq!(told["threads"], 2);
    assert!(told["sequential_bytes_per_second"].as_u64().unwrap() > 0);
    for (part, name) in [
        ("sync", "growing"),
        ("sync", "overwritten"),
        ("log", "always"),
        ("log", "always_threads"),
        ("log", "always_tickets"),
        ("log", "os_cache"),
        ("log", "os_cache_threads"),
        ("log", "background"),
    ] {
        let timed = &told[part][name];
        let of = |name: &str| timed[name].as_u64().expect(name);
        assert!(of("per_second") > 0, "{name}");
        assert!(0 < of("p50_ns") && of("p50_ns") <= of("p99_ns"), "{name}: {timed}");
        assert!(of("p99_ns") <= of("p999_ns") && of("p999_ns") <= of("max_ns"), "{name}: {timed}");
    }
    assert!(!told["advice"].as_array().unwrap().is_empty());
    is_as_before(&dir);
}

#[test]
fn a_table_for_people_without_colours_or_progress() {
    let dir = place();
    let (stdout, stderr) = ended(bench(dir.path(), &["--seconds", "1"]).output().unwrap(), 0);
    assert_eq!(stderr, "");
    assert!(!stdout.contains('\u{1b}'), "{stdout}");
    for row in ["sync, file grows", "Always, 8 threads", "Always, 64 tickets", "Background"] {
        assert!(stdout.contains(row), "{row} is not in {stdout}");
    }
    assert!(stdout.contains('█') && stdout.contains("\n- "), "{stdout}");
    is_as_before(&dir);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = place();
    for args in [
        &["--seconds", "0"][..],
        &["--threads", "1"],
        &["--payload", "0"],
        &["--payload", "2MiB"],
        &["--quick", "--seconds", "9"],
    ] {
        ended(bench(dir.path(), args).output().unwrap(), 2);
    }
    let missing = dir.path().join("missing");
    let (_, stderr) = ended(bench(&missing, &["--json"]).output().unwrap(), 1);
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["kind"], "NotFound");
    let file = dir.path().join("segment-0000.wal");
    let (_, stderr) = ended(bench(&file, &[]).output().unwrap(), 1);
    assert!(stderr.contains("not a folder"), "{stderr}");
    is_as_before(&dir);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let dir = place();
    let mut child = bench(dir.path(), &["--seconds", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let (_, stderr) = ended(child.wait_with_output().unwrap(), 0);
    assert_eq!(stderr, "");
    is_as_before(&dir);
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_nothing_behind() {
    use std::time::{Duration, Instant};
    let dir = place();
    let child = bench(dir.path(), &["--seconds", "600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while fs::read_dir(dir.path()).unwrap().count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let (_, stderr) = ended(child.wait_with_output().unwrap(), 130);
    assert!(stderr.contains("Ctrl-C"), "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(300), "it did not go on to the end");
    is_as_before(&dir);
}

/// The default action of the signal, but for the folder.
#[test]
fn sigterm_ends_it_and_leaves_nothing_behind() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};

    let dir = place();
    let mut child = bench(dir.path(), &["--seconds", "600"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while fs::read_dir(dir.path()).unwrap().count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    is_as_before(&dir);
}

/// In a mount namespace of its own: too little memory, and enough.
#[test]
#[cfg(target_os = "linux")]
fn a_small_disk_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("mnt")).unwrap();
    let script = "mount -t tmpfs -o size=$1 none mnt && echo mounted >&2 || exit 99; shift; \
                  \"$0\" bench mnt \"$@\"; status=$?; ls -A mnt; exit $status";
    let run = |size: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, PROGRAM, size]);
        command.args(["--seconds", "1"]).current_dir(dir.path()).output()
    };
    let Ok(out) = run("2m") else { return skip("there is no unshare") };
    if !text(&out.stderr).contains("mounted") {
        return skip("this machine gives no mount namespace");
    }
    let (stdout, stderr) = ended(out, 1);
    assert!(stderr.contains("are free, and measuring needs 32.0 MiB"), "{stderr}");
    assert_eq!(stdout, "", "nothing is left");
    let (stdout, _) = ended(run("64m").unwrap(), 0);
    assert!(stdout.contains("This is tmpfs: memory"), "{stdout}");
    assert!(!stdout.contains("walden-bench-"), "nothing is left: {stdout}");
}

/// Passes, and says why; fails where nothing may be skipped.
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn skip(reason: &str) {
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}
