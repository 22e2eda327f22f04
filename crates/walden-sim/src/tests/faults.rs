use std::io;
use std::time::Duration;

use walden::storage::{Access, Clock, Storage};

use super::{contents, kind, p, with_file};
use crate::{Action, EIO, ENOSPC, Fault, OpKind, SimClock, SimDisk, is_stopped};

#[test]
fn the_world_stops_before_the_nth_change() {
    let (disk, file) = with_file("/a");
    disk.stop_after(3);
    file.write_at(b"x", 0).unwrap();
    file.read_at(&mut [0], 0).unwrap();
    file.sync_data().unwrap();
    assert!(!disk.stopped());
    let error = file.write_at(b"y", 0).unwrap_err();
    assert!(is_stopped(&error));
    assert!(disk.stopped());
    assert_eq!(disk.mutations(), 3);

    for error in [
        file.read_at(&mut [0], 0).unwrap_err(),
        file.len().unwrap_err(),
        disk.open(p("/a"), Access::Read).unwrap_err(),
        disk.list(p("/")).unwrap_err(),
    ] {
        assert!(is_stopped(&error));
    }
    assert_eq!(disk.read_file("/a").unwrap(), b"x");
    let after = disk.kill();
    assert!(!after.stopped());
    assert_eq!(after.open(p("/a"), Access::Read).unwrap().len().unwrap(), 1);
    assert!(!is_stopped(&io::Error::other("else")));
}

#[test]
fn the_write_that_stops_the_world_may_happen_in_part() {
    let (disk, file) = with_file("/a");
    disk.stop_after_torn(1, 2);
    assert!(is_stopped(&file.write_at(b"xyz", 0).unwrap_err()));
    assert!(is_stopped(&file.write_at(b"xyz", 0).unwrap_err()));
    assert_eq!(disk.read_file("/a").unwrap(), b"xy");
}

#[test]
fn a_sync_that_the_world_stops_at_does_not_happen() {
    let (disk, file) = with_file("/a");
    file.write_at(b"x", 0).unwrap();
    disk.stop_after(1);
    assert!(is_stopped(&file.sync_all().unwrap_err()));
    assert!(disk.has_unsynced());
}

#[test]
fn a_rule_meets_the_call_it_names() {
    let (disk, file) = with_file("/log/a.wal");
    let other = disk.create(p("/log/a.idx")).unwrap();
    let rule = Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).suffix(".wal").nth(2);
    assert_eq!(rule.to_string(), "the 2nd sync of *.wal fails with EIO, once");
    disk.add_fault(rule);
    other.sync_all().unwrap();
    file.sync_all().unwrap();
    other.sync_all().unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(EIO));
    file.sync_data().unwrap();
}

#[test]
fn a_rule_goes_by_the_name_of_now() {
    let (disk, file) = with_file("/a.next");
    disk.add_fault(Fault::new(Action::Error(ENOSPC)).on([OpKind::Write]).suffix(".wal"));
    file.write_at(b"x", 0).unwrap();
    disk.rename(p("/a.next"), p("/a.wal")).unwrap();
    assert_eq!(kind(file.write_at(b"x", 0)), io::ErrorKind::StorageFull);
    disk.clear_faults();
    file.write_at(b"x", 0).unwrap();
}

#[test]
fn short_and_torn_calls_act_on_what_they_say() {
    let (disk, file) = with_file("/a");
    disk.add_fault(Fault::new(Action::Short(2)).on([OpKind::Write]).nth(1));
    assert_eq!(file.write_at(b"abcd", 0).unwrap(), 2);
    disk.add_fault(Fault::new(Action::Torn(1, EIO)).containing("a").on([OpKind::Write]).nth(1));
    assert_eq!(file.write_at(b"cd", 2).unwrap_err().raw_os_error(), Some(EIO));
    assert_eq!(disk.read_file("/a").unwrap(), b"abc");
    disk.add_fault(Fault::new(Action::Short(1)).on([OpKind::Read]).from_nth(2));
    let mut buf = [0; 3];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 3);
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 1);
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 1);
}

#[test]
fn a_rule_may_stop_the_world() {
    let (disk, file) = with_file("/a");
    disk.add_fault(Fault::new(Action::Stop).on([OpKind::Rename]));
    file.write_at(b"x", 0).unwrap();
    assert!(is_stopped(&disk.rename(p("/a"), p("/b")).unwrap_err()));
    assert!(disk.stopped());
    assert_eq!(disk.files(), [p("/a")]);
}

#[test]
fn rules_say_themselves_in_words() {
    let words = |rule: Fault| rule.to_string();
    assert_eq!(words(Fault::new(Action::Stop)), "every call stops the world");
    assert_eq!(
        words(Fault::new(Action::Short(7)).on([OpKind::Write, OpKind::Read]).from_nth(11)),
        "the 11th read/write ends after 7 bytes, and every later one"
    );
    assert_eq!(
        words(Fault::new(Action::Torn(4, ENOSPC)).on([OpKind::Write]).containing("seg").nth(1)),
        "the 1st write of *seg* fails after 4 bytes with ENOSPC, once"
    );
}

#[test]
fn the_log_says_what_was_done() {
    let (disk, file) = with_file("/log/a.wal");
    disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::SyncDir]));
    file.write_at(&[0; 512], 4096).unwrap();
    file.set_len(7).unwrap();
    file.sync_data().unwrap();
    disk.rename(p("/log/a.wal"), p("/log/b.wal")).unwrap();
    disk.sync_dir(p("/log")).unwrap_err();
    disk.note("and so on");
    assert_eq!(
        disk.op_log(),
        [
            "1: write /log/a.wal 4096+512",
            "2: set_len /log/a.wal 7",
            "3: sync_data /log/a.wal",
            "4: rename /log/a.wal to /log/b.wal",
            "5: sync_dir /log: fails with EIO",
            "and so on",
        ]
    );
    assert!(disk.has_unsynced());
}

#[test]
fn every_kind_of_call_can_fail() {
    for op in OpKind::ALL.iter().copied() {
        let (disk, file) = with_file("/d/a");
        disk.add_fault(Fault::new(Action::Error(EIO)).on([op]));
        let failed = [
            disk.open(p("/d/a"), Access::Read).is_err(),
            disk.create(p("/d/b")).is_err(),
            disk.create_dir(p("/e")).is_err(),
            disk.rename(p("/d/b"), p("/d/c")).is_err_and(|e| e.raw_os_error() == Some(EIO)),
            disk.remove(p("/d/c")).is_err_and(|e| e.raw_os_error() == Some(EIO)),
            disk.list(p("/d")).is_err(),
            disk.sync_dir(p("/d")).is_err(),
            disk.lock(p("/d/l")).is_err(),
            file.read_at(&mut [0], 0).is_err(),
            file.write_at(b"x", 0).is_err(),
            file.sync_data().is_err(),
            file.sync_all().is_err(),
            file.allocate(0, 1).is_err(),
            file.set_len(1).is_err(),
            file.len().is_err(),
            file.modified().is_err(),
            disk.free_space(p("/d")).is_err(),
        ];
        let expected: Vec<bool> = OpKind::ALL.iter().map(|other| *other == op).collect();
        assert_eq!(failed[..], expected[..], "{op}");
        assert_eq!(disk.faults_met(), 1, "{op}");
    }
}

#[test]
fn a_slow_call_takes_its_time_and_then_what_else_befalls_it() {
    let clock = SimClock::new(1);
    let disk = SimDisk::with_clock(clock.clone());
    let file = disk.create(p("/a")).unwrap();
    let slow = Fault::new(Action::Slow(Duration::from_secs(3))).on(OpKind::SYNCS);
    assert_eq!(slow.to_string(), "every sync takes 3s");
    disk.add_fault(slow);
    disk.add_fault(Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).nth(2));
    file.write_at(b"x", 0).unwrap();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    file.sync_all().unwrap();
    file.sync_all().unwrap_err();
    assert_eq!(clock.elapsed(), Duration::from_secs(6));
}

#[test]
fn a_bit_that_rots_is_read_without_an_error() {
    let (disk, file) = with_file("/a");
    file.write_at(b"abc", 0).unwrap();
    file.sync_all().unwrap();
    let rot = Fault::new(Action::Rot(9)).on([OpKind::Read]).nth(1);
    assert_eq!(rot.to_string(), "the 1st read finds bit 9 turned over, once");
    disk.add_fault(rot);
    let mut buf = [0; 2];
    assert_eq!(file.read_at(&mut buf, 1).unwrap(), 2);
    assert_eq!(&buf, b"ba");
    assert_eq!(disk.crash_losing_all().read_file("/a").unwrap(), b"aba");
}

#[test]
fn names_stick_where_the_disk_is_told_so() {
    for stick in [false, true] {
        let disk = SimDisk::new();
        disk.set_names_stick(stick);
        disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::SyncDir]).nth(1));
        disk.create(p("/a")).unwrap().sync_all().unwrap();
        disk.sync_dir(p("/")).unwrap_err();
        disk.create(p("/b")).unwrap().sync_all().unwrap();
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(contents(&disk, "/a").contains(&None), stick);
        assert!(!contents(&disk, "/b").contains(&None));
        // Changed again, the name is taken along again.
        disk.rename(p("/a"), p("/c")).unwrap();
        disk.sync_dir(p("/")).unwrap();
        assert_eq!(contents(&disk, "/c"), [Some(vec![])]);
        assert_eq!(contents(&disk, "/a"), [None]);
    }
}
