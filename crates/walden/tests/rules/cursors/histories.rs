//! Cursors across cuts, openings and merged epochs: a position is never one of another history.

use walden::{ErrorKind, Retention, Start, SyncStrategy};

use super::{FILE, commit, kind, only, only_named, rest};
use crate::full::{room, torn_and_full};
use crate::support::{Lab, every_stop, payload};

/// `truncate_front` does as it is told.
#[test]
fn a_cut_in_front_is_told_as_removed() {
    let lab = Lab::nine();
    let wal = lab.open();
    let behind = wal.cursor("behind", Start::At(4)).unwrap();
    let at = wal.cursor("at", Start::At(5)).unwrap();
    wal.truncate_front(5).unwrap();
    let error = behind.commit(6).unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Removed, Some(4)));
    assert_eq!(rest(&at), [5, 6, 7, 8, 9]);
    wal.close().unwrap();
    drop((behind, at, wal));
    let wal = lab.open();
    let behind = wal.cursor("behind", Start::First).unwrap();
    assert_eq!(kind(behind.follow()), ErrorKind::Removed);
    behind.seek(5).unwrap();
    commit(&behind, 6);
    wal.cursor("at", Start::First).unwrap().check().unwrap();
}

/// Section 5: "A position carries the epoch of the entry before it; … cursors … check it …: no longer in the list:
/// `Truncated { at }`": in the process that cut, and after reopening.
#[test]
fn a_cut_at_the_back_is_told() {
    for reopened in [false, true] {
        let lab = Lab::nine();
        let wal = lab.open();
        let behind = wal.cursor("behind", Start::At(8)).unwrap();
        let before = wal.cursor("before", Start::At(6)).unwrap();
        wal.truncate_back(5).unwrap();
        for seq in 6..=12 {
            wal.append(format!("another history's {seq}")).unwrap();
        }
        let (wal, behind, before) = if reopened {
            wal.sync().unwrap();
            drop((behind, before));
            std::mem::forget(wal);
            let wal = lab.power_cut().open();
            let behind = wal.cursor("behind", Start::First).unwrap();
            let before = wal.cursor("before", Start::First).unwrap();
            (wal, behind, before)
        } else {
            (wal, behind, before)
        };
        for result in
            [behind.check(), behind.commit(9), behind.follow().map(drop), behind.reader().map(drop)]
        {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.seq()), (ErrorKind::Truncated, Some(6)), "{error}");
        }
        assert_eq!(only_named(&wal, "behind").problem.unwrap().kind(), ErrorKind::Truncated);
        before.check().unwrap();
        if !reopened {
            // Its owner may have read entries 6 and 7 before the cut.
            assert_eq!(kind(before.commit(7)), ErrorKind::Truncated);
            before.seek(6).unwrap();
        }
        commit(&before, 7);
        behind.seek(6).unwrap();
        commit(&behind, 12);
        std::mem::forget(wal);
    }
}

/// An epoch of its own that a cut takes away as a whole: the cursor learns where the histories part, not just that they
/// do.
#[test]
fn where_a_whole_epoch_was_cut() {
    let lab = Lab::nine();
    let wal = lab.open();
    Lab::append(&wal, 10..=12);
    let cursor = wal.cursor("a", Start::At(12)).unwrap();
    drop(cursor);
    wal.truncate_back(4).unwrap();
    for _ in 0..20 {
        wal.append("another").unwrap();
    }
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    let error = wal.cursor("a", Start::First).unwrap().check().unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Truncated, Some(5)));
    // Nothing of what came in its place was seen: it is kept.
    assert_eq!(wal.retain(&Retention::keep_all().max_segments(1)).unwrap(), 2);
    assert_eq!(wal.first_seq(), 5);
}

/// A reset empties the log: the position is none of the new history. Only one just where the log goes on may read on: none
/// of what it had is under another's seq id.
#[test]
fn a_reset_is_told() {
    for (next, expected) in
        [(10, None), (3, Some(ErrorKind::Truncated)), (50, Some(ErrorKind::Removed))]
    {
        let lab = Lab::nine();
        let wal = lab.open();
        drop(wal.cursor("a", Start::End).unwrap());
        wal.reset(next).unwrap();
        for _ in 0..20 {
            wal.append("another").unwrap();
        }
        assert_eq!(only(&wal).problem.map(|error| error.kind()), expected, "reset to {next}");
        wal.close().unwrap();
        drop(wal);
        assert_eq!(only(&lab.open()).problem.map(|error| error.kind()), expected, "{next}");
    }
}

/// A position before any entry: the epoch that the empty log has is replaced at each opening.
#[test]
fn a_cursor_of_an_empty_log() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    for _ in 0..3 {
        let wal = lab.open();
        let cursor = wal.cursor("a", Start::End).unwrap();
        cursor.check().unwrap();
        assert_eq!(cursor.position(), 1);
        wal.close().unwrap();
    }
    let wal = lab.open();
    Lab::append(&wal, 1..=3);
    assert_eq!(rest(&wal.cursor("a", Start::End).unwrap()), [1, 2, 3]);
}

/// Section 5: "merging old ones keeps the newest id and first moves the cursors to it": after any number of openings a
/// position is good, and one in another history is not, also where a crash comes at any call of the merge.
#[test]
fn cursors_follow_merged_and_dropped_epochs() {
    let lab = Lab::new(SyncStrategy::Always, 400);
    for seq in 1..=63 {
        let wal = lab.open();
        Lab::append(&wal, seq..=seq);
        if seq == 20 {
            drop(wal.cursor("old", Start::At(2)).unwrap());
            drop(wal.cursor("young", Start::End).unwrap());
            wal.sync().unwrap();
        }
        wal.close().unwrap();
    }
    lab.disk.settle();
    let seen = |lab: &Lab| {
        let wal = lab.open();
        for (name, position) in [("old", 2), ("young", 21)] {
            let info = only_named(&wal, name);
            assert_eq!((info.position, info.problem.map(|e| e.to_string())), (position, None));
        }
        wal.close().unwrap();
    };
    let reopen = |lab: &Lab| {
        for _ in 0..2 {
            let Ok(wal) = lab.try_open() else { return };
            if wal.append("one more").is_err() || wal.close().is_err() {
                return;
            }
        }
    };
    every_stop(&lab, 20, reopen, |found, _| seen(found));
    for _ in 0..70 {
        let wal = lab.open();
        wal.append("one more").unwrap();
        wal.close().unwrap();
    }
    seen(&lab);
}

/// The same where the oldest epoch is dropped with its last entry, which the position is just behind; cut off at every
/// call.
#[test]
fn a_position_just_behind_a_dropped_epoch() {
    let lab = Lab::nine();
    let wal = lab.open();
    Lab::append(&wal, 10..=12);
    drop(wal.cursor("a", Start::At(10)).unwrap());
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    let cut = |lab: &Lab| {
        if let Ok(wal) = lab.try_open() {
            drop(wal.truncate_front(10));
            std::mem::forget(wal);
        }
    };
    every_stop(&lab, 30, cut, |found, _| {
        let wal = found.open();
        let info = only(&wal);
        assert_eq!((info.position, info.problem.map(|error| error.to_string())), (10, None));
        assert_eq!(rest(&wal.cursor("a", Start::End).unwrap()), [10, 11, 12]);
    });
    cut(&lab);
    assert_eq!(lab.kill().open().first_seq(), 10, "the cut comes to its end");
}

/// One that stands in a history that was cut does not become good by a merge.
#[test]
fn a_merge_does_not_forgive() {
    let lab = Lab::nine();
    let wal = lab.open();
    drop(wal.cursor("a", Start::At(8)).unwrap());
    wal.truncate_back(5).unwrap();
    for seq in 6..=12 {
        wal.append(format!("another history's {seq}")).unwrap();
    }
    wal.close().unwrap();
    drop(wal);
    for _ in 0..80 {
        let wal = lab.open();
        assert_eq!(only(&wal).problem.unwrap().kind(), ErrorKind::Truncated);
        wal.append("one more").unwrap();
        wal.close().unwrap();
    }
}

/// "Random, so that a restored backup or a copied folder that went its own way is told apart."
#[test]
fn a_cursors_file_beside_another_history() {
    let lab = Lab::nine();
    let backup = lab.with(lab.disk.fork());
    let wal = lab.open();
    Lab::append(&wal, 10..=12);
    drop(wal.cursor("a", Start::End).unwrap());
    wal.close().unwrap();
    backup.write(FILE, &lab.read(FILE));
    let wal = backup.open();
    for _ in 0..5 {
        wal.append("another history's").unwrap();
    }
    assert_eq!(only(&wal).problem.unwrap().kind(), ErrorKind::Truncated);
}

/// What opening could not cut for want of room is cut later, and begins the epoch then: what is appended behind it is
/// known by that, not by the epoch that the log was opened with.
#[test]
fn a_tail_cut_late_begins_an_epoch() {
    let lab = torn_and_full();
    let wal = lab.open();
    assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
    room(&lab);
    assert_eq!(wal.append(payload(9)).unwrap(), 9);
    let cursor = wal.cursor("c", Start::First).unwrap();
    cursor.commit(9).unwrap();
    let sent = wal.frames(9, 1000).unwrap().unwrap().epochs();
    drop(cursor);
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    assert_eq!(wal.frames(9, 1000).unwrap().unwrap().epochs(), sent);
    let cursor = wal.cursor("c", Start::First).unwrap();
    cursor.check().unwrap();
    assert_eq!(cursor.position(), 10);
}

/// Where a copy's front was cut, an epoch went into the one behind it; sent again, the same epoch stands for itself.
#[test]
fn an_epoch_that_comes_back() {
    let source = Lab::nine();
    let old = source.open().frames(1, 1 << 20).unwrap().unwrap();
    let source = source.kill();
    let wal = source.open();
    Lab::append(&wal, 10..=20);
    let all = wal.frames(1, 1 << 20).unwrap().unwrap();
    assert_eq!((old.epochs().len(), all.epochs().len()), (1, 2));
    let copy = Lab::new(SyncStrategy::Always, 240);
    let wal = copy.open();
    wal.append_frames(&all).unwrap();
    let cursor = wal.cursor("c", Start::At(21)).unwrap();
    wal.truncate_front(15).unwrap();
    wal.reset(1).unwrap();
    wal.append_frames(&old).unwrap();
    cursor.seek(1).unwrap();
    cursor.commit(5).unwrap();
    cursor.check().unwrap();
    cursor.commit(9).unwrap();
    drop(cursor);
    wal.close().unwrap();
    drop(wal);
    assert!(only(&copy.open()).problem.is_none());
}

/// Behind the last seq id that there can be.
#[test]
fn at_the_very_end() {
    let lab = Lab::nine();
    let wal = lab.open();
    wal.reset(u64::MAX - 1).unwrap();
    wal.append(b"the last").unwrap();
    let cursor = wal.cursor("c", Start::First).unwrap();
    cursor.commit(u64::MAX - 1).unwrap();
    drop(wal.cursor("end", Start::End).unwrap());
    drop(cursor);
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    let found: Vec<u64> = wal.cursors().unwrap().iter().map(|info| info.position).collect();
    assert_eq!(found, [u64::MAX; 2]);
}
