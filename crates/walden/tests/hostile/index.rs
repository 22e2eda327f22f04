//! The index files are a cache: whatever is in them, every entry is found, and it is the right one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::over;
use walden::{Config, Wal};
use walden_sim::{SimClock, SimDisk};

use crate::logs::{DIR, Entries, config, flip, index, open, payload, reader, wal, with};
use crate::record;

/// Segments with enough entries for several in the index.
fn indexed() -> (SimDisk, Entries) {
    let disk = SimDisk::with_clock(SimClock::new(4));
    let log = crate::logs::open_as(&disk, config().segment_size(3000)).unwrap();
    let mut entries = Entries::new();
    for i in 0..200 {
        let payload = payload(i)[..8].to_vec();
        entries.push((log.append(&payload).unwrap(), payload));
        log.tick().unwrap();
    }
    log.close().unwrap();
    drop(log);
    disk.settle();
    assert_eq!(indexes(&disk).len(), 3, "one for each segment");
    (disk, entries)
}

fn indexes(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "idx")).collect()
}

/// By seq id from a writer and from a reader, and from there in both directions.
fn all_found(disk: &SimDisk, entries: &Entries) {
    let log = open(disk).unwrap();
    let other = reader(disk).unwrap();
    for (seq, payload) in entries.iter().step_by(7).chain(entries.last()) {
        assert_eq!(log.get(*seq).unwrap().unwrap().payload, *payload, "seq id {seq}");
        assert_eq!(other.get(*seq).unwrap().unwrap().payload, *payload, "seq id {seq}");
        let mut at = log.reader_at(*seq).unwrap();
        assert_eq!(at.read_next().unwrap().unwrap().payload, *payload);
        assert_eq!(at.read_prev().unwrap().unwrap().payload, *payload);
    }
    assert!(crate::logs::whole(&log) == *entries);
    assert_eq!(log.append(b"more").unwrap(), entries.len() as u64 + 1);
    log.close().unwrap();
}

#[test]
fn every_bit() {
    let (disk, entries) = indexed();
    for path in indexes(&disk) {
        for bit in 0..disk.read_file(&path).unwrap().len() * 8 {
            all_found(&flip(&disk, &path, bit), &entries);
        }
    }
}

#[test]
fn every_length_and_more() {
    let (disk, entries) = indexed();
    for path in indexes(&disk) {
        let bytes = disk.read_file(&path).unwrap();
        for len in 0..bytes.len() {
            all_found(&with(&disk, &path, &bytes[..len]), &entries);
        }
        all_found(&with(&disk, &path, &[bytes.clone(), bytes.clone()].concat()), &entries);
        for fill in [0, 0xff, 0x33] {
            all_found(&with(&disk, &path, &vec![fill; bytes.len()]), &entries);
        }
    }
}

#[test]
fn swapped_stale_and_foreign() {
    let (disk, entries) = indexed();
    let paths = indexes(&disk);
    for from in &paths {
        for to in &paths {
            all_found(&with(&disk, to, &disk.read_file(from).unwrap()), &entries);
        }
    }
    let (other, _) = indexed();
    let log = open(&other).unwrap();
    log.truncate_back(20).unwrap();
    log.close().unwrap();
    for path in indexes(&other) {
        all_found(&with(&disk, &path, &other.read_file(&path).unwrap()), &entries);
    }
    // Of a segment that there is not.
    let some = disk.read_file(&paths[0]).unwrap();
    all_found(&with(&disk, &index(7), &some), &entries);
}

/// Missing ones are made again, without being asked for.
#[test]
fn missing() {
    let (disk, entries) = indexed();
    let paths = indexes(&disk);
    for path in &paths {
        disk.remove_file(path).unwrap();
    }
    all_found(&disk.fork(), &entries);
    let clock = SimClock::new(5);
    let storage = Arc::new(disk.clone());
    let log = Wal::open_with(DIR, config(), storage, Arc::new(clock.clone())).unwrap();
    for _ in 0..8 {
        log.append(b"something to do").unwrap();
        clock.advance(Duration::from_secs(2));
        log.tick().unwrap();
    }
    drop(log);
    for path in &paths {
        assert!(disk.read_file(path).is_ok(), "{} was not made again", path.display());
    }
}

/// A bit of an entry of the index may lead into a payload, and there may stand what looks like the record
/// that is looked for. (Someone may keep one log's records in another, or mean ill.)
#[test]
fn a_flipped_bit_that_leads_to_a_forged_record() {
    let disk = SimDisk::with_clock(SimClock::new(6));
    let config = over(Config::durable()).maintenance(walden::Maintenance::Manual);
    let log = crate::logs::open_as(&disk, config).unwrap();
    let mut at = 0;
    for seq in 1..32_u64 {
        log.append(payload(seq)).unwrap();
        at += record::OVERHEAD + payload(seq).len();
    }
    // The record with seq id 33 begins behind this one: where the index says, and 4096 before, if the bit
    // is set there.
    let mut len = 5000;
    while (at + record::OVERHEAD + len) & 4096 == 0 {
        len += 1;
    }
    let real = at + record::OVERHEAD + len;
    let forged = record::plain(33, b"forged");
    let mut carrier = vec![0x77; len];
    let inside = real - 4096 - at - 20;
    carrier[inside..inside + forged.len()].copy_from_slice(&forged);
    log.append(&carrier).unwrap();
    log.append(b"real").unwrap();
    log.close().unwrap();
    drop(log);

    let entry = 96 + 16;
    let bytes = disk.read_file(index(0)).unwrap();
    assert_eq!(bytes[entry..entry + 8], (real as u64).to_le_bytes(), "the second entry");
    let disk = flip(&disk, &index(0), entry * 8 + 12);
    let segment = disk.read_file(wal(0)).unwrap();
    assert_eq!(segment[real - 4096..][..forged.len()], forged);
    assert_eq!(reader(&disk).unwrap().get(33).unwrap().unwrap().payload, &b"real"[..]);
    assert_eq!(open(&disk).unwrap().get(33).unwrap().unwrap().payload, &b"real"[..]);
}
