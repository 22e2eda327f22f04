//! Section 8: "`.idx`, one a segment: a pure cache … any disagreement means discard and rebuild".

use std::time::Duration;

use walden::{SyncStrategy, Wal};
use walden_sim::Rng;

use crate::support::{Lab, entries, payloads, read_only};

/// Does something to an index file that a crash, a bit rot or a restored copy might.
fn spoil(lab: &Lab, name: &str, all: &[String], rng: &mut Rng) {
    let mut bytes = lab.read(name);
    match rng.below(8) {
        0 => lab.remove(name),
        1 => lab.write(name, &[]),
        2 => lab.write(name, &bytes[..rng.index(bytes.len() + 1)]),
        3 => {
            let at = rng.index(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
            lab.write(name, &bytes);
        }
        4 => {
            let at = rng.index(bytes.len() + 1);
            rng.fill(&mut bytes[at..]);
            lab.write(name, &bytes);
        }
        5 => {
            let other = &all[rng.index(all.len())];
            if lab.has(other) {
                lab.write(name, &lab.read(other));
            }
        }
        6 => forge(lab, name, bytes, rng),
        _ => {}
    }
}

/// A sound header over entries that lead anywhere: what it points to must be checked before use.
fn forge(lab: &Lab, name: &str, mut bytes: Vec<u8>, rng: &mut Rng) {
    if bytes.len() < 97 {
        return;
    }
    for entry in bytes[96..].chunks_mut(16) {
        let offset = rng.below(6000);
        entry[..8].copy_from_slice(&offset.to_le_bytes());
    }
    let body = crc32c::crc32c(&bytes[96..]);
    bytes[80..84].copy_from_slice(&body.to_le_bytes());
    let head = crc32c::crc32c(&bytes[..92]);
    bytes[92..96].copy_from_slice(&head.to_le_bytes());
    lab.write(name, &bytes);
}

fn history(seed: u64) {
    let mut rng = Rng::new(seed);
    let lab = Lab::new(SyncStrategy::OsCache, 80 * (20 + rng.below(80)));
    let mut next = 1;
    let mut first = 1;
    for _ in 0..6 {
        let wal = lab.open();
        assert_eq!(entries(&wal), (first, payloads(first..=next - 1)), "opened");
        let last = next + rng.below(90);
        Lab::append(&wal, next..=last);
        next = last + 1;
        if rng.chance(0.3) {
            next = first + rng.below(next - first);
            wal.truncate_back(next - 1).unwrap();
        }
        if rng.chance(0.3) {
            first += rng.below(next - first + 1);
            wal.truncate_front(first).unwrap();
        }
        lab.clock.advance(Duration::from_secs(3));
        wal.tick().unwrap();
        for _ in 0..20 {
            let seq = first + rng.below(next - first + 1);
            let found = wal.get(seq).unwrap().map(|entry| entry.payload.to_vec());
            let there = (seq < next).then(|| crate::support::payload(seq));
            assert_eq!(found, there, "seq id {seq}");
        }
        if rng.chance(0.7) {
            wal.close().unwrap();
        } else {
            wal.flush().unwrap();
            std::mem::forget(wal);
            lab.disk.note("killed");
        }
        let all = lab.names(".idx");
        let killed = lab.disk.kill();
        let spoiled = lab.with(killed);
        for name in &all {
            spoil(&spoiled, name, &all, &mut rng);
        }
        check(&spoiled, first, next, &mut rng);
        return_to(&lab, &spoiled);
    }
}

/// The spoiled disk becomes the log's own: its files are written over.
fn return_to(lab: &Lab, from: &Lab) {
    for path in lab.disk.files() {
        drop(lab.disk.remove_file(path));
    }
    for path in from.disk.files() {
        lab.disk.write_file(&path, &from.disk.read_file(&path).unwrap()).unwrap();
    }
}

fn check(lab: &Lab, first: u64, next: u64, rng: &mut Rng) {
    let all = (first, payloads(first..=next - 1));
    let log = lab.reader();
    let mut random = |get: &dyn Fn(u64) -> Option<Vec<u8>>| {
        for _ in 0..40 {
            let seq = first + rng.below(next - first + 1);
            let there = (seq < next).then(|| crate::support::payload(seq));
            assert_eq!(get(seq), there, "seq id {seq}");
        }
    };
    random(&|seq| log.get(seq).unwrap().map(|entry| entry.payload.to_vec()));
    assert_eq!(read_only(&log), all);
    let wal = lab.open();
    random(&|seq| wal.get(seq).unwrap().map(|entry| entry.payload.to_vec()));
    let mut reader = wal.reader();
    random(&|seq| {
        let mut reader = wal.reader_at(seq).unwrap();
        reader.read_next().unwrap().map(|entry| entry.payload.to_vec())
    });
    reader.seek_time(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(reader.position(), first);
    assert_eq!(entries(&wal), all);
    std::mem::forget(wal);
    // The lock of the one that was forgotten ends with its process.
    return_to(lab, &lab.kill());
}

/// No read result depends on an index; `WALDEN_SEED=n` runs one history alone.
#[test]
fn an_index_lost_or_garbled_never_changes_what_is_read() {
    let alone = std::env::var("WALDEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = alone.map_or(0..120, |seed: u64| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| history(seed)) {
            eprintln!("seed {seed} failed; run it alone with WALDEN_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Appends to more segments than files are kept open for, records of many sizes, so that places must be looked up.
fn fill(wal: &Wal) {
    while wal.stats().segments < 101 {
        let len = usize::try_from(wal.next_seq() % 61).unwrap();
        wal.append(vec![b'x'; len]).unwrap();
        wal.tick().unwrap();
    }
}

/// More segments than files are kept open for: an index is read as a whole once, and not each time that its file is opened
/// again.
#[test]
fn an_index_is_proved_once_however_many_segments_there_are() {
    let lab = Lab::new(SyncStrategy::OsCache, 20_000);
    let wal = lab.open();
    fill(&wal);
    let indexes = lab.names(".idx");
    let entries: usize = indexes.iter().map(|name| lab.read(name).len() - 96).sum();
    assert!(indexes.len() >= 100 && entries > 16 * 1000, "{} of {entries} bytes", indexes.len());
    let look_up_everywhere = || {
        let before = lab.disk.bytes_read();
        for seq in (1..wal.next_seq()).step_by(300) {
            assert_eq!(wal.get(seq).unwrap().unwrap().payload.len() as u64, seq % 61);
        }
        lab.disk.bytes_read() - before
    };
    let (once, twice) = (look_up_everywhere(), look_up_everywhere());
    assert!(twice + entries as u64 * 9 / 10 < once, "{once}, then {twice} bytes of {entries}");
    // Segments that go make nothing forgotten of the others.
    wal.truncate_back(wal.next_seq() / 100 * 97).unwrap();
    let segments = wal.stats().segments;
    assert!((90..100).contains(&segments), "{segments}");
    let (cut, again) = (look_up_everywhere(), look_up_everywhere());
    assert!(cut < again + entries as u64 / 10, "{cut}, then {again} bytes of {entries}");
}

/// Section 8: what an index leads to is checked; but a payload may embed records. One that was proved, and decayed while its
/// file was not open, leads nowhere.
#[test]
fn an_index_that_decays_once_it_was_proved_is_not_followed() {
    let other = Lab::new(SyncStrategy::OsCache, 20_000);
    let wal = other.open();
    for seq in 1..=40_u8 {
        wal.append([seq; 8]).unwrap();
    }
    wal.close().unwrap();
    let foreign = other.read("segment-0000.wal");

    let lab = Lab::new(SyncStrategy::OsCache, 20_000);
    let wal = lab.open();
    wal.append("first").unwrap();
    wal.append(&foreign).unwrap();
    fill(&wal);
    let look_up_everywhere = || {
        for seq in (34..wal.next_seq()).step_by(300) {
            assert_eq!(wal.get(seq).unwrap().unwrap().payload.len() as u64, seq % 61);
        }
    };
    look_up_everywhere();
    // The index's second entry leads to seq id 33: now to the one embedded in the payload of the second record.
    let mut index = lab.read("segment-0000.idx");
    let offset = 33 + 20 + 32 * 36_u64;
    index[96 + 16..96 + 24].copy_from_slice(&offset.to_le_bytes());
    lab.write("segment-0000.idx", &index);
    look_up_everywhere();
    wal.truncate_back(35).unwrap();
    assert_eq!(wal.get(35).unwrap().unwrap().payload.len(), 35);
    wal.close().unwrap();
    let (first, found) = entries(&lab.open());
    assert_eq!((first, found.len(), found[34].len()), (1, 35, 35));
}
