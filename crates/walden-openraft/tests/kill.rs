//! `kill -9`, for real: a child votes, appends, truncates and purges through the store, and writes each fact to a pipe
//! once it was acknowledged; it is killed at a random moment, again and again in the same folder. What it was told is
//! there then.
//!
//! The child is this test's own program. `WALDEN_SEED=n` replays the moments, `WALDEN_ROUNDS=n` asks for more.
#![cfg(unix)]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Types, entry, log_id};
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _};
use openraft::{RaftLogId as _, RaftLogReader as _, Vote};
use walden::Config;
use walden_openraft::LogStore;
use walden_sim::Rng;

const CHILD: &str = "WALDEN_OPENRAFT_CHILD";

async fn open(dir: &Path) -> LogStore<Types> {
    // Small segments, so that rotation and sealing are killed too.
    LogStore::open(dir, Config::durable().segment_size(64 << 10)).await.unwrap()
}

/// What the child does: not a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let mut store = open(Path::new(&dir)).await;
    let mut term = store.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id().get_term());
    let mut next =
        store.get_log_state().await.unwrap().last_log_id.map_or(0, |last| last.index + 1);
    // The raw descriptor: the test harness captures what goes through std's stdout.
    let mut pipe = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").unwrap();
    let mut say = |fact: String| pipe.write_all(fact.as_bytes()).unwrap();
    for step in 0_u64.. {
        if step % 40 == 0 {
            term += 1;
            say(format!("voting {term}\n"));
            store.save_vote(&Vote::new(term, 1)).await.unwrap();
            say(format!("vote {term}\n"));
        }
        let entries: Vec<_> = (next..next + 1 + step % 4)
            .map(|index| entry(term, index, format!("{index}")))
            .collect();
        next += entries.len() as u64;
        store.blocking_append(entries).await.unwrap();
        say(format!("last {term} {}\n", next - 1));
        if step % 17 == 5 && next > 3 {
            say(format!("cutting {}\n", next - 2));
            store.truncate(log_id(term, next - 2)).await.unwrap();
            next -= 2;
            say(format!("cut {next}\n"));
        }
        if step % 50 == 20 && next > 200 {
            say(format!("purging {}\n", next - 100));
            store.purge(log_id(term, next - 100)).await.unwrap();
            say(format!("purged {}\n", next - 100));
        }
    }
}

/// What was acknowledged, and what may have been done since it was under way.
#[derive(Debug, Default)]
struct Facts {
    term: u64,
    voting: u64,
    /// Terms of the entries that must be there, by index.
    terms: BTreeMap<u64, u64>,
    cutting: Option<u64>,
    purged: Option<u64>,
    purging: Option<u64>,
}

impl Facts {
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "voting" => self.voting = number(1),
            "vote" => self.term = number(1),
            "last" => {
                let from = self.terms.last_key_value().map_or(0, |(last, _)| last + 1);
                self.terms.extend((from..=number(2)).map(|index| (index, number(1))));
            }
            "cutting" => self.cutting = Some(number(1)),
            "cut" => {
                self.cutting = None;
                self.terms.retain(|index, _| *index < number(1));
            }
            "purging" => self.purging = Some(number(1)),
            "purged" => (self.purged, self.purging) = (Some(number(1)), None),
            other => unreachable!("{other}"),
        }
    }

    /// Holds the facts against the folder, and takes over what is in it.
    async fn hold(&mut self, dir: &Path) {
        let mut store = open(dir).await;
        let term = store.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id().get_term());
        assert!(term == self.term || term == self.voting, "the vote is of term {term}: {self:?}");
        let state = store.get_log_state().await.unwrap();
        let purged = state.last_purged_log_id.map(|purged| purged.index);
        assert!(
            purged == self.purged || purged == self.purging.or(self.purged),
            "purged up to {purged:?}, not {:?} or {:?}",
            self.purged,
            self.purging
        );
        let found = store.try_get_log_entries(..).await.unwrap();
        let found: BTreeMap<u64, u64> = found
            .iter()
            .map(|entry| (entry.get_log_id().index, entry.get_log_id().leader_id.term))
            .collect();
        let first = purged.map_or(0, |purged| purged + 1);
        for (index, term) in self.terms.range(first..) {
            let cut = self.cutting.is_some_and(|cut| *index >= cut);
            let there = found.get(index);
            assert!(
                there == Some(term) || (cut && there.is_none()),
                "entry {index} of term {term}: {there:?}"
            );
        }
        assert!(
            found.keys().next().is_none_or(|index| *index == first),
            "the log begins at {first}"
        );
        store.close().await.unwrap();
        *self = Self { term, voting: term, terms: found, cutting: None, purged, purging: None };
    }
}

/// One life of the child: the whole lines that it wrote.
fn live(dir: &Path, life: Duration) -> Vec<String> {
    // Descriptor 3 is the pipe; stdout is the harness's.
    let mut child = Command::new("sh")
        .args(["-c", "exec 3>&1 >/dev/null; exec \"$0\" --exact child --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut lines = String::new();
        pipe.read_to_string(&mut lines).unwrap();
        lines
    });
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = reader.join().unwrap();
    let whole = lines.rfind('\n').map_or(0, |end| end + 1);
    lines[..whole].lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn killed_again_and_again() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("WALDEN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("WALDEN_SEED={seed}");
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let (mut facts, mut told) = (Facts::default(), 0);
    let rounds = number("WALDEN_ROUNDS").unwrap_or(8);
    // On a slow machine some more, until they tell something.
    for round in 0..rounds + 100 {
        if round >= rounds && told > 50 {
            break;
        }
        let lines = live(&log, Duration::from_millis(60 + rng.below(500)));
        told += lines.len();
        for line in &lines {
            facts.take(line);
        }
        facts.hold(&log).await;
    }
    assert!(told > 50, "the children were told {told} facts");
}
