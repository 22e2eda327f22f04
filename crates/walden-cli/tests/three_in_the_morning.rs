//! Three in the morning: a log is damaged and its service is down. Each story is played by the commands that
//! the messages print, taken from them as they stand, and by nothing else.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use walden::{Config, ErrorKind, LogReader, Wal};

/// Runs a printed command line in a shell, with our `walden` before any other.
fn run(line: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_walden"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    Command::new("sh").args(["-c", line]).env("PATH", path).output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The command lines that begin with `begin`, as a message prints them: at the end of its line, or in the first
/// column of a table.
fn printed(text: &str, begin: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| Some(&line[line.find(begin)?..]))
        .map(|command| command.split("  ").next().unwrap().trim().to_owned())
        .collect()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn vector(name: &str, to: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../walden/tests/vectors").join(name);
    let log = to.join("log");
    std::fs::create_dir(&log).unwrap();
    for entry in std::fs::read_dir(from.join("log")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), log.join(entry.file_name())).unwrap();
    }
    log
}

/// Three segments of ours and some, closed.
fn made(to: &Path) -> PathBuf {
    let log = to.join("log");
    let wal = Wal::open(&log, Config::durable().segment_size(2000)).unwrap();
    for seq in 1..=60 {
        wal.append(format!("entry {seq} {}", "x".repeat(seq % 40))).unwrap();
    }
    wal.close().unwrap();
    log
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[byte] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn segment(log: &Path, ordinal: u64) -> PathBuf {
    log.join(format!("segment-{ordinal:04}.wal"))
}

/// From the first message to the plan: `cat` or opening names `verify`, `verify` names `repair`.
fn the_plan(log: &Path) -> String {
    let cat = run(&format!("walden cat {}", log.display()));
    let opened = Wal::open(log, Config::durable()).err();
    let first = match opened {
        Some(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            error.to_string()
        }
        None => {
            assert_eq!(code(&cat), 3, "{}", text(&cat));
            text(&cat)
        }
    };
    let mut message = first;
    // A message may name `repair` at once (a lost manifest); `verify` is asked all the same.
    if let Some(verify) = printed(&message, "walden verify").pop() {
        let output = run(&verify);
        assert_eq!(code(&output), 3, "{}", text(&output));
        message = text(&output);
    }
    let repair = printed(&message, "walden repair").pop().unwrap_or_else(|| panic!("{message}"));
    let plan = run(&repair);
    assert!([0, 3].contains(&code(&plan)), "{}", text(&plan));
    text(&plan)
}

/// Runs the first printed choice that holds `word`.
fn choose(plan: &str, word: &str) {
    let choices = printed(plan, "walden repair");
    let choice = choices.iter().find(|line| line.contains(word) && line.ends_with("--yes"));
    let output = run(choice.unwrap_or_else(|| panic!("no {word} in {plan}")));
    assert_eq!(code(&output), 0, "{}", text(&output));
}

/// The log serves again: it opens, takes an entry, and holds exactly these seq ids.
fn serves(log: &Path, seqs: impl IntoIterator<Item = u64>) {
    let wal = Wal::open(log, Config::durable()).unwrap();
    let next = wal.next_seq();
    assert_eq!(wal.append("the service is up again").unwrap(), next);
    wal.close().unwrap();
    let reader = LogReader::open(log).unwrap();
    for seq in seqs {
        assert!(reader.get(seq).unwrap().is_some(), "seq id {seq}");
    }
    assert_eq!(&reader.get(next).unwrap().unwrap().payload[..], b"the service is up again");
}

#[test]
fn a_flipped_bit_in_a_go_log_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = vector("flip-active", dir.path());
    let plan = the_plan(&log);
    assert!(plan.contains("196"), "{plan}");
    choose(&plan, "--accept-loss 196..=196");
    serves(&log, (1..=195).chain(197..=200));
    let lost = LogReader::open(&log).unwrap().get(196).unwrap_err();
    assert_eq!((lost.kind(), lost.seq(), lost.last_seq()), (ErrorKind::Lost, Some(196), Some(196)));
}

#[test]
fn a_flipped_bit_in_a_go_log_cut_away() {
    let dir = tempfile::tempdir().unwrap();
    let log = vector("flip-active", dir.path());
    choose(&the_plan(&log), "--cut-at");
    serves(&log, 1..=195);
    assert_eq!(LogReader::open(&log).unwrap().next_seq(), 197, "195 and the new one");
}

#[test]
fn torn_tails_are_no_damage() {
    for (name, last) in [("torn-tail", 199), ("torn-header", 199), ("zero-tail", 200)] {
        let dir = tempfile::tempdir().unwrap();
        let log = vector(name, dir.path());
        let verified = run(&format!("walden verify {}", log.display()));
        assert_eq!(code(&verified), 0, "{name}: {}", text(&verified));
        let cat = run(&format!("walden cat {} --format jsonl", log.display()));
        assert_eq!(code(&cat), 0, "{name}");
        assert_eq!(String::from_utf8_lossy(&cat.stdout).lines().count(), last, "{name}");
        serves(&log, 1..=last as u64);
    }
}

#[test]
fn a_flipped_bit_in_a_sealed_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    flip(&segment(&log, 1), 100);
    let plan = the_plan(&log);
    choose(&plan, "--accept-loss");
    let reader = LogReader::open(&log).unwrap();
    let lost: Vec<u64> = (1..=60)
        .filter(|seq| reader.get(*seq).is_err_and(|e| e.kind() == ErrorKind::Lost))
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?} of {plan}");
    serves(&log, (1..=60).filter(|seq| !lost.contains(seq)));
}

#[test]
fn a_flipped_bit_in_the_last_record_of_a_closed_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    let last = std::fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "wal"))
        .max()
        .unwrap();
    let len = usize::try_from(std::fs::metadata(&last).unwrap().len()).unwrap();
    flip(&last, len - 12);
    choose(&the_plan(&log), "--cut-at");
    serves(&log, 1..=59);
}

#[test]
fn a_missing_sealed_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    std::fs::remove_file(segment(&log, 1)).unwrap();
    choose(&the_plan(&log), "--accept-loss");
    let wal = Wal::open(&log, Config::durable()).unwrap();
    assert_eq!(wal.append("on").unwrap(), 61);
}

/// The number that a next segment would have.
fn next_ordinal(log: &Path) -> u64 {
    (0..).find(|ordinal| !segment(log, *ordinal).exists()).unwrap()
}

/// Restored under another name: what is cut away is a copy of what stays.
#[test]
fn a_doubled_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    std::fs::copy(segment(&log, 0), segment(&log, next_ordinal(&log))).unwrap();
    choose(&the_plan(&log), "--cut-at 61");
    serves(&log, 1..=60);
}

/// Restored into the wrong folder: the plan says which file must go, and takes nothing away itself.
#[test]
fn a_segment_of_another_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    let other = dir.path().join("other");
    let wal = Wal::open(&other, Config::durable()).unwrap();
    wal.append("of another log").unwrap();
    wal.close().unwrap();
    let stray = segment(&log, next_ordinal(&log));
    std::fs::copy(segment(&other, 0), &stray).unwrap();
    let plan = the_plan(&log);
    let refused = run(&format!("walden repair {} --cut-at 61 --yes", log.display()));
    assert_ne!(code(&refused), 0, "{}", text(&refused));
    assert!(text(&refused).contains(&format!("mv {} OUT", stray.display())), "{}", text(&refused));
    let moving = printed(&plan, "mv ").pop().unwrap_or_else(|| panic!("{plan}"));
    let output = run(&moving.replace("OUT", &dir.path().join("away").display().to_string()));
    assert_eq!(code(&output), 0, "{}", text(&output));
    serves(&log, 1..=60);
}

#[test]
fn a_lost_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    std::fs::remove_file(log.join("segment.manifest")).unwrap();
    let plan = the_plan(&log);
    choose(&plan, "--yes");
    serves(&log, 1..=60);
}

/// "Copy first": beside the damage, and the copy is as readable as the original.
#[test]
fn salvage_writes_what_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    flip(&segment(&log, 0), 300);
    let before = std::fs::read(segment(&log, 0)).unwrap();
    let out = dir.path().join("out");
    let output = run(&format!("walden salvage {} {}", log.display(), out.display()));
    assert!([0, 3].contains(&code(&output)), "{}", text(&output));
    assert_eq!(std::fs::read(segment(&log, 0)).unwrap(), before, "the source is untouched");
    let mut seen = 0;
    for run in std::fs::read_dir(&out).unwrap() {
        let path = run.unwrap().path();
        if path.is_dir() {
            let reader = LogReader::open(&path).unwrap();
            seen += reader.range(..).unwrap().filter(Result::is_ok).count();
        }
    }
    assert!(seen >= 40, "{seen} of 60");
    assert!(out.join("gaps.json").exists());
}

#[test]
fn a_copy_beside_a_live_writer() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let wal = Wal::open(&log, Config::durable().segment_size(2000)).unwrap();
    for seq in 1..=50 {
        wal.append(format!("entry {seq}")).unwrap();
    }
    let to = dir.path().join("copy");
    let output = run(&format!("walden copy {} {}", log.display(), to.display()));
    assert_eq!(code(&output), 0, "{}", text(&output));
    wal.append("beside").unwrap();
    let copy = Wal::open(&to, Config::durable()).unwrap();
    assert_eq!(copy.range(..).unwrap().filter(Result::is_ok).count(), 50);
}

#[test]
fn missing_in_front_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let log = made(dir.path());
    std::fs::remove_file(segment(&log, 0)).unwrap();
    let error = Wal::open(&log, Config::durable()).unwrap_err();
    let adopt = printed(&error.to_string(), "walden adopt").pop().unwrap();
    let plan = run(&adopt);
    let yes = if text(&plan).contains("--yes") { format!("{adopt} --yes") } else { adopt };
    let output = run(&yes);
    assert_eq!(code(&output), 0, "{}", text(&output));
    let wal = Wal::open(&log, Config::durable()).unwrap();
    assert!(wal.first_seq() > 1);
    assert_eq!(wal.append("on").unwrap(), 61);
}
