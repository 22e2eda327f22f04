//! To a new folder, behind what is there, to an entry, to a moment; after a crash.

use std::time::{Duration, SystemTime};

use walden::{Config, Wal};
use walden_archive::{ErrorKind, Until};

use crate::faulty::{Fault, Op};
use crate::support::{Place, config, entry, fill, open, same};

#[test]
fn to_any_entry() {
    let (place, wal) = Place::with_entries(60);
    place.ship(&wal);
    for last in 1..60 {
        let (_dir, restored) = place.restored(Until::Seq(last));
        assert_eq!((restored.first_seq(), restored.next_seq()), (1, last + 1));
        assert_eq!(restored.digest(..).unwrap(), wal.digest(..=last).unwrap());
    }
    for outside in [0, 60, u64::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let until = Until::Seq(outside);
        let error = place.archive.restore(dir.path(), config(), until, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{outside}");
        assert!(dir.path().read_dir().unwrap().next().is_none(), "nothing was made");
    }
}

#[test]
fn only_what_is_missing() {
    let (place, wal) = Place::with_entries(120);
    place.ship(&wal);
    for there in [1, 2, 50, 118, 119] {
        let (dir, restored) = place.restored(Until::Seq(there));
        restored.close().unwrap();
        let done = place.archive.restore(dir.path(), config(), Until::End, &mut |_| {}).unwrap();
        assert_eq!(done.new, there + 1..120);
        same(&wal, &open(dir.path()));
    }
}

/// A log of another history is not gone on with, and one that is ahead is not cut.
#[test]
fn what_is_there_is_never_changed() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let (dir, forked) = place.restored(Until::Seq(40));
    fill(&forked, 60);
    let before = forked.digest(..).unwrap();
    forked.close().unwrap();
    let restore = |until| place.archive.restore(dir.path(), config(), until, &mut |_| {});
    assert_eq!(restore(Until::End).unwrap_err().kind(), ErrorKind::Diverged);
    assert_eq!(restore(Until::Seq(20)).unwrap_err().kind(), ErrorKind::Diverged);
    assert_eq!(open(dir.path()).digest(..).unwrap(), before);
    // It is ahead of what is wanted, and a restore to there that was killed long ago is no reason to cut it.
    let (dir, ahead) = place.restored(Until::Seq(40));
    ahead.set_meta("walden-archive.restore", "21").unwrap();
    ahead.close().unwrap();
    let until = Until::Seq(20);
    let refused = place.archive.restore(dir.path(), config(), until, &mut |_| {}).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(open(dir.path()).next_seq(), 41);
    // The archive begins behind it.
    let (place, wal) = Place::with_entries(100);
    wal.truncate_front(50).unwrap();
    place.ship(&wal);
    let short = tempfile::tempdir().unwrap();
    fill(&open(short.path()), 20);
    let gap = place.archive.restore(short.path(), config(), Until::End, &mut |_| {}).unwrap_err();
    assert_eq!(gap.kind(), ErrorKind::Gap);
    assert_eq!(open(short.path()).next_seq(), 20);
}

#[test]
fn a_restore_that_was_cut_off_goes_on() {
    let (place, wal) = Place::with_entries(150);
    place.ship(&wal);
    for call in 0..24 {
        let dir = tempfile::tempdir().unwrap();
        place.bucket.fail(move |at, _, _| (at >= call).then_some(Fault::Refused));
        let until = Until::Seq(146);
        let cut = place.archive.restore(dir.path(), config(), until, &mut |_| {});
        place.bucket.heal();
        assert!(cut.is_err() || call > 4, "{call}");
        let done = place.archive.restore(dir.path(), config(), until, &mut |_| {}).unwrap();
        assert_eq!(done.next_seq, 147);
        assert_eq!(open(dir.path()).digest(..).unwrap(), wal.digest(..=146).unwrap());
    }
}

/// Killed between appending a batch that goes over the end and cutting it there.
#[test]
fn a_batch_over_the_end_is_cut_by_the_next_try() {
    let place = Place::new();
    let wal = place.open();
    wal.append_batch((1..=10).map(entry)).unwrap();
    wal.sync().unwrap();
    place.ship(&wal);
    let dir = tempfile::tempdir().unwrap();
    let killed = open(dir.path());
    killed.append_frames(&wal.frames(1, 1 << 20).unwrap().unwrap()).unwrap();
    killed.set_meta("walden-archive.restore", "5").unwrap();
    killed.close().unwrap();
    place.archive.restore(dir.path(), config(), Until::Seq(4), &mut |_| {}).unwrap();
    let restored = open(dir.path());
    assert_eq!(restored.digest(..).unwrap(), wal.digest(..5).unwrap());
    assert_eq!(restored.meta("walden-archive.restore"), None);
}

#[test]
fn to_a_moment() {
    let place = Place::new();
    let wal = place.open();
    let mut moments = Vec::new();
    for round in 1..=6 {
        fill(&wal, round * 40);
        place.ship(&wal);
        moments.push((SystemTime::now(), wal.next_seq()));
        std::thread::sleep(Duration::from_millis(20));
    }
    for (at, next) in &moments {
        let (_dir, restored) = place.restored(Until::Time(*at));
        // Of each shipped tail the time is known: nothing of this round is left out, nothing of the next is there.
        assert_eq!(restored.next_seq(), *next);
    }
    let later = SystemTime::now() + Duration::from_secs(3_600);
    assert_eq!(place.restored(Until::Time(later)).1.next_seq(), 240);
    let before = moments[0].0 - Duration::from_secs(3_600);
    let dir = tempfile::tempdir().unwrap();
    let early = place.archive.restore(dir.path(), config(), Until::Time(before), &mut |_| {});
    assert_eq!(early.unwrap_err().kind(), ErrorKind::OutOfRange);
    // Shipped at once, long after: the log's own times tell them apart.
    let late = Place::new();
    late.ship(&wal);
    for (at, next) in &moments {
        let restored = late.restored(Until::Time(*at)).1.next_seq();
        assert!(restored <= *next && restored + 64 > *next, "{restored} of {next}");
    }
}

#[test]
fn a_damaged_object_ends_it_where_it_is() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let chunks = place.bucket.names("logs/a/chunks");
    let mut bytes = place.bucket.bytes(&chunks[3]);
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    place.bucket.set(&chunks[3], bytes);
    let dir = tempfile::tempdir().unwrap();
    let error = place.archive.restore(dir.path(), config(), Until::End, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.object_name().is_some_and(|name| chunks[3].ends_with(name)), "{error}");
    let restored = open(dir.path());
    assert_eq!(restored.digest(..).unwrap(), wal.digest(..restored.next_seq()).unwrap());
}

/// Objects are put together while somebody restores from the list of before.
#[test]
fn beside_an_archiver() {
    let (place, wal) = Place::with_entries(2);
    let mut archiver = place.archiver(&wal);
    for next in 3..30 {
        fill(&wal, next);
        archiver.ship(&mut |_| {}).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut archiver, log) = (Some(archiver), wal.clone());
    let (tell, told) = std::sync::mpsc::channel();
    place.bucket.fail(move |_, op, name| {
        // At the first object that is read, the archiver replaces it.
        if op == Op::Get
            && name.contains("chunks")
            && let Some(mut archiver) = archiver.take()
        {
            let log = log.clone();
            drop(tell.send(std::thread::spawn(move || {
                fill(&log, 90);
                archiver.ship(&mut |_| {}).unwrap();
            })));
        }
        None
    });
    place.archive.restore(dir.path(), config(), Until::End, &mut |_| {}).unwrap();
    place.bucket.heal();
    told.recv().unwrap().join().unwrap();
    let restored: Wal = Wal::open(dir.path(), Config::durable()).unwrap();
    assert_eq!(restored.digest(..).unwrap(), wal.digest(..restored.next_seq()).unwrap());
    assert!(restored.next_seq() >= 29);
}
