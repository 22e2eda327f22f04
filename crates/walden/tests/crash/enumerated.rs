//! Short histories, cut off at every single call of the disk, with every image a power cut can leave.

use walden::{Config, Maintenance, SyncStrategy, Wal};
use walden_sim::workload::{History, Op, Setup};
use walden_sim::{SimClock, SimDisk, enumerate_crashes};

const fn append(len: usize) -> Op {
    Op::Append { len }
}

/// Looks at up to `limit` images at each call.
fn every_crash(
    name: &str,
    strategy: SyncStrategy,
    segment_size: u64,
    ops: impl IntoIterator<Item = Op>,
    limit: u64,
) {
    let history = History::new(Setup::new(strategy, segment_size), ops);
    match history.every_crash(limit) {
        Ok(images) => {
            assert!(images > 5, "{name}: the history does something");
            eprintln!("{name}: {images} images");
        }
        Err(violation) => {
            eprintln!("{}", violation.trace.join("\n"));
            panic!("{name}: {violation}");
        }
    }
}

#[test]
fn appends_and_rotation() {
    let ops = [append(20), append(30), append(40), Op::Tick, append(20)];
    every_crash("rotation, Always", SyncStrategy::Always, 100, ops, 300);
    let ops = [append(20), append(30), append(40), Op::Sync, Op::Tick, append(9)];
    every_crash("rotation, OsCache", SyncStrategy::OsCache, 100, ops, 300);
}

#[test]
fn cuts() {
    let always = SyncStrategy::Always;
    let ops = [append(20), append(30), append(40), Op::Back { at: 334 }, append(9)];
    every_crash("cut", always, 100, ops, 200);
    let ops = [Op::Batch { count: 4, len: 9 }, append(5), Op::Back { at: 400 }, append(9)];
    every_crash("cut in a batch", always, 200, ops, 200);
    let ops = [append(20), append(30), Op::Back { at: 0 }, append(9)];
    every_crash("cut to empty", always, 100, ops, 200);
    let ops = [append(20), append(30), Op::Reset { next: 50 }, append(9)];
    every_crash("reset", always, 100, ops, 200);
    let ops = [append(60), append(60), append(60), Op::Tick, Op::Front { at: 667 }, append(9)];
    every_crash("front", always, 100, ops, 200);
}

#[test]
fn closing_and_opening() {
    for strategy in [SyncStrategy::Always, SyncStrategy::Background] {
        let reopen = Op::Reopen { strategy };
        let ops = [append(20), reopen.clone(), append(30), reopen, Op::Meta { len: 4 }, append(3)];
        every_crash("reopen", strategy, 100, ops, 200);
    }
}

fn open(disk: &SimDisk, seed: u64) -> walden::Result<Wal> {
    let config = Config::durable().segment_size(100).maintenance(Maintenance::Manual);
    let clock = std::sync::Arc::new(SimClock::new(seed));
    Wal::open_with("/log", config, std::sync::Arc::new(disk.clone()), clock)
}

/// Making a log, cut off at every call: it opens, and is empty.
#[test]
fn creation() {
    for stop in 1.. {
        let disk = SimDisk::new();
        disk.stop_after(stop);
        let made = open(&disk, 1);
        if !disk.stopped() {
            assert!(stop > 5 && made.is_ok());
            break;
        }
        drop(made);
        enumerate_crashes(&disk, 500, |image| {
            let wal = open(&image, stop).unwrap_or_else(|error| panic!("call {stop}: {error}"));
            assert_eq!(wal.append(b"first").expect("it takes an entry"), 1);
            let image = image.crash_losing_all();
            let wal = open(&image, stop + 1).expect("it opens");
            let entry = wal.get(1).expect("it is sound").expect("it is there");
            assert_eq!((&entry.payload[..], wal.next_seq()), (&b"first"[..], 2));
        });
    }
}
