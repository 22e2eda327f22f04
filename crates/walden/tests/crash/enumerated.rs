//! Short histories, cut off at every single call of the disk, with every image a power cut can leave.

use walden::SyncStrategy;
use walden_sim::{SimClock, SimDisk, enumerate_crashes};

use crate::harness::{Op, Run, open, read_all};

/// Runs `ops` once for each call of the disk, stopping there, and opens every image that a crash at
/// that point can leave (up to `limit` each).
fn every_crash(name: &str, strategy: SyncStrategy, segment_size: u64, ops: &[Op], limit: u64) {
    let mut images = 0_u64;
    for stop in 1.. {
        let mut run = Run::new(7, strategy, segment_size, false);
        run.disk.settle();
        run.disk.stop_after(stop);
        let stopped = ops.iter().any(|op| run.step(op).is_err());
        if !stopped && !run.disk.stopped() {
            assert!(stop > 5, "{name}: the history does something");
            break;
        }
        run.wal = None;
        let floor = run.model.durable;
        enumerate_crashes(&run.disk, limit, |image| {
            images += 1;
            check(&run, &image, floor, stop);
        });
    }
    eprintln!("{name}: {images} images");
}

fn check(run: &Run, image: &SimDisk, floor: u64, stop: u64) {
    let wal = match open(image, &SimClock::new(stop), &run.config) {
        Ok(wal) => wal,
        Err(error) => {
            eprintln!("{:?}", image.op_log().iter().take(3).collect::<Vec<_>>());
            run.fail(&format!("REFUSED after a crash at call {stop}: {error}"))
        }
    };
    let (first, found) = read_all(&wal, image);
    let allowed: Vec<_> = run
        .model
        .outcomes()
        .iter()
        .map(|model| model.allows(first, &found, floor.min(model.next()).max(model.first)))
        .collect();
    if allowed.iter().all(Result::is_err) {
        eprintln!("{:?}", image.op_log().iter().take(3).collect::<Vec<_>>());
        run.fail(&format!("after a crash at call {stop}: {allowed:?}"));
    }
    let payload = b"goes on";
    let next = wal.next_seq();
    assert_eq!(wal.append(payload).expect("the log goes on"), next);
}

#[test]
fn appends_and_rotation() {
    let ops = [Op::Append(20), Op::Append(30), Op::Append(40), Op::Tick, Op::Append(20)];
    every_crash("rotation, Always", SyncStrategy::Always, 100, &ops, 300);
    let ops = [Op::Append(20), Op::Append(30), Op::Append(40), Op::Sync, Op::Tick, Op::Append(9)];
    every_crash("rotation, OsCache", SyncStrategy::OsCache, 100, &ops, 300);
}

#[test]
fn cuts() {
    let ops = [Op::Append(20), Op::Append(30), Op::Append(40), Op::Back(2), Op::Append(9)];
    every_crash("cut", SyncStrategy::Always, 100, &ops, 200);
    let ops = [Op::Batch(4, 9), Op::Append(5), Op::Back(3), Op::Append(9)];
    every_crash("cut in a batch", SyncStrategy::Always, 200, &ops, 200);
    let ops = [Op::Append(20), Op::Append(30), Op::Back(1), Op::Append(9)];
    every_crash("cut to empty", SyncStrategy::Always, 100, &ops, 200);
    let ops = [Op::Append(20), Op::Append(30), Op::Reset(50), Op::Append(9)];
    every_crash("reset", SyncStrategy::Always, 100, &ops, 200);
    let ops =
        [Op::Append(60), Op::Append(60), Op::Append(60), Op::Tick, Op::Front(3), Op::Append(9)];
    every_crash("front", SyncStrategy::Always, 100, &ops, 200);
}

#[test]
fn closing_and_opening() {
    let ops = [Op::Append(20), Op::Reopen, Op::Append(30), Op::Reopen, Op::Meta(4), Op::Append(3)];
    every_crash("reopen", SyncStrategy::Always, 100, &ops, 200);
    every_crash("reopen", SyncStrategy::Background, 100, &ops, 200);
}

/// Making a log, cut off at every call: it opens, and is empty.
#[test]
fn creation() {
    for stop in 1.. {
        let disk = SimDisk::new();
        disk.stop_after(stop);
        let config = Run::new(7, SyncStrategy::Always, 100, false).config;
        let made = open(&disk, &SimClock::new(1), &config);
        if !disk.stopped() {
            assert!(stop > 5 && made.is_ok());
            break;
        }
        drop(made);
        enumerate_crashes(&disk, 500, |image| {
            let wal = open(&image, &SimClock::new(stop), &config)
                .unwrap_or_else(|error| panic!("call {stop}: {error}"));
            assert_eq!(wal.append(b"first").unwrap(), 1);
            drop(wal);
            let image = image.crash_losing_all();
            let wal = open(&image, &SimClock::new(stop + 1), &config).unwrap();
            assert_eq!(read_all(&wal, &image), (1, vec![b"first".to_vec()]));
        });
    }
}
