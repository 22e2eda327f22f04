//! Logs that are cut, forked, or have lost what the archive would need.

use std::fs;

use walden::Wal;
use walden::offline::{Choice, Target, repair_apply, repair_plan};
use walden_archive::{Archiver, ErrorKind, Until};

use crate::support::{Place, config, fill, open, options, reader, same, settle};

#[test]
fn a_restored_log_goes_on_in_the_same_archive() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let (_dir, restored) = place.restored(Until::End);
    fill(&restored, 150);
    place.ship(&restored);
    let (_again, again) = place.restored(Until::End);
    same(&restored, &again);
    // The log that it came from is another history now, even with the same entries.
    fill(&wal, 150);
    let refused = Archiver::new(&place.archive, wal, options()).unwrap_err();
    assert_eq!((refused.kind(), refused.seq()), (ErrorKind::Diverged, Some(100)));
    place.sound();
}

#[test]
fn a_log_that_went_its_own_way_is_refused() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let (_dir, forked) = place.restored(Until::Seq(70));
    let behind = Archiver::new(&place.archive, forked.clone(), options()).unwrap_err();
    assert_eq!((behind.kind(), behind.seq()), (ErrorKind::Diverged, Some(71)));
    fill(&forked, 120);
    for follow in [false, true] {
        let options = options().follow_cuts(follow);
        let refused = Archiver::new(&place.archive, forked.clone(), options).unwrap_err();
        assert_eq!((refused.kind(), refused.seq()), (ErrorKind::Diverged, Some(71)));
    }
    let dir = tempfile::tempdir().unwrap();
    let empty = open(&dir.path().join("empty"));
    let refused = Archiver::new(&place.archive, empty, options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Diverged);
    let stranger = open(&dir.path().join("stranger"));
    fill(&stranger, 300);
    let cuts = options().follow_cuts(true);
    let refused = Archiver::new(&place.archive, stranger, cuts).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Diverged);
    // Nothing of what is archived was touched.
    same(&wal, &place.restored(Until::End).1);
}

/// A log that was opened anew and let go of all that is archived knows nothing any more of the history before: the archive
/// does, and can be restored.
#[test]
fn what_the_log_forgot_the_archive_knows() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    wal.close().unwrap();
    let wal = place.open();
    wal.truncate_front(100).unwrap();
    wal.close().unwrap();
    let wal = place.open();
    assert_eq!(wal.next_seq(), 100);
    fill(&wal, 150);
    let known = reader(&place.dir.path().join("log")).frames(100, 1).unwrap().unwrap().epochs();
    assert!(known.iter().all(|(first, _)| *first >= 100), "{known:?}");
    place.ship(&wal);
    place.sound();
    let (_dir, restored) = place.restored(Until::End);
    assert_eq!((restored.first_seq(), restored.next_seq()), (1, 150));
    assert!(restored.range(..).unwrap().all(|entry| entry.is_ok()));
    // To within it, and from there to the end.
    let (dir, part) = place.restored(Until::Seq(115));
    assert_eq!(part.next_seq(), 116);
    drop((dir, part));
}

#[test]
fn a_cut_is_followed_where_that_is_wanted() {
    for last in [99, 77, 61, 34, 12] {
        let (place, wal) = Place::with_entries(100);
        place.ship(&wal);
        wal.truncate_back(last).unwrap();
        fill(&wal, 130);
        let refused = Archiver::new(&place.archive, wal.clone(), options());
        assert_eq!(refused.is_err(), last < 99, "cut behind {last}");
        let cuts = options().follow_cuts(true);
        let mut archiver = Archiver::new(&place.archive, wal.clone(), cuts).unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        place.sound();
        same(&wal, &place.restored(Until::End).1);
        // Again, while it is at work.
        wal.truncate_back(90.min(last + 5)).unwrap();
        fill(&wal, 140);
        archiver.ship(&mut |_| {}).unwrap();
        archiver.sweep().unwrap();
        assert_eq!(place.sound().unnamed, 0);
        same(&wal, &place.restored(Until::End).1);
    }
}

/// A power cut took the last mark: less is known to be durable than was when it was shipped, and nothing was cut.
#[test]
fn a_log_that_is_not_known_to_be_durable_as_far_is_not_behind() {
    let place = Place::new();
    let dir = place.dir.path().join("log");
    let wal = Wal::open(&dir, config().segment_size(1 << 20)).unwrap();
    fill(&wal, 100);
    let manifest = dir.join("segment.manifest");
    let before = fs::read(&manifest).unwrap();
    fill(&wal, 200);
    place.ship(&wal);
    // Generations are the same; the marks are in the last two blocks.
    let now = fs::read(&manifest).unwrap();
    let marks = 4 * 4096;
    assert!(now[..marks] == before[..marks] && now[marks..] != before[marks..]);
    fs::write(&manifest, before).unwrap();
    let log = reader(&dir);
    assert_eq!((log.durable_seq(), log.next_seq()), (99, 200));
    for follow in [false, true] {
        let options = options().follow_cuts(follow);
        let mut archiver = Archiver::new(&place.archive, log.clone(), options).unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        assert_eq!(place.sound().next_seq, 200);
    }
}

#[test]
fn what_the_log_lost_before_it_was_shipped_is_a_gap() {
    let (place, wal) = Place::with_entries(100);
    let mut archiver = place.ship(&wal);
    fill(&wal, 200);
    wal.truncate_front(150).unwrap();
    let gap = archiver.ship(&mut |_| {}).unwrap_err();
    assert_eq!((gap.kind(), gap.seq()), (ErrorKind::Gap, Some(100)));
    let gap = Archiver::new(&place.archive, wal, options()).unwrap_err();
    assert_eq!(gap.kind(), ErrorKind::Gap);
    assert_eq!(place.sound().next_seq, 100);
}

/// All was shipped and removed here, and an opening has begun a new epoch: the log does not know what came before.
#[test]
fn a_log_that_begins_where_the_archive_ends() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    wal.truncate_front(100).unwrap();
    wal.close().unwrap();
    let wal = place.open();
    fill(&wal, 120);
    place.ship(&wal);
    assert_eq!(place.sound().first_seq, 1);
    let (_dir, restored) = place.restored(Until::End);
    assert_eq!(restored.digest(100..).unwrap(), wal.digest(..).unwrap());
}

#[test]
fn many_openings() {
    let (place, mut wal) = Place::with_entries(3);
    for opening in 0..90 {
        wal.close().unwrap();
        wal = place.open();
        fill(&wal, 3 + opening * 2);
        if opening % 7 == 0 {
            place.ship(&wal);
        }
    }
    place.ship(&wal);
    place.sound();
    let (_dir, restored) = place.restored(Until::End);
    assert_eq!(restored.digest(..).unwrap(), wal.digest(..).unwrap());
}

/// Entries that `walden repair --accept-loss` gave up are none that another try could ship.
#[test]
fn what_the_log_has_given_up_is_a_gap() {
    let (place, wal) = Place::with_entries(300);
    settle(&wal);
    wal.close().unwrap();
    let dir = place.dir.path().join("log");
    let files = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "wal")).collect();
    files.sort();
    let mut bytes = fs::read(&files[2]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[2], bytes).unwrap();
    let target = Target::on_disk(&dir, "segment");
    let (first, last) = repair_plan(&target, &mut |_| {}).unwrap().damages[0].lost.unwrap();
    repair_apply(&target, Choice::AcceptLoss(first..=last), &mut |_| {}).unwrap();
    let wal = place.open();
    let mut archiver = place.archiver(&wal);
    for _ in 0..2 {
        let lost = archiver.ship(&mut |_| {}).unwrap_err();
        assert_eq!((lost.kind(), lost.seq()), (ErrorKind::Gap, Some(first)), "{lost}");
        assert!(
            lost.is_final() && lost.what_to_do().is_some_and(|advice| advice.contains("prefix"))
        );
    }
    assert_eq!(place.sound().next_seq, first, "what comes before was shipped");
    // As it says: behind them, to another prefix.
    let segments = wal.segments().unwrap();
    let next = segments
        .iter()
        .filter_map(|segment| segment.first_seq)
        .find(|first| *first > last)
        .unwrap();
    wal.truncate_front(next).unwrap();
    let behind = Place::new();
    behind.ship(&wal);
    assert_eq!(behind.sound().first_seq, next);
}
