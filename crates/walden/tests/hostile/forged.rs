//! Payloads that hold records: someone may keep one log's bytes in another, or mean ill. They are never
//! taken for the log's own.

use std::time::Instant;

use walden::ErrorKind;

use crate::logs::{
    Made, closed, damage_at, drain, go, goes_on, holds, killed, open, reader, refused, wal, whole,
    with,
};
use crate::record::{places, plain};

/// A record with `inner` in its payload, torn behind it.
fn torn(seq: u64, inner: &[u8]) -> Vec<u8> {
    let payload = [b"carrier ", inner, &[0xee; 100]].concat();
    let mut record = plain(seq, &payload);
    record.truncate(record.len() - 50);
    record
}

fn with_tail(made: &Made, ordinal: u64, tail: &[u8]) -> (walden_sim::SimDisk, usize) {
    let mut bytes = made.disk.read_file(wal(ordinal)).unwrap();
    let end = places(&bytes).last().unwrap().end;
    bytes.truncate(end);
    bytes.extend_from_slice(tail);
    (with(&made.disk, &wal(ordinal), &bytes), end)
}

/// Records that could be the ones behind the torn one: it may be damaged, then, and not torn. Nobody guesses.
#[test]
fn plausible_in_a_go_log() {
    let made = go();
    let next = made.entries.len() as u64 + 1;
    for inner in [
        plain(next + 1, b"forged"),
        plain(next + 1, b""),
        [plain(next + 1, b"forged"), plain(next + 2, b"forged too")].concat(),
        [vec![0; 300], plain(next + 10, b"forged")].concat(),
        [plain(next - 1, b"implausible"), plain(next + 1, b"forged")].concat(),
    ] {
        let (disk, end) = with_tail(&made, 2, &torn(next, &inner));
        let error = refused(&disk, ErrorKind::Corrupt);
        damage_at(Some(&error), &wal(2), end, next);
        let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
        assert!(found == made.entries, "nothing of the forged is handed out");
        damage_at(error.as_ref(), &wal(2), end, next);
    }
}

/// Records that cannot be: their seq ids are the log's own, or further on than the bytes between allow.
#[test]
fn implausible_in_a_go_log() {
    let made = go();
    let next = made.entries.len() as u64 + 1;
    for seq in [0, 1, next - 1, next, next + 1000, u64::MAX - 1, u64::MAX] {
        let inner = [plain(seq, b"forged"), plain(seq.wrapping_add(1).max(1), b"x")].concat();
        let inner = if seq == next { plain(seq, b"forged") } else { inner };
        let tail = torn(next, &inner);
        let (disk, end) = with_tail(&made, 2, &tail);
        let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
        assert!(found == made.entries && error.is_none(), "seq id {seq}: {error:?}");
        let log = open(&disk).unwrap_or_else(|error| panic!("seq id {seq}: {error}"));
        let cut = log.recovery().cut.unwrap();
        assert_eq!((cut.path, cut.offset), (wal(2), end as u64));
        assert_eq!(disk.read_file(&cut.kept_in[0]).unwrap(), tail);
        assert!(whole(&log) == made.entries);
        goes_on(log, &disk, &made.entries);
    }
}

/// With a mark there is no guessing: what is torn is cut, whatever it holds.
#[test]
fn behind_a_mark() {
    for (made, last) in [(closed(), 2), (killed().0, 3)] {
        let next = made.entries.len() as u64 + 1;
        for seq in [next - 1, next, next + 1, next + 2] {
            let inner = [plain(seq, b"forged"), plain(seq + 1, b"forged too")].concat();
            let (disk, end) = with_tail(&made, last, &torn(next, &inner));
            let log = open(&disk).unwrap();
            assert_eq!(log.recovery().cut.unwrap().offset, end as u64);
            assert!(whole(&log) == made.entries);
            goes_on(log, &disk, &made.entries);
        }
    }
}

/// A torn record whose forged one stands exactly where the next record of the file would have begun, had the
/// torn one been shorter: a record is written over nothing, so appending never makes it part of the log.
#[test]
fn nothing_is_appended_in_front_of_it() {
    let made = go();
    let next = made.entries.len() as u64 + 1;
    // An append of 7 bytes would end where the forged record begins.
    let inner_at = 7 + 28 - 20 - 8;
    let tail = torn(next, &[vec![0xaa; inner_at], plain(next, b"a"), plain(next, b"b")].concat());
    let (disk, _) = with_tail(&made, 2, &tail);
    let log = open(&disk).unwrap();
    assert_eq!(log.append([9; 7]).unwrap(), next);
    let mut expected = made.entries;
    expected.push((next, vec![9; 7]));
    assert!(whole(&log) == expected);
    drop(log);
    holds(&disk, &expected);
}

/// Thousands of headers that promise a record each, at every place: looking at them all would take the
/// square of the file's length. The budget ends it, and nothing is changed.
#[test]
fn more_candidates_than_the_budget() {
    let made = go();
    let next = made.entries.len() as u64 + 1;
    let len = 2 << 20;
    let mut payload = Vec::with_capacity(len);
    while payload.len() < len {
        let size = (len / 2) as u64;
        let mut header = vec![0xcc; 4];
        header.extend_from_slice(&size.to_be_bytes());
        header.extend_from_slice(&(next + 1).to_be_bytes());
        payload.extend_from_slice(&header);
    }
    let mut record = plain(next, &payload);
    record.truncate(record.len() - 9);
    let (disk, end) = with_tail(&made, 2, &record);
    let begun = Instant::now();
    let error = refused(&disk, ErrorKind::Corrupt);
    damage_at(Some(&error), &wal(2), end, next);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// Sound records that hold records: every way of reading gives the carriers, and nothing that they carry.
#[test]
fn inside_sound_records() {
    let disk = walden_sim::SimDisk::new();
    let log = open(&disk).unwrap();
    let mut expected = Vec::new();
    for seq in 1..60_u64 {
        let inner: Vec<u8> = (0..4).flat_map(|i| plain(seq + i, b"forged")).collect();
        assert_eq!(log.append(&inner).unwrap(), seq);
        expected.push((seq, inner));
        log.tick().unwrap();
    }
    log.close().unwrap();
    drop(log);
    for ordinal in 0..10 {
        _ = disk.remove_file(crate::logs::index(ordinal));
    }
    let log = open(&disk).unwrap();
    for (seq, payload) in &expected {
        assert_eq!(log.get(*seq).unwrap().unwrap().payload, *payload);
    }
    drop(log);
    holds(&disk, &expected);
}

/// One flipped bit in a footer may lead backward into the payload, to a record whose footer it is.
#[test]
fn a_flipped_footer_that_leads_to_a_forged_record() {
    let disk = walden_sim::SimDisk::new();
    let log = open(&disk).unwrap();
    let mut forged = plain(2, &[b'F'; 64]);
    forged.truncate(20 + 64);
    let carrier = [&[0x11; 12][..], &forged].concat();
    assert_eq!(carrier.len(), 96);
    log.append(b"one").unwrap();
    log.append(&carrier).unwrap();
    log.append(b"three").unwrap();
    log.close().unwrap();
    drop(log);
    let place = places(&disk.read_file(wal(0)).unwrap())[1];
    let disk = crate::logs::flip(&disk, &wal(0), (place.end - 1) * 8 + 5);
    let log = open(&disk).unwrap();
    assert!(whole(&log)[1].1 == carrier);
}
