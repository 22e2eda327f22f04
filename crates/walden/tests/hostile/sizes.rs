//! Sizes beyond all memory, in headers and footers and in the manifest's own fields, under a limit of
//! memory that an allocation by any of them would break.

use std::path::Path;

use walden::ErrorKind;
use walden_sim::{Rng, SimDisk};

use crate::child;
use crate::logs::{
    Made, below, closed, config, damage_at, drain, go, goes_on, holds, killed, manifest, open,
    open_as, reader, refused, wal, whole, with,
};
use crate::record::{Place, places, with_size};

/// 400 MB of addresses, the program itself included.
const LIMIT: &str = "ulimit -v 400000";

fn limited(name: &str) {
    if cfg!(not(target_os = "linux")) {
        return child::skipped("`ulimit -v` limits a process's addresses on Linux");
    }
    child::passed(&child::command(name, LIMIT, Path::new("-")).output().unwrap());
}

/// Sizes that no file here has.
fn sizes() -> impl Iterator<Item = u64> {
    let powers = [31, 32, 40, 47, 62, 63].map(|bit| 1_u64 << bit);
    let lengths = [(1 << 31) - 1, (1 << 48) - 1, (1 << 48) - 28, (1 << 48) - 29, u64::MAX - 27];
    let flagged = (48..64).map(|bit| 1_u64 << bit | 1 << 40);
    powers.into_iter().chain(lengths).chain([u64::MAX]).chain(flagged)
}

/// `bytes` with a size in the header of a record; with the checksum made to fit it, too, or not.
fn in_header(bytes: &[u8], place: Place, size: u64, sum: bool) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out[place.at + 4..place.at + 12].copy_from_slice(&size.to_be_bytes());
    if sum {
        let crc = crc32c::crc32c(&out[place.at + 4..place.footer()]);
        out[place.at..place.at + 4].copy_from_slice(&crc.to_be_bytes());
    }
    out
}

fn in_footer(bytes: &[u8], place: Place, size: u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out[place.footer()..place.end].copy_from_slice(&size.to_be_bytes());
    out
}

/// Both, and the checksum.
fn in_both(bytes: &[u8], place: Place, size: u64) -> Vec<u8> {
    in_footer(&in_header(bytes, place, size, true), place, size)
}

fn damaged(bytes: &[u8], place: Place, size: u64) -> [Vec<u8>; 3] {
    [
        in_header(bytes, place, size, false),
        in_header(bytes, place, size, true),
        in_both(bytes, place, size),
    ]
}

fn kept_before(log: walden::Wal, disk: &SimDisk, made: &Made, place: Place) {
    assert!(log.recovery().cut.is_some());
    let expected = below(&made.entries, place.seq);
    assert!(whole(&log) == expected);
    goes_on(log, disk, expected);
}

/// In the doubt zone the log ends there; in a Go log too, if nothing sound follows.
#[test]
fn in_doubt() {
    if child::argument().is_none() {
        return limited("sizes::in_doubt");
    }
    let (made, doubt) = killed();
    let bytes = made.disk.read_file(wal(3)).unwrap();
    for place in places(&bytes).into_iter().filter(|place| place.seq >= doubt) {
        for size in sizes() {
            for bytes in damaged(&bytes, place, size) {
                let disk = with(&made.disk, &wal(3), &bytes);
                kept_before(open(&disk).unwrap(), &disk, &made, place);
            }
            let disk = with(&made.disk, &wal(3), &in_footer(&bytes, place, size));
            kept_before(open(&disk).unwrap(), &disk, &made, place);
        }
    }
}

#[test]
fn in_a_go_log() {
    if child::argument().is_none() {
        return limited("sizes::in_a_go_log");
    }
    let made = go();
    let bytes = made.disk.read_file(wal(2)).unwrap();
    let places = places(&bytes);
    let last = places[places.len() - 1];
    for place in &places {
        for size in sizes() {
            let footer = in_footer(&bytes, *place, size);
            for bytes in damaged(&bytes, *place, size).into_iter().chain([footer]) {
                let disk = with(&made.disk, &wal(2), &bytes);
                if *place == last {
                    kept_before(open(&disk).unwrap(), &disk, &made, *place);
                } else {
                    let error = refused(&disk, ErrorKind::Corrupt);
                    damage_at(Some(&error), &wal(2), place.at, place.seq);
                }
            }
        }
    }
}

#[test]
fn in_a_closed_log() {
    if child::argument().is_none() {
        return limited("sizes::in_a_closed_log");
    }
    let made = closed();
    for ordinal in 0..3 {
        let bytes = made.disk.read_file(wal(ordinal)).unwrap();
        let places = places(&bytes);
        let (first, last) = (places[0], places[places.len() - 1]);
        for place in &places {
            for size in sizes() {
                for bytes in damaged(&bytes, *place, size) {
                    let disk = with(&made.disk, &wal(ordinal), &bytes);
                    if ordinal == 2 && (*place == first || *place == last) {
                        let error = refused(&disk, ErrorKind::Corrupt);
                        assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");
                    } else {
                        let (found, error) = drain(open(&disk).unwrap().range(..).unwrap());
                        assert!(found == below(&made.entries, place.seq));
                        damage_at(error.as_ref(), &wal(ordinal), place.at, place.seq);
                    }
                    let (found, error) = drain(reader(&disk).unwrap().range(..).unwrap());
                    assert!(found == below(&made.entries, place.seq));
                    damage_at(error.as_ref(), &wal(ordinal), place.at, place.seq);
                }
                let disk = with(&made.disk, &wal(ordinal), &in_footer(&bytes, *place, size));
                if ordinal == 2 && *place == last {
                    refused(&disk, ErrorKind::Corrupt);
                } else {
                    holds(&disk, &made.entries);
                }
            }
        }
    }
}

/// Records with the last seq ids that there are: no next one, and no sum that overflows.
#[test]
fn the_last_seq_ids_of_all() {
    for first in [u64::MAX - 2, u64::MAX - 1, u64::MAX] {
        let disk = SimDisk::new();
        let bytes: Vec<u8> = (first..=u64::MAX).flat_map(|seq| with_size(seq, 3, b"end")).collect();
        disk.write_file(wal(0), &bytes).unwrap();
        if let Ok(log) = reader(&disk) {
            drop(drain(log.range(..).unwrap()));
            drop(drain(log.range(..).unwrap().rev()));
        }
        if let Ok(log) = open(&disk) {
            drop(drain(log.range(..).unwrap()));
            // The very last seq id is never given: there would be none behind it. A record with it is none.
            let (next, ended) = (log.next_seq(), first < u64::MAX);
            assert_eq!(next, if ended { u64::MAX } else { 1 });
            if !ended {
                continue;
            }
            assert_eq!(log.append(b"too many").unwrap_err().kind(), ErrorKind::OutOfRange);
            assert!(log.append_batch([b"a", b"b"]).is_err());
            drop(log.truncate_back(first));
            drop(log.close());
        }
    }
}

/// A compressed batch says in clear how many entries it holds, and nothing proves it before it is
/// decompressed: no work and no memory may follow from it.
#[test]
fn counts_that_nobody_has_proved() {
    if child::argument().is_none() {
        return limited("sizes::counts_that_nobody_has_proved");
    }
    let (made, _) = killed();
    let mut bytes = made.disk.read_file(wal(3)).unwrap();
    bytes.truncate(places(&bytes).last().unwrap().end);
    let mut next = made.entries.len() as u64 + 1;
    for count in [u32::MAX, 1 << 31, u32::MAX] {
        let body = [&count.to_be_bytes()[..], b"zzzz"].concat();
        bytes.extend(with_size(next, 1 << 59 | 1 << 56 | body.len() as u64, &body));
        next += u64::from(count);
    }
    let disk = with(&made.disk, &wal(3), &bytes);
    let log = open(&disk).unwrap();
    assert_eq!(log.next_seq(), next);
    assert_eq!(log.append(b"goes on").unwrap(), next);
    assert_eq!(log.get(next).unwrap().unwrap().payload, &b"goes on"[..]);
    let some = made.entries[3].clone();
    assert_eq!(log.get(some.0).unwrap().unwrap().payload, some.1);
    log.close().unwrap();
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!(log.get(next).unwrap().unwrap().payload, &b"goes on"[..]);
    assert_eq!(reader(&disk).unwrap().next_seq(), next + 1);
}

/// A compressed record says how long it is otherwise, and few bytes can stand for many: no memory may follow from
/// what is merely said.
#[test]
fn lengths_that_nobody_has_proved() {
    if child::argument().is_none() {
        return limited("sizes::lengths_that_nobody_has_proved");
    }
    // Zstandard: as many empty blocks as it takes for the length to be possible.
    let blocks = [&[0, 0, 0][..]].into_iter().cycle().take(50_000).flatten().copied();
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let zstd: Vec<u8> = frame.into_iter().chain(blocks).chain([1, 0, 0]).collect();
    for (codec, body, is_there) in [
        (1_u64, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 2], cfg!(feature = "snappy")),
        (2, zstd, cfg!(feature = "zstd")),
        (3, vec![0xff, 0xff, 0xff, 0xff, 0, 1, 2], cfg!(feature = "lz4")),
    ] {
        for flags in [0_u64, 1 << 59] {
            let (made, _) = killed();
            let mut bytes = made.disk.read_file(wal(3)).unwrap();
            bytes.truncate(places(&bytes).last().unwrap().end);
            let (end, next) = (bytes.len(), made.entries.len() as u64 + 1);
            let count: &[u8] = if flags == 0 { &[] } else { &[0, 0, 0, 1] };
            let body = [count, &body].concat();
            bytes.extend(with_size(next, codec << 56 | flags | body.len() as u64, &body));
            let disk = with(&made.disk, &wal(3), &bytes);
            let huge = config().max_record_size(u64::from(u32::MAX));
            let log = open_as(&disk, huge).unwrap();
            assert_eq!(log.append(b"goes on").unwrap(), next + 1);
            let error = log.get(next).unwrap_err();
            match (is_there, codec) {
                (false, _) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
                // Possible as far as can be told, and more than there is memory for: asked for, and not had.
                (true, 2) if error.kind() == ErrorKind::TooLarge => {}
                (true, _) => damage_at(Some(&error), &wal(3), end, next),
            }
            assert_eq!(log.get(next + 1).unwrap().unwrap().payload, &b"goes on"[..]);
        }
    }
}

const BLOCK: usize = 4096;

/// Puts a checksum on a block (or mark) that was changed.
fn sign(bytes: &mut [u8], at: usize, len: usize) {
    let crc = crc32c::crc32c(&bytes[at + 12..at + len]);
    bytes[at + 8..at + 12].copy_from_slice(&crc.to_le_bytes());
}

/// A manifest whose every field is made up, under a sound checksum: no disk does that, but whatever
/// comes out is an error, or a log that gives nothing that was not appended.
#[test]
fn made_up_manifests() {
    if child::argument().is_none() {
        return limited("sizes::made_up_manifests");
    }
    let values = |rng: &mut Rng| {
        let some = [0, 1, 2, 3, 17, 18, 23, 24, 25, 311, 1 << 20, 1 << 40, 1 << 61, 1 << 62];
        let last = [(1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
        let all = some.into_iter().chain(last).collect::<Vec<u64>>();
        all[rng.index(all.len())]
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let all = 0..number("WALDEN_SEEDS").unwrap_or(4000);
    let seeds = number("WALDEN_SEED").map_or(all, |seed: u64| seed..seed + 1);
    let logs = [closed(), killed().0];
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let made = &logs[rng.index(2)];
        let mut bytes = made.disk.read_file(manifest()).unwrap();
        for block in 0..4 {
            let at = block * BLOCK;
            let len = 20 + u32::from_le_bytes(bytes[at + 16..at + 20].try_into().unwrap()) as usize;
            let fields = (len - 20 - 16) / 8;
            let mut field_rng = Rng::new(seed ^ 7);
            for _ in 0..1 + field_rng.index(3) {
                // Generation, places, counts: not always on the border of a field.
                let field = at + 20 + 16 + 8 * field_rng.index(fields) + field_rng.index(2);
                let field = field.min(at + len - 8);
                bytes[field..field + 8].copy_from_slice(&values(&mut field_rng).to_le_bytes());
            }
            if rng.chance(0.8) {
                sign(&mut bytes, at, len);
            }
        }
        for slot in [4, 5] {
            let at = slot * BLOCK;
            if bytes[at] != 0 && rng.chance(0.5) {
                let field = at + 16 + 32 + 8 * rng.index(5);
                bytes[field..field + 8].copy_from_slice(&values(&mut rng).to_le_bytes());
                sign(&mut bytes, at, 12 + 4 + 32 + 40);
            }
        }
        let disk = with(&made.disk, &manifest(), &bytes);
        let outcome = std::panic::catch_unwind(|| made_up(&disk, made));
        assert!(outcome.is_ok(), "seed {seed}: run it alone with WALDEN_SEED={seed}");
    }
}

fn made_up(disk: &SimDisk, made: &Made) {
    let known = |entries: walden::Result<walden::Entries>| {
        for entry in entries.into_iter().flat_map(|entries| drain(entries.take(1000)).0) {
            assert!(made.entries.contains(&entry), "{entry:?} was never appended");
        }
    };
    if let Ok(log) = reader(disk) {
        known(log.range(..));
        drop(log.range(..).map(|entries| drain(entries.rev().take(1000))));
        for seq in [0, 1, 5, 30, u64::MAX] {
            drop(log.get(seq));
        }
    }
    if let Ok(log) = open(disk) {
        known(log.range(..));
        drop(log.range(..).map(|entries| drain(entries.rev().take(1000))));
        drop(log.segments());
        drop(log.append(b"goes on"));
        drop(log.truncate_back(log.next_seq().saturating_sub(2)));
        drop(log.truncate_front(log.first_seq().saturating_add(1)));
        drop(log.append(b"goes on"));
        drop(log.close());
    }
}
