//! The same log on a simulated disk, cut off at every call: with whatever a power cut leaves there, all that was
//! acknowledged is there, the vote never goes back, vote and entries fit each other, and the log goes on.
//!
//! `WALDEN_SEED=n` runs one history of the random ones again, `WALDEN_SEEDS=n` asks for more of them.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Types, entry, log_id};
use openraft::{LogId, RaftLogId, Vote};
use walden::{Config, Maintenance, Mode, Wal};
use walden_openraft::{RaftLog, Result};
use walden_sim::{CrashPlan, Rng, SimClock, SimDisk, enumerate_crashes};

/// What a node does to its log.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Begins a term.
    Vote,
    /// Appends so many entries.
    Append(u64),
    /// Removes so many at the end.
    Truncate(u64),
    /// All but so many at the end are committed.
    Commit(u64),
    /// Purges what is committed, but so many.
    Purge(u64),
    /// Installs a snapshot that reaches so far behind the end.
    Snapshot(u64),
    /// Closes the log and opens it again.
    Reopen,
    /// What the log's thread would do.
    Tick,
}

/// What must be there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    term: u64,
    purged: Option<LogId<u64>>,
    entries: BTreeMap<u64, (u64, String)>,
    /// At least this was committed before the last time that it had to be written.
    committed: Option<u64>,
}

impl Model {
    fn next(&self) -> u64 {
        let after_purged = self.purged.map_or(0, |purged| purged.index + 1);
        self.entries.last_key_value().map_or(after_purged, |(last, _)| last + 1)
    }

    fn append(&mut self, count: u64) {
        for index in self.next()..self.next() + count {
            let data = format!("{}.{index}{}", self.term, "-".repeat((index % 50) as usize));
            self.entries.insert(index, (self.term, data));
        }
    }

    fn term_of(&self, index: u64) -> Option<u64> {
        self.entries.get(&index).map(|(term, _)| *term)
    }

    fn purge(&mut self, upto: LogId<u64>) {
        self.entries.retain(|index, _| *index > upto.index);
        self.purged = Some(upto);
    }
}

/// A node: its log, what must be in it, and what may be in it instead, since it was under way.
struct Node {
    log: RaftLog<Types>,
    disk: SimDisk,
    lives: u64,
    known: Model,
    under_way: Vec<Model>,
}

/// `life` is another for each opening of a folder: the ids that the log takes are by chance.
fn open(disk: &SimDisk, life: u64) -> Result<RaftLog<Types>> {
    let config =
        Config::durable().mode(Mode::Debug).segment_size(300).maintenance(Maintenance::Manual);
    let (storage, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(life)));
    let wal = Wal::open_with("/log", config, storage, clock)?;
    Ok(RaftLog::open(wal)?.committed_every(5))
}

impl Node {
    fn step(&mut self, step: Step) -> Result<()> {
        let mut then = self.known.clone();
        let next = then.next();
        match step {
            Step::Vote => {
                then.term += 1;
                self.under_way.push(then.clone());
                self.log.save_vote(&Vote::new(then.term, 1))?;
            }
            Step::Append(count) => {
                for _ in 0..count {
                    then.append(1);
                    self.under_way.push(then.clone());
                }
                let entries: Vec<_> = then
                    .entries
                    .range(next..)
                    .map(|(index, (term, data))| entry(*term, *index, &**data))
                    .collect();
                if let Some(ticket) = self.log.append(&entries)? {
                    ticket.wait()?;
                }
            }
            Step::Truncate(count) => {
                let committed = self.log.committed().map_or(0, |log_id| log_id.index + 1);
                let purged = then.purged.map_or(0, |purged| purged.index + 1);
                let since = next.saturating_sub(count).max(committed).max(purged);
                then.entries.retain(|index, _| *index < since);
                self.under_way.push(then.clone());
                self.log.truncate(&log_id(then.term, since))?;
            }
            Step::Commit(but) => {
                let index = next.saturating_sub(1 + but);
                let Some(term) = then.term_of(index) else { return Ok(()) };
                if self.log.committed().is_some_and(|committed| committed.index >= index) {
                    return Ok(());
                }
                self.log.save_committed(Some(log_id(term, index)))?;
                if index + 1 - then.committed.map_or(0, |committed| committed + 1) >= 5 {
                    then.committed = Some(index);
                }
            }
            Step::Purge(but) => {
                let Some(committed) = self.log.committed() else { return Ok(()) };
                let index = committed.index.saturating_sub(but);
                let Some(term) = then.term_of(index) else { return Ok(()) };
                then.purge(log_id(term, index));
                then.committed = Some(committed.index);
                self.under_way.push(then.clone());
                self.log.purge(&log_id(term, index))?;
            }
            Step::Snapshot(behind) => {
                then.purge(log_id(then.term, next + behind));
                self.under_way.push(then.clone());
                self.log.purge(&log_id(then.term, next + behind))?;
                then.committed = self.log.committed().map(|committed| committed.index);
            }
            Step::Reopen => {
                then.committed = self.log.committed().map(|committed| committed.index);
                self.log.close()?;
                self.lives += 1;
                self.log = open(&self.disk, self.lives)?;
            }
            Step::Tick => self.log.wal().tick()?,
        }
        self.known = then;
        self.under_way.clear();
        Ok(())
    }
}

/// What a log has, to be compared with what it must have.
fn found(log: &RaftLog<Types>) -> Model {
    let vote = log.vote();
    let entries = log.entries(..).unwrap();
    let state = log.state();
    let last = entries.last().map(|entry| *entry.get_log_id());
    assert_eq!(state.last_log_id, last.or(state.last_purged_log_id));
    let data = |entry: openraft::Entry<Types>| match entry.payload {
        openraft::EntryPayload::Normal(data) => {
            (entry.log_id.index, (entry.log_id.leader_id.term, data))
        }
        other => panic!("{other:?} was never appended"),
    };
    Model {
        term: vote.map_or(0, |vote| vote.leader_id().get_term()),
        purged: state.last_purged_log_id,
        entries: entries.into_iter().map(data).collect(),
        committed: log.committed().map(|committed| committed.index),
    }
}

/// Opens what a crash left, compares it, and goes on with it.
fn check(image: &SimDisk, known: &Model, under_way: &[Model]) -> std::result::Result<(), String> {
    let mut log = open(image, 2000).map_err(|error| format!("it does not open: {error}"))?;
    let found = found(&log);
    let fits = |model: &Model| {
        Model { committed: None, ..model.clone() } == Model { committed: None, ..found.clone() }
    };
    if !fits(known) && !under_way.iter().any(fits) {
        return Err(format!("found {found:?}"));
    }
    if found.committed < known.committed {
        return Err(format!("{:?} is committed, and was {:?}", found.committed, known.committed));
    }
    let (term, next) = (found.term + 1, found.next());
    let went_on = log.save_vote(&Vote::new(term, 1)).and_then(|()| {
        let ticket = log.append([&entry(term, next, "after the crash")])?;
        ticket.unwrap().wait()?;
        open_again(log, image)
    });
    let log = went_on.map_err(|error| format!("it does not go on: {error}"))?;
    match log.entries(next..).unwrap().as_slice() {
        [one] if *one == entry(term, next, "after the crash") => Ok(()),
        other => Err(format!("{other:?} is there after it went on")),
    }
}

fn open_again(log: RaftLog<Types>, disk: &SimDisk) -> Result<RaftLog<Types>> {
    drop(log);
    open(&disk.crash_losing_all(), 3000)
}

/// Does the steps, with power cut at the nth call of the disk. None: there were not so many.
fn run(steps: &[Step], stop: u64) -> Option<(SimDisk, Model, Vec<Model>)> {
    let disk = SimDisk::new();
    disk.stop_after(stop);
    let (mut known, mut under_way) = (Model::default(), Vec::new());
    if let Ok(log) = open(&disk, 0) {
        let mut node = Node { log, disk: disk.clone(), lives: 0, known, under_way };
        for step in steps {
            if let Err(error) = node.step(*step) {
                assert!(disk.stopped(), "{step:?}: {error}");
                break;
            }
        }
        (known, under_way) = (node.known, node.under_way);
    }
    disk.stopped().then_some((disk, known, under_way))
}

#[test]
fn cut_off_at_every_call() {
    use Step::{Append, Commit, Purge, Reopen, Snapshot, Tick, Truncate, Vote};
    let steps = [
        Vote,
        Append(3),
        Append(2),
        Tick,
        Commit(1),
        Vote,
        Truncate(1),
        Append(4),
        Tick,
        Truncate(3),
        Append(1),
        Append(5),
        Tick,
        Commit(0),
        Purge(2),
        Vote,
        Append(3),
        Reopen,
        Commit(1),
        Purge(0),
        Append(2),
        Tick,
        Snapshot(6),
        Append(3),
        Truncate(3),
        Append(2),
        Commit(0),
        Purge(0),
        Snapshot(0),
        Vote,
        Append(1),
        Reopen,
        Append(2),
    ];
    let mut images = 0;
    for stop in 1.. {
        let Some((disk, known, under_way)) = run(&steps, stop) else {
            assert!(stop > 200 && images > 1000, "{images} images of {stop} disks");
            return;
        };
        enumerate_crashes(&disk, 12, |image| {
            images += 1;
            if let Err(wrong) = check(&image, &known, &under_way) {
                panic!(
                    "stopped at {stop}, {:?}: {wrong}\nknown {known:?}\nor {under_way:?}",
                    image.op_log().first()
                );
            }
        });
        check(&disk.kill(), &known, &under_way).unwrap();
    }
}

/// The committed log id is on disk at once; so are the entries up to it, though nobody waited for them.
#[test]
fn committed_never_comes_without_its_entries() {
    let disk = SimDisk::new();
    let mut log = open(&disk, 0).unwrap().committed_every(1);
    log.save_vote(&Vote::new(1, 1)).unwrap();
    let entries: Vec<_> = (0..5).map(|index| entry(1, index, "not waited for")).collect();
    let ticket = log.append(&entries).unwrap();
    log.save_committed(Some(log_id(1, 3))).unwrap();
    let log = open(&disk.crash_losing_all(), 1).unwrap();
    assert_eq!(log.committed(), Some(log_id(1, 3)));
    assert_eq!(log.entries(..4).unwrap(), entries[..4]);
    drop(ticket);
}

fn random_steps(rng: &mut Rng) -> Vec<Step> {
    let one = |rng: &mut Rng| match rng.below(16) {
        0 => Step::Vote,
        1..=6 => Step::Append(1 + rng.below(8)),
        7 | 8 => Step::Truncate(rng.below(6)),
        9 | 10 => Step::Commit(rng.below(3)),
        11 | 12 => Step::Purge(rng.below(4)),
        13 => Step::Snapshot(rng.below(20)),
        14 => Step::Reopen,
        _ => Step::Tick,
    };
    std::iter::once(Step::Vote).chain((0..30).map(|_| one(rng))).collect()
}

/// Random histories, each cut off at some calls; and what is found then cut off while it is opened again.
fn history(seed: u64) {
    let mut rng = Rng::new(seed);
    let steps = random_steps(&mut rng);
    for _ in 0..12 {
        let stop = 1 + rng.below(400);
        let Some((disk, known, under_way)) = run(&steps, stop) else { continue };
        let plan = rng.next_u64();
        let image = disk.crash(&mut CrashPlan::seeded(plan));
        let again = image.fork();
        again.stop_after(1 + rng.below(30));
        drop(open(&again, 1000));
        let twice = again.crash(&mut CrashPlan::seeded(plan.wrapping_add(1)));
        for (what, image) in [("once", image), ("twice", twice)] {
            if let Err(wrong) = check(&image, &known, &under_way) {
                panic!(
                    "WALDEN_SEED={seed}, stopped at {stop}, crashed {what}: {wrong}\n\
                     known {known:?}\nor {under_way:?}\n{steps:?}"
                );
            }
        }
    }
}

#[test]
fn random_histories() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("WALDEN_SEED") {
        return history(seed);
    }
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    let first = since.as_secs() << 20 ^ u64::from(since.subsec_nanos());
    let seeds = number("WALDEN_SEEDS").unwrap_or(100);
    eprintln!("seeds from {first} on");
    for seed in (0..seeds).map(|n| first.wrapping_add(n)) {
        history(seed);
    }
}
