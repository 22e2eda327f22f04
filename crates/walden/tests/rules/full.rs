//! Full disks: at every place where room is needed.

use walden::{BatchFormat, ErrorKind, Retention, SyncStrategy};
use walden_sim::{Action, EIO, ENOSPC, Fault, OpKind};

use crate::support::{Lab, assert_goes_on, entries, payload, payloads};

const KIB: u64 = 1024;

fn full(lab: &Lab) {
    lab.disk.set_capacity(Some(lab.disk.used()));
}

pub(crate) fn room(lab: &Lab) {
    lab.disk.set_capacity(None);
}

/// Reading, a cut in front and retention work on a full disk (section 4.8).
fn assert_front_works(wal: &walden::Wal, first: u64) {
    assert_eq!(wal.get(first).unwrap().unwrap().payload, payload(first));
    wal.truncate_front(first).unwrap();
    assert_eq!(wal.first_seq(), first);
    wal.retain(&Retention::keep_all().max_segments(1)).unwrap();
}

/// Section 4.8: "Space is reserved before a seq id is given: an append … gets `OutOfSpace`, and nothing happened"; at
/// the making of the next segment, with one to four segments open.
#[test]
fn no_room_for_the_next_segment() {
    for open in 1..=4 {
        let lab = Lab::new(SyncStrategy::OsCache, 4 * KIB);
        let wal = lab.open();
        let big = vec![7; 3000];
        for _ in 0..open {
            wal.append(&big).unwrap();
        }
        assert_eq!(wal.stats().open_segments, open);
        full(&lab);
        for _ in 0..3 {
            let error = wal.append(&big).unwrap_err();
            assert!(error.is_out_of_space(), "{error}");
            assert_eq!(wal.next_seq(), open + 1, "nothing happened");
        }
        assert!(wal.stats().disk_full > 0);
        wal.sync().unwrap();
        assert_eq!(wal.durable_seq(), open);
        assert_eq!(wal.range(..).unwrap().count() as u64, open);
        wal.tick().unwrap_err();
        wal.truncate_front(open).unwrap();
        room(&lab);
        assert_eq!(wal.append(&big).unwrap(), open + 1);
        assert_goes_on(&lab, wal);
    }
}

/// Section 4.8: "Space is reserved before a seq id is given …, and nothing happened": also where it is not for want of room
/// that none can be reserved. A failing disk is not taken for a full one: the error names the file, and the log goes on
/// once the disk does.
#[test]
fn a_disk_that_fails_to_reserve_space_is_not_a_full_one() {
    for (name, record) in [("segment-0001.next", 3000), ("segment-0000.wal", 6000)] {
        let lab = Lab::new(SyncStrategy::OsCache, 4 * KIB);
        let wal = lab.open();
        let mut next = 1;
        if name.ends_with("next") {
            wal.append([7; 3000]).unwrap();
            wal.sync().unwrap();
            next = 2;
        }
        lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::Allocate]));
        for _ in 0..3 {
            let error = wal.append(vec![8_u8; record]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert_eq!(error.file(), Some(&*lab.path(name)), "{error}");
            assert_eq!(wal.next_seq(), next, "nothing happened");
        }
        let stats = wal.stats();
        assert!(!stats.poisoned && stats.disk_full == 0, "{stats:?}");
        assert!(lab.names(".next").is_empty());
        assert_eq!(entries(&wal).1.len() as u64, next - 1);
        assert_eq!(entries(&lab.power_cut().open()).1.len() as u64, next - 1, "nothing is lost");
        // Opening needs no space ahead: it can do without.
        wal.close().unwrap();
        drop(wal);
        let wal = lab.open();
        assert_eq!(wal.append(vec![8_u8; record]).unwrap_err().kind(), ErrorKind::Io);
        lab.disk.clear_faults();
        assert_eq!(wal.append(vec![8_u8; record]).unwrap(), next);
        assert_goes_on(&lab, wal);
    }
}

/// Section 4.8: "An entry that was given a seq id keeps it": in `Always`, too, where the bytes are written and a full disk
/// (one that breaks the promise of space that was allocated) keeps the manifest from naming their segment. The log has
/// failed then, and opening finds the entry.
#[test]
fn no_room_for_the_manifest() {
    let lab = Lab::new(SyncStrategy::Always, 100);
    let wal = lab.open();
    wal.append(payload(1)).unwrap();
    wal.tick().unwrap();
    let full = Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".manifest");
    lab.disk.add_fault(full);
    let error = wal.append(payload(2)).unwrap_err();
    assert!(error.is_poisoned(), "{error}");
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::StorageFull));
    assert_eq!((wal.next_seq(), wal.durable_seq()), (3, 1), "the seq id stays, and is not durable");
    lab.disk.clear_faults();
    assert!(wal.sync().unwrap_err().is_poisoned(), "it stays so");
    let lab = lab.kill();
    let wal = lab.open();
    assert_eq!(entries(&wal), (1, payloads(1..=2)));
    assert_goes_on(&lab, wal);
}

/// Section 7 and 4.8: a separate-record batch in the middle of which the disk is full: "the error names the seq ids
/// that were appended, which stay".
#[test]
fn no_room_in_the_middle_of_a_batch_of_separate_records() {
    let mut lab = Lab::new(SyncStrategy::Always, 4 * KIB);
    lab.config = lab.config.batch_format(BatchFormat::Separate);
    let wal = lab.open();
    wal.append(b"before").unwrap();
    full(&lab);
    let batch = vec![vec![7; 1000]; 10];
    let error = wal.append_batch(&batch).unwrap_err();
    assert!(error.is_out_of_space(), "{error}");
    let (first, last) = (error.seq().unwrap(), error.last_seq().unwrap());
    assert_eq!(first, 2);
    assert_eq!(wal.next_seq(), last + 1, "they stay");
    assert!(last > 2 && last < 11);
    room(&lab);
    assert_eq!(wal.append(b"behind").unwrap(), last + 1, "later appends work");
    assert_eq!(entries(&wal).1.len() as u64, last + 1);
    assert_goes_on(&lab, wal);
}

/// Section 4.8: "where allocation is unsupported and a later write meets ENOSPC, the bytes stay in memory, are tried
/// again, and new appends get `OutOfSpace`. A visible seq id is never rolled back".
#[test]
fn a_write_that_meets_a_full_disk_keeps_its_seq_ids() {
    for strategy in [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always] {
        let lab = Lab::new(strategy, 1 << 20);
        lab.disk.set_allocate_supported(false);
        let wal = lab.open();
        Lab::append(&wal, 1..=2);
        wal.sync().unwrap();
        full(&lab);
        let mut refused = 0;
        for seq in 3..200 {
            match wal.append(payload(seq)) {
                Ok(given) => assert_eq!((given, refused), (seq, 0)),
                Err(error) => {
                    assert!(error.is_out_of_space(), "{error}");
                    refused += 1;
                }
            }
            if strategy == SyncStrategy::Background && wal.flush().is_err() {
                refused += 1;
            }
        }
        assert!(refused > 0);
        let next = wal.next_seq();
        assert!(!wal.stats().poisoned && next > 3);
        for _ in 0..3 {
            assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
            assert!(wal.sync().unwrap_err().is_out_of_space());
            assert_eq!(wal.next_seq(), next, "never rolled back, and none given");
        }
        assert!(wal.durable_seq() < next - 1);
        let found = lab.power_cut();
        assert!(entries(&found.open()).1.len() >= 2);
        room(&lab);
        wal.sync().unwrap();
        assert_eq!(wal.durable_seq() + 1, next);
        assert_eq!(entries(&wal), (1, payloads(1..=next - 1)), "{strategy:?}");
        assert_goes_on(&lab, wal);
    }
}

/// Section 4.3: "a missing seq id is an error …; never an empty success": also of an entry that was appended and could not
/// be written, for want of room or since the log failed. Iterating ends before it; who asks for it learns why.
#[test]
fn an_entry_that_could_not_be_written_is_not_taken_for_the_end() {
    for errno in [ENOSPC, EIO] {
        let lab = Lab::new(SyncStrategy::Background, 1 << 20);
        lab.disk.set_allocate_supported(false);
        let wal = lab.open();
        Lab::append(&wal, 1..=2);
        wal.sync().unwrap();
        let fails = Fault::new(Action::Error(errno)).on([OpKind::Write]).suffix(".wal");
        lab.disk.add_fault(fails);
        Lab::append(&wal, 3..=4);
        let kind = wal.flush().unwrap_err().kind();
        assert_eq!(kind == ErrorKind::OutOfSpace, errno == ENOSPC);
        assert_eq!((wal.next_seq(), wal.stats().written), (5, 3));
        for seq in 3..=4 {
            let told = wal.get(seq).unwrap_err();
            assert_eq!(told.kind(), kind, "{told}");
            assert!(told.to_string().contains("segment-0000.wal"), "{told}");
        }
        assert!(wal.get(5).unwrap().is_none(), "that one was never appended");
        let found: Vec<_> = wal.range(..).unwrap().map(|entry| entry.unwrap().seq).collect();
        assert_eq!(found, [1, 2]);
        assert!(wal.reader_at(3).unwrap().read_next().unwrap().is_none(), "for now");
        for behind in [4, 5] {
            assert_eq!(wal.range(behind..).err().map(|error| error.kind()), Some(kind));
            assert_eq!(wal.reader_at(behind).err().map(|error| error.kind()), Some(kind));
        }
        assert_eq!(wal.range(6..).err().map(|error| error.kind()), Some(ErrorKind::BeyondEnd));
        lab.disk.clear_faults();
        if errno == ENOSPC {
            assert_eq!(wal.get(4).unwrap().unwrap().payload, payload(4));
            assert_goes_on(&lab, wal);
        } else {
            assert!(wal.get(4).unwrap_err().is_poisoned());
        }
    }
}

/// The same for a record so large that it is written from where it is: what was buffered before it is written
/// first, and where that or the record itself finds no room it waits in its place.
#[test]
fn a_large_record_waits_for_room_in_its_place() {
    let large = [vec![1; 9000], vec![2; 12_000], vec![3; 5000]];
    let parts: Vec<&[u8]> = large.iter().map(Vec::as_slice).collect();
    for strategy in [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always] {
        for writes_before in 1..=3 {
            let lab = Lab::new(strategy, 1 << 20);
            lab.disk.set_allocate_supported(false);
            let wal = lab.open();
            let no_room = Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".wal");
            lab.disk.add_fault(no_room.from_nth(writes_before));
            let mut expected = Vec::new();
            for seq in 1..=6_u64 {
                let result = match seq % 3 {
                    0 => wal.append_parts(&parts),
                    _ => wal.append(payload(seq)),
                };
                if wal.next_seq() > seq {
                    expected.push(if seq % 3 == 0 { large.concat() } else { payload(seq) });
                } else {
                    assert!(result.unwrap_err().is_out_of_space());
                    break;
                }
            }
            assert!(!wal.stats().poisoned);
            assert!(wal.sync().unwrap_err().is_out_of_space(), "{strategy:?}, {writes_before}");
            lab.disk.clear_faults();
            wal.sync().unwrap();
            assert_eq!(entries(&wal), (1, expected.clone()), "{strategy:?}, {writes_before}");
            assert_eq!(entries(&lab.power_cut().open()), (1, expected));
            wal.append_parts(&parts).unwrap();
            assert_goes_on(&lab, wal);
        }
    }
}

/// The same: truncation in front and retention work all the while.
#[test]
fn the_front_can_be_cut_while_bytes_wait_for_room() {
    let lab = Lab::new(SyncStrategy::OsCache, 3 * 80);
    lab.disk.set_allocate_supported(false);
    let wal = lab.open();
    Lab::append(&wal, 1..=9);
    wal.sync().unwrap();
    wal.tick().unwrap();
    lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".wal"));
    let error = wal.append(payload(10)).unwrap_err();
    assert!(error.is_out_of_space(), "{error}");
    assert_eq!(wal.next_seq(), 11);
    assert_front_works(&wal, 5);
    lab.disk.clear_faults();
    wal.sync().unwrap();
    let (first, all) = entries(&wal);
    assert_eq!(all, payloads(first..=10));
    assert_goes_on(&lab, wal);
}

/// The same for a cut at the back, which needs only what it keeps: the bytes that wait are cut with the rest.
#[test]
fn the_back_can_be_cut_while_bytes_wait_for_room() {
    let cuts: [fn(&walden::Wal) -> walden::Result<()>; 3] =
        [|wal| wal.truncate_back(5), |wal| wal.truncate_back(9), |wal| wal.reset(70)];
    for (at, cut) in cuts.iter().enumerate() {
        let lab = Lab::new(SyncStrategy::OsCache, 3 * 80);
        lab.disk.set_allocate_supported(false);
        let wal = lab.open();
        Lab::append(&wal, 1..=9);
        lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".wal"));
        let ticket = wal.submit(payload(10)).unwrap();
        assert!(ticket.wait().unwrap_err().is_out_of_space());
        assert_eq!(wal.next_seq(), 11);
        cut(&wal).unwrap();
        let all = [(1, payloads(1..=5)), (1, payloads(1..=9)), (70, Vec::new())][at].clone();
        assert_eq!(entries(&wal), all);
        assert_eq!(entries(&lab.power_cut().open()), all);
        lab.disk.clear_faults();
        assert_goes_on(&lab, wal);
    }
}

/// Section 9: a sync makes durable what could be written, also where what was written lies in the segment that the
/// bytes that wait belong to: so truncation and retention work (section 4.8), whatever came before these bytes.
#[test]
fn what_was_written_is_synced_while_bytes_wait_for_room() {
    type Cut = fn(&walden::Wal) -> walden::Result<()>;
    let cuts: [(Cut, u64, u64); 3] = [
        (|wal| wal.sync().map_or(Ok(()), |()| panic!("all was synced")), 1, 9),
        (|wal| wal.truncate_front(7), 7, 9),
        (|wal| wal.truncate_back(8), 1, 8),
    ];
    for (at, (cut, first, last)) in cuts.iter().enumerate() {
        for batch in [false, true] {
            let mut lab = Lab::new(SyncStrategy::OsCache, 1 << 20);
            lab.config = lab.config.batch_format(BatchFormat::Separate);
            lab.disk.set_allocate_supported(false);
            let wal = lab.open();
            Lab::append(&wal, 1..=9);
            lab.disk
                .add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".wal"));
            let appended = match batch {
                false => wal.append(payload(10)).map(drop),
                true => wal.append_batch(payloads(10..=11)).map(drop),
            };
            assert!(appended.unwrap_err().is_out_of_space());
            cut(&wal).unwrap_or_else(|error| panic!("cut {at}: {error}"));
            assert!(wal.durable_seq() >= *last, "cut {at}: {}", wal.durable_seq());
            let found = entries(&lab.power_cut().open());
            assert_eq!(found, (*first, payloads(*first..=*last)), "cut {at}");
            lab.disk.clear_faults();
            assert_goes_on(&lab, wal);
        }
    }
}

/// Section 4.7: "ENOSPC from fsync is a failed sync".
#[test]
fn no_space_from_a_sync_is_a_failed_sync() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=1);
    lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::SyncData]).nth(1));
    let error = wal.append(payload(2)).unwrap_err();
    assert!(error.is_poisoned(), "{error}");
    assert!(wal.append(payload(3)).unwrap_err().is_poisoned());
    assert_eq!(wal.durable_seq(), 1);
}

/// A log with a torn tail on a disk without room for a copy of it.
pub(crate) fn torn_and_full() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=8);
    wal.tick().unwrap();
    std::mem::forget(wal);
    let lab = lab.kill();
    let mut last = lab.read("segment-0002.wal");
    last[160..200].fill(0xa5);
    lab.write("segment-0002.wal", &last);
    lab.names(".next").iter().for_each(|name| lab.remove(name));
    full(&lab);
    lab
}

/// Section 6: "No room to quarantine: the tail stays, reading, `truncate_front` and `retain` work, appends get
/// `OutOfSpace`, and it is tried again."
#[test]
fn no_room_to_quarantine() {
    let lab = torn_and_full();
    let wal = lab.open();
    let cut = wal.recovery().cut.expect("a torn tail");
    assert!(!cut.done && cut.kept_in.is_empty());
    assert_eq!(entries(&wal), (1, payloads(1..=8)));
    for _ in 0..3 {
        let error = wal.append(b"refused").unwrap_err();
        assert!(error.is_out_of_space(), "{error}");
    }
    assert_eq!(lab.read("segment-0002.wal")[160], 0xa5, "the tail stays");
    wal.truncate_front(2).unwrap();
    assert_eq!(entries(&wal), (2, payloads(2..=8)));
    // It can be closed, and opened, so.
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
    assert_eq!(entries(&wal), (2, payloads(2..=8)));
    // A power cut, too: nothing was cut without a copy.
    assert_eq!(entries(&lab.power_cut().open()), (2, payloads(2..=8)));
    room(&lab);
    assert_eq!(wal.append(payload(9)).unwrap(), 9, "the first append that finds room goes through");
    let cut = wal.recovery().cut.unwrap();
    assert!(cut.done);
    assert_eq!(lab.disk.read_file(&cut.kept_in[0]).unwrap()[..40], [0xa5; 40], "kept");
    assert_eq!(entries(&wal), (2, payloads(2..=9)));
    assert_goes_on(&lab, wal);
}

/// The same where retention makes the room: whole segments go, and the next append goes through.
#[test]
fn retention_makes_room_for_the_quarantine() {
    let lab = torn_and_full();
    let wal = lab.open();
    assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
    assert!(wal.retain(&Retention::keep_all().max_segments(1)).unwrap() >= 1);
    let first = wal.first_seq();
    assert!(first > 1);
    assert_eq!(wal.append(payload(9)).unwrap(), 9);
    assert_eq!(entries(&wal), (first, payloads(first..=9)));
    assert_goes_on(&lab, wal);
}

/// Section 7: "No room for that: `OutOfSpace`, nothing done", for a cut inside a PACKED record.
#[test]
fn no_room_for_the_survivors_of_a_batch() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 16);
    let wal = lab.open();
    wal.append_batch(payloads(1..=4)).unwrap();
    full(&lab);
    let error = wal.truncate_back(2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
    assert_eq!(entries(&wal), (1, payloads(1..=4)), "nothing done");
    room(&lab);
    wal.truncate_back(2).unwrap();
    assert_eq!(entries(&wal), (1, payloads(1..=2)));
    assert_goes_on(&lab, wal);
}

/// Section 4.8: a cut at a record's border needs no room; only what is appended behind it does.
#[test]
fn a_cut_on_a_full_disk() {
    let lab = Lab::new(SyncStrategy::Always, 4 * KIB);
    let wal = lab.open();
    for _ in 0..4 {
        wal.append([7; 3000]).unwrap();
    }
    full(&lab);
    wal.truncate_back(3).unwrap();
    assert_eq!((wal.next_seq(), wal.range(..).unwrap().count()), (4, 3));
    lab.disk.set_capacity(Some(0));
    let refused = wal.append([7; 5000]).unwrap_err();
    assert!(refused.is_out_of_space(), "{refused}");
    assert_eq!(entries(&lab.power_cut().open()).1.len(), 3);
    room(&lab);
    assert_eq!(wal.append(b"behind").unwrap(), 4);
    assert_goes_on(&lab, wal);
}

/// A disk on which no new file finds room, and a log of nine entries that was cut behind the sixth there.
pub(crate) fn cut_without_room_for_a_new_segment() -> (Lab, walden::Wal) {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=9);
    wal.tick().unwrap();
    lab.disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Create]).suffix(".next"));
    wal.truncate_back(6).unwrap();
    (lab, wal)
}

/// Section 4.8: "Truncation … work[s] on a full disk": also where an earlier cut waits for room for its new segment, in this
/// opening or the one before. The next cut takes its place.
#[test]
fn a_cut_behind_one_that_waits_for_room() {
    type Cut = fn(&walden::Wal) -> walden::Result<()>;
    let cuts: [(Cut, u64, u64); 5] = [
        (|wal| wal.truncate_back(4), 1, 5),
        (|wal| wal.truncate_back(6), 1, 7),
        (|wal| wal.truncate_back(0), 1, 1),
        (|wal| wal.reset(70), 70, 70),
        (|wal| wal.reset(2).and_then(|()| wal.reset(80)), 80, 80),
    ];
    for (at, (cut, first, next)) in cuts.iter().enumerate() {
        for reopened in [false, true] {
            let (lab, mut wal) = cut_without_room_for_a_new_segment();
            if reopened {
                wal.close().unwrap();
                drop(wal);
                wal = lab.open();
            }
            assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
            cut(&wal).unwrap_or_else(|error| panic!("cut {at}, reopened {reopened}: {error}"));
            let expected = (*first, payloads(*first..=next - 1));
            assert_eq!(entries(&wal), expected, "cut {at}");
            assert!(wal.append(b"refused").unwrap_err().is_out_of_space());
            assert!(wal.truncate_back(99).is_err_and(|e| e.kind() == ErrorKind::OutOfRange));
            assert_eq!(entries(&lab.kill().open()), expected, "cut {at}, killed");
            assert_eq!(entries(&lab.power_cut().open()), expected, "cut {at}, power cut");
            lab.disk.clear_faults();
            assert_eq!(wal.append(payload(*next)).unwrap(), *next);
            assert_goes_on(&lab, wal);
        }
    }
}

/// The same cut off at each call: the one cut or the other.
#[test]
fn a_cut_behind_one_that_waits_for_room_cut_off_at_every_call() {
    let (lab, wal) = cut_without_room_for_a_new_segment();
    drop(wal);
    for reset in [false, true] {
        crate::support::every_stop(
            &lab,
            20,
            |lab| {
                if let Ok(wal) = lab.try_open() {
                    let _cut_off = if reset { wal.reset(70) } else { wal.truncate_back(4) };
                }
            },
            |found, stop| {
                let wal = found.open();
                let all = entries(&wal);
                let cut = if reset { (70, Vec::new()) } else { (1, payloads(1..=4)) };
                assert!(all == (1, payloads(1..=6)) || all == cut, "stop {stop}: {}", all.1.len());
                assert_goes_on(found, wal);
            },
        );
    }
}

/// Writes of the manifest that meet a full disk, as on a filesystem that needs room to write in place: the nth from
/// now, once.
fn no_room_in_the_manifest(lab: &Lab, nth: u64) {
    let fault = Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".manifest");
    lab.disk.add_fault(fault.nth(nth));
}

/// Section 4.8: "a visible seq id is never rolled back": who is told `OutOfSpace` learns by the error whether the entry
/// has one.
#[test]
fn an_error_names_the_seq_ids_of_who_gets_it() {
    let lab = Lab::new(SyncStrategy::Always, 4 * KIB);
    lab.disk.set_allocate_supported(false);
    let wal = lab.open();
    full(&lab);
    let given = wal.append(payload(1)).unwrap_err();
    assert!(given.is_out_of_space());
    assert_eq!((given.seq(), wal.next_seq()), (Some(1), 2), "{given}");
    for error in [
        wal.append(payload(2)).unwrap_err(),
        wal.append_batch(payloads(2..=3)).unwrap_err(),
        wal.submit(payload(2)).unwrap_err(),
    ] {
        assert!(error.is_out_of_space());
        assert_eq!((error.seq(), wal.next_seq()), (None, 2), "{error}");
    }
    room(&lab);
    assert_eq!(wal.append(payload(2)).unwrap(), 2);
    assert_eq!(entries(&wal), (1, payloads(1..=2)));
}

/// Section 4.8: `OutOfSpace`, "and nothing happened"; but of a generation that is there in part opening may find enough, so
/// the log has failed, even for want of room: at the first copy, at the second, and with all that changed written.
#[test]
fn a_generation_that_is_there_in_part() {
    for (nth, bytes) in [(1, 0), (1, 300), (2, 0)] {
        let lab = Lab::new(SyncStrategy::Always, 4 * KIB);
        let wal = lab.open();
        Lab::append(&wal, 1..=3);
        let fault = Fault::new(Action::Torn(bytes, ENOSPC)).on([OpKind::Write]);
        lab.disk.add_fault(fault.suffix(".manifest").nth(nth));
        let error = wal.truncate_back(1).unwrap_err();
        assert!(error.is_poisoned(), "{error}");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::StorageFull));
        assert!(wal.append(payload(4)).unwrap_err().is_poisoned());
        let (first, found) = entries(&lab.kill().open());
        assert_eq!(first, 1);
        assert!(found == payloads(1..=1) || found == payloads(1..=3), "{}", found.len());
    }
}

/// Section 7: a cut says that all segments before K are sealed, so they are, or there is no cut: also where all that is
/// kept is durable, and something else found no room. Else free space stays in the middle of the log.
#[test]
fn a_cut_behind_a_mark_without_room_seals_before_it() {
    for nth in 1..=8 {
        let lab = Lab::new(SyncStrategy::OsCache, 300);
        let wal = lab.open();
        Lab::append(&wal, 1..=5);
        assert_eq!(wal.stats().open_segments, 2);
        wal.sync().unwrap();
        Lab::append(&wal, 6..=6);
        no_room_in_the_manifest(&lab, nth);
        match wal.truncate_back(5) {
            Ok(()) => assert_eq!(entries(&wal), (1, payloads(1..=5)), "write {nth}"),
            Err(error) => assert!(error.is_out_of_space() || error.is_poisoned(), "{error}"),
        }
        let (first, found) = entries(&lab.kill().open());
        assert_eq!((first, &found[..5]), (1, &payloads(1..=5)[..]), "write {nth}");
    }
}
