//! Every length that a segment can have been cut to, or have grown to.

use walden::{ErrorKind, Origin};

use crate::logs::{
    below, closed, damage_at, drain, go, goes_on, holds, open, path, reader, refused, wal, whole,
    with,
};
use crate::record::places;

/// The mark says that all of it was durable.
#[test]
fn the_last_segment_of_a_closed_log() {
    let made = closed();
    let bytes = made.disk.read_file(wal(2)).unwrap();
    let places = places(&bytes);
    for len in 0..bytes.len() {
        let disk = with(&made.disk, &wal(2), &bytes[..len]);
        let stay = places.iter().rfind(|place| place.end <= len);
        let (end, next) = stay.map_or((0, places[0].seq), |place| (place.end, place.next));
        let error = refused(&disk, ErrorKind::Corrupt);
        damage_at(Some(&error), &wal(2), end, next);
        let last = made.entries.len() as u64;
        assert_eq!(error.last_seq().unwrap_or(next), last, "{len} bytes: {error}");
        // A reader gives what is there, then says where something is missing.
        let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
        assert!(found == below(&made.entries, next), "{len} bytes: {:?}", found.last());
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes: {error}");
        assert_eq!((error.file(), error.seq()), (Some(wal(2).as_path()), Some(next)), "{error}");
    }
}

/// As if the disk had forgotten the end of it.
#[test]
fn zeros_instead_of_the_end_of_a_closed_log() {
    let made = closed();
    let bytes = made.disk.read_file(wal(2)).unwrap();
    for len in 0..bytes.len() {
        let mut zeroed = bytes.clone();
        zeroed[len..].fill(0);
        if zeroed == bytes {
            continue;
        }
        let disk = with(&made.disk, &wal(2), &zeroed);
        let error = refused(&disk, ErrorKind::Corrupt);
        assert_eq!(error.file(), Some(wal(2).as_path()), "{len}: {error}");
        assert!(error.offset().is_some() && error.seq().is_some(), "{len}: {error}");
    }
}

/// Zeros behind it are free space; anything else is a torn tail behind the mark.
#[test]
fn the_last_segment_of_a_closed_log_grown() {
    let made = closed();
    let bytes = made.disk.read_file(wal(2)).unwrap();
    for more in [1, 7, 19, 20, 27, 28, 29, 512, 4096] {
        let zeros = [bytes.clone(), vec![0; more]].concat();
        holds(&with(&made.disk, &wal(2), &zeros), &made.entries);
        let ones = [bytes.clone(), vec![0xff; more]].concat();
        let disk = with(&made.disk, &wal(2), &ones);
        let log = open(&disk).unwrap();
        let cut = log.recovery().cut.unwrap();
        assert_eq!((cut.path, cut.offset), (wal(2), bytes.len() as u64));
        assert_eq!(disk.read_file(&cut.kept_in[0]).unwrap(), vec![0xff; more]);
        assert_eq!(whole(&log), made.entries);
        goes_on(log, &disk, &made.entries);
    }
}

/// Without a manifest nothing says how far it was durable: the whole records stay, the rest is kept aside.
#[test]
fn the_last_segment_of_a_go_log() {
    let made = go();
    let bytes = made.disk.read_file(wal(2)).unwrap();
    let places = places(&bytes);
    for len in 0..=bytes.len() {
        let disk = with(&made.disk, &wal(2), &bytes[..len]);
        let stay = places.iter().rfind(|place| place.end <= len);
        let (end, next) = stay.map_or((0, places[0].seq), |place| (place.end, place.next));
        let expected = below(&made.entries, next);
        let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
        assert!(error.is_none() && found == expected, "{len} bytes: {error:?}");

        let log = open(&disk).unwrap();
        assert_eq!(log.recovery().origin, Origin::Adopted);
        match log.recovery().cut {
            None => assert_eq!(end, len, "nothing was torn"),
            Some(cut) => {
                assert!(end < len && cut.done, "{len} bytes: {cut:?}");
                assert_eq!((cut.path, cut.offset), (wal(2), end as u64));
                assert_eq!(*cut.possibly_acknowledged.start(), next);
                assert_eq!(cut.kept_in.len(), 1);
                assert_eq!(disk.read_file(&cut.kept_in[0]).unwrap(), bytes[end..len]);
            }
        }
        assert!(whole(&log) == expected, "{len} bytes");
        goes_on(log, &disk, expected);
    }
}

/// A sealed segment that lost its end is found by whoever reads there.
#[test]
fn sealed_segments() {
    let made = closed();
    for ordinal in 0..2 {
        let bytes = made.disk.read_file(wal(ordinal)).unwrap();
        let places = places(&bytes);
        for len in 0..bytes.len() {
            let disk = with(&made.disk, &wal(ordinal), &bytes[..len]);
            let log = open(&disk).unwrap();
            let stay = places.iter().rfind(|place| place.end <= len);
            let next = stay.map_or(places[0].seq, |place| place.next);
            for entries in [log.range(..).unwrap(), reader(&disk).unwrap().range(..).unwrap()] {
                let (found, error) = drain(entries);
                assert!(found == below(&made.entries, next), "{len} of segment {ordinal}");
                let error = error.unwrap();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert_eq!(error.seq(), Some(next), "{len} of segment {ordinal}: {error}");
                assert!(error.file().is_some() && error.what_to_do().is_some(), "{error}");
            }
            // What lies in other segments is found all the same.
            let last = made.entries.last().unwrap();
            assert_eq!(log.get(last.0).unwrap().unwrap().payload, last.1);
        }
    }
}

/// Bytes behind a sealed segment's last record are no record of ours: its entries come, then the damage.
#[test]
fn sealed_segments_grown() {
    let made = closed();
    for ordinal in 0..2 {
        let bytes = made.disk.read_file(wal(ordinal)).unwrap();
        let next = places(&bytes).last().unwrap().next;
        for more in [vec![0; 1], vec![0; 512], vec![0xff; 1], vec![0xff; 100], bytes.clone()] {
            let disk = with(&made.disk, &wal(ordinal), &[bytes.clone(), more].concat());
            let log = open(&disk).unwrap();
            for entries in [log.range(..).unwrap(), reader(&disk).unwrap().range(..).unwrap()] {
                let (found, error) = drain(entries);
                assert!(found == below(&made.entries, next), "segment {ordinal}");
                damage_at(error.as_ref(), &wal(ordinal), bytes.len(), next);
            }
        }
    }
}

/// The lock file is written in place and not synced: a power cut can leave the new text with the old length (seen
/// on XFS where the process's number had gained a digit), or the old text with the new one. Nothing but a whole id
/// is another log's.
#[test]
fn the_lock_file() {
    let made = closed();
    let lock = path("segment.lock");
    let bytes = made.disk.read_file(&lock).unwrap();
    for len in 0..bytes.len() {
        holds(&with(&made.disk, &lock, &bytes[..len]), &made.entries);
    }
    for more in [&b"\0"[..], b"\0\0", b"f\n", b"0f\n"] {
        holds(&with(&made.disk, &lock, &[&bytes, more].concat()), &made.entries);
    }
}
