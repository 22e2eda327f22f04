//! What is shipped is what is restored.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use walden::Retention;
use walden_archive::{Archiver, ArchiverOptions, ErrorKind, Until};

use crate::faulty::{Fault, Op};
use crate::support::{Place, fill, options, reader, same, settle};

#[test]
fn all_of_a_log_comes_back() {
    let (place, wal) = Place::with_entries(300);
    wal.close().unwrap();
    let wal = place.open();
    fill(&wal, 400);
    let shipped = place.archiver(&wal).ship(&mut |_| {}).unwrap();
    assert_eq!(shipped.entries, 399);
    let verified = place.sound();
    assert_eq!((verified.first_seq, verified.next_seq, verified.unnamed), (1, 400, 0));
    assert_eq!(verified.objects, shipped.objects);
    let (_dir, restored) = place.restored(Until::End);
    same(&wal, &restored);
    assert_eq!(
        wal.frames(1, 1 << 30).unwrap().unwrap().len(),
        restored.frames(1, 1 << 30).unwrap().unwrap().len()
    );
}

#[test]
fn only_complete_segments_without_the_tail() {
    let (place, wal) = Place::with_entries(200);
    settle(&wal);
    let whole = ArchiverOptions::default().chunk_bytes(100);
    let mut archiver = Archiver::new(&place.archive, wal.clone(), whole).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    let sealed = wal.segments().unwrap();
    let sealed = sealed.iter().filter(|segment| segment.sealed).filter_map(|s| s.last_seq).max();
    assert!(archiver.archived() > sealed.unwrap());
    assert!(archiver.archived() < 200, "the last objects hold little of the open segment");
    let before = archiver.archived();
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(archiver.archived(), before, "nothing is complete since");
    place.sound();
}

#[test]
fn what_comes_in_drops_is_put_together() {
    let (place, wal) = Place::with_entries(1);
    let mut archiver = place.archiver(&wal);
    for next in 2..200 {
        fill(&wal, next);
        archiver.ship(&mut |_| {}).unwrap();
        assert_eq!(archiver.archived(), wal.next_seq());
    }
    let verified = place.sound();
    assert!(verified.objects < 60, "{} objects of 200 drops", verified.objects);
    assert_eq!(verified.unnamed, 0, "what was replaced is gone");
    same(&wal, &place.restored(Until::End).1);
}

/// Where retention of the log took the first of the small objects' entries, the others are put together all the same.
#[test]
fn what_the_log_has_still_is_put_together() {
    let (place, wal) = Place::with_entries(1);
    let mut archiver = place.archiver(&wal);
    for next in 2..200 {
        fill(&wal, next);
        archiver.ship(&mut |_| {}).unwrap();
        if next == 6 {
            wal.truncate_front(4).unwrap();
        }
    }
    let verified = place.sound();
    assert!(verified.objects < 60, "{} objects of 200 drops", verified.objects);
    assert_eq!((verified.first_seq, verified.unnamed), (1, 0));
    let (_dir, restored) = place.restored(Until::End);
    assert_eq!(restored.digest(4..).unwrap(), wal.digest(..).unwrap());
}

#[test]
fn from_another_process_that_reads_only() {
    let (place, wal) = Place::with_entries(150);
    let foreign = reader(&place.dir.path().join("log"));
    let mut archiver = Archiver::new(&place.archive, foreign, options()).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(archiver.archived(), 150);
    fill(&wal, 180);
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(archiver.archived(), 180);
    same(&wal, &place.restored(Until::End).1);
    assert_eq!(archiver.hold("archive").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn it_begins_where_the_log_begins() {
    let (place, wal) = Place::with_entries(100);
    let mut archiver = place.archiver(&wal);
    wal.truncate_front(60).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(place.archive.info().unwrap().first_seq, 60);
    same(&wal, &place.restored(Until::End).1);
}

/// Invariant 1, beyond this machine: what is not archived yet is not removed here.
#[test]
fn retention_waits_for_the_archive() {
    let (place, wal) = Place::with_entries(300);
    let mut archiver = place.archiver(&wal).hold("archive").unwrap();
    let all = Retention::keep_all().max_segments(0);
    wal.retain(&all).unwrap();
    assert_eq!(wal.first_seq(), 1, "nothing is archived");
    // The objects are there, and no manifest says so.
    place
        .bucket
        .fail(|_, op, name| (op == Op::Put && name.contains("manifest")).then_some(Fault::Refused));
    assert_eq!(archiver.ship(&mut |_| {}).unwrap_err().kind(), ErrorKind::Store);
    wal.sync().unwrap();
    wal.retain(&all).unwrap();
    assert_eq!(wal.first_seq(), 1, "it is not known to be archived");
    place.bucket.heal();
    archiver.ship(&mut |_| {}).unwrap();
    wal.sync().unwrap();
    settle(&wal);
    wal.retain(&all).unwrap();
    assert!(wal.first_seq() > 200);
    fill(&wal, 350);
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(place.sound().next_seq, 350);
    let (_dir, restored) = place.restored(Until::End);
    let digest = |from| restored.digest(from..).unwrap();
    assert_eq!(digest(wal.first_seq()), wal.digest(..).unwrap());
    assert_eq!(restored.first_seq(), 1);
}

/// A cursor that an earlier archive has moved on holds nothing for one that begins anew.
#[test]
fn a_cursor_of_another_archive_holds_for_this_one() {
    let (place, wal) = Place::with_entries(300);
    drop(place.archiver(&wal).hold("archive").map(|mut archiver| archiver.ship(&mut |_| {})));
    wal.sync().unwrap();
    assert_eq!(wal.cursors().unwrap()[0].position, 300);
    let again = Place::new();
    let mut archiver = again.archiver(&wal).hold("archive").unwrap();
    settle(&wal);
    wal.retain(&Retention::keep_all().max_segments(0)).unwrap();
    assert_eq!(wal.first_seq(), 1, "nothing is in this archive");
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!((again.sound().first_seq, wal.cursors().unwrap()[0].committed), (1, 300));
}

#[test]
fn on_a_thread_of_its_own() {
    let (place, wal) = Place::with_entries(100);
    let minute = Duration::from_secs(60);
    let background = place.archiver(&wal).spawn(minute).unwrap();
    background.wait_for(100, minute).unwrap();
    fill(&wal, 120);
    background.wait_for(120, minute).unwrap();
    fill(&wal, 130);
    let archiver = background.stop().unwrap();
    assert_eq!(archiver.archived(), 130);
    // One that was taken over ends by itself.
    let background = archiver.spawn(Duration::from_millis(1)).unwrap();
    let _other = place.archiver(&wal);
    fill(&wal, 140);
    assert_eq!(background.wait_for(140, minute).unwrap_err().kind(), ErrorKind::Fenced);
    assert!(background.status().ended);
}

#[test]
fn progress_is_told() {
    let (place, wal) = Place::with_entries(200);
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut archiver = place.archiver(&wal);
    archiver.ship(&mut |shipping| told.lock().unwrap().push(shipping)).unwrap();
    let told = told.lock().unwrap();
    assert!(told.len() > 3 && told.is_sorted_by_key(|shipping| shipping.done));
    assert_eq!(told.last().unwrap().done, 199);
    assert!(told.iter().all(|shipping| shipping.total == 199));
}

#[test]
fn an_archive_from_within_a_task_does_not_panic() {
    let (place, wal) = Place::with_entries(20);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        place.ship(&wal);
        let (dir, restored) = place.restored(Until::End);
        same(&wal, &restored);
        drop((dir, place));
    });
}

/// Each generation is told of at once, and nobody who wants it to end waits for all of a backlog.
#[test]
fn a_backlog_can_be_left() {
    let (place, wal) = Place::with_entries(600);
    // From the third generation on, the store is asked for a while before it answers.
    let slow = || {
        let mut puts = 0;
        place.bucket.fail(move |_, op, name| {
            if op == Op::Put && name.contains("manifest") {
                puts += 1;
                std::thread::sleep(Duration::from_millis(100 * u64::from(puts > 2)));
            }
            None
        });
    };
    let minute = Duration::from_secs(60);
    let mut archiver = place.archiver(&wal);
    for way in ["now", "dropped"] {
        fill(&wal, wal.next_seq() + 600);
        slow();
        let begun = archiver.archived();
        let background = archiver.spawn(minute).unwrap();
        background.wait_for(begun + 60, minute).unwrap();
        let told = background.status();
        assert!(told.archived >= begun + 60 && told.rounds == 0, "{told:?}");
        match way {
            "now" => {
                archiver = background.stop_now().unwrap();
                assert!(archiver.archived() >= told.archived);
            }
            _ => {
                drop(background);
                archiver = place.archiver(&wal);
            }
        }
        assert!(archiver.archived() + 300 < wal.next_seq(), "{way}: {}", archiver.archived());
    }
    place.bucket.heal();
    let archiver = archiver.spawn(minute).unwrap().stop().unwrap();
    assert_eq!(archiver.archived(), wal.next_seq(), "this way, all of it is shipped");
    same(&wal, &place.restored(Until::End).1);
}
