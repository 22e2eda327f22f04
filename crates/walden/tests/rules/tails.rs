//! A torn tail that could not be cut off at once: what is tried again, and what comes of each step that fails.

use walden::storage::{Access, Storage};
use walden::{ErrorKind, SyncStrategy};
use walden_sim::{Action, EIO, ENOSPC, Fault, OpKind};

use crate::support::{Lab, assert_goes_on, assert_prefix, entries, every_stop, payload, payloads};

/// Eight entries in three open segments, with a torn record behind them; no room for a copy of it if it is `full`.
fn torn(full: bool) -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=8);
    assert_eq!(wal.stats().open_segments, 3);
    std::mem::forget(wal);
    let lab = lab.kill();
    let mut last = lab.read("segment-0002.wal");
    last[160..200].fill(0xa5);
    lab.write("segment-0002.wal", &last);
    lab.names(".next").iter().for_each(|name| lab.remove(name));
    if full {
        lab.disk.set_capacity(Some(lab.disk.used()));
    }
    lab
}

/// Section 6: "it is tried again": a try that fails half-way, with segments before the tail sealed already, does not seal
/// them a second time. The manifest would count more complete segments than there are until the cut is declared: cut
/// off at each call.
#[test]
fn a_try_that_failed_half_way_is_not_done_twice() {
    let tries = |lab: &Lab| -> walden::Result<walden::Wal> {
        let wal = lab.try_open()?;
        assert!(wal.append(b"refused").is_err());
        lab.disk.set_capacity(None);
        lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::List]).nth(1));
        wal.append(b"refused").unwrap_err();
        wal.append(payload(9))?;
        Ok(wal)
    };
    let lab = torn(true);
    let wal = tries(&lab).unwrap();
    assert_eq!(entries(&wal), (1, payloads(1..=9)), "one was refused, the next one not");
    assert_goes_on(&lab, wal);
    let stops = every_stop(
        &torn(true),
        20,
        |lab| drop(tries(lab)),
        |found, _| {
            found.disk.set_capacity(None);
            let wal = found.open();
            assert_prefix(&wal, 1, 9, 10);
            assert_goes_on(found, wal);
        },
    );
    assert!(stops > 20, "{stops}");
}

/// Sections 5 and 6: the tail is cut off, at opening or later, and the new segment finds no room. That is told as it is,
/// with the copy; what was kept is complete; and what is appended once there is room is marked as durable: if it
/// decays, that is damage.
#[test]
fn a_tail_is_cut_and_the_new_segment_waits() {
    for at_opening in [true, false] {
        let lab = torn(!at_opening);
        let no_room = Fault::new(Action::Error(ENOSPC)).on([OpKind::Create]).suffix(".next");
        lab.disk.add_fault(no_room);
        let wal = lab.open();
        lab.disk.set_capacity(None);
        assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
        let cut = wal.recovery().cut.unwrap();
        assert!(cut.done, "at opening: {at_opening}");
        assert_eq!(lab.disk.read_file(&cut.kept_in[0]).unwrap()[..40], [0xa5; 40]);
        assert!(wal.segments().unwrap().iter().all(|segment| segment.sealed));
        assert_eq!(entries(&wal), (1, payloads(1..=8)));
        lab.disk.clear_faults();
        Lab::append(&wal, 9..=10);
        let (found, decayed) = (lab.kill(), lab.kill());
        assert_eq!(entries(&found.open()), (1, payloads(1..=10)));
        let last = decayed.names(".wal").pop().unwrap();
        decayed.disk.flip_bit(decayed.path(&last), 30 * 8).unwrap();
        let error = decayed.try_open().unwrap_err();
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(9)), "{error}");
        assert_goes_on(&lab, wal);
    }
}

/// Section 4.8: bytes that waited for room and were cut are in flight no more, also where the new segment waits for room:
/// who submits is not kept waiting for them, and learns what is wanting.
#[test]
fn what_was_cut_is_not_in_flight() {
    let mut lab = Lab::new(SyncStrategy::OsCache, 1 << 20);
    lab.config = lab.config.max_in_flight(60);
    lab.disk.set_allocate_supported(false);
    let wal = lab.open();
    Lab::append(&wal, 1..=2);
    wal.sync().unwrap();
    lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".wal"));
    lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Create]).suffix(".next"));
    assert!(wal.append(payload(3)).unwrap_err().is_out_of_space());
    assert_eq!(wal.try_submit(payload(4)).unwrap_err().kind(), ErrorKind::Busy);
    wal.truncate_back(2).unwrap();
    assert_eq!(wal.stats().bytes_in_flight, 0);
    assert!(wal.try_submit(payload(3)).unwrap_err().is_out_of_space());
    lab.disk.clear_faults();
    assert_eq!(wal.submit(payload(3)).unwrap().seqs(), 3..4);
    assert_eq!(entries(&wal), (1, payloads(1..=3)));
    assert_goes_on(&lab, wal);
}

/// "Reads return what is stored, or an error": a disk that gives other bytes for a while is found out by the checksum, and
/// nothing is changed because of it, whoever reads: an entry, a range, opening.
#[test]
fn a_read_that_lies_is_damage_and_changes_nothing() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=8);
    let lies = |name: &str| lab.disk.flip_bit(lab.path(name), 30 * 8 + 3).unwrap();
    for read in [
        |wal: &walden::Wal| wal.get(4).map(drop),
        |wal: &walden::Wal| {
            wal.range(..).and_then(|mut all| all.try_for_each(|entry| entry.map(drop)))
        },
    ] {
        lies("segment-0001.wal");
        let error = read(&wal).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        lies("segment-0001.wal");
        assert_eq!(entries(&wal), (1, payloads(1..=8)));
    }
    wal.close().unwrap();
    let last = lab.names(".wal").pop().unwrap();
    let before = lab.read(&last);
    // Of a closed log one record is read, backwards from its end.
    let bit = (before.len() - 20) * 8;
    let lies = || lab.disk.flip_bit(lab.path(&last), bit as u64).unwrap();
    lies();
    assert_eq!(lab.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
    lies();
    assert_eq!(lab.read(&last), before);
    assert_eq!(entries(&lab.open()), (1, payloads(1..=8)));
}

/// Section 4.6: "open syncs what it found before acting on it". Entries that opening reports are durable, with the names of
/// their segments, though there is no room to put the tail behind them aside.
#[test]
fn what_is_found_before_a_tail_that_cannot_be_cut_is_durable_with_its_names() {
    let lab = Lab::new(SyncStrategy::OsCache, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=8);
    std::mem::forget(wal);
    let lab = lab.kill();
    let last = lab.disk.open(&lab.path("segment-0002.wal"), Access::ReadWrite).unwrap();
    assert_eq!(last.write_at(&[0xa5; 40], 160).unwrap(), 40);
    lab.names(".next").iter().for_each(|name| lab.remove(name));
    // The folder of copies brings a sync with it.
    lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::CreateDir]));
    let wal = lab.open();
    assert!(wal.recovery().cut.is_some_and(|cut| !cut.done));
    assert_eq!(wal.durable_seq(), 8);
    std::mem::forget(wal);
    assert_eq!(entries(&lab.power_cut().open()), (1, payloads(1..=8)));
}

/// Section 7, step 3: K may be longer than what the cut keeps of it, where shortening it found no room. Readers of the log that
/// was opened so go no further, before it is shortened and after.
#[test]
fn what_a_cut_kept_is_read_where_it_could_not_be_shortened() {
    let full = Fault::new(Action::Error(ENOSPC)).on([OpKind::SetLen]).suffix(".wal");
    for (asked_before, again) in [(false, false), (true, false), (false, true), (true, true)] {
        let lab = torn(false);
        lab.disk.add_fault(full.clone());
        let mut wal = lab.open();
        assert!(wal.recovery().cut.is_some_and(|cut| cut.done));
        if again {
            wal.close().unwrap();
            wal = lab.open();
        }
        if asked_before {
            let sizes = wal.segments().unwrap();
            assert_eq!(sizes.iter().map(|segment| segment.bytes).sum::<u64>(), 8 * 80);
            assert_eq!(entries(&wal), (1, payloads(1..=8)));
        }
        assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
        lab.disk.clear_faults();
        assert_eq!(wal.append(payload(9)).unwrap(), 9);
        assert_eq!(entries(&wal), (1, payloads(1..=9)));
        assert_goes_on(&lab, wal);
    }
}

/// A crash can leave half a copy of a tail: it goes with the next cut, and does not stay for good.
#[test]
fn half_a_copy_does_not_stay() {
    let lab = torn(false);
    lab.write("segment.quarantine/segment-0001-at-80-gen-3.tmp", b"half a");
    let wal = lab.open();
    assert!(wal.recovery().cut.is_some_and(|cut| cut.done && cut.kept_in.len() == 1));
    assert_eq!(lab.names(".tmp"), [""; 0]);
    assert_eq!(lab.names(".torn").len(), 1);
}
