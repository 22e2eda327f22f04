//! Marks: stale, foreign, torn, from a time to come.

use walden::{ErrorKind, SyncStrategy};

use crate::support::{Lab, ManifestBytes, assert_goes_on, entries, payloads};

/// Five entries, a segment each; closed. Marks name segments that were sealed or unlinked since.
fn closed() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 100);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    wal.tick().unwrap();
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    lab
}

/// The log's latest mark, changed; in one slot, with the other as it was.
fn with_mark(change: impl FnOnce(&mut crate::support::MarkBytes)) -> Lab {
    let lab = closed();
    let mut bytes = ManifestBytes::of(&lab);
    let slot = bytes.latest_slot();
    let mut mark = bytes.mark(slot).unwrap();
    mark.counter += 1;
    change(&mut mark);
    bytes.set_mark(slot ^ 1, &mark);
    bytes.put(&lab);
    lab
}

fn assert_whole(lab: &Lab) {
    let wal = lab.open();
    assert_eq!(entries(&wal), (1, payloads(1..=5)));
    assert_goes_on(lab, wal);
}

/// Section 5: "a mark at or before `sealed_through` is merely stale".
#[test]
fn a_mark_that_names_a_sealed_segment_is_harmless() {
    for ordinal in 0..4 {
        for offset in [0, 80, 1 << 40] {
            let lab = with_mark(|mark| {
                (mark.ordinal, mark.offset, mark.next_seq) = (ordinal, offset, ordinal + 2);
            });
            assert_whole(&lab);
        }
    }
}

/// The same where the segment was unlinked.
#[test]
fn a_mark_that_names_an_unlinked_segment_is_harmless() {
    let lab = Lab::new(SyncStrategy::OsCache, 100);
    let wal = lab.open();
    Lab::append(&wal, 1..=1);
    wal.sync().unwrap();
    let marked = lab.kill();
    let bytes = ManifestBytes::of(&marked);
    let old = bytes.mark(bytes.latest_slot()).expect("a mark in the first segment");
    assert_eq!(old.ordinal, 0);
    Lab::append(&wal, 2..=4);
    wal.tick().unwrap();
    wal.truncate_front(4).unwrap();
    let after = lab.kill();
    assert!(!after.has("segment-0000.wal"));
    let mut bytes = ManifestBytes::of(&after);
    bytes.set_mark(0, &old);
    bytes.set_mark(1, &old);
    bytes.put(&after);
    let wal = after.open();
    assert_eq!(entries(&wal), (4, payloads(4..=4)));
    assert_goes_on(&after, wal);
}

/// Section 5: "Believed if CRC, log id and the *current* epoch match".
#[test]
fn a_mark_of_another_epoch_or_log_is_not_believed() {
    assert_whole(&with_mark(|mark| {
        mark.epoch ^= 1;
        mark.offset += 1000;
        mark.next_seq += 10;
    }));
    assert_whole(&with_mark(|mark| {
        mark.log_id ^= 1;
        mark.generation += 1000;
        mark.offset += 1000;
    }));
}

/// Section 5: "A believed mark is never tested against the records: where they disagree, that is damage".
#[test]
fn records_that_end_before_the_mark_are_damage() {
    let lab = with_mark(|mark| {
        mark.offset += 80;
        mark.next_seq += 1;
    });
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.offset().is_some(), "{error}");
    let lab = with_mark(|mark| mark.ordinal += 1);
    assert_eq!(lab.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
    let lab = with_mark(|mark| mark.next_seq += 1);
    assert_eq!(lab.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
    let lab = with_mark(|mark| mark.offset -= 1);
    assert_eq!(lab.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Section 5: "a sound mark of this log from a generation above the winner's is damage too", whatever its epoch.
#[test]
fn a_mark_of_a_higher_generation_means_a_manifest_rolled_back() {
    for epoch in [0, 1] {
        let lab = with_mark(|mark| {
            mark.generation += 1;
            mark.epoch ^= epoch;
        });
        let error = lab.try_open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("older copy"), "{error}");
    }
}

/// Section 5: marks are "written to alternating slots …, so that one is always whole on disk"; without both, the
/// base mark serves.
#[test]
fn with_a_slot_torn_the_other_one_serves() {
    let lab = closed();
    for slots in [&[0][..], &[1], &[0, 1]] {
        let torn = lab.with(lab.disk.fork());
        let mut bytes = ManifestBytes::of(&torn);
        slots.iter().for_each(|slot| bytes.tear_slot(*slot));
        bytes.put(&torn);
        assert_whole(&torn);
    }
}

/// The same found by power cuts: at every moment at least one slot on the disk is whole, once there was one, so that
/// damage before the last synced mark is told from a torn tail.
#[test]
fn a_power_cut_leaves_a_whole_mark() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    lab.disk.set_sector_tear(walden_sim::SectorTear::Any);
    let wal = lab.open();
    Lab::append(&wal, 1..=2);
    lab.clock.advance(std::time::Duration::from_secs(2));
    wal.tick().unwrap();
    for seq in 3..=12 {
        Lab::append(&wal, seq..=seq);
        if seq % 4 == 0 {
            lab.clock.advance(std::time::Duration::from_secs(2));
            wal.tick().unwrap();
        }
        for seed in 0..40 {
            let after = lab.power_cut_by(seed);
            let bytes = ManifestBytes::of(&after);
            let marks = [bytes.mark(0), bytes.mark(1)];
            let latest = marks.iter().flatten().map(|mark| mark.next_seq).max();
            assert!(latest >= Some(3), "entry {seq}, seed {seed}: {marks:?}");
        }
    }
}

/// Section 6: "Open segments that lie wholly before the mark are read once: sound records, then only zeros, then the next
/// file's expected seq id; anything else is damage."
#[test]
fn damage_in_an_older_open_segment_before_the_mark_is_not_torn() {
    let lab = Lab::new(SyncStrategy::OsCache, 250);
    let wal = lab.open();
    Lab::append(&wal, 1..=8);
    wal.sync().unwrap();
    assert_eq!(wal.stats().open_segments, 3);
    let spoil: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes[100] ^= 1,
        |bytes| bytes[160..].fill(0),
        |bytes| bytes.truncate(160),
        |bytes| bytes[245] = 1,
        |bytes| bytes.clear(),
    ];
    for name in ["segment-0000.wal", "segment-0001.wal"] {
        for (at, spoil) in spoil.iter().enumerate() {
            let lab = lab.kill();
            let mut bytes = lab.read(name);
            spoil(&mut bytes);
            lab.write(name, &bytes);
            let error = lab.try_open().map(|wal| entries(&wal).1.len()).expect_err("damage");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}, {at}: {error}");
            assert_eq!(lab.read(name), bytes, "nothing was cut");
        }
    }
    assert_whole_of(&lab.kill(), 8);
}

fn assert_whole_of(lab: &Lab, last: u64) {
    let wal = lab.open();
    assert_eq!(entries(&wal), (1, payloads(1..=last)));
    assert_goes_on(lab, wal);
}

/// Section 5: "sync one manifest with the new epoch, the active ordinal and base mark = end of the log": with both marks
/// gone, what opening had reported still is told from a torn tail.
#[test]
fn the_base_mark_serves_where_both_marks_are_gone() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=4);
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    Lab::append(&wal, 5..=7);
    let lab = lab.kill();
    let mut bytes = ManifestBytes::of(&lab);
    bytes.tear_slot(0);
    bytes.tear_slot(1);
    bytes.put(&lab);
    let whole = lab.read("segment-0000.wal");
    lab.write("segment-0000.wal", &whole[..300]);
    let error = lab.try_open().map(|wal| entries(&wal).1.len()).expect_err("damage");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    lab.write("segment-0000.wal", &whole[..390]);
    assert_whole_of(&lab, 4);
    // Behind it nothing is guessed by what lies further behind.
    let torn = lab.with(lab.disk.fork());
    bytes.put(&torn);
    let mut spoiled = whole;
    spoiled[450] ^= 1;
    torn.write("segment-0000.wal", &spoiled);
    torn.names(".wal").iter().skip(1).for_each(|name| torn.remove(name));
    assert_whole_of(&torn, 5);
}

/// Section 6: with a mark, a bad record before it is damage and changes nothing, where behind it it is torn.
#[test]
fn what_the_mark_says_was_durable_is_damage_not_torn() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=4);
    let after = lab.kill();
    let bytes = ManifestBytes::of(&after);
    let mark = bytes.mark(bytes.latest_slot()).unwrap();
    assert_eq!((mark.offset, mark.next_seq), (320, 5));
    let mut segment = after.read("segment-0000.wal");
    segment[250] ^= 1;
    segment.truncate(300);
    after.write("segment-0000.wal", &segment);
    let error = after.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(after.read("segment-0000.wal"), segment, "nothing was cut");
}
