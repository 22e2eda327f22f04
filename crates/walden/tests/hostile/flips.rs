//! Every single bit of a closed log's segments and lock file, turned over.

use std::sync::Arc;

use walden::ErrorKind;
use walden::offline::{self, Choice, Severity, Target};
use walden_sim::{SimClock, SimDisk};

use crate::logs::{
    DIR, Made, below, closed, damage_at, drain, flip, holds, open, path, reader, refused, wal,
};
use crate::record::{Place, places};

/// Reading forward gives what lies before the damaged record and then where it is. Reading backward gives
/// what lies behind it in later segments, and then the same: an entry is reached by walking to it from the
/// nearest entry of the index before it, never by a footer, and here the damage stands in between.
fn found_by_reading(made: &Made, ordinal: u64, place: Place, bit: usize) {
    let path = wal(ordinal);
    let disk = flip(&made.disk, &path, bit);
    let log = open(&disk).unwrap();
    let other = reader(&disk).unwrap();
    for entries in [log.range(..).unwrap(), other.range(..).unwrap()] {
        let (found, error) = drain(entries);
        assert!(found == below(&made.entries, place.seq), "bit {bit}: {:?}", found.last());
        damage_at(error.as_ref(), &path, place.at, place.seq);
    }
    let from = match ordinal {
        2 => u64::MAX,
        _ => places(&made.disk.read_file(wal(ordinal + 1)).unwrap())[0].seq,
    };
    let behind: Vec<_> = made.entries.iter().filter(|(seq, _)| *seq >= from).collect();
    for entries in [log.range(..).unwrap(), other.range(..).unwrap()] {
        let (found, error) = drain(entries.rev());
        assert!(found.iter().rev().eq(behind.iter().copied()), "bit {bit}, backward");
        damage_at(error.as_ref(), &path, place.at, place.seq);
    }
    for seq in [1, place.seq.saturating_sub(1).max(1)] {
        if seq < place.seq {
            assert_eq!(log.get(seq).unwrap().unwrap().seq, seq, "bit {bit}");
        }
    }
    for seq in place.seq..place.next {
        damage_at(log.get(seq).err().as_ref(), &path, place.at, place.seq);
        damage_at(other.get(seq).err().as_ref(), &path, place.at, place.seq);
    }
    assert_eq!(log.append(b"appends go on").unwrap(), made.entries.len() as u64 + 1);
}

#[test]
fn sealed_segments() {
    let made = closed();
    for ordinal in 0..2 {
        let bytes = made.disk.read_file(wal(ordinal)).unwrap();
        for place in places(&bytes) {
            for bit in place.at * 8..place.footer() * 8 {
                found_by_reading(&made, ordinal, place, bit);
            }
            // The checksum proves the entry, whatever its footer says.
            for bit in place.footer() * 8..place.end * 8 {
                let disk = flip(&made.disk, &wal(ordinal), bit);
                holds(&disk, &made.entries);
            }
        }
    }
}

/// Opening looks at the first and at the last record of the active segment, nothing else.
#[test]
fn the_active_segment() {
    let made = closed();
    let path = wal(2);
    let bytes = made.disk.read_file(&path).unwrap();
    let places = places(&bytes);
    let (first, last) = (places[0], places[places.len() - 1]);
    for place in &places {
        for bit in place.at * 8..place.end * 8 {
            let disk = flip(&made.disk, &path, bit);
            let footer = bit >= place.footer() * 8;
            // The top 16 bits of a footer are flags: it still leads to the record, which is proved.
            let flags = (place.footer() * 8..place.footer() * 8 + 16).contains(&bit);
            if *place == last && !flags {
                let error = refused(&disk, ErrorKind::Corrupt);
                assert_eq!(error.file(), Some(path.as_path()), "bit {bit}: {error}");
                assert_eq!(error.seq(), Some(last.next - 1), "bit {bit}: {error}");
                // A wrong footer leads somewhere else, and that is what is named then.
                let offset = error.offset().unwrap();
                assert!(offset == last.at as u64 || footer && offset < last.end as u64, "{error}");
                let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
                if footer {
                    assert!(error.is_none() && found == made.entries, "bit {bit}: {error:?}");
                    footer_is_mended(&disk, &made.entries);
                } else {
                    assert!(found == below(&made.entries, last.seq), "bit {bit}");
                    damage_at(error.as_ref(), &path, last.at, last.seq);
                }
            } else if footer {
                holds(&disk, &made.entries);
            } else if *place == first {
                let error = refused(&disk, ErrorKind::Corrupt);
                damage_at(Some(&error), &path, 0, first.seq);
            } else {
                found_by_reading(&made, 2, *place, bit);
            }
        }
    }
}

/// No entry is lost with a footer: the tools call damage what opening refuses, and repair needs no choice.
fn footer_is_mended(disk: &SimDisk, entries: &[(u64, Vec<u8>)]) {
    let target = Target::new(DIR, "segment", Arc::new(disk.clone()), Arc::new(SimClock::new(7)));
    let verified = offline::verify(&target, &mut |_| {}).unwrap();
    let damages = verified.findings.iter().filter(|found| found.severity == Severity::Damage);
    assert_eq!(damages.map(|found| found.lost).collect::<Vec<_>>(), [None]);
    let plan = offline::repair_plan(&target, &mut |_| {}).unwrap();
    assert!(plan.damages[0].options[0].command.ends_with("--yes"), "{plan:?}");
    let choice = Choice::Safe { first_seq: None };
    let done = offline::repair_apply(&target, choice, &mut |_| {}).unwrap();
    assert!(!done.still_damaged && done.steps.len() == 1, "{done:?}");
    holds(disk, entries);
}

/// A flip in the lock file means nothing, unless it makes the log's id another one.
#[test]
fn the_lock_file() {
    let made = closed();
    let lock = path("segment.lock");
    let bytes = made.disk.read_file(&lock).unwrap();
    let id = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let ids = text.lines().filter_map(|line| line.strip_prefix("log "));
        let ids = ids.filter(|hex| hex.len() == 32);
        ids.filter_map(|hex| u128::from_str_radix(hex, 16).ok()).next_back()
    };
    let ours = id(&bytes).unwrap();
    let mut refusals = 0;
    for bit in 0..bytes.len() * 8 {
        let disk = flip(&made.disk, &lock, bit);
        match id(&disk.read_file(&lock).unwrap()) {
            Some(other) if other != ours => {
                let error = refused(&disk, ErrorKind::Corrupt);
                assert!(error.what_to_do().unwrap().contains("segment.lock"), "{error}");
                refusals += 1;
            }
            _ => holds(&disk, &made.entries),
        }
    }
    assert!(refusals > 32, "only {refusals}");
}
