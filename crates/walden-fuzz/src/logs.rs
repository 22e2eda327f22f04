//! Sound logs to begin with.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arbitrary::Arbitrary;
use walden::{Config, LogReader, Maintenance, RecoveryMode, Result, Start, SyncStrategy, Wal};
use walden_sim::{SimClock, SimDisk};

use crate::pieces;

pub(crate) const DIR: &str = "/log";

pub(crate) type Entries = Vec<(u64, Vec<u8>)>;

pub(crate) fn segment(ordinal: u64) -> PathBuf {
    Path::new(DIR).join(format!("segment-{ordinal:04}.wal"))
}

pub(crate) fn empty() -> SimDisk {
    SimDisk::with_clock(SimClock::new(1))
}

pub(crate) fn config() -> Config {
    Config::durable().segment_size(400).maintenance(Maintenance::Manual)
}

pub(crate) fn open(disk: &SimDisk, mode: RecoveryMode) -> Result<Wal> {
    let (storage, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(99)));
    Wal::open_with(DIR, config().recovery_mode(mode), storage, clock)
}

pub(crate) fn reader(disk: &SimDisk, dir: impl AsRef<Path>) -> Result<LogReader> {
    LogReader::open_with(dir, "segment", Arc::new(disk.clone()))
}

/// A disk with a log on it, and what was appended.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) disk: SimDisk,
    pub(crate) entries: Entries,
}

/// Which log to begin with.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Base {
    /// None.
    Empty,
    /// Three segments, closed cleanly.
    Closed,
    /// Killed with open segments and a doubtful end.
    Killed,
    /// As the Go library leaves one.
    Go,
    /// One segment, with an index of some length.
    Long,
}

thread_local! {
    static MADE: [OnceCell<Made>; 5] = const { [const { OnceCell::new() }; 5] };
}

impl Base {
    /// A copy of its own of the log. Made once, as that takes longer than most of what is done with it.
    pub(crate) fn made(self) -> Made {
        MADE.with(|made| {
            let made = made[self as usize].get_or_init(|| match self {
                Self::Empty => Made { disk: empty(), entries: Entries::new() },
                Self::Closed => closed(20, 400),
                Self::Killed => killed(),
                Self::Go => go(),
                Self::Long => closed(120, 100_000),
            });
            Made { disk: made.disk.fork(), entries: made.entries.clone() }
        })
    }
}

fn payload(i: u64) -> Vec<u8> {
    (0..8 + i * 7 % 40).map(|j| ((i * 37 + j * 11 + 1) % 256) as u8).collect()
}

fn append(wal: &Wal, entries: &mut Entries, batch: bool) {
    let i = entries.len() as u64;
    let payloads =
        if batch { vec![payload(i), Vec::new(), payload(i + 2)] } else { vec![payload(i)] };
    let seqs = match batch {
        true => wal.append_batch(&payloads).unwrap(),
        false => wal.append(&payloads[0]).map(|seq| seq..seq + 1).unwrap(),
    };
    entries.extend(seqs.zip(payloads));
}

fn closed(appends: u64, segment_size: u64) -> Made {
    let disk = empty();
    let config = config().segment_size(segment_size);
    let (storage, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(2)));
    let wal = Wal::open_with(DIR, config, storage, clock).unwrap();
    let mut entries = Entries::new();
    for i in 0..appends {
        append(&wal, &mut entries, i % 5 == 3);
        wal.tick().unwrap();
    }
    wal.set_meta("vote", "term 7").unwrap();
    wal.close().unwrap();
    drop(wal);
    disk.settle();
    Made { disk, entries }
}

fn killed() -> Made {
    let disk = empty();
    let config = config().sync_strategy(SyncStrategy::OsCache);
    let (storage, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(3)));
    let wal = Wal::open_with(DIR, config, storage, clock).unwrap();
    let mut entries = Entries::new();
    for i in 0..18 {
        append(&wal, &mut entries, i % 4 == 1);
        if i == 9 {
            wal.tick().unwrap();
            wal.sync().unwrap();
        }
    }
    wal.truncate_front(4).unwrap();
    entries.retain(|(seq, _)| *seq >= 4);
    let image = disk.kill();
    image.settle();
    Made { disk: image, entries }
}

fn go() -> Made {
    let disk = empty();
    let mut entries = Entries::new();
    for ordinal in 0..3 {
        let mut bytes = Vec::new();
        for _ in 0..6 {
            let seq = entries.len() as u64 + 1;
            bytes.extend(pieces::sound(0, seq, &payload(seq)));
            entries.push((seq, payload(seq)));
        }
        disk.write_file(segment(ordinal), &bytes).unwrap();
    }
    Made { disk, entries }
}

/// What a cursor of [`with_cursors`] was told: where it began, and how far it came.
pub(crate) const CURSORS: [(&str, u64, u64); 3] = [("a", 3, 9), ("b", 1, 12), ("c", 12, 17)];

/// A closed log of several segments with cursors, each of which was committed twice: both slots of each are written.
pub(crate) fn with_cursors() -> Made {
    thread_local! {
        static MADE: OnceCell<Made> = const { OnceCell::new() };
    }
    MADE.with(|made| {
        let made = made.get_or_init(|| {
            let made = Base::Closed.made();
            let log = open(&made.disk, RecoveryMode::Strict).unwrap();
            for (name, from, to) in CURSORS {
                let cursor = log.cursor(name, Start::At(from)).unwrap();
                for seq in [from + 1, to - 1] {
                    cursor.commit(seq).unwrap();
                    log.sync().unwrap();
                }
            }
            log.close().unwrap();
            drop(log);
            made.disk.settle();
            made
        });
        Made { disk: made.disk.fork(), entries: made.entries.clone() }
    })
}
