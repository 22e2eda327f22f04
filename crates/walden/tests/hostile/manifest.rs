//! The manifest: its copies and its marks.

use walden::ErrorKind;
use walden_sim::SimDisk;

use crate::logs::{
    DIR, Made, closed, config, drain, flip, holds, index, killed, manifest, path, reader, refused,
    with,
};

const BLOCK: usize = 4096;

/// Bits of a block: all where something is written, some of the zeros behind.
fn bits(bytes: &[u8], block: usize) -> impl Iterator<Item = usize> + use<> {
    let block_bytes = &bytes[block * BLOCK..(block + 1) * BLOCK];
    let used = block_bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let all = block * BLOCK * 8..(block * BLOCK + used) * 8;
    let some = ((block * BLOCK + used) * 8..(block + 1) * BLOCK * 8).step_by(397);
    all.chain(some)
}

fn generation(bytes: &[u8], block: usize) -> u64 {
    let at = block * BLOCK + 20 + 16;
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The blocks that hold the winning generation, and the others.
fn winners(bytes: &[u8]) -> ([usize; 2], [usize; 2]) {
    if generation(bytes, 0) > generation(bytes, 1) { ([0, 2], [1, 3]) } else { ([1, 3], [0, 2]) }
}

/// One damaged copy, or mark, never matters: there is another copy, another mark, and a base mark.
#[test]
fn any_single_bit() {
    for made in [closed(), killed().0] {
        let bytes = made.disk.read_file(manifest()).unwrap();
        assert_eq!(bytes.len(), 6 * BLOCK);
        for block in 0..6 {
            for bit in bits(&bytes, block) {
                holds(&flip(&made.disk, &manifest(), bit), &made.entries);
            }
        }
    }
}

/// Both marks at once: the base mark of the opening before is left, and all behind it is proved by reading.
#[test]
fn both_marks() {
    for made in [closed(), killed().0] {
        let bytes = made.disk.read_file(manifest()).unwrap();
        for fill in [0, 0xff] {
            let mut without = bytes.clone();
            without[4 * BLOCK..].fill(fill);
            holds(&with(&made.disk, &manifest(), &without), &made.entries);
        }
    }
}

/// Bytes of a block that its checksum and what is before it cover.
fn used(bytes: &[u8], block: usize) -> usize {
    let at = block * BLOCK + 16;
    20 + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Both copies of the winner at once: the older generation is not the truth any more, and a mark tells.
#[test]
fn both_copies_of_the_winner() {
    let made = closed();
    let bytes = made.disk.read_file(manifest()).unwrap();
    let ([a, b], _) = winners(&bytes);
    let used = used(&bytes, a);
    for bit in (0..used * 8).step_by(13) {
        let disk = flip(&made.disk, &manifest(), a * BLOCK * 8 + bit);
        disk.flip_bit(manifest(), (b * BLOCK * 8 + (bit * 7) % (used * 8)) as u64).unwrap();
        let error = refused(&disk, ErrorKind::Corrupt);
        assert_eq!(error.file(), Some(manifest().as_path()), "{error}");
        let error = reader(&disk).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.file(), Some(manifest().as_path()), "{error}");
    }
}

/// Both copies of the older generation: of no use to anyone.
#[test]
fn both_copies_of_the_older() {
    let made = closed();
    let mut bytes = made.disk.read_file(manifest()).unwrap();
    let (_, others) = winners(&bytes);
    for block in others {
        bytes[block * BLOCK..(block + 1) * BLOCK].fill(0xa5);
    }
    holds(&with(&made.disk, &manifest(), &bytes), &made.entries);
}

/// Each length that is not whole: as many copies as are left decide.
#[test]
fn every_length() {
    let made = closed();
    let bytes = made.disk.read_file(manifest()).unwrap();
    let (winning, _) = winners(&bytes);
    for len in (0..bytes.len()).step_by(512).chain([1, 19, 20, 4095, 4097, 24_575]) {
        let disk = with(&made.disk, &manifest(), &bytes[..len]);
        let there = |block: usize| block * BLOCK + used(&bytes, block) <= len;
        let whole = winning.into_iter().any(there);
        let older = (0..4).any(|block| !winning.contains(&block) && there(block));
        if whole {
            holds(&disk, &made.entries);
        } else {
            assert!(len < 2 * BLOCK, "one copy of the winner lies in the first two blocks");
            let error = refused(&disk, ErrorKind::Corrupt);
            assert_eq!(error.file(), Some(manifest().as_path()), "{older}: {error}");
        }
    }
}

#[test]
fn random_bytes() {
    for made in [closed(), killed().0] {
        for fill in [0_u8, 0xff, 0x5a] {
            let disk = with(&made.disk, &manifest(), &[fill; 6 * BLOCK]);
            let error = refused(&disk, ErrorKind::Corrupt);
            assert_eq!(error.file(), Some(manifest().as_path()), "{error}");
        }
    }
}

/// A manifest that is gone: the lock file remembers that there was one; without it, the index files do;
/// without those, what no Go library writes does.
#[test]
fn missing() {
    let Made { disk, .. } = closed();
    disk.remove_file(manifest()).unwrap();
    gone(&disk);
    disk.remove_file(path("segment.lock")).unwrap();
    gone(&disk);
    for ordinal in 0..3 {
        disk.remove_file(index(ordinal)).unwrap();
    }
    gone(&disk);
}

fn gone(disk: &SimDisk) {
    let error = refused(disk, ErrorKind::Corrupt);
    assert_eq!(error.file(), Some(manifest().as_path()), "{error}");
    assert!(error.what_to_do().unwrap().contains("walden repair"), "{error}");
    let found = reader(disk).and_then(|log| match drain(log.range(..)?) {
        (_, Some(error)) => Err(error),
        (_, None) => Ok(()),
    });
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Of another log.
#[test]
fn of_another_log() {
    let made = closed();
    let other = SimDisk::new();
    let clock = std::sync::Arc::new(walden_sim::SimClock::new(78));
    let log = walden::Wal::open_with(DIR, config(), std::sync::Arc::new(other.clone()), clock);
    drop(log.unwrap());
    let theirs = other.read_file(manifest()).unwrap();
    let disk = with(&made.disk, &manifest(), &theirs);
    let error = refused(&disk, ErrorKind::Corrupt);
    assert_eq!(error.file(), Some(manifest().as_path()), "{error}");
    // Without the lock file it is the manifest of an empty log whose every record is in doubt: all sound.
    disk.remove_file(path("segment.lock")).unwrap();
    holds(&disk, &made.entries);
}
