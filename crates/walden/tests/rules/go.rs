//! Logs of the Go library, and a Go program that wrote to ours.

use walden::offline;
use walden::{ErrorKind, Origin, SyncStrategy, Wal};

use crate::support::{
    Lab, assert_goes_on, assert_prefix, entries, every_stop, payload, payloads, read_only, record,
    records,
};

/// A log as the Go library leaves it: an empty segment in the middle, beginning at `first`, a torn tail or none.
fn go_log(first: u64, torn: bool) -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 1000);
    lab.write("segment-0000.wal", &records(first..=first + 2));
    lab.write("segment-0001.wal", b"");
    lab.write("segment-0002.wal", &records(first + 3..=first + 3));
    let mut last = records(first + 4..=first + 5);
    if torn {
        last.extend_from_slice(&records(first + 6..=first + 6)[..50]);
    }
    lab.write("segment-0003.wal", &last);
    lab
}

fn assert_adopted(lab: &Lab, first: u64) {
    let wal = lab.open();
    assert_prefix(&wal, first, first + 6, first + 6);
    assert_goes_on(lab, wal);
}

/// Section 2: "The Go library's logs can hold empty segments in the middle, start at any seq id, end in a torn
/// record. All open."
#[test]
fn a_go_log_is_adopted() {
    for first in [1, 7, 1 << 40] {
        for torn in [false, true] {
            let lab = go_log(first, torn);
            let before = records(first..=first + 2);
            let wal = lab.open();
            assert_eq!(wal.recovery().origin, Origin::Adopted);
            assert_eq!(wal.recovery().cut.is_some(), torn);
            assert_eq!(lab.read("segment-0000.wal"), before, "sealed segments are as they were");
            if torn {
                let kept = lab.names(".torn");
                assert_eq!(kept.len(), 1, "what was cut is kept");
                let kept = lab.read(&kept[0]);
                assert_eq!(kept, records(first + 6..=first + 6)[..50]);
            }
            drop(wal);
            assert_adopted(&lab, first);
        }
    }
}

/// Section 5: "no mark and no base mark until opening has finished, so a crash during adoption adopts again".
#[test]
fn adoption_cut_off_at_every_call_twice() {
    for torn in [false, true] {
        let lab = go_log(7, torn);
        every_stop(
            &lab,
            12,
            |lab| drop(lab.try_open()),
            |found, _| {
                every_stop(
                    found,
                    1,
                    |lab| drop(lab.try_open()),
                    |again, _| assert_adopted(again, 7),
                );
            },
        );
    }
}

/// Section 6, without a mark: "look for a later candidate whose length, footer and CRC fit … Found: refuse; nothing is
/// changed". However often it is tried.
#[test]
fn damage_in_a_go_log_is_refused_each_time() {
    let lab = go_log(1, false);
    let mut last = records(5..=9);
    last[100] ^= 1;
    lab.write("segment-0003.wal", &last);
    for _ in 0..3 {
        let error = lab.try_open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!((error.offset(), error.seq()), (Some(80), Some(6)), "{error}");
        assert_eq!(lab.read("segment-0003.wal"), last);
    }
}

/// Our log, closed: five entries, the last two in the active segment; no record that the Go library can't read.
fn ours() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    wal.tick().unwrap();
    wal.close().unwrap();
    drop(wal);
    assert_eq!(lab.read("segment-0001.wal"), records(4..=5), "a closed log is byte-exact");
    lab.disk.settle();
    lab
}

fn append_to(lab: &Lab, name: &str, bytes: &[u8]) {
    let mut all = if lab.has(name) { lab.read(name) } else { Vec::new() };
    all.extend_from_slice(bytes);
    lab.write(name, &all);
}

fn assert_taken_over(lab: &Lab, last: u64) {
    assert_eq!(read_only(&lab.reader()), (1, payloads(1..=last)), "a reader sees them too");
    let wal = lab.open();
    assert_eq!(entries(&wal), (1, payloads(1..=last)));
    assert_goes_on(lab, wal);
}

/// Section 5: what follows the mark is doubt zone, whoever wrote it: sound records are taken over.
#[test]
fn what_a_go_program_appended_is_taken_over() {
    let lab = ours();
    append_to(&lab, "segment-0001.wal", &records(6..=6));
    assert_taken_over(&lab, 6);
    // And into new segments, as many as could be open.
    for segments in 2..=4 {
        let lab = ours();
        append_to(&lab, "segment-0001.wal", &records(6..=6));
        for at in 2..=segments {
            append_to(&lab, &format!("segment-{at:04}.wal"), &records(at + 5..=at + 5));
        }
        assert_taken_over(&lab, segments + 5);
    }
}

/// And where an empty one lies between them, or one of zeros.
#[test]
fn an_empty_segment_between_those_that_a_go_program_added() {
    for empty in [&b""[..], &[0; 100]] {
        let lab = ours();
        lab.write("segment-0002.wal", empty);
        lab.write("segment-0003.wal", &records(6..=6));
        assert_taken_over(&lab, 6);
    }
}

/// Section 5: "More than four segments behind `sealed_through`: another program wrote; as in adoption."
#[test]
fn more_than_four_new_segments_are_adopted() {
    let build = || {
        let lab = ours();
        append_to(&lab, "segment-0001.wal", &records(6..=6));
        for at in 2..=7 {
            append_to(&lab, &format!("segment-{at:04}.wal"), &records(at + 5..=at + 5));
        }
        lab
    };
    let lab = build();
    let wal = lab.open();
    assert_eq!(wal.recovery().origin, Origin::Adopted);
    drop(wal);
    assert_taken_over(&build(), 12);
    every_stop(
        &build(),
        10,
        |lab| drop(lab.try_open()),
        |found, _| {
            let wal = found.open();
            assert_eq!(entries(&wal), (1, payloads(1..=12)));
            assert_goes_on(found, wal);
        },
    );
}

/// Section 5: the new epoch begins where the entries end that were there: a reader that has them is told of no cut.
#[test]
fn readers_of_what_is_adopted_read_on() {
    for torn in [false, true] {
        let lab = ours();
        for at in 2..=7 {
            append_to(&lab, &format!("segment-{at:04}.wal"), &records(at + 4..=at + 4));
        }
        if torn {
            append_to(&lab, "segment-0007.wal", &records(12..=12)[..50]);
        }
        let log = lab.reader();
        let mut reader = log.reader();
        for seq in 1..=11 {
            assert_eq!(reader.read_next().unwrap().unwrap().seq, seq);
        }
        let wal = lab.open();
        assert_eq!(wal.recovery().origin, Origin::Adopted);
        assert!(reader.read_next().unwrap().is_none());
        assert_eq!(wal.append(payload(12)).unwrap(), 12);
        assert_eq!(reader.read_next().unwrap().unwrap().payload, payload(12));
    }
}

/// The same with damage in the last of them: nothing says how far it was durable, so sound records behind mean that
/// it is damage, at the second try too: "no mark and no base mark until opening has finished".
#[test]
fn damage_in_what_another_program_wrote_is_refused_each_time() {
    let lab = ours();
    for at in 2..=6 {
        append_to(&lab, &format!("segment-{at:04}.wal"), &records(at + 4..=at + 4));
    }
    let mut last = records(11..=14);
    last[100] ^= 1;
    lab.write("segment-0007.wal", &last);
    for turn in 0..3 {
        let error = lab.try_open().map(|wal| wal.recovery()).expect_err("damage");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "try {turn}: {error}");
        assert_eq!(lab.read("segment-0007.wal"), last);
        // What the tools would call torn by the mark, opening does not believe here: they ask it, where they take nobody
        // for its writer.
        lab.remove("segment.lock");
        let verified = offline::verify(&lab.target(), &mut |_| {}).unwrap();
        assert!(verified.is_damaged(), "{verified:?}");
    }
}

/// Section 4.3: "a missing seq id is an error that names segment, offset and ids"; section 5: lowest next seq.
#[test]
fn a_shortened_log_is_refused_and_the_ids_are_named() {
    // The last record of the active segment.
    let lab = ours();
    lab.write("segment-0001.wal", &records(4..=4));
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!((error.offset(), error.seq()), (Some(80), Some(5)), "{error}");
    assert!(error.file().unwrap().ends_with("segment-0001.wal"));
    // In the middle of a record.
    let lab = ours();
    lab.write("segment-0001.wal", &records(4..=5)[..30]);
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!((error.seq(), error.last_seq()), (Some(4), Some(5)), "{error}");
    // All of the active segment's file.
    let lab = ours();
    lab.remove("segment-0001.wal");
    let error = lab.try_open().unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(4)), "{error}");
    // A segment in front.
    let lab = ours();
    lab.remove("segment-0000.wal");
    let error = lab.try_open().unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(1)), "{error}");
    assert_eq!(error.last_seq(), Some(3), "{error}");
}

/// The Go library opened our log and began again at seq id 1 in a new segment: overlapping ids are damage.
#[test]
fn overlapping_ids_are_refused() {
    let lab = ours();
    lab.write("segment-0002.wal", &record(1, b"again"));
    let wal: Result<Wal, _> = lab.try_open();
    match wal {
        // In the doubt zone, out of sequence: torn, and kept aside; none of ours is lost.
        Ok(wal) => assert_eq!(entries(&wal), (1, payloads(1..=5))),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
}
