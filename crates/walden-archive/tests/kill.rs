//! `kill -9`, for real: a child appends to a log, ships it to a folder and removes from the log what is there, and writes
//! each fact to a pipe; it is killed at a random moment, again and again, and the next one goes on. Each time the
//! archive is whole, and each entry is in it or in the log.
//!
//! The child is this test's own program. `WALDEN_SEED=n` replays the moments, `WALDEN_ROUNDS=n` asks for more.
#![cfg(all(unix, feature = "fs"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use walden::{Config, Mode, Retention, Wal};
use walden_archive::{
    Archive, Archiver, ArchiverOptions, Depth, ErrorKind, StoreOptions, Until, Verified,
};
use walden_sim::Rng;

const CHILD: &str = "WALDEN_ARCHIVE_CHILD";
/// How long it goes on, unless more rounds are asked for.
const AT_MOST: Duration = Duration::from_secs(9);
/// How long a child may take from one line to the next.
const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> Config {
    // Small segments, so that some are complete, and go, all the time.
    Config::durable().mode(Mode::Debug).segment_size(8_000)
}

fn open(dir: &Path) -> Wal {
    Wal::open(dir.join("log"), config()).unwrap()
}

fn archive(dir: &Path) -> Archive {
    Archive::in_folder(dir.join("bucket"), StoreOptions::default()).unwrap()
}

/// An archiver that keeps the log from removing what is not shipped.
fn archiver(dir: &Path, wal: &Wal) -> Archiver {
    // Small objects, so that there are several in a round, and some are put together.
    let options = ArchiverOptions::default().tail(true).chunk_bytes(6_000).parallel(3);
    Archiver::new(&archive(dir), wal.clone(), options).unwrap().hold("archive").unwrap()
}

fn payload(seq: u64) -> String {
    format!("entry {seq} {}", "x".repeat(usize::try_from(seq * 7919 % 211).unwrap()))
}

/// What the child does: not a test of its own.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = Path::new(&dir);
    // The raw descriptor: the test harness captures what goes through std's stdout.
    let mut pipe = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").unwrap();
    let mut say = |fact: String| pipe.write_all(format!("{fact}\n").as_bytes()).unwrap();
    say("opening".into());
    let wal = open(dir);
    say("taking-over".into());
    let mut archiver = archiver(dir, &wal);
    for step in 1_u64.. {
        say("appending".into());
        for _ in 0..8 {
            wal.append(payload(wal.next_seq())).unwrap();
        }
        // Several segments, so that some could go before they are shipped.
        for _ in 0..5 {
            let next = wal.next_seq();
            wal.append_batch((next..next + 40).map(payload)).unwrap();
        }
        say(format!("appended {}", wal.next_seq()));
        say("shipping".into());
        archiver.ship(&mut |_| {}).unwrap();
        say(format!("archived {}", archiver.archived()));
        say("removing".into());
        wal.retain(&Retention::keep_all().max_segments(1)).unwrap();
        if step % 4 == 0 {
            say("sweeping".into());
            archiver.sweep().unwrap();
        }
    }
}

/// What the children were told, and where they were when they were killed.
#[derive(Debug, Default)]
struct Facts {
    /// The seq ids behind the last entry that was appended, and that was archived.
    appended: u64,
    archived: u64,
    killed: BTreeMap<String, u64>,
}

impl Facts {
    /// Takes what one life of a child said.
    fn take(&mut self, lines: &[String]) {
        for line in lines {
            match line.split_once(' ') {
                Some(("appended", next)) => self.appended = next.parse().unwrap(),
                Some(("archived", next)) => self.archived = next.parse().unwrap(),
                _ => {}
            }
        }
        let last = lines.last().and_then(|line| line.split(' ').next()).unwrap_or_default();
        *self.killed.entry(last.to_owned()).or_default() += 1;
    }

    /// Holds them against what is there, and takes over what that is.
    fn hold(&mut self, dir: &Path) {
        let (wal, archive) = (open(dir), archive(dir));
        let next = wal.next_seq();
        assert!(next >= self.appended, "the log ends before {next}: {self:?}");
        let archived = match archive.info() {
            Ok(info) => info.next_seq,
            Err(error) => {
                assert_eq!((error.kind(), self.archived), (ErrorKind::NotFound, 0), "{error}");
                assert_eq!(wal.first_seq(), 1, "removed, and never archived");
                return;
            }
        };
        assert!((self.archived..=next).contains(&archived), "archived before {archived}: {self:?}");
        let first = wal.first_seq();
        assert!(first <= archived, "{archived}..{first} are neither there nor here: {self:?}");
        archive_is_whole(&archive, Depth::Listed);
        // What is new, over the border between the two; all of it at the end.
        let mut reader = archive.reader(Some(wal.into()), 0).unwrap();
        let from = self.archived.saturating_sub(300).max(1);
        reader.seek(from).unwrap();
        for seq in from..next {
            let entry = reader.read_next().unwrap().unwrap();
            assert_eq!((entry.seq, &entry.payload[..]), (seq, payload(seq).as_bytes()));
        }
        assert!(reader.read_next().unwrap().is_none());
        (self.appended, self.archived) = (next, archived);
    }
}

#[track_caller]
fn archive_is_whole(archive: &Archive, depth: Depth) -> Verified {
    let verified = archive.verify(depth, &mut |_| {}).unwrap();
    assert!(!verified.is_damaged(), "{:?}", verified.damages);
    verified
}

/// One life of the child, which is killed a moment after it wrote so many lines: the whole lines that it wrote.
fn live(dir: &Path, lines: u64, moment: Duration) -> Vec<String> {
    // Descriptor 3 is the pipe; stdout is the harness's.
    let mut child = Command::new("sh")
        .args(["-c", "exec 3>&1 >/dev/null; exec \"$0\" --exact child --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(child.stdout.take().unwrap());
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while pipe.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            drop(tell.send(line.trim_end().to_owned()));
            line.clear();
        }
    });
    let mut all: Vec<_> = (0..lines).map_while(|_| told.recv_timeout(PATIENCE).ok()).collect();
    assert_eq!(all.len(), usize::try_from(lines).unwrap(), "the child ended by itself: {all:?}");
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    all.extend(told.iter());
    all
}

#[test]
fn killed_again_and_again() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("WALDEN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("WALDEN_SEED={seed}");
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut facts, begun) = (Facts::default(), Instant::now());
    let wanted = number("WALDEN_ROUNDS");
    for round in 0_u64.. {
        let enough = wanted.map_or(begun.elapsed() > AT_MOST, |wanted| round >= wanted);
        // On a slow machine some more, until they were killed where it matters.
        if (enough && facts.killed.contains_key("shipping")) || round > wanted.unwrap_or(0) + 400 {
            break;
        }
        // A round of the child has five lines, or six.
        let lines = live(dir, 1 + rng.below(16), Duration::from_millis(rng.below(25)));
        facts.take(&lines);
        facts.hold(dir);
    }
    eprintln!("killed while {:?}; {} entries", facts.killed, facts.appended);
    assert!(facts.killed.contains_key("shipping"), "{facts:?}");
    let wal = open(dir);
    let mut last = archiver(dir, &wal);
    last.ship(&mut |_| {}).unwrap();
    last.sweep().unwrap();
    let verified = archive_is_whole(&archive(dir), Depth::Read);
    assert_eq!((verified.first_seq, verified.next_seq), (1, wal.next_seq()));
    assert_eq!(verified.unnamed, 0);
    archive(dir).restore(dir.join("restored"), config(), Until::End, &mut |_| {}).unwrap();
    let restored = Wal::open(dir.join("restored"), config()).unwrap();
    let both = wal.first_seq()..wal.next_seq();
    assert_eq!(restored.digest(both.clone()).unwrap(), wal.digest(both).unwrap());
    for entry in restored.range(..).unwrap().map(Result::unwrap) {
        assert_eq!(entry.payload, payload(entry.seq).as_bytes());
    }
    assert_eq!((restored.first_seq(), restored.next_seq()), (1, wal.next_seq()));
}
