//! Whole segments missing, zeroed, swapped, doubled.

use std::sync::Arc;

use walden::offline::{self, Target};
use walden::{Error, ErrorKind};
use walden_sim::SimClock;

use crate::logs::{
    below, closed, damage_at, drain, flip, go, goes_on, holds, open, payload, reader, refused, wal,
    with,
};
use crate::record::{self, places};

fn first_and_next(made: &crate::logs::Made, ordinal: u64) -> (u64, u64) {
    let places = places(&made.disk.read_file(wal(ordinal)).unwrap());
    (places[0].seq, places[places.len() - 1].next)
}

fn ids(error: &Error) -> (Option<u64>, Option<u64>) {
    (error.seq(), error.last_seq())
}

#[test]
fn missing() {
    let made = closed();
    for ordinal in 0..3 {
        let disk = made.disk.fork();
        disk.remove_file(wal(ordinal)).unwrap();
        let error = refused(&disk, ErrorKind::Corrupt);
        assert_eq!(error.file(), Some(wal(ordinal).as_path()), "{error}");
        let (first, next) = first_and_next(&made, ordinal);
        if ordinal == 2 {
            assert_eq!(error.seq(), Some(first), "{error}");
            assert!(error.to_string().contains("copied while it was live"), "{error}");
        } else {
            assert_eq!(ids(&error), (Some(first), Some(next - 1)), "{error}");
        }
        let advice = error.what_to_do().unwrap();
        let wanted = if ordinal == 0 { "walden adopt" } else { "walden verify" };
        assert!(advice.contains(wanted), "{error}");
        // A reader says the same where it comes to it, and finds what is elsewhere.
        match reader(&disk) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
            Ok(log) => {
                let (found, error) = drain(log.range(..).unwrap());
                assert!(found == below(&made.entries, first), "{ordinal}");
                let error = error.unwrap();
                assert_eq!(
                    (error.kind(), error.seq()),
                    (ErrorKind::Corrupt, Some(first)),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn missing_of_a_go_log() {
    let made = go();
    let disk = made.disk.fork();
    disk.remove_file(wal(1)).unwrap();
    let error = refused(&disk, ErrorKind::Corrupt);
    // The one that doesn't go on where another ended is the one behind the hole: the last, here.
    assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");
    assert_eq!(ids(&error), (Some(7), Some(12)), "{error}");
    let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
    assert!(found == below(&made.entries, 7));
    assert_eq!(error.unwrap().kind(), ErrorKind::Corrupt);

    // In front nothing tells it from a log that was truncated, and at the end from one that ended there.
    let disk = made.disk.fork();
    disk.remove_file(wal(0)).unwrap();
    holds(&disk, &made.entries[6..]);
    let disk = made.disk.fork();
    disk.remove_file(wal(2)).unwrap();
    holds(&disk, &made.entries[..12]);
}

#[test]
fn zeroed() {
    let made = closed();
    for ordinal in 0..3 {
        let (first, _) = first_and_next(&made, ordinal);
        let len = made.disk.read_file(wal(ordinal)).unwrap().len();
        let disk = with(&made.disk, &wal(ordinal), &vec![0; len]);
        if ordinal == 2 {
            let error = refused(&disk, ErrorKind::Corrupt);
            damage_at(Some(&error), &wal(2), 0, first);
        } else {
            open(&disk).unwrap();
        }
        let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
        assert!(found == below(&made.entries, first));
        damage_at(error.as_ref(), &wal(ordinal), 0, first);
    }
}

#[test]
fn zeroed_of_a_go_log() {
    let made = go();
    for ordinal in 0..3 {
        let len = made.disk.read_file(wal(ordinal)).unwrap().len();
        let disk = with(&made.disk, &wal(ordinal), &vec![0; len]);
        if ordinal == 2 {
            // A file made ready and not yet written to.
            holds(&disk, &made.entries[..12]);
        } else {
            let error = refused(&disk, ErrorKind::Corrupt);
            assert_eq!(error.file(), Some(wal(ordinal).as_path()), "{error}");
        }
    }
}

fn swapped(made: &crate::logs::Made, a: u64, b: u64) -> walden_sim::SimDisk {
    let disk = with(&made.disk, &wal(a), &made.disk.read_file(wal(b)).unwrap());
    with(&disk, &wal(b), &made.disk.read_file(wal(a)).unwrap())
}

#[test]
fn two_swapped() {
    let made = closed();
    let disk = swapped(&made, 0, 1);
    let log = open(&disk).unwrap();
    let (first, _) = first_and_next(&made, 1);
    for entries in [log.range(..).unwrap(), reader(&disk).unwrap().range(..).unwrap()] {
        // The first entries are found where they lie now; behind them others are missing.
        let (found, error) = drain(entries);
        assert!(found == below(&made.entries, first));
        let error = error.unwrap();
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(first)), "{error}");
    }
    for ordinal in 0..2 {
        let disk = swapped(&made, ordinal, 2);
        let error = refused(&disk, ErrorKind::Corrupt);
        assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");
    }
}

#[test]
fn two_swapped_of_a_go_log() {
    let made = go();
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let error = refused(&swapped(&made, a, b), ErrorKind::Corrupt);
        assert!(error.offset().is_some() && error.seq().is_some(), "{error}");
    }
}

/// A copy of a segment under the next ordinal holds seq ids that an earlier one holds: nothing that a
/// crash leaves, so damage, and nothing is cut.
#[test]
fn doubled() {
    for made in [closed(), go()] {
        for ordinal in 0..3 {
            let copy = made.disk.read_file(wal(ordinal)).unwrap();
            let disk = with(&made.disk, &wal(3), &copy);
            let error = refused(&disk, ErrorKind::Corrupt);
            let (first, _) = first_and_next(&made, ordinal);
            assert_eq!(
                (error.file(), error.offset()),
                (Some(wal(3).as_path()), Some(0)),
                "{error}"
            );
            let last = made.entries.len() as u64;
            assert_eq!(ids(&error), (Some(first), Some(last)), "{error}");
        }
    }
}

/// A copy over another segment.
#[test]
fn doubled_over_another() {
    let made = closed();
    for (from, to) in [(0, 1), (1, 0), (2, 0), (2, 1), (0, 2), (1, 2)] {
        let disk = with(&made.disk, &wal(to), &made.disk.read_file(wal(from)).unwrap());
        let (first, _) = first_and_next(&made, to);
        if to == 2 {
            let error = refused(&disk, ErrorKind::Corrupt);
            assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");
            continue;
        }
        let log = open(&disk).unwrap();
        let (found, error) = drain(log.range(..).unwrap());
        assert!(found == below(&made.entries, first), "{from} over {to}");
        let error = error.unwrap();
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(first)), "{error}");
        assert!(error.file().is_some(), "{error}");
    }
}

/// Another program went on with a log of ours: more segments than one of us leaves unsealed. They are
/// adopted, or refused, as if the whole log were that program's.
#[test]
fn another_program_went_on() {
    let made = closed();
    let mut entries = made.entries.clone();
    let disk = made.disk.fork();
    for ordinal in 3..9 {
        let mut bytes = Vec::new();
        for _ in 0..4 {
            let seq = entries.len() as u64 + 1;
            bytes.extend(record::plain(seq, &payload(seq)));
            entries.push((seq, payload(seq)));
        }
        disk.write_file(wal(ordinal), &bytes).unwrap();
    }
    holds(&disk.fork(), &entries);
    let last = disk.read_file(wal(8)).unwrap();
    let all = places(&last);

    // The last one torn in its last record.
    let torn = with(&disk, &wal(8), &last[..last.len() - 3]);
    let log = open(&torn).unwrap();
    assert_eq!(log.recovery().cut.unwrap().offset, all[3].at as u64);
    goes_on(log, &torn, below(&entries, all[3].seq));

    // Damaged before sound records, there or in any other; or a segment missing, or one too short.
    let error = refused(&flip(&disk, &wal(8), all[1].at * 8 + 200), ErrorKind::Corrupt);
    damage_at(Some(&error), &wal(8), all[1].at, all[1].seq);
    for ordinal in 3..8 {
        let error = refused(&flip(&disk, &wal(ordinal), 200), ErrorKind::Corrupt);
        assert_eq!(error.file(), Some(wal(ordinal).as_path()), "{error}");
        let missing = disk.fork();
        missing.remove_file(wal(ordinal)).unwrap();
        let error = refused(&missing, ErrorKind::Corrupt);
        assert!(error.seq().is_some() && error.last_seq().is_some(), "{ordinal}: {error}");
    }
    let ours = disk.read_file(wal(2)).unwrap();
    let error = refused(&with(&disk, &wal(2), &ours[..ours.len() - 1]), ErrorKind::Corrupt);
    assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");

    // Space that was reserved behind our last record: the tools say so, too, and how to go on.
    let mut reserved = ours;
    reserved.resize(reserved.len() + 100, 0);
    let spacious = with(&disk, &wal(2), &reserved);
    let error = refused(&spacious, ErrorKind::Corrupt);
    assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");
    let target = Target::new("/log", "segment", Arc::new(spacious), Arc::new(SimClock::new(7)));
    assert!(offline::verify(&target, &mut |_| {}).unwrap().is_damaged());
    let plan = offline::repair_plan(&target, &mut |_| {}).unwrap();
    let told = format!("{:?}", plan.damages);
    assert!(told.contains("7 segments are open") && told.contains("--cut-at"), "{told}");
}
