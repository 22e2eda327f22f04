//! The ends of complete segments, where nothing of an entry is wrong: the tools say what opening and reading say, and
//! mend it without a choice.

use std::sync::Arc;

use walden::ErrorKind;
use walden::offline::{self, Choice, Repaired, Severity, Target};
use walden_sim::{SimClock, SimDisk};

use crate::logs::{
    DIR, below, closed, damage_at, drain, flip, go, holds, open, path, reader, refused, wal, with,
};
use crate::record::{places, plain};

fn target(disk: &SimDisk) -> Target {
    Target::new(DIR, "segment", Arc::new(disk.clone()), Arc::new(SimClock::new(7)))
}

/// What `verify` calls damage costs no entry, and `repair --yes` mends it.
#[track_caller]
fn mended(disk: &SimDisk, entries: &[(u64, Vec<u8>)]) -> Repaired {
    let verified = offline::verify(&target(disk), &mut |_| {}).unwrap();
    let damages = verified.findings.iter().filter(|found| found.severity == Severity::Damage);
    let damages: Vec<_> = damages.map(|found| (found.lost, found.expected_seq)).collect();
    assert_eq!(damages, [(None, None)], "{verified:?}");
    let plan = offline::repair_plan(&target(disk), &mut |_| {}).unwrap();
    assert!(plan.damages[0].options[0].command.ends_with("repair /log --yes"), "{plan:?}");
    let choice = Choice::Safe { first_seq: None };
    let done = offline::repair_apply(&target(disk), choice, &mut |_| {}).unwrap();
    assert!(!done.still_damaged, "{done:?}");
    let verified = offline::verify(&target(disk), &mut |_| {}).unwrap();
    assert!(!verified.is_damaged(), "{verified:?}");
    holds(disk, entries);
    done
}

#[test]
fn bytes_behind_the_last_record_are_cut_off_with_a_copy() {
    for made in [closed(), go()] {
        for ordinal in 0..2 {
            let bytes = made.disk.read_file(wal(ordinal)).unwrap();
            let next = places(&bytes).last().unwrap().next;
            let zeros_first = [vec![0; 40], vec![1]].concat();
            let zeros = vec![0; 100];
            for more in [vec![0xff], vec![7; 100], zeros_first, bytes[..30].to_vec(), zeros] {
                let disk = with(&made.disk, &wal(ordinal), &[bytes.clone(), more.clone()].concat());
                let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
                assert!(found == below(&made.entries, next));
                damage_at(error.as_ref(), &wal(ordinal), bytes.len(), next);
                let done = mended(&disk, &made.entries);
                assert_eq!(disk.read_file(wal(ordinal)).unwrap(), bytes);
                // Of zeros no copy is needed.
                let kept = done.kept_in.first().map(|kept| disk.read_file(kept).unwrap());
                let expected = more.iter().any(|byte| *byte != 0).then_some(more);
                assert_eq!(kept, expected, "{done:?}");
            }
        }
    }
}

/// Opening looks at a Go log's complete segments by their first and last records alone.
#[test]
fn go_logs_with_a_wrong_footer() {
    let made = go();
    for ordinal in 0..2 {
        let bytes = made.disk.read_file(wal(ordinal)).unwrap();
        let last = *places(&bytes).last().unwrap();
        for bit in last.footer() * 8..last.end * 8 {
            let disk = flip(&made.disk, &wal(ordinal), bit);
            // The top 16 bits are flags: the footer leads to the record all the same.
            if bit < last.footer() * 8 + 16 {
                holds(&disk, &made.entries);
                continue;
            }
            let error = refused(&disk, ErrorKind::Corrupt);
            assert!(error.what_to_do().unwrap().contains("walden verify"), "{error}");
            mended(&disk, &made.entries);
        }
    }
}

/// Zeros at the end of a Go log's complete segment may have been entries, unless the next one goes on.
#[test]
fn go_logs_with_zeros_at_an_end() {
    let made = go();
    for zeros in [1, 27, 28, 512] {
        for ordinal in 0..2 {
            let bytes = made.disk.read_file(wal(ordinal)).unwrap();
            let disk = with(&made.disk, &wal(ordinal), &[bytes, vec![0; zeros]].concat());
            refused(&disk, ErrorKind::Corrupt);
            let done = mended(&disk, &made.entries);
            assert!(done.kept_in.is_empty(), "{done:?}");
        }
        let bytes = made.disk.read_file(wal(1)).unwrap();
        let disk = with(&made.disk, &wal(1), &[bytes, vec![0; zeros]].concat());
        disk.write_file(wal(2), b"").unwrap();
        refused(&disk, ErrorKind::Corrupt);
        let verified = offline::verify(&target(&disk), &mut |_| {}).unwrap();
        assert!(verified.is_damaged(), "{verified:?}");
        let choice = Choice::Safe { first_seq: None };
        let done = offline::repair_apply(&target(&disk), choice, &mut |_| {}).unwrap();
        assert!(done.still_damaged && done.steps.is_empty(), "{done:?}");
        let next = verified.next_seq;
        let cut = offline::repair_apply(&target(&disk), Choice::CutAt(next), &mut |_| {}).unwrap();
        assert!(!cut.still_damaged, "{cut:?}");
        holds(&disk, below(&made.entries, next));
    }
}

/// A last segment that begins elsewhere than the others end is damage, though its first footer is wrong.
#[test]
fn go_logs_that_go_on_elsewhere() {
    let made = go();
    for seq in [1, 1000] {
        let mut record = plain(seq, b"from another log");
        *record.last_mut().unwrap() ^= 1;
        let disk = with(&made.disk, &wal(2), &record);
        refused(&disk, ErrorKind::Corrupt);
        let verified = offline::verify(&target(&disk), &mut |_| {}).unwrap();
        assert!(verified.is_damaged(), "{verified:?}");
        assert!(disk.read_file(path("segment.manifest")).is_err());
        drop(open(&disk).unwrap_err());
    }
}

/// A wrong footer in the middle and damage behind it are two things: nothing is written over what may be an entry.
#[test]
fn a_wrong_footer_in_front_of_damage() {
    let made = closed();
    let bytes = made.disk.read_file(wal(2)).unwrap();
    let places = places(&bytes);
    let [.., before, last] = &places[..] else { panic!("two records") };
    let mut spoiled = bytes;
    spoiled[before.footer() + 7] ^= 1;
    spoiled[last.at + 21] ^= 1;
    let disk = with(&made.disk, &wal(2), &spoiled);
    let choice = Choice::Safe { first_seq: None };
    let done = offline::repair_apply(&target(&disk), choice, &mut |_| {}).unwrap();
    assert!(done.still_damaged, "{done:?}");
    assert!(disk.read_file(wal(2)).unwrap() == spoiled, "{done:?}");
}

/// Segments under each other's names, the first with a damaged end: what is there may be an entry, and stays.
#[test]
fn an_end_in_front_of_what_came_before_is_no_surplus() {
    let made = closed();
    let mut one = made.disk.read_file(wal(1)).unwrap();
    let last = *places(&one).last().unwrap();
    one[last.at + 21] ^= 1;
    let zero = made.disk.read_file(wal(0)).unwrap();
    let disk = with(&with(&made.disk, &wal(0), &one), &wal(1), &zero);
    let choice = Choice::Safe { first_seq: None };
    let done = offline::repair_apply(&target(&disk), choice, &mut |_| {}).unwrap();
    assert!(done.still_damaged && done.kept_in.is_empty(), "{done:?}");
    assert!(disk.read_file(wal(0)).unwrap() == one, "{done:?}");
}
