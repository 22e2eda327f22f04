//! Lost entries that are put back from another log.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walden::offline::{
    Choice, Repaired, Target, copy, repair_apply, repair_from, repair_from_plan, verify,
};
use walden::{Config, ErrorKind, LogReader, Maintenance, Mode, Result, Wal};
use walden_sim::{CrashPlan, SimClock, SimDisk};

const RECORD: u64 = 128;

fn config() -> Config {
    Config::durable().mode(Mode::Debug).segment_size(4096).maintenance(Maintenance::Manual)
}

/// A log of 200 records of 128 bytes, 32 to a segment, closed; and a copy of it.
struct Pair {
    dir: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let pair = Self { dir: tempfile::tempdir().unwrap() };
        fill(&Wal::open(pair.log(), config()).unwrap(), 200);
        pair.copied()
    }

    fn copied(self) -> Self {
        copy(&self.target(), self.other(), &mut |_| {}).unwrap();
        self
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn other(&self) -> PathBuf {
        self.dir.path().join("other")
    }

    fn target(&self) -> Target {
        Target::on_disk(self.log(), "segment")
    }

    fn segment(&self, ordinal: u64) -> PathBuf {
        self.log().join(format!("segment-{ordinal:04}.wal"))
    }

    fn donor(&self) -> LogReader {
        LogReader::open(self.other()).unwrap()
    }

    fn repair(&self) -> Result<Repaired> {
        repair_from(&self.target(), &self.donor(), &mut |_| {})
    }

    /// All of it is as it was, by files too, and goes on.
    #[track_caller]
    fn is_whole(&self) {
        let verification = verify(&self.target(), &mut |_| {}).unwrap();
        assert!(!verification.is_damaged(), "{:?}", verification.findings);
        same(&LogReader::open(self.log()).unwrap(), &self.donor());
        let wal = Wal::open(self.log(), config()).unwrap();
        let next = wal.next_seq();
        assert_eq!(wal.append("behind").unwrap(), next);
        wal.close().unwrap();
        assert!(!verify(&self.target(), &mut |_| {}).unwrap().is_damaged());
    }
}

fn fill(wal: &Wal, entries: u8) {
    for i in 0..entries {
        wal.append([i; 100]).unwrap();
        wal.tick().unwrap();
    }
    wal.close().unwrap();
}

#[track_caller]
fn same(a: &LogReader, b: &LogReader) {
    assert_eq!((a.first_seq(), a.next_seq()), (b.first_seq(), b.next_seq()));
    let both = a.range(..).unwrap().zip(b.range(..).unwrap());
    for (a, b) in both {
        assert_eq!(a.unwrap(), b.unwrap());
    }
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn shorten(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

type Hurt = fn(&Pair);

/// Each region of a log, and what is lost by it.
const HURTS: [(&str, Hurt, u64); 15] = [
    ("a payload", |pair| flip(&pair.segment(2), 5 * RECORD + 40), 1),
    ("a checksum", |pair| flip(&pair.segment(2), 5 * RECORD), 1),
    ("a length", |pair| flip(&pair.segment(2), 5 * RECORD + 5), 1),
    ("a seq id", |pair| flip(&pair.segment(2), 5 * RECORD + 19), 1),
    ("the first record", |pair| flip(&pair.segment(0), 3), 1),
    ("the last record of a segment", |pair| flip(&pair.segment(2), 31 * RECORD + 50), 1),
    ("the first record of one", |pair| flip(&pair.segment(3), 50), 1),
    ("a segment's end", |pair| shorten(&pair.segment(2), 20 * RECORD + 7), 12),
    ("at a border", |pair| shorten(&pair.segment(2), 20 * RECORD), 12),
    ("all of a segment", |pair| shorten(&pair.segment(2), 0), 32),
    ("a segment's file", |pair| fs::remove_file(pair.segment(2)).unwrap(), 32),
    ("two files", |pair| (2..4).for_each(|n| fs::remove_file(pair.segment(n)).unwrap()), 64),
    ("the first file", |pair| fs::remove_file(pair.segment(0)).unwrap(), 32),
    ("the active one, before its end", |pair| flip(&pair.segment(6), 3 * RECORD + 60), 1),
    ("the active one's end", |pair| shorten(&pair.segment(6), 5 * RECORD + 9), 3),
];

#[test]
fn each_region_comes_back() {
    for (what, hurt, lost) in HURTS {
        for index in [true, false] {
            let pair = Pair::new();
            hurt(&pair);
            if !index {
                for ordinal in 0..7 {
                    drop(fs::remove_file(pair.log().join(format!("segment-{ordinal:04}.idx"))));
                }
            }
            let plan = repair_from_plan(&pair.target(), &pair.donor(), &mut |_| {}).unwrap();
            let planned = plan.iter().flat_map(|splice| &splice.lost);
            let planned: u64 = planned.map(|(first, last)| last + 1 - first).sum();
            assert_eq!(planned, lost, "{what}: {plan:?}");
            assert!(plan.iter().all(|splice| splice.problem.is_none()), "{what}: {plan:?}");
            let done = pair.repair().unwrap();
            assert!(!done.still_damaged, "{what}: {done:?}");
            pair.is_whole();
        }
    }
}

/// Footers and indexes are no entries: what is proved without them is not touched for their sake.
#[test]
fn where_nothing_is_lost_nothing_is_done() {
    let pair = Pair::new();
    flip(&pair.segment(2), 6 * RECORD - 1);
    flip(&pair.log().join("segment-0002.idx"), 40);
    let before = fs::read(pair.segment(2)).unwrap();
    let done = pair.repair().unwrap();
    assert!(done.steps.is_empty() && !done.still_damaged, "{done:?}");
    assert_eq!(fs::read(pair.segment(2)).unwrap(), before);
    repair_apply(&pair.target(), Choice::Safe { first_seq: None }, &mut |_| {}).unwrap();
    pair.is_whole();
}

#[test]
fn several_places_at_once_and_what_was_cut_is_kept() {
    let pair = Pair::new();
    for at in [3, 9, 30] {
        flip(&pair.segment(1), at * RECORD + 44);
    }
    flip(&pair.segment(4), 100);
    fs::remove_file(pair.segment(3)).unwrap();
    let damaged = fs::read(pair.segment(1)).unwrap();
    let done = pair.repair().unwrap();
    assert_eq!(done.kept_in.len(), 2);
    assert_eq!(fs::read(&done.kept_in[0]).unwrap(), damaged);
    pair.is_whole();
}

/// Other batches, other segments: the same entries, in complete segments.
#[test]
fn another_log_may_store_them_otherwise() {
    let pair = Pair::new();
    let grouped = pair.dir.path().join("grouped");
    let wal = Wal::open(&grouped, config()).unwrap();
    for batch in 0..40_u8 {
        wal.append_batch((0..5).map(|i| [batch * 5 + i; 100])).unwrap();
        wal.tick().unwrap();
    }
    wal.close().unwrap();
    // It has the same entries, and another history: proved by its neighbours alone.
    flip(&pair.segment(2), 5 * RECORD + 40);
    let donor = LogReader::open(&grouped).unwrap();
    let done = repair_from(&pair.target(), &donor, &mut |_| {}).unwrap();
    assert!(!done.still_damaged, "{done:?}");
    pair.is_whole();
    // In the open segment too, where what is behind must stay in its place.
    let pair = Pair::new();
    let other = pair.dir.path().join("replica");
    let replica = Wal::open(&other, config()).unwrap();
    for batch in 0..40_u8 {
        replica.append_batch((0..5).map(|i| [batch * 5 + i; 100])).unwrap();
    }
    replica.close().unwrap();
    flip(&pair.segment(6), 3 * RECORD + 60);
    let before = fs::read(pair.segment(6)).unwrap();
    let donor = LogReader::open(&other).unwrap();
    // One entry of a batch is a record of its own, as it was here.
    let done = repair_from(&pair.target(), &donor, &mut |_| {}).unwrap();
    assert!(!done.still_damaged && before != fs::read(pair.segment(6)).unwrap());
    pair.is_whole();
}

#[test]
fn what_differs_is_not_put_over_or_beside_sound_entries() {
    let pair = Pair::new();
    flip(&pair.segment(2), 5 * RECORD + 40);
    let before = fs::read(pair.segment(2)).unwrap();
    let refused = |dir: &Path, kind: ErrorKind| {
        let donor = LogReader::open(dir).unwrap();
        let error = repair_from(&pair.target(), &donor, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let plan = repair_from_plan(&pair.target(), &donor, &mut |_| {}).unwrap();
        assert_eq!(plan[0].problem.as_ref().unwrap().kind(), kind);
        assert_eq!(fs::read(pair.segment(2)).unwrap(), before);
    };
    // A log of its own, with other entries.
    let other = pair.dir.path().join("stranger");
    let wal = Wal::open(&other, config()).unwrap();
    for _ in 0..200 {
        wal.append([250; 100]).unwrap();
    }
    wal.close().unwrap();
    refused(&other, ErrorKind::Diverged);
    // One that went its own way behind 60, with the same number of entries.
    let forked = pair.dir.path().join("forked");
    let wal = Wal::open(&forked, config()).unwrap();
    let origin = pair.donor();
    wal.append_frames(&origin.frames(1, 60 * RECORD).unwrap().unwrap()).unwrap();
    for seq in wal.next_seq()..=200 {
        wal.append([u8::try_from(seq).unwrap(); 100]).unwrap();
    }
    wal.close().unwrap();
    refused(&forked, ErrorKind::Diverged);
    // One that does not reach so far.
    let short = pair.dir.path().join("short");
    let wal = Wal::open(&short, config()).unwrap();
    wal.append_frames(&origin.frames(1, 60 * RECORD).unwrap().unwrap()).unwrap();
    wal.close().unwrap();
    refused(&short, ErrorKind::NotFound);
    // One with a history of its own that is the same before, has another entry in its place, and nothing behind it:
    // there is no second neighbour to prove it by.
    let ends = pair.dir.path().join("ends");
    let wal = Wal::open(&ends, config()).unwrap();
    for i in (0..69).chain([250]) {
        wal.append([i; 100]).unwrap();
    }
    wal.close().unwrap();
    refused(&ends, ErrorKind::Diverged);
    assert!(!pair.repair().unwrap().still_damaged);
    pair.is_whole();
}

/// What is behind the hole in an open segment is named by its place: it must not move, and what is in doubt stays.
#[test]
fn an_open_segment_keeps_its_places() {
    let pair = Pair::new();
    let pairs = pair.dir.path().join("pairs");
    let wal = Wal::open(&pairs, config()).unwrap();
    for batch in 0..100_u8 {
        wal.append_batch((0..2).map(|i| [batch * 2 + i; 100])).unwrap();
    }
    wal.close().unwrap();
    // A batch of the other log is all of what is lost, and shorter than the two records were.
    let doubtful = b"something that was being written";
    let mut bytes = fs::read(pair.segment(6)).unwrap();
    for at in [2, 3] {
        bytes[usize::try_from(at * RECORD + 60).unwrap()] ^= 1;
    }
    bytes.extend_from_slice(doubtful);
    fs::write(pair.segment(6), &bytes).unwrap();
    let error = repair_from(&pair.target(), &LogReader::open(&pairs).unwrap(), &mut |_| {});
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(fs::read(pair.segment(6)).unwrap(), bytes);
    drop(pair.repair().unwrap());
    let after = fs::read(pair.segment(6)).unwrap();
    assert_eq!(after.len(), bytes.len());
    assert!(after.ends_with(doubtful));
    let entries = LogReader::open(pair.log()).unwrap().range(..).unwrap().take(200);
    assert!(entries.map(Result::unwrap).all(|entry| entry.payload[0] as u64 + 1 == entry.seq));
}

/// Same neighbours, another entry between: a history that differs is not trusted for that. Where the epochs are known
/// they decide.
#[test]
fn a_lost_manifest_is_made_anew_first() {
    let pair = Pair::new();
    flip(&pair.segment(2), 5 * RECORD + 40);
    fs::remove_file(pair.log().join("segment.manifest")).unwrap();
    let refused = pair.repair().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("walden repair"), "{refused}");
    let anew = Choice::Safe { first_seq: Some(1) };
    repair_apply(&pair.target(), anew, &mut |_| {}).unwrap();
    assert!(!pair.repair().unwrap().still_damaged);
    pair.is_whole();
}

#[test]
fn beside_a_writer_nothing_is_done() {
    let pair = Pair::new();
    let wal = Wal::open(pair.log(), config()).unwrap();
    assert_eq!(pair.repair().unwrap_err().kind(), ErrorKind::Locked);
    wal.close().unwrap();
}

/// A log on a simulated disk, closed and durable.
fn simulated(dir: &str) -> SimDisk {
    let disk = SimDisk::new();
    let clock = Arc::new(SimClock::new(1));
    fill(&Wal::open_with(dir, config(), Arc::new(disk.clone()), clock).unwrap(), 200);
    disk.settle();
    disk
}

fn on(disk: &SimDisk) -> Target {
    Target::new("/log", "segment", Arc::new(disk.clone()), Arc::new(SimClock::new(2)))
}

fn reading(disk: &SimDisk) -> LogReader {
    LogReader::open_with("/log", "segment", Arc::new(disk.clone())).unwrap()
}

type OnDisk = fn(&SimDisk);

/// On the simulated disk, cut off at each call, with what a power cut leaves: the same command goes on.
#[test]
fn cut_off_at_each_step() {
    let seeds = std::env::var("WALDEN_SEED").ok().and_then(|text| text.parse().ok());
    let hurts: [(&str, OnDisk); 3] = [
        ("a record", |disk| disk.flip_bit("/log/segment-0002.wal", 6_000).unwrap()),
        ("a file", |disk| disk.remove_file("/log/segment-0002.wal").unwrap()),
        ("the active one", |disk| disk.flip_bit("/log/segment-0006.wal", 4_000).unwrap()),
    ];
    let sound = simulated("/log");
    let donor = reading(&sound);
    for (what, hurt) in hurts {
        for steps in 1_u64.. {
            let disk = sound.fork();
            hurt(&disk);
            disk.stop_after(steps);
            let cut = repair_from(&on(&disk), &donor, &mut |_| {});
            let whole = !disk.stopped();
            for seed in seeds.map_or(0..6, |seed: u64| seed..seed + 1) {
                let at = format!("{what}, step {steps}, WALDEN_SEED={seed}");
                let after = disk.crash(&mut CrashPlan::seeded(seed));
                let done = repair_from(&on(&after), &donor, &mut |_| {});
                let done = done.unwrap_or_else(|error| panic!("{at}: {error}"));
                assert!(!done.still_damaged, "{at}: {done:?}");
                same(&reading(&after), &donor);
                // What it said is durable.
                same(&reading(&after.crash_losing_all()), &donor);
                let clock = Arc::new(SimClock::new(3));
                let opened = Wal::open_with("/log", config(), Arc::new(after), clock).unwrap();
                assert_eq!(opened.append("behind").unwrap(), 201, "{at}");
            }
            if whole {
                assert!(cut.is_ok() && steps > 5, "{what}: {steps}");
                break;
            }
        }
    }
}
