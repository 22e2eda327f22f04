//! What is too old goes from the bucket, whole objects at a time, in long archives too.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use walden::Wal;
use walden_archive::{Archiver, ErrorKind, Keep, Until};
use walden_sim::{SimClock, SimDisk};

use crate::faulty::{Fault, Op};
use crate::support::{Place, config, fill, options};

#[test]
fn by_bytes() {
    let (place, wal) = Place::with_entries(300);
    place.ship(&wal);
    let all = place.sound();
    let keep = options().keep(Keep::default().max_bytes(all.bytes / 3));
    let mut archiver = Archiver::new(&place.archive, wal.clone(), keep).unwrap();
    let shipped = archiver.ship(&mut |_| {}).unwrap();
    let left = place.sound();
    assert!(shipped.removed > 0 && left.objects + shipped.removed == all.objects);
    assert!(left.bytes <= all.bytes / 3 && left.bytes > all.bytes / 4);
    assert_eq!((left.next_seq, left.unnamed), (300, 0));
    let (_dir, restored) = place.restored(Until::End);
    assert_eq!(restored.first_seq(), left.first_seq);
    assert_eq!(restored.digest(..).unwrap(), wal.digest(left.first_seq..).unwrap());
    assert_eq!(archiver.ship(&mut |_| {}).unwrap().removed, 0);
    let mut reader = place.archive.reader(None, 0).unwrap();
    assert_eq!(reader.seek(left.first_seq - 1).unwrap_err().kind(), ErrorKind::OutOfRange);
}

#[test]
fn by_age_but_never_the_last_object() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let keep = |age| options().keep(Keep::default().max_age(age));
    let hour = keep(Duration::from_secs(3_600));
    let mut archiver = Archiver::new(&place.archive, wal.clone(), hour).unwrap();
    assert_eq!(archiver.ship(&mut |_| {}).unwrap().removed, 0);
    let mut archiver = Archiver::new(&place.archive, wal.clone(), keep(Duration::ZERO)).unwrap();
    assert!(archiver.ship(&mut |_| {}).unwrap().removed > 0);
    assert_eq!(place.sound().objects, 1);
    fill(&wal, 150);
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(place.sound().next_seq, 150);
}

/// The clock of this machine is ahead of the store's by a day, and with it everything looks old.
#[test]
fn a_clock_that_is_ahead_does_not_remove_all() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let before = place.sound().objects;
    let none = options().keep(Keep::default().max_age(Duration::ZERO));
    let day = Duration::from_secs(86_400);
    for (behind, left) in [(day, before), (Duration::ZERO, 1)] {
        place.bucket.be_behind(behind);
        let mut archiver = Archiver::new(&place.archive, wal.clone(), none.clone()).unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        assert_eq!(place.sound().objects, left, "{behind:?}");
    }
}

/// A log whose clock jumped back: what is new is not older than what comes before it.
#[test]
fn times_do_not_go_back() {
    let place = Place::new();
    let disk = SimDisk::new();
    let mut archiver = None;
    for (end, hours) in [(100, 1), (200, 9), (300, 5)] {
        drop(archiver.take());
        let clock = SimClock::new(1);
        clock.set_now(SystemTime::now() - Duration::from_secs(3_600 * hours));
        let (storage, clock) = (Arc::new(disk.clone()), Arc::new(clock));
        let wal = Wal::open_with("/log", config(), storage, clock).unwrap();
        fill(&wal, end);
        archiver = Some(place.ship(&wal));
    }
    let newest = place.bucket.names("logs/a/manifest").pop().unwrap();
    let text = String::from_utf8(place.bucket.bytes(&newest)).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let chunks = manifest["chunks"].as_array().unwrap();
    let by: Vec<_> = chunks.iter().map(|chunk| chunk["by_micros"].as_u64().unwrap()).collect();
    assert!(by.len() > 20 && by.is_sorted(), "{by:?}");
}

/// More objects than a generation lists by itself: pages, of which the first ones go one by one.
#[test]
fn a_long_archive() {
    let place = Place::new();
    let wal = place.open();
    fill(&wal, 2_000);
    let each = options().chunk_bytes(1).parallel(64);
    let mut archiver = Archiver::new(&place.archive, wal.clone(), each.clone()).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    let all = place.sound();
    assert!(all.objects > 1_000);
    assert!(place.bucket.names("logs/a/pages").len() > 2);
    let newest = place.bucket.names("logs/a/manifest").pop().unwrap();
    assert!(place.bucket.bytes(&newest).len() < 400_000, "a generation stays small");
    for last in [1, 300, 1_200, 1_999] {
        let (_dir, restored) = place.restored(Until::Seq(last));
        assert_eq!(restored.digest(..).unwrap(), wal.digest(..=last).unwrap());
    }
    // A cut into a page, that is followed; then retention, page by page.
    wal.truncate_back(500).unwrap();
    fill(&wal, 1_500);
    let cuts = each.clone().follow_cuts(true);
    let mut archiver = Archiver::new(&place.archive, wal.clone(), cuts).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    archiver.sweep().unwrap();
    let mut kept = place.sound();
    assert_eq!(kept.unnamed, 0);
    assert_eq!(place.restored(Until::End).1.digest(..).unwrap(), wal.digest(..).unwrap());
    while kept.objects > 100 {
        let keep = each.clone().keep(Keep::default().max_bytes(kept.bytes * 3 / 4));
        let mut archiver = Archiver::new(&place.archive, wal.clone(), keep).unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        let left = place.sound();
        assert!(left.first_seq > kept.first_seq && left.unnamed == 0, "{left:?}");
        assert_eq!(left.bytes, place.archive.info().unwrap().bytes);
        kept = left;
    }
    let (_dir, restored) = place.restored(Until::End);
    assert_eq!(restored.digest(..).unwrap(), wal.digest(kept.first_seq..).unwrap());
}

/// Killed anywhere in it, nothing that is named is missing.
#[test]
fn killed_while_removing() {
    for call in 0..12 {
        let (place, wal) = Place::with_entries(200);
        place.ship(&wal);
        let half = place.sound().bytes / 2;
        let keep = options().keep(Keep::default().max_bytes(half));
        let mut archiver = Archiver::new(&place.archive, wal.clone(), keep).unwrap();
        place.bucket.fail(move |at, op, _| match op {
            Op::Remove => Some(Fault::AnswerLost),
            _ => (at >= call).then_some(Fault::Refused),
        });
        drop(archiver.ship(&mut |_| {}));
        place.bucket.heal();
        place.sound();
        place.ship(&wal).sweep().unwrap();
        assert_eq!(place.sound().unnamed, 0);
        let (_dir, restored) = place.restored(Until::End);
        assert_eq!(restored.digest(..).unwrap(), wal.digest(restored.first_seq()..).unwrap());
    }
}
