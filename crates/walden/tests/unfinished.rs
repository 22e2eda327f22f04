//! What a copy or a salvage leaves that is ended at any step: never taken for a log.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

use walden::offline::{
    Choice, Target, adopt, copy, inspect, repair_apply, repair_plan, salvage, verify,
};
use walden::storage::Storage as _;
use walden::{Config, Error, ErrorKind, LogReader, Maintenance, Start, Wal};
use walden_sim::{CrashPlan, SimClock, SimDisk};

fn config() -> Config {
    Config::durable().segment_size(4096).maintenance(Maintenance::Manual)
}

fn target(dir: &Path) -> Target {
    Target::on_disk(dir, "segment")
}

/// A log of several segments, with a cursor.
fn make(dir: &Path) {
    let wal = Wal::open(dir, config()).unwrap();
    for i in 0..150_u8 {
        wal.append([i; 100]).unwrap();
        wal.tick().unwrap();
    }
    drop(wal.cursor("mailer", Start::At(7)).unwrap());
    wal.close().unwrap();
}

/// All of a folder, as a process that is killed now leaves it.
fn freeze(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            freeze(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("unfinished"), "{error}");
    assert!(error.what_to_do().unwrap().contains("rm -r"), "{error}");
}

fn refused_by_all(dir: &Path, log: &Path, elsewhere: &Path) {
    let unfinished = target(dir);
    refused(Wal::open(dir, config()));
    refused(LogReader::open(dir));
    refused(verify(&unfinished, &mut |_| {}));
    refused(inspect(&unfinished));
    refused(repair_plan(&unfinished, &mut |_| {}));
    refused(repair_apply(&unfinished, Choice::Safe { first_seq: None }, &mut |_| {}));
    refused(adopt(&unfinished, &mut |_| {}));
    refused(copy(&unfinished, elsewhere, &mut |_| {}));
    refused(copy(&target(log), dir, &mut |_| {}));
}

/// Begins something that writes to `out`, and keeps what is there at each of its steps.
fn steps(
    root: &Path,
    out: &Path,
    work: impl FnOnce(&mut dyn FnMut(walden::offline::Progress)),
) -> Vec<PathBuf> {
    let mut kept = Vec::new();
    work(&mut |_| {
        if out.exists() {
            let to = root.join(format!("step-{}", kept.len()));
            freeze(out, &to);
            kept.push(to);
        }
    });
    kept
}

#[test]
fn a_copy_that_is_ended_is_no_log() {
    let root = tempfile::tempdir().unwrap();
    let (log, out) = (root.path().join("log"), root.path().join("out"));
    make(&log);
    let steps = steps(root.path(), &out, |progress| {
        copy(&target(&log), &out, progress).unwrap();
    });
    assert!(steps.len() > 5, "{steps:?}");
    for step in &steps {
        refused_by_all(step, &log, &root.path().join("elsewhere"));
    }
    let wal = Wal::open(&out, config()).unwrap();
    assert_eq!(wal.next_seq(), 151);
}

#[test]
fn a_copy_that_fails_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let (log, out) = (root.path().join("log"), root.path().join("out"));
    make(&log);
    let segment = log.join("segment-0001.wal");
    let sound = fs::read(&segment).unwrap();
    let mut bytes = sound.clone();
    bytes.iter_mut().skip(500).take(9).for_each(|byte| *byte ^= 1);
    fs::write(&segment, bytes).unwrap();
    let error = copy(&target(&log), &out, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    fs::write(&segment, sound).unwrap();
    copy(&target(&log), &out, &mut |_| {}).unwrap();
}

/// What `work` leaves on a copy of `disk` when it is ended at each change in turn, by a kill or a power cut.
fn each_end(disk: &SimDisk, work: impl Fn(&Target), mut check: impl FnMut(&SimDisk)) {
    for n in 0.. {
        let fork = disk.fork();
        fork.stop_after(n);
        work(&on(&fork, "/log"));
        let over = !fork.stopped();
        check(&fork.kill());
        check(&fork.crash_losing_all());
        for seed in 0..4 {
            check(&fork.crash(&mut CrashPlan::seeded(seed)));
        }
        if over {
            return;
        }
    }
}

fn on(disk: &SimDisk, dir: &str) -> Target {
    let clock = std::sync::Arc::new(SimClock::new(1));
    Target::new(dir, "segment", std::sync::Arc::new(disk.clone()), clock)
}

/// The seq ids of a log in the folder; `None` where it is refused as none, or as unfinished.
fn bounds(disk: &SimDisk, dir: &str) -> Option<(u64, u64)> {
    match verify(&on(disk, dir), &mut |_| {}) {
        Ok(found) => {
            assert!(!found.is_damaged(), "{:?}", found.findings);
            Some((found.first_seq, found.next_seq))
        }
        Err(error) => {
            let kinds = [ErrorKind::NotFound, ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind()), "{error}");
            None
        }
    }
}

/// The log on a simulated disk.
fn simulated() -> SimDisk {
    let root = tempfile::tempdir().unwrap();
    make(root.path());
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/log")).unwrap();
    for entry in fs::read_dir(root.path()).unwrap() {
        let entry = entry.unwrap();
        let to = Path::new("/log").join(entry.file_name());
        disk.write_file(to, &fs::read(entry.path()).unwrap()).unwrap();
    }
    disk.settle();
    disk
}

#[test]
fn whenever_a_copy_is_ended_it_is_whole_or_none() {
    let (mut whole, mut none) = (0, 0);
    let copied = |target: &Target| drop(copy(target, "/out", &mut |_| {}));
    each_end(&simulated(), copied, |disk| match bounds(disk, "/out") {
        Some(found) => {
            assert_eq!(found, (1, 151));
            whole += 1;
        }
        None => none += 1,
    });
    assert!(whole >= 6 && none > 100, "{whole} whole, {none} none");
}

#[test]
fn whenever_a_salvage_is_ended_its_logs_are_whole_or_none() {
    let disk = simulated();
    disk.flip_bit("/log/segment-0002.wal", 8 * 900).unwrap();
    let (mut whole, mut none) = (0, 0);
    let salvaged = |target: &Target| drop(salvage(target, "/out", &mut |_| {}));
    each_end(&disk, salvaged, |disk| {
        let runs = [bounds(disk, "/out/run-1"), bounds(disk, "/out/run-73")];
        for (found, all) in runs.iter().zip([(1, 72), (73, 151)]) {
            assert!(found.is_none_or(|found| found == all), "{found:?} for {all:?}");
        }
        if runs.iter().all(Option::is_none) {
            none += 1;
            return;
        }
        assert!(disk.read_file("/out/gaps.json").unwrap().ends_with(b"]\n"));
        // What does not open yet is there, and tells why.
        for (found, run) in runs.iter().zip(["/out/run-1", "/out/run-73"]) {
            assert!(found.is_some() || disk.read_file(format!("{run}/segment.manifest")).is_ok());
        }
        whole += 1;
    });
    assert!(whole >= 6 && none > 100, "{whole} whole, {none} none");
}
