//! Several open segments, and a power cut that leaves holes in an older one.

use walden::SyncStrategy;
use walden_sim::{Action, EIO, Fault, OpKind, enumerate_crashes};

use crate::support::{Lab, assert_goes_on, assert_prefix};

/// A log with `count` open segments of one entry each, none of them synced.
fn open_segments(count: u64) -> Lab {
    let lab = Lab::new(SyncStrategy::OsCache, 100);
    let wal = lab.open();
    lab.disk.settle();
    Lab::append(&wal, 1..=count);
    assert_eq!(wal.stats().open_segments, count);
    std::mem::forget(wal);
    lab
}

/// Section 6: "The doubt zone is read as one sequence through all open segments … the first invalid byte or
/// broken sequence ends the log"; section 4.5: "prefix order".
#[test]
fn a_hole_in_an_older_open_segment_ends_the_log() {
    for count in 2..=4 {
        let lab = open_segments(count);
        let mut holes = 0;
        let mut check = |image: Lab| {
            let there = |at: u64| {
                let name = format!("segment-{at:04}.wal");
                image.has(&name) && image.read(&name).iter().any(|byte| *byte != 0)
            };
            holes += u64::from((0..count - 1).any(|at| !there(at) && there(at + 1)));
            let wal = image.open();
            assert_prefix(&wal, 1, 1, count + 1);
            assert_goes_on(&image, wal);
        };
        enumerate_crashes(&lab.disk, 300, |image| check(lab.with(image)));
        for seed in 0..200 {
            check(lab.power_cut_by(seed));
        }
        assert!(holes > 5, "{count} segments: {holes} images with a hole");
    }
}

/// Section 4.5 and section 9 ("per open segment, oldest first"): what an append of `Always` acknowledged is there,
/// whichever of the open segments it lies in.
#[test]
fn acknowledged_entries_in_several_open_segments_survive() {
    for count in 2..=4 {
        let lab = Lab::new(SyncStrategy::OsCache, 100);
        let wal = lab.open();
        Lab::append(&wal, 1..=count);
        assert_eq!(wal.stats().open_segments, count);
        wal.sync().unwrap();
        Lab::append(&wal, count + 1..=count + 1);
        for seed in 0..100 {
            let after = lab.power_cut_by(seed);
            let wal = after.open();
            assert_prefix(&wal, 1, count + 1, count + 2);
            assert_goes_on(&after, wal);
        }
    }
}

/// Section 4.12: "Where the next segment isn't ready or four are open, appends wait outside"; section 5: "More than
/// four segments behind `sealed_through`: another program wrote".
#[test]
fn never_more_than_four_segments_are_open() {
    let lab = Lab::new(SyncStrategy::OsCache, 100);
    let wal = lab.open();
    for seq in 1..=12 {
        Lab::append(&wal, seq..=seq);
        assert!(wal.stats().open_segments <= 4);
        let after = lab.kill();
        let wal = after.open();
        assert_prefix(&wal, 1, seq + 1, seq + 1);
        assert_ne!(wal.recovery().origin, walden::Origin::Adopted, "our own segments");
    }
    let stats = wal.stats();
    assert!(stats.seals >= 8 && stats.rotation_waits > 0, "{stats:?}");
}

/// The same where sealing meets a fault: the fifth segment is not begun, and the log fails with the cause.
#[test]
fn a_fifth_segment_is_not_begun_where_sealing_fails() {
    for op in [OpKind::SyncData, OpKind::SyncAll, OpKind::SetLen, OpKind::SyncDir] {
        let lab = Lab::new(SyncStrategy::OsCache, 100);
        let wal = lab.open();
        Lab::append(&wal, 1..=4);
        lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([op]).nth(1));
        let error = wal.append(b"fifth").unwrap_err();
        assert!(error.is_poisoned(), "{op}: {error}");
        assert_eq!(wal.next_seq(), 5);
        assert_eq!(lab.names(".wal").len(), 4);
        for seed in 0..50 {
            let after = lab.power_cut_by(seed);
            assert_prefix(&after.open(), 1, 1, 5);
        }
        assert_prefix(&lab.kill().open(), 1, 5, 5);
    }
}

/// Section 5, sealing: "fdatasync the segment; cut its free space; fsync it; sync its successor's directory entry;
/// sync a manifest with `sealed_through`": cut off at each call, and again in the recovery.
#[test]
fn sealing_cut_off_at_every_call() {
    let begin = |lab: &Lab| {
        let Ok(wal) = lab.try_open() else { return };
        for seq in 1..=3 {
            drop(wal.append(crate::support::payload(seq)));
        }
        drop(wal.tick());
        std::mem::forget(wal);
    };
    let lab = Lab::new(SyncStrategy::Always, 100);
    crate::support::every_stop(&lab, 12, begin, |found, _| {
        crate::support::every_stop(
            found,
            1,
            |lab| drop(lab.try_open()),
            |again, stop| {
                let wal = again.open();
                assert_prefix(&wal, 1, 1, 4);
                if stop % 3 == 0 {
                    assert_goes_on(again, wal);
                }
            },
        );
    });
}
