//! Flags that this version does not know, batches that lie, payloads that no codec wrote.

use std::sync::Arc;

use walden::offline::{self, Choice, Severity, Target};
use walden::{Entries, ErrorKind, LogReader, Wal};
use walden_sim::{SimClock, SimDisk};

use crate::logs::{
    DIR, Made, below, closed, damage_at, drain, go, goes_on, killed, open, reader, refused, wal,
    whole, with,
};
use crate::record::{self, places, with_size};

const PACKED: u64 = 1 << 59;

/// Each flag, and each codec, that has no meaning yet.
fn unknown() -> impl Iterator<Item = u64> {
    let bits = (48..56).chain(60..64).map(|bit| 1_u64 << bit);
    bits.chain((4..8).map(|codec| codec << 56)).chain([0xff << 48, u64::MAX << 48])
}

/// The log with another record in the place of the first unwritten byte of its last segment.
fn with_record(made: &Made, ordinal: u64, record: &[u8]) -> (SimDisk, usize) {
    let mut bytes = made.disk.read_file(wal(ordinal)).unwrap();
    let end = places(&bytes).last().unwrap().end;
    bytes.truncate(end);
    bytes.extend_from_slice(record);
    (with(&made.disk, &wal(ordinal), &bytes), end)
}

fn logs() -> [(Made, u64); 3] {
    [(closed(), 2), (killed().0, 3), (go(), 2)]
}

/// Sound, and of a newer version: refused as that, with nothing changed.
#[test]
fn unknown_and_sound() {
    for (made, last) in logs() {
        let next = made.entries.len() as u64 + 1;
        for flags in unknown() {
            for payload in [&b""[..], b"from the future"] {
                let record = with_size(next, flags | payload.len() as u64, payload);
                let (disk, end) = with_record(&made, last, &record);
                let error = refused(&disk, ErrorKind::Unsupported);
                assert_eq!(error.file(), Some(wal(last).as_path()), "{error}");
                assert_eq!(
                    (error.offset(), error.seq()),
                    (Some(end as u64), Some(next)),
                    "{error}"
                );
            }
        }
    }
}

/// Unsound, it is a record like any other that was torn.
#[test]
fn unknown_and_unsound() {
    for (made, last) in logs() {
        let next = made.entries.len() as u64 + 1;
        for flags in unknown() {
            let sound = with_size(next, flags | 6, b"future");
            let mut crc = sound.clone();
            crc[3] ^= 1;
            let mut footer = sound.clone();
            *footer.last_mut().unwrap() ^= 1;
            let mut long = sound.clone();
            long[8] = 1;
            let short = sound[..sound.len() - 1].to_vec();
            for record in [crc, footer, long, short] {
                let (disk, end) = with_record(&made, last, &record);
                let log = open(&disk).unwrap();
                let cut = log.recovery().cut.unwrap();
                assert_eq!((cut.path, cut.offset), (wal(last), end as u64));
                assert_eq!(disk.read_file(&cut.kept_in[0]).unwrap(), record);
                assert!(whole(&log) == made.entries);
                goes_on(log, &disk, &made.entries);
            }
        }
    }
}

/// In the middle of a sealed segment whoever reads there is told.
#[test]
fn unknown_in_a_sealed_segment() {
    let made = closed();
    let bytes = made.disk.read_file(wal(1)).unwrap();
    let place = places(&bytes)[2];
    for flags in unknown() {
        let len = place.end - place.at - record::OVERHEAD;
        let newer = with_size(place.seq, flags | len as u64, &bytes[place.at + 20..place.footer()]);
        let bytes = [&bytes[..place.at], &newer, &bytes[place.end..]].concat();
        let disk = with(&made.disk, &wal(1), &bytes);
        for entries in
            [open(&disk).unwrap().range(..).unwrap(), reader(&disk).unwrap().range(..).unwrap()]
        {
            let (found, error) = drain(entries);
            assert!(found == below(&made.entries, place.seq));
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert_eq!(error.file(), Some(wal(1).as_path()), "{error}");
            let at = (Some(place.at as u64), Some(place.seq));
            assert_eq!((error.offset(), error.seq()), at, "{error}");
            assert!(error.what_to_do().unwrap().contains("newer walden"), "{error}");
        }
    }
}

/// Bodies that no batch has, under a sound checksum.
fn lies() -> Vec<Vec<u8>> {
    let be = |values: &[u32]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    vec![
        Vec::new(),
        vec![0, 0, 0],
        be(&[0]),
        be(&[1]),
        be(&[1, 9]),
        be(&[2, 2, 1]),
        be(&[u32::MAX]),
        be(&[u32::MAX, 1, 2, 3]),
        be(&[1 << 30, 0, 0]),
        be(&[1, u32::MAX]),
        [be(&[2, 1, 1]), b"ab".to_vec()].concat(),
        [be(&[1, 0]), b"x".to_vec()].concat(),
    ]
}

/// A batch that lies under a sound checksum is damage and never a torn write.
#[test]
fn batches_that_lie() {
    for body in lies() {
        for (made, last) in [(closed(), 2), (killed().0, 3), (go(), 2)] {
            let next = made.entries.len() as u64 + 1;
            let record = with_size(next, PACKED | body.len() as u64, &body);
            let (disk, end) = with_record(&made, last, &record);
            let error = refused(&disk, ErrorKind::Corrupt);
            damage_at(Some(&error), &wal(last), end, next);
        }
    }
}

/// No Go log holds a batch: there was a manifest, and it is gone.
#[test]
fn a_batch_without_a_manifest() {
    let made = go();
    let next = made.entries.len() as u64 + 1;
    let batch = with_size(next, PACKED | 9, &[0, 0, 0, 1, 0, 0, 0, 1, b'x']);
    for codec in [0_u64, 1, 2, 3] {
        let mut record = batch.clone();
        if codec != 0 {
            record = with_size(next, codec << 56 | 4, b"abcd");
        }
        let (disk, _) = with_record(&made, 2, &record);
        let error = refused(&disk, ErrorKind::Corrupt);
        assert_eq!(error.file(), Some(crate::logs::manifest().as_path()), "{error}");
        assert!(error.what_to_do().unwrap().contains("walden repair"), "{error}");
        assert_eq!(reader(&disk).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// Records with a right checksum that no codec could have written: the log opens, since no codec is needed for
/// that; who reads such a record is told of damage, or which feature it takes to know.
#[test]
fn compressed_records() {
    let (made, _) = killed();
    let next = made.entries.len() as u64 + 1;
    for (codec, feature, is_there) in [
        (1_u64, "snappy", cfg!(feature = "snappy")),
        (2, "zstd", cfg!(feature = "zstd")),
        (3, "lz4", cfg!(feature = "lz4")),
    ] {
        let record = with_size(next, codec << 56 | 4, b"abcd");
        let (disk, end) = with_record(&made, 3, &record);
        let log = open(&disk).unwrap();
        assert!(log.recovery().cut.is_none(), "it is not torn");
        assert_eq!(log.next_seq(), next + 1);
        assert_eq!(log.append(b"goes on").unwrap(), next + 1);
        let (found, error) = drain(log.range(..).unwrap());
        assert!(found == made.entries);
        let error = error.unwrap();
        if is_there {
            damage_at(Some(&error), &wal(3), end, next);
            continue;
        }
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Unsupported, Some(next)), "{error}");
        assert!(error.what_to_do().unwrap().contains(feature), "{error}");
    }
}

/// In the middle of a sealed segment: who reads there is told, and goes on by an explicit seek; `verify` finds it;
/// what stands before and behind is saved. Without the codec nothing is said to be damaged.
#[test]
fn compressed_in_a_sealed_segment() {
    let made = closed();
    let bytes = made.disk.read_file(wal(1)).unwrap();
    let single = |place: &record::Place| place.next == place.seq + 1;
    let place = places(&bytes).into_iter().skip(1).find(single).unwrap();
    let len = place.end - place.at - record::OVERHEAD;
    let payload = &bytes[place.at + 20..place.footer()];
    for (codec, is_there) in
        [(1_u64, cfg!(feature = "snappy")), (2, cfg!(feature = "zstd")), (3, cfg!(feature = "lz4"))]
    {
        let lie = with_size(place.seq, codec << 56 | len as u64, payload);
        let bytes = [&bytes[..place.at], &lie, &bytes[place.end..]].concat();
        let disk = with(&made.disk, &wal(1), &bytes);
        for log in [Reading::Writer(open(&disk).unwrap()), Reading::Alone(reader(&disk).unwrap())] {
            let (found, error) = drain(log.starting_at(1));
            assert!(found == below(&made.entries, place.seq));
            let error = error.unwrap();
            if is_there {
                damage_at(Some(&error), &wal(1), place.at, place.seq);
            } else {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            }
            let (found, error) = drain(log.starting_at(place.next));
            assert!(error.is_none() && found == behind(&made, place.next), "{error:?}");
        }
        let clock = SimClock::new(5);
        let log = Target::new(DIR, "segment", Arc::new(disk.clone()), Arc::new(clock));
        let verified = offline::verify(&log, &mut |_| {}).unwrap();
        let findings: Vec<_> = verified.findings.iter().filter(|f| f.path == wal(1)).collect();
        let [finding] = findings[..] else { panic!("{verified:?}") };
        assert_eq!(finding.offset, Some(place.at as u64), "{finding:?}");
        assert_eq!(verified.next_seq, made.entries.len() as u64 + 1);
        if !is_there {
            assert_eq!(finding.severity, Severity::Note, "{finding:?}");
            continue;
        }
        assert_eq!(finding.severity, Severity::Damage, "{finding:?}");
        assert_eq!(finding.lost, Some((place.seq, place.seq)), "{finding:?}");
        let saved = offline::salvage(&log, "/saved", &mut |_| {}).unwrap();
        let ends: Vec<_> = saved.runs.iter().map(|run| (run.first_seq, run.next_seq)).collect();
        assert_eq!(ends, [(1, place.seq), (place.next, verified.next_seq)]);
        assert_eq!((saved.gaps[0].first, saved.gaps[0].last), (place.seq, Some(place.seq)));
        let lost = Choice::AcceptLoss(place.seq..=place.seq);
        offline::repair_apply(&log, lost, &mut |_| {}).unwrap();
        let error = open(&disk).unwrap().get(place.seq).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    }
}

enum Reading {
    Writer(Wal),
    Alone(LogReader),
}

impl Reading {
    fn starting_at(&self, seq: u64) -> Entries {
        match self {
            Self::Writer(log) => log.range(seq..).unwrap(),
            Self::Alone(log) => log.range(seq..).unwrap(),
        }
    }
}

fn behind(made: &Made, seq: u64) -> &[(u64, Vec<u8>)] {
    &made.entries[below(&made.entries, seq).len()..]
}
