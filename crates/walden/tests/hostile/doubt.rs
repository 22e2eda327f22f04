//! The doubt zone of a log that was killed: whatever stands there, what is left is a run without gaps,
//! what is cut is kept and reported, and nothing of it comes back.

use walden::Recovery;
use walden_sim::SimDisk;

use crate::logs::{below, flip, goes_on, killed, open, wal, whole, with};
use crate::record::{Place, places};

/// The open segments and where the doubt begins: a seq id that stands in the first of them.
struct Zone {
    files: Vec<(u64, Vec<u8>, Vec<Place>)>,
}

impl Zone {
    fn of(disk: &SimDisk, doubt: u64) -> Self {
        let ordinals = (0..4).filter(|ordinal| disk.read_file(wal(*ordinal)).is_ok());
        let files = ordinals
            .map(|ordinal| {
                let bytes = disk.read_file(wal(ordinal)).unwrap();
                let places = places(&bytes);
                (ordinal, bytes, places)
            })
            .filter(|(_, _, places)| places.iter().any(|place| place.seq >= doubt))
            .collect();
        Self { files }
    }
}

/// Every kept copy holds what was cut of its file; returns how many.
fn kept(disk: &SimDisk, before: &Zone, report: &Recovery, ordinal: u64, end: usize) {
    let cut = report.cut.as_ref().unwrap();
    assert!(cut.done);
    assert_eq!((cut.path.as_path(), cut.offset), (wal(ordinal).as_path(), end as u64));
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for (at, bytes, _) in &before.files {
        let tail = match at.cmp(&ordinal) {
            std::cmp::Ordering::Less => continue,
            std::cmp::Ordering::Equal => &bytes[end..],
            std::cmp::Ordering::Greater => bytes,
        };
        if tail.iter().any(|byte| *byte != 0) {
            expected.push(tail.to_vec());
        }
    }
    let found: Vec<_> = cut.kept_in.iter().map(|path| disk.read_file(path).unwrap()).collect();
    assert!(found == expected, "{} copies, expected {}", found.len(), expected.len());
}

#[test]
fn every_bit() {
    let (made, doubt) = killed();
    let zone = Zone::of(&made.disk, doubt);
    assert_eq!(zone.files.len(), 3, "open segments with doubtful records");
    let mut flips = 0;
    for (ordinal, _, places) in &zone.files {
        for place in places.iter().filter(|place| place.seq >= doubt) {
            for bit in place.at * 8..place.end * 8 {
                let disk = flip(&made.disk, &wal(*ordinal), bit);
                let flipped = Zone { files: reread(&disk, &zone) };
                let log = open(&disk).unwrap();
                let report = log.recovery();
                kept(&disk, &flipped, &report, *ordinal, place.at);
                let maybe = report.cut.as_ref().unwrap().possibly_acknowledged.clone();
                assert_eq!(*maybe.start(), place.seq);
                assert!(*maybe.end() >= made.entries.len() as u64, "{maybe:?}");
                let expected = below(&made.entries, place.seq);
                assert!(whole(&log) == expected, "bit {bit} of segment {ordinal}");
                goes_on(log, &disk, expected);
                flips += 1;
            }
        }
    }
    assert!(flips > 5000, "{flips}");
}

fn reread(disk: &SimDisk, zone: &Zone) -> Vec<(u64, Vec<u8>, Vec<Place>)> {
    let read = |ordinal: &u64| disk.read_file(wal(*ordinal)).unwrap();
    zone.files.iter().map(|(o, _, places)| (*o, read(o), places.clone())).collect()
}

/// A bit in the unwritten space behind the last record: nothing is lost, the bytes are kept.
#[test]
fn every_bit_of_unwritten_space() {
    let (made, doubt) = killed();
    let zone = Zone::of(&made.disk, doubt);
    let (ordinal, bytes, places) = zone.files.last().unwrap();
    let end = places.last().unwrap().end;
    assert!(bytes.len() > end, "space was allocated ahead");
    for bit in end * 8..bytes.len() * 8 {
        let disk = flip(&made.disk, &wal(*ordinal), bit);
        let flipped = Zone { files: reread(&disk, &zone) };
        let log = open(&disk).unwrap();
        kept(&disk, &flipped, &log.recovery(), *ordinal, end);
        assert!(whole(&log) == made.entries, "bit {bit}");
        goes_on(log, &disk, &made.entries);
    }
}

/// Every length of the last segment.
#[test]
fn every_length() {
    let (made, doubt) = killed();
    let zone = Zone::of(&made.disk, doubt);
    let (ordinal, bytes, places) = zone.files.last().unwrap();
    for len in 0..bytes.len() {
        let disk = with(&made.disk, &wal(*ordinal), &bytes[..len]);
        let stay = places.iter().rfind(|place| place.end <= len);
        let (end, next) = stay.map_or((0, places[0].seq), |place| (place.end, place.next));
        let log = open(&disk).unwrap();
        let torn = bytes[end..len].iter().any(|byte| *byte != 0);
        assert_eq!(log.recovery().cut.is_some(), torn, "{len} bytes");
        let expected = below(&made.entries, next);
        assert!(whole(&log) == expected, "{len} bytes");
        goes_on(log, &disk, expected);
    }
}

/// A whole record of the doubt zone is gone, or stands twice, or two of them have changed places: the log
/// ends where the sequence breaks.
#[test]
fn records_missing_doubled_and_swapped() {
    let (made, doubt) = killed();
    let zone = Zone::of(&made.disk, doubt);
    for (ordinal, bytes, places) in &zone.files {
        for pair in places.windows(2).filter(|pair| pair[0].seq >= doubt) {
            let (a, b) = (pair[0], pair[1]);
            let piece = |from: usize, to: usize| bytes[from..to].to_vec();
            let swapped =
                [piece(0, a.at), piece(b.at, b.end), piece(a.at, a.end), piece(b.end, bytes.len())];
            let gone = [piece(0, a.at), piece(a.end, bytes.len())];
            let doubled = [piece(0, a.end), piece(a.at, a.end), piece(a.end, bytes.len())];
            for (bytes, next) in
                [(swapped.concat(), a.seq), (gone.concat(), a.seq), (doubled.concat(), a.next)]
            {
                let disk = with(&made.disk, &wal(*ordinal), &bytes);
                let log = open(&disk).unwrap();
                assert!(log.recovery().cut.is_some());
                let expected = below(&made.entries, next);
                assert!(whole(&log) == expected, "segment {ordinal}, {next}");
                goes_on(log, &disk, expected);
            }
        }
    }
}
