//! The cursors' file: what is damaged in it is told, and nothing goes by what it may have said.

use walden::{ErrorKind, Retention, Start};

use super::{FILE, commit, kind, only, two_segments};
use crate::support::{BLOCK, Lab, assert_goes_on};

/// A cursor made, with both slots written, and two commits more.
fn with_cursors() -> Lab {
    let lab = Lab::nine();
    let wal = lab.open();
    for name in ["a", "b"] {
        let cursor = wal.cursor(name, Start::First).unwrap();
        for seq in [2, 4] {
            commit(&cursor, seq);
            wal.sync().unwrap();
        }
    }
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    lab
}

/// Any byte of one slot: the other one counts, and the cursor is at most one commit behind.
#[test]
fn every_byte_of_a_slot() {
    let lab = with_cursors();
    let sound = lab.read(FILE);
    assert_eq!(sound.len(), 4 * BLOCK);
    for at in (0..136).chain([BLOCK + 9, 2 * BLOCK + 20, 3 * BLOCK + 70]) {
        let lab = lab.with(lab.disk.fork());
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        lab.write(FILE, &bytes);
        let wal = lab.open();
        let positions: Vec<u64> = wal.cursors().unwrap().iter().map(|c| c.position).collect();
        assert!(positions == [5, 5] || positions == [3, 5] || positions == [5, 3], "{positions:?}");
        assert_eq!(wal.stats().cursors_unreadable, 0);
    }
}

type Spoil = fn(&mut Vec<u8>);

/// A cursor that cannot be read is said so, keeps retention from removing anything, and can be given up.
#[test]
fn a_cursor_that_cannot_be_read() {
    let lab = with_cursors();
    let sound = lab.read(FILE);
    let spoil: [(&str, Spoil); 4] = [
        ("garbage", |bytes| bytes[..2 * BLOCK].fill(0xa5)),
        ("both slots flipped", |bytes| {
            bytes[30] ^= 1;
            bytes[BLOCK + 30] ^= 1;
        }),
        ("another name's twin", |bytes| bytes.copy_within(2 * BLOCK.., 0)),
        ("a newer version", |bytes| {
            bytes[12] += 1;
            let crc = crc32c::crc32c(&bytes[12..136]).to_le_bytes();
            bytes[8..12].copy_from_slice(&crc);
        }),
    ];
    for (name, spoil) in spoil {
        let lab = lab.with(lab.disk.fork());
        let mut bytes = sound.clone();
        spoil(&mut bytes);
        lab.write(FILE, &bytes);
        let wal = lab.open();
        let notes = wal.recovery().notes.join("\n");
        assert!(notes.contains(FILE) && notes.contains("--unreadable"), "{name}: {notes}");
        assert_eq!((wal.stats().cursors, wal.stats().cursors_unreadable), (2, 1), "{name}");
        let list = wal.cursors().unwrap();
        assert_eq!(list.len(), 2, "{name}: {list:?}");
        assert_eq!(list[1].problem.as_ref().unwrap().kind(), ErrorKind::Corrupt);
        // The other one goes on.
        let cursor = wal.cursor("b", Start::First).unwrap();
        assert_eq!(cursor.position(), 5);
        commit(&cursor, 9);
        assert_eq!(kind(wal.cursor("c", Start::End)), ErrorKind::Corrupt, "{name}");
        assert_eq!(kind(wal.retain(&two_segments())), ErrorKind::Corrupt, "{name}");
        assert_eq!(wal.first_seq(), 1, "{name}: nothing went");
        assert_eq!(wal.retain(&Retention::keep_all().max_segments(3)).unwrap(), 0);
        assert_goes_on(&lab, wal.clone());
        assert_eq!(wal.remove_unreadable_cursors().unwrap(), 1);
        assert_eq!(wal.remove_unreadable_cursors().unwrap(), 0);
        assert_eq!(only(&wal).name, "b");
        assert!(wal.retain(&two_segments()).unwrap() >= 1);
        std::mem::forget((wal, cursor));
        assert_eq!(only(&lab.power_cut().open()).name, "b", "{name}");
    }
}

/// Lengths that the file never has, and something that is no file.
#[test]
fn files_that_are_none_of_ours() {
    let lab = with_cursors();
    let sound = lab.read(FILE);
    for (len, cursors) in [(0, 0), (1, 0), (60, 0), (512, 1), (BLOCK, 1), (3 * BLOCK, 2)] {
        let lab = lab.with(lab.disk.fork());
        lab.write(FILE, &sound[..len]);
        let wal = lab.open();
        assert_eq!(wal.cursors().unwrap().len(), cursors, "{len} bytes");
        drop(wal.cursor("new", Start::End).unwrap());
        wal.close().unwrap();
        drop(wal);
        assert_eq!(lab.power_cut().open().cursors().unwrap().len(), cursors + 1, "{len} bytes");
    }
    let lab = lab.with(lab.disk.fork());
    lab.write(FILE, &vec![0; 1024 * 2 * BLOCK + 1]);
    let wal = lab.open();
    assert!(wal.recovery().notes.join("\n").contains("remove the file"));
    assert_eq!(kind(wal.cursor("a", Start::First)), ErrorKind::Corrupt);
    assert_eq!(kind(wal.retain(&two_segments())), ErrorKind::Corrupt);
    assert_eq!(kind(wal.remove_unreadable_cursors()), ErrorKind::Corrupt);
    assert_goes_on(&lab, wal);
}

fn golden() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/cursors-v1/segment.cursors")
}

/// "What one version wrote, every later one reads", and writes the same: by the file that version 1 wrote.
#[test]
fn the_format_has_not_changed() {
    let lab = with_cursors();
    if std::env::var_os("WALDEN_MAKE_GOLDEN").is_some() && !golden().exists() {
        std::fs::create_dir_all(golden().parent().unwrap()).unwrap();
        std::fs::write(golden(), lab.read(FILE)).unwrap();
    }
    let stored = std::fs::read(golden()).unwrap();
    assert!(stored == lab.read(FILE), "{FILE} differs");
}
