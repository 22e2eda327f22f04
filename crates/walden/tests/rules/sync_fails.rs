//! A sync that fails once, at each place where there is one.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use walden::{Error, SyncStrategy, Wal};
use walden_sim::{Action, EIO, Fault, OpKind};

use crate::support::{Lab, entries, payload, payloads};

/// What is done when the sync fails: with the files whose sync it is.
struct Place {
    name: &'static str,
    fault: fn() -> Fault,
    /// Returns the error of the call that met it.
    act: fn(&Wal, &Lab) -> Error,
}

fn fail(ops: [OpKind; 1], suffix: &str) -> Fault {
    Fault::new(Action::Error(EIO)).on(ops).suffix(suffix).nth(1)
}

fn places() -> Vec<Place> {
    vec![
        Place {
            name: "a segment, by the leader",
            fault: || fail([OpKind::SyncData], ".wal"),
            act: |wal, _| wal.sync().unwrap_err(),
        },
        Place {
            name: "sealing, before free space is cut",
            fault: || fail([OpKind::SyncData], ".wal"),
            act: |wal, _| wal.tick().unwrap_err(),
        },
        Place {
            name: "sealing, after free space was cut",
            fault: || fail([OpKind::SyncAll], ".wal"),
            act: |wal, _| wal.tick().unwrap_err(),
        },
        Place {
            name: "the folder",
            fault: || fail([OpKind::SyncDir], "log"),
            act: |wal, _| wal.tick().unwrap_err(),
        },
        Place {
            name: "the manifest, sealing",
            fault: || fail([OpKind::SyncData], ".manifest"),
            act: |wal, _| wal.tick().unwrap_err(),
        },
        Place {
            name: "the manifest, metadata",
            fault: || fail([OpKind::SyncData], ".manifest"),
            act: |wal, _| wal.set_meta("a", "b").unwrap_err(),
        },
        Place {
            name: "the manifest, a cut",
            fault: || fail([OpKind::SyncData], ".manifest").nth(4),
            act: |wal, _| wal.truncate_back(2).unwrap_err(),
        },
        Place {
            name: "a mark, by the periodic work",
            fault: || fail([OpKind::SyncData], ".manifest").nth(3),
            act: |wal, lab| {
                lab.clock.advance(std::time::Duration::from_secs(5));
                wal.tick().unwrap_err()
            },
        },
        Place {
            name: "closing, the segment",
            fault: || fail([OpKind::SyncAll], ".wal").nth(3),
            act: |wal, _| wal.close().unwrap_err(),
        },
        Place {
            name: "closing, the mark",
            fault: || fail([OpKind::SyncData], ".manifest").nth(4),
            act: |wal, _| wal.close().unwrap_err(),
        },
    ]
}

/// Section 4.7: "A failed sync is final. The log is poisoned with the first cause; waiters test `durable` first, then
/// get the cause; appends, syncs, truncation, retention … are refused; nothing in the folder is written any more; reading
/// goes on"; "Reopening re-writes the records it has just verified in the doubt zone and syncs them before it reports
/// them".
#[test]
fn a_failed_sync_is_final() {
    for place in places() {
        let name = place.name;
        let lab = Lab::new(SyncStrategy::OsCache, 100);
        let wal = lab.open();
        Lab::append(&wal, 1..=4);
        let tickets: Vec<_> = (1..=2).map(|_| told(&wal)).collect();
        let next = wal.next_seq();
        lab.disk.add_fault((place.fault)());
        let error = (place.act)(&wal, &lab);
        assert!(error.is_poisoned(), "{name}: {error}");
        assert_eq!(error.io_kind(), Some(std::io::Error::from_raw_os_error(EIO).kind()), "{name}");
        let durable = wal.durable_seq();
        assert_refused(&wal, &lab, name);
        assert_eq!(wal.durable_seq(), durable, "{name}: nothing counts as durable any more");
        for (told, seq) in tickets.iter().zip(5..) {
            let outcome = told.lock().unwrap().take().unwrap_or_else(|| panic!("{name}: not told"));
            assert_eq!(outcome.is_ok(), seq <= durable, "{name}: seq id {seq}, durable {durable}");
        }
        let found = entries(&wal);
        assert_eq!(found.0 + found.1.len() as u64, wal.next_seq(), "{name}: reading goes on");
        drop(wal);
        assert_reopening_is_safe(&lab, durable, next, name);
    }
}

/// Hands a ticket to a callback; what it was told.
fn told(wal: &Wal) -> Arc<Mutex<Option<walden::Result<std::ops::Range<u64>>>>> {
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let ticket = wal.submit(payload(wal.next_seq())).unwrap();
    ticket.on_complete(move |outcome| *tell.lock().unwrap() = Some(outcome));
    told
}

fn assert_refused(wal: &Wal, lab: &Lab, name: &str) {
    let before = lab.disk.mutations();
    let mut refused = vec![
        wal.append("x").err(),
        wal.append_batch(["x", "y"]).err(),
        wal.submit("x").err(),
        wal.sync().err(),
        wal.truncate_front(2).err(),
        wal.truncate_back(1).err(),
        wal.reset(7).err(),
        wal.retain(&walden::Retention::keep_all().max_segments(1)).err(),
        wal.set_meta("k", "v").err(),
        wal.flush().err(),
        wal.tick().err(),
    ];
    let poisoned_by_close = name.starts_with("closing");
    if !poisoned_by_close {
        refused.push(wal.close().err());
    }
    for (at, error) in refused.iter().enumerate() {
        let error = error.as_ref().unwrap_or_else(|| panic!("{name}: call {at} was taken"));
        assert!(error.is_poisoned() || error.is_closed(), "{name}: call {at}: {error}");
    }
    assert_eq!(lab.disk.mutations(), before, "{name}: something was written after the failure");
}

fn assert_reopening_is_safe(lab: &Lab, durable: u64, next: u64, name: &str) {
    let killed = lab.kill();
    let wal = killed.open();
    let (first, all) = entries(&wal);
    assert!(first == 1 || name.contains("front"), "{name}");
    assert!(all.len() as u64 >= durable.min(2) && (all.len() as u64) < next, "{name}");
    assert_eq!(all, payloads(1..=all.len() as u64), "{name}");
    assert_eq!(wal.durable_seq(), all.len() as u64);
    // The kernel took the unsynced sectors for clean: only writing them again makes them durable.
    for seed in 0..30 {
        let after = killed.power_cut_by(seed);
        assert_eq!(entries(&after.open()), (1, all.clone()), "{name}, seed {seed}");
    }
    for seed in 0..30 {
        let after = lab.power_cut_by(seed);
        let (_, found) = entries(&after.open());
        assert!(found.len() as u64 >= durable.min(2), "{name}, seed {seed}");
        assert_eq!(found, payloads(1..=found.len() as u64), "{name}, seed {seed}");
    }
}

/// Section 4.8: "Any other write error poisons": of records, of the manifest, of a length, of a name.
#[test]
fn any_other_write_error_is_final() {
    for (op, suffix) in [
        (OpKind::Write, ".wal"),
        (OpKind::Write, ".manifest"),
        (OpKind::SetLen, ".wal"),
        (OpKind::Rename, ".next"),
    ] {
        let lab = Lab::new(SyncStrategy::OsCache, 100);
        let wal = lab.open();
        Lab::append(&wal, 1..=4);
        lab.disk.add_fault(fail([op], suffix));
        let error = wal.append(payload(5)).err().or_else(|| wal.tick().err());
        let error = error.unwrap_or_else(|| panic!("{op} of {suffix} was not met"));
        assert!(error.is_poisoned(), "{op} of {suffix}: {error}");
        assert_eq!(error.io_kind(), Some(std::io::Error::from_raw_os_error(EIO).kind()));
        let before = lab.disk.mutations();
        for error in [wal.append(payload(6)).err(), wal.sync().err(), wal.tick().err()] {
            assert!(error.is_some_and(|error| error.is_poisoned()), "{op} of {suffix}");
        }
        assert_eq!(lab.disk.mutations(), before, "{op} of {suffix}: it was written to");
        crate::support::assert_prefix(&lab.kill().open(), 1, 5, 6);
    }
}

/// Waiting in each way: all get the cause, or what was durable before.
#[test]
fn all_who_wait_get_the_cause() {
    let lab = Lab::new(SyncStrategy::Background, 1 << 20);
    let wal = lab.open();
    let durable = wal.submit(payload(1)).unwrap();
    wal.sync().unwrap();
    let mut awaited = pin!(wal.submit(payload(2)).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    assert!(awaited.as_mut().poll(&mut context).is_pending());
    let called = told(&wal);
    let waited = wal.submit(payload(4)).unwrap();
    let mut follower = wal.follow(2).unwrap().durable_only();
    lab.disk.add_fault(fail([OpKind::SyncData], ".wal"));
    let first = waited.wait().unwrap_err();
    assert!(first.is_poisoned());
    let Poll::Ready(Err(second)) = awaited.as_mut().poll(&mut context) else { panic!("ready") };
    assert_eq!(second.to_string(), first.to_string(), "the first cause");
    let third = called.lock().unwrap().take().unwrap().unwrap_err();
    assert_eq!(third.to_string(), first.to_string());
    assert_eq!(durable.wait().unwrap(), 1..2, "`durable` is tested first");
    assert!(follower.try_next().unwrap_err().is_poisoned());
    assert_eq!(wal.durable_seq(), 1);
}

/// Section 4.7: the records that a failed sync left in the cache only are in the doubt zone, and are written again
/// before they are reported; at each call of that, and after a second failure.
#[test]
fn the_doubt_zone_is_written_again() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=20);
    lab.disk.add_fault(fail([OpKind::SyncData], ".wal"));
    assert!(wal.append(payload(21)).unwrap_err().is_poisoned());
    drop(wal);
    let killed = lab.kill();
    let wal = killed.open();
    assert_eq!(entries(&wal), (1, payloads(1..=21)), "the cache has it");
    assert_eq!(wal.durable_seq(), 21);
    assert_eq!(entries(&killed.power_cut().open()), (1, payloads(1..=21)), "and then the disk");
    crate::support::every_stop(
        &lab.kill(),
        20,
        |lab| drop(lab.try_open()),
        |found, _| {
            let wal = found.open();
            crate::support::assert_prefix(&wal, 1, 21, 22);
            crate::support::assert_goes_on(found, wal);
        },
    );
}

/// Section 4.7: "waiters test `durable` first, then get the cause": also one that waited since before a cut behind it.
#[test]
fn what_was_durable_before_a_cut_is_told_so_after_a_failure() {
    let lab = Lab::new(SyncStrategy::Background, 1 << 20);
    let wal = lab.open();
    let kept = wal.submit(payload(1)).unwrap();
    let cut = wal.submit(payload(2)).unwrap();
    wal.truncate_back(1).unwrap();
    wal.append(payload(2)).unwrap();
    lab.disk.add_fault(fail([OpKind::SyncData], ".wal"));
    assert!(wal.sync().unwrap_err().is_poisoned());
    assert_eq!(kept.wait().unwrap(), 1..2);
    assert!(cut.wait().unwrap_err().is_truncated(), "and what was cut, as cut");
}

/// "A folder's sync that failed can be made good by a later one": a disk on which that is not so loses the name of a
/// segment that opening found and synced again. The manifest knows that it was there.
#[test]
fn a_name_that_a_failed_sync_left_out_is_missed_not_ignored() {
    let mut met = 0;
    for nth in 1..=6 {
        let lab = Lab::new(SyncStrategy::Always, 240);
        lab.disk.set_names_stick(true);
        let wal = lab.open();
        lab.disk.add_fault(fail([OpKind::SyncDir], "log").nth(nth));
        let refused =
            (1..=12).find(|seq| wal.append(payload(*seq)).is_err() || wal.tick().is_err());
        drop(wal);
        lab.disk.clear_faults();
        if refused.is_none() {
            continue;
        }
        // The same machine, with the kernel's view of the folder: all is there, and goes on.
        let wal = lab.open();
        let last = wal.append(payload(wal.next_seq())).unwrap();
        drop(wal);
        // A log that opens has all that was acknowledged.
        match lab.power_cut().try_open() {
            Ok(wal) => assert_eq!(entries(&wal), (1, payloads(1..=last)), "{nth}"),
            Err(error) => {
                assert!(error.is_corruption(), "{nth}: {error}");
                met += 1;
            }
        }
    }
    assert!(met > 0, "no name was lost");
}
