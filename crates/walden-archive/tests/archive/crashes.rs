//! An archiver that is killed at any call of the store, and answers that are lost.

use walden_archive::{Archiver, ErrorKind, Until};

use crate::faulty::{Fault, Op};
use crate::support::{Place, archive, fill, options, same};

/// Kills the archiver at each call, before or after it took effect; the next one goes on.
fn at_each_call(fault: Fault) {
    let mut crashed = 0;
    for call in 0_u64.. {
        let (place, wal) = Place::with_entries(60);
        place.ship(&wal);
        fill(&wal, 160);
        // From this call on nothing comes through any more.
        place.bucket.fail(move |at, _, _| match at.cmp(&call) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(fault),
            std::cmp::Ordering::Greater => Some(Fault::Refused),
        });
        let killed = Archiver::new(&place.archive, wal.clone(), options())
            .and_then(|mut archiver| archiver.ship(&mut |_| {}));
        let whole = place.bucket.calls() <= call;
        assert!(!whole || killed.is_ok(), "{killed:?}");
        crashed += u64::from(killed.is_err());
        place.bucket.heal();
        let between = place.sound();
        assert!(between.next_seq >= 60 && between.first_seq == 1);
        fill(&wal, 170);
        let mut next = place.ship(&wal);
        next.sweep().unwrap();
        assert_eq!(place.sound().unnamed, 0, "killed at call {call}");
        same(&wal, &place.restored(Until::End).1);
        if whole {
            break;
        }
    }
    assert!(crashed > 10, "{crashed}");
}

#[test]
fn killed_before_any_call() {
    at_each_call(Fault::Refused);
}

#[test]
fn killed_after_any_call() {
    at_each_call(Fault::AnswerLost);
}

/// The same archiver goes on after each failure, and with tries does not even notice.
#[test]
fn any_answer_can_be_lost() {
    for tries in [1, 3] {
        for call in 0..40 {
            let (mut place, wal) = Place::with_entries(30);
            place.archive = archive(&place.bucket, tries);
            let mut archiver = place.ship(&wal);
            fill(&wal, 130);
            place.bucket.fail(move |at, _, _| (at == call).then_some(Fault::AnswerLost));
            match archiver.ship(&mut |_| {}) {
                Err(error) if tries == 1 => assert_eq!(error.kind(), ErrorKind::Store),
                shipped => drop(shipped.unwrap()),
            }
            place.bucket.heal();
            fill(&wal, 140);
            archiver.ship(&mut |_| {}).unwrap();
            assert_eq!(archiver.archived(), 140);
            archiver.sweep().unwrap();
            assert_eq!(place.sound().unnamed, 0);
            same(&wal, &place.restored(Until::End).1);
        }
    }
}

#[test]
fn half_an_object_is_not_believed() {
    let (mut place, wal) = Place::with_entries(100);
    place.archive = archive(&place.bucket, 4);
    place.bucket.fail(|at, op, name| {
        (op == Op::Put && name.contains("chunks") && at % 3 == 0).then_some(Fault::Half)
    });
    let mut archiver = place.archiver(&wal);
    archiver.ship(&mut |_| {}).unwrap();
    place.bucket.heal();
    assert!(place.sound().unnamed > 0);
    archiver.sweep().unwrap();
    assert_eq!(place.sound().unnamed, 0);
    same(&wal, &place.restored(Until::End).1);
}

/// A generation that was given up for lost arrives later: before the archiver goes on, or after, or after it removed
/// the objects that only that one names.
#[test]
fn a_write_that_arrives_late_does_no_harm() {
    for arrives in ["first", "after", "swept"] {
        let (place, wal) = Place::with_entries(60);
        let mut archiver = place.ship(&wal);
        fill(&wal, 160);
        place.bucket.fail(|_, op, name| {
            (op == Op::Put && name.contains("manifest")).then_some(Fault::Late)
        });
        assert_eq!(archiver.ship(&mut |_| {}).unwrap_err().kind(), ErrorKind::Store);
        place.bucket.heal();
        let deliver = || assert_eq!(place.bucket.deliver(), 1);
        match arrives {
            "first" => deliver(),
            "swept" => {
                archiver.sweep().unwrap();
                deliver();
            }
            _ => {
                archiver.ship(&mut |_| {}).unwrap();
                deliver();
            }
        }
        archiver.ship(&mut |_| {}).unwrap();
        assert_eq!(archiver.archived(), 160, "{arrives}");
        archiver.sweep().unwrap();
        assert_eq!(place.sound().unnamed, 0);
        same(&wal, &place.restored(Until::End).1);
    }
}

/// A store that answers "it is there already" where nothing is, as S3 does while two requests meet.
#[test]
fn what_is_said_to_be_there_and_is_not_does_not_count() {
    let (place, wal) = Place::with_entries(60);
    let mut archiver = place.ship(&wal).hold("archive").unwrap();
    fill(&wal, 160);
    let manifests =
        |_, op, name: &str| (op == Op::Put && name.contains("manifest")).then_some(Fault::Conflict);
    place.bucket.fail(manifests);
    for _ in 0..2 {
        let refused = archiver.ship(&mut |_| {}).unwrap_err();
        assert_eq!((refused.kind(), refused.is_final()), (ErrorKind::Store, false), "{refused}");
        assert_eq!(archiver.archived(), 60);
    }
    let refused = Archiver::new(&place.archive, wal.clone(), options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Store);
    place.bucket.heal();
    assert_eq!(place.sound().next_seq, 60);
    assert_eq!(wal.cursors().unwrap()[0].committed, 60, "what is not archived is held back");
    archiver.ship(&mut |_| {}).unwrap();
    assert_eq!(archiver.archived(), 160);
    archiver.sweep().unwrap();
    assert_eq!(place.sound().unnamed, 0);
    same(&wal, &place.restored(Until::End).1);
}
