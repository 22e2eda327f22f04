//! Two archivers on one prefix: one is fenced, and what they wrote is never mixed.

use std::sync::Arc;
use std::thread;

use walden_archive::{Archiver, ErrorKind, Keep, Until};

use crate::faulty::{Fault, Op};
use crate::support::{PREFIX, Place, fill, options, same};

#[test]
fn the_older_one_is_fenced_for_good() {
    let (place, wal) = Place::with_entries(50);
    let mut old = place.ship(&wal);
    let mut new = place.archiver(&wal);
    fill(&wal, 80);
    let fenced = old.ship(&mut |_| {}).unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
    assert!(fenced.to_string().contains("term 2"), "{fenced}");
    new.ship(&mut |_| {}).unwrap();
    assert_eq!(old.ship(&mut |_| {}).unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(old.archived(), 50, "it never claims what it could not write");
    assert_eq!(old.sweep().unwrap_err().kind(), ErrorKind::Fenced);
    new.sweep().unwrap();
    assert_eq!(place.sound().unnamed, 0);
    same(&wal, &place.restored(Until::End).1);
}

/// One that could not go on itself does not keep another from it.
#[test]
fn one_of_another_log_fences_nobody() {
    let (place, wal) = Place::with_entries(50);
    let mut at_work = place.ship(&wal);
    let before = place.archive.info().unwrap().generation;
    let other = Place::with_entries(80);
    let refused = Archiver::new(&place.archive, other.1.clone(), options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Diverged, "{refused}");
    other.1.truncate_front(70).unwrap();
    let refused = Archiver::new(&place.archive, other.1, options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Gap, "{refused}");
    assert_eq!(place.archive.info().unwrap().generation, before, "nothing was made");
    fill(&wal, 90);
    at_work.ship(&mut |_| {}).unwrap();
    same(&wal, &place.restored(Until::End).1);
}

/// The generations that would show it that it was fenced are removed; it must not take a number that is free again.
#[test]
fn one_that_slept_through_it_all_is_fenced() {
    let (place, wal) = Place::with_entries(20);
    let mut old = place.ship(&wal).hold("archive").unwrap();
    let mut new = place.archiver(&wal);
    for next in 21..80 {
        fill(&wal, next);
        new.ship(&mut |_| {}).unwrap();
    }
    let kept = place.bucket.names("logs/a/manifest");
    assert!(kept.len() < 30, "{}", kept.len());
    let generation = place.archive.info().unwrap().generation;
    assert_eq!(old.ship(&mut |_| {}).unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(old.archived(), 20);
    assert_eq!(wal.cursors().unwrap()[0].committed, 20, "what holds retention back has not moved");
    assert_eq!(place.archive.info().unwrap().generation, generation);
    same(&wal, &place.restored(Until::End).1);
}

/// A round may make two generations, so that their numbers at the ends of rounds are odd for ever.
#[test]
fn old_generations_go_whatever_their_numbers() {
    let (place, wal) = Place::with_entries(3);
    let least = options().chunk_bytes(1).keep(Keep::default().max_bytes(1));
    let mut archiver = Archiver::new(&place.archive, wal.clone(), least).unwrap();
    for round in 1..60 {
        archiver.ship(&mut |_| {}).unwrap();
        let generation = place.archive.info().unwrap().generation;
        assert!(generation > 2 * round - 2 && !generation.is_multiple_of(8), "{generation}");
        fill(&wal, wal.next_seq() + 1);
    }
    let kept = place.bucket.names("logs/a/manifest").len();
    assert!((17..30).contains(&kept), "{kept}");
}

/// It still removes what it was about to, and none of that is the other's.
#[test]
fn what_a_fenced_one_leaves_is_swept_and_what_it_sweeps_is_its_own() {
    let (place, wal) = Place::with_entries(50);
    let mut old = place.ship(&wal);
    fill(&wal, 90);
    place
        .bucket
        .fail(|_, op, name| (op == Op::Put && name.contains("manifest")).then_some(Fault::Refused));
    assert!(old.ship(&mut |_| {}).is_err());
    place.bucket.heal();
    assert!(place.sound().unnamed > 0);
    let mut new = place.archiver(&wal);
    new.ship(&mut |_| {}).unwrap();
    assert!(old.sweep().is_err());
    assert!(place.sound().unnamed > 0, "a fenced one removes nothing");
    new.sweep().unwrap();
    assert_eq!(place.sound().unnamed, 0);
    same(&wal, &place.restored(Until::End).1);
}

#[test]
fn many_at_once_never_mix() {
    let (place, wal) = Place::with_entries(40);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..6 {
                    let made = Archiver::new(&place.archive, wal.clone(), options());
                    let Ok(mut archiver) = made.inspect_err(only_fenced) else { continue };
                    for _ in 0..3 {
                        drop(archiver.ship(&mut |_| {}).inspect_err(only_fenced));
                        wal.append("from another thread").unwrap();
                        wal.sync().unwrap();
                    }
                }
            });
        }
    });
    place.sound();
    place.ship(&wal);
    place.sound();
    same(&wal, &place.restored(Until::End).1);
}

fn only_fenced(error: &walden_archive::Error) {
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

/// Where a store lets one object be written over another, nobody could be fenced.
#[test]
fn a_store_that_overwrites_is_refused() {
    let (place, wal) = Place::with_entries(50);
    let overwriting = |place: &Place| {
        place.bucket.fail(|_, op, _| (op == Op::Put).then_some(Fault::Overwrites));
        let refused = Archiver::new(&place.archive, wal.clone(), options()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
        place.bucket.heal();
    };
    overwriting(&place);
    assert!(place.bucket.names("logs/a/chunks").is_empty(), "nothing was shipped");
    place.ship(&wal);
    overwriting(&place);
    fill(&wal, 80);
    place.ship(&wal);
    same(&wal, &place.restored(Until::End).1);
}

/// One that begins while another one does may find no manifest and then objects: the manifest was made in between, and
/// is not lost.
#[test]
fn two_that_begin_at_once() {
    let (place, wal) = Place::with_entries(20);
    place.ship(&wal);
    let bucket = &place.bucket;
    let all = || bucket.names(PREFIX).into_iter().map(|name| (bucket.bytes(&name), name));
    let made: Vec<_> = all().collect();
    let begin_again = || {
        made.iter().for_each(|(_, name)| bucket.remove(name));
        let (mut other, to) = (Some(made.clone()), Arc::clone(bucket));
        bucket.fail(move |_, op, name| {
            if op == Op::List && name.ends_with("chunks") {
                other.take().into_iter().flatten().for_each(|(bytes, name)| to.set(&name, bytes));
            }
            None
        });
    };
    begin_again();
    assert_eq!(place.archive.info().unwrap().next_seq, 20);
    begin_again();
    place.ship(&wal);
    bucket.heal();
    same(&wal, &place.restored(Until::End).1);
    // Without any, it is damage for those who read, as it is for those who ship.
    bucket.names(&format!("{PREFIX}/manifest")).iter().for_each(|name| bucket.remove(name));
    assert_eq!(place.archive.info().unwrap_err().kind(), ErrorKind::Corrupt);
    let refused = Archiver::new(&place.archive, wal, options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
}
