//! What was done to other logs, done to this one: files cut, flipped, zeroed, deleted, swapped and doubled, on a log
//! that was closed and on one whose process was killed; and a second writer.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use walden::{Config, ErrorKind, Wal};
use walden_sim::Rng;

use crate::Outcome;
use crate::child::Writer;
use crate::evidence::Evidence;
use crate::payload::Proof;
use crate::setup::{Files, Setup, Strategy};

/// Plays what broke other logs, and says what comes of it here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each fault is played on each kind of log.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    #[arg(long)]
    seed: Option<u64>,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

type Act = fn(&Path, &mut Rng) -> Outcome<()>;

const FAULTS: [(&str, Act); 13] = [
    ("a bit flips in the last record", |dir, rng| {
        flip(&wal(dir, LAST), last_record(dir)?, 20, rng)
    }),
    ("a bit flips in the middle", |dir, rng| flip(&wal(dir, 2), 0, 60_000, rng)),
    ("a page of zeros in the middle", zero_page),
    ("the tail is cut", cut_tail),
    ("garbage at the tail", garbage_tail),
    ("a huge size in the middle", |dir, _| huge(&wal(dir, 2), 0)),
    ("a huge size in the last record", |dir, _| huge(&wal(dir, LAST), last_record(dir)?)),
    ("a middle segment is deleted", |dir, _| Ok(std::fs::remove_file(wal(dir, 2))?)),
    ("two segments are swapped", swap),
    ("a segment is doubled over another", |dir, _| copy(&wal(dir, 1), &wal(dir, 2))),
    ("a segment is doubled at the end", |dir, _| copy(&wal(dir, 1), &wal(dir, LAST + 1))),
    ("foreign files lie in the folder", foreign),
    ("a second process writes", second_writer),
];

/// Segments 0 to 4, of which the last is the active one.
const LAST: u64 = 4;

fn wal(dir: &Path, ordinal: u64) -> PathBuf {
    dir.join(format!("segment-{ordinal:04}.wal"))
}

fn config() -> Config {
    Config::durable().segment_size(64 << 10)
}

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("play", args.seed);
    let mut rng = Rng::new(evidence.seed);
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    println!("| fault | log | outcome |\n|---|---|---|");
    for (name, act) in FAULTS {
        for closed in [true, false] {
            let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
            for round in 0..args.rounds {
                let outcome = play(act, closed, &mut rng).unwrap_or_else(|why| {
                    findings.push(format!("{name}, round {round}: {why}"));
                    format!("WRONG: {why}")
                });
                *outcomes.entry(outcome).or_default() += 1;
            }
            let log = if closed { "closed" } else { "killed" };
            let words: Vec<_> = outcomes.iter().map(|(what, n)| format!("{n}× {what}")).collect();
            println!("| {name} | {log} | {} |", words.join(", "));
            rows.push(json!({ "fault": name, "log": log, "outcomes": outcomes }));
        }
    }
    evidence.end(args.evidence.as_deref(), &Value::Array(rows), &findings)?;
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n").into()) }
}

fn play(act: Act, closed: bool, rng: &mut Rng) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("log");
    let log = Wal::open(&dir, config())?;
    let mut next = 1;
    while log.stats().rotations < LAST {
        next = log.append(Proof::single(next).payload())? + 1;
    }
    for _ in 0..20 {
        next = log.append(Proof::single(next).payload())? + 1;
    }
    // As a kill leaves it: the files as they are, while the log is open.
    let struck = if closed {
        log.close()?;
        dir
    } else {
        let begun = Instant::now();
        while log.stats().open_segments > 1 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let copy = folder.path().join("killed");
        std::fs::create_dir(&copy)?;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        copy
    };
    act(&struck, rng)?;
    judge(&struck, next)
}

/// All entries before `next` were acknowledged as durable. Either they are there, or somebody is told.
fn judge(dir: &Path, next: u64) -> Outcome<String> {
    let log = match Wal::open(dir, config()) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::Corrupt && error.file().is_some() => {
            return Ok(String::from("refused, with the file and what to do"));
        }
        Err(error) => return Err(error.into()),
    };
    let mut at = log.first_seq();
    for entry in log.range(..)? {
        match entry {
            Ok(entry) if entry.seq == at && Proof::of(&entry.payload)? == Proof::single(at) => {
                at += 1
            }
            Ok(entry) => return Err(format!("seq id {} where {at} should come", entry.seq).into()),
            Err(error) if error.kind() == ErrorKind::Corrupt && error.seq().is_some() => {
                return Ok(String::from("opened; reading stops there with file and seq id"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match log.recovery().cut {
        _ if log.first_seq() != 1 => Err("the beginning is gone".into()),
        None if at == next => Ok(String::from("nothing is lost")),
        Some(_) if at == next => Ok(String::from("cut off, kept aside; nothing is lost")),
        Some(cut) if cut.possibly_acknowledged.contains(&at) && !cut.kept_in.is_empty() => {
            Ok(String::from("cut off, kept aside, told as possibly acknowledged"))
        }
        other => Err(format!("ends before {at} and not {next}: {other:?}").into()),
    }
}

fn writable(path: &Path) -> Outcome<File> {
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}

/// Where the last record of the active segment begins, and so on back: its end is the last byte that is no zero.
fn last_record(dir: &Path) -> Outcome<u64> {
    let bytes = std::fs::read(wal(dir, LAST))?;
    let (mut at, mut last) = (0, 0);
    // A record's length stands in bytes 4 to 12 of its header; header and footer take 28.
    while let Some(field) = bytes.get(at + 4..at + 12) {
        let len =
            usize::try_from(field.iter().fold(0, |len: u64, byte| (len << 8) | u64::from(*byte)))?;
        if len == 0 {
            break;
        }
        (last, at) = (at, at + len + 28);
    }
    Ok(u64::try_from(last)?)
}

fn end(dir: &Path) -> Outcome<u64> {
    let bytes = std::fs::read(wal(dir, LAST))?;
    Ok(u64::try_from(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1))?)
}

fn flip(path: &Path, from: u64, len: u64, rng: &mut Rng) -> Outcome<()> {
    let (file, at, mut byte) = (writable(path)?, from + rng.below(len), [0]);
    file.read_exact_at(&mut byte, at)?;
    let flipped = byte.map(|byte| byte ^ (1 << rng.below(8)));
    Ok(file.write_all_at(&flipped, at)?)
}

fn zero_page(dir: &Path, rng: &mut Rng) -> Outcome<()> {
    Ok(writable(&wal(dir, 2))?.write_all_at(&[0; 4096], 4096 * rng.below(10))?)
}

fn cut_tail(dir: &Path, rng: &mut Rng) -> Outcome<()> {
    Ok(writable(&wal(dir, LAST))?.set_len(end(dir)? - 1 - rng.below(100))?)
}

fn garbage_tail(dir: &Path, rng: &mut Rng) -> Outcome<()> {
    let mut garbage = [0; 500];
    rng.fill(&mut garbage);
    Ok(writable(&wal(dir, LAST))?.write_all_at(&garbage, end(dir)?)?)
}

fn huge(path: &Path, record: u64) -> Outcome<()> {
    Ok(writable(path)?.write_all_at(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], record + 4)?)
}

fn swap(dir: &Path, _: &mut Rng) -> Outcome<()> {
    let aside = dir.join("aside");
    std::fs::rename(wal(dir, 1), &aside)?;
    std::fs::rename(wal(dir, 2), wal(dir, 1))?;
    Ok(std::fs::rename(aside, wal(dir, 2))?)
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::copy(from, to)?;
    Ok(())
}

fn foreign(dir: &Path, _: &mut Rng) -> Outcome<()> {
    for name in ["notes.txt", "segment-abcd.wal", "segment-00001.wal", "other-0001.wal"] {
        std::fs::copy(wal(dir, 0), dir.join(name))?;
    }
    Ok(())
}

/// While the log is open here, another process is started on it. It must not come to write.
fn second_writer(dir: &Path, _: &mut Rng) -> Outcome<()> {
    let log = Wal::open(dir, config())?;
    let setup = Setup { dir: dir.to_owned(), strategy: Strategy::Always, engine: Files::Os };
    let mut command = vec![String::from("writer")];
    command.extend(setup.args());
    command.extend([String::from("--begin=1000000"), String::from("--seed=1")]);
    let mut second = Writer::spawn(&command)?;
    let ended_by_itself = second.ends_within(Duration::from_secs(60))?;
    let ended = second.kill()?;
    let us = format!("process {}", std::process::id());
    if !ended_by_itself || !ended.told.is_empty() || !ended.errors.contains(&us) {
        return Err(format!("the second writer: {}: {}", ended.status, ended.errors).into());
    }
    Ok(log.close()?)
}
