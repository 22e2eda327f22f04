//! Older copies of files, put back beside newer ones, as a restored backup may do.

use std::sync::Arc;

use walden::{ErrorKind, Wal};
use walden_sim::{SimClock, SimDisk};

use crate::logs::{
    DIR, Entries, Made, closed, config, contents, holds, manifest, open, payload, reader, refused,
    wal, whole, with,
};

/// The log closed at an earlier time, and now.
fn earlier_and_now(between: impl FnOnce(&walden::Wal)) -> (SimDisk, Made) {
    let earlier = closed();
    let disk = earlier.disk.fork();
    let log = open(&disk).unwrap();
    between(&log);
    let mut entries = Entries::new();
    for entry in log.range(..).unwrap() {
        let entry = entry.unwrap();
        entries.push((entry.seq, entry.payload.to_vec()));
    }
    log.close().unwrap();
    drop(log);
    (earlier.disk, Made { disk, entries })
}

fn grow(log: &walden::Wal, by: u64) {
    for i in 0..by {
        log.append(payload(i + 500)).unwrap();
        log.tick().unwrap();
    }
}

/// Only what `pick` says is put back; segments that are new since stay.
fn restored(earlier: &SimDisk, now: &Made, pick: impl Fn(&str) -> bool) -> SimDisk {
    let disk = now.disk.fork();
    for (path, bytes) in contents(earlier) {
        if pick(path.file_name().unwrap().to_str().unwrap()) {
            disk.write_file(&path, &bytes).unwrap();
        }
    }
    disk
}

/// The whole folder is put back: what is newer is gone, names and all. The log opens as it was then; who stood behind that
/// is told of another history once it goes on, though the seq ids are given again.
#[test]
fn the_whole_folder() {
    for by in [1, 5, 40] {
        let made = closed();
        let (disk, then) = (made.disk.fork(), contents(&made.disk));
        let log = open(&disk).unwrap();
        grow(&log, by);
        log.close().unwrap();
        drop(log);
        let beside = reader(&disk).unwrap();
        let mut late = beside.reader_at(beside.next_seq()).unwrap();
        late.read_prev().unwrap().unwrap();
        late.read_next().unwrap().unwrap();
        for path in disk.files() {
            match then.get(&path) {
                Some(bytes) => disk.write_file(&path, bytes).unwrap(),
                None => disk.remove_file(&path).unwrap(),
            }
        }
        holds(&disk.fork(), &made.entries);
        // By chance of its own: two openings of one chance begin the same history.
        let (storage, chance) = (Arc::new(disk.clone()), Arc::new(SimClock::new(100)));
        let log = Wal::open_with(DIR, config(), storage, chance).unwrap();
        assert!(whole(&log) == made.entries);
        grow(&log, by + 5);
        log.close().unwrap();
        let error = late.read_next().map(|entry| entry.map(|entry| entry.seq)).unwrap_err();
        assert!(error.is_truncated(), "{by}: {error}");
    }
}

/// The manifest says that more was durable than the older files hold.
#[test]
fn all_but_the_manifest() {
    for by in [1, 5, 40] {
        let (earlier, now) = earlier_and_now(|log| grow(log, by));
        let disk = restored(&earlier, &now, |name| name != "segment.manifest");
        // The older folder did not have the newer segments.
        let older = contents(&earlier);
        for path in disk.files() {
            if !older.contains_key(&path) {
                disk.remove_file(&path).unwrap();
            }
        }
        let error = refused(&disk, ErrorKind::Corrupt);
        assert!(error.seq().is_some(), "{error}");
    }
}

/// The active segment alone: shorter than the mark says.
#[test]
fn the_active_segment() {
    let (earlier, now) = earlier_and_now(|log| grow(log, 1));
    let disk = restored(&earlier, &now, |name| name == "segment-0002.wal");
    let error = refused(&disk, ErrorKind::Corrupt);
    assert_eq!(error.file(), Some(wal(2).as_path()), "{error}");
}

/// The manifest alone, with its marks. What grew since lies behind its mark: all of it is found, since it is
/// whole. That the epochs between are not known any more only makes positions of that time invalid.
#[test]
fn the_manifest_of_a_log_that_grew() {
    for by in [1, 5, 12, 40] {
        let (earlier, now) = earlier_and_now(|log| grow(log, by));
        let disk = restored(&earlier, &now, |name| name == "segment.manifest");
        holds(&disk, &now.entries);
    }
}

/// But where the log was cut since, it names what is gone.
#[test]
fn the_manifest_of_a_log_that_was_cut() {
    let cuts: [fn(&walden::Wal); 4] = [
        |log| {
            grow(log, 3);
            log.truncate_front(12).unwrap();
        },
        |log| {
            log.truncate_back(20).unwrap();
            grow(log, 30);
        },
        |log| {
            log.truncate_back(5).unwrap();
            grow(log, 30);
        },
        |log| {
            log.reset(100).unwrap();
            grow(log, 30);
        },
    ];
    for (at, cut) in cuts.into_iter().enumerate() {
        let (earlier, now) = earlier_and_now(cut);
        let disk = restored(&earlier, &now, |name| name == "segment.manifest");
        let error = refused(&disk, ErrorKind::Corrupt);
        assert!(error.seq().is_some(), "{at}: {error}");
    }
}

/// The copies of the generations alone, with the marks as they are now: a mark knows of a later generation.
#[test]
fn the_generations_alone() {
    let (earlier, now) = earlier_and_now(|log| grow(log, 3));
    let mut bytes = now.disk.read_file(manifest()).unwrap();
    bytes[..4 * 4096].copy_from_slice(&earlier.read_file(manifest()).unwrap()[..4 * 4096]);
    let error = refused(&with(&now.disk, &manifest(), &bytes), ErrorKind::Corrupt);
    assert_eq!(error.file(), Some(manifest().as_path()), "{error}");
    assert!(error.to_string().contains("older copy"), "{error}");
}

/// The marks alone are of an epoch that is over: not believed, and not needed.
#[test]
fn the_marks_alone() {
    let (earlier, now) = earlier_and_now(|log| grow(log, 3));
    let mut bytes = now.disk.read_file(manifest()).unwrap();
    bytes[4 * 4096..].copy_from_slice(&earlier.read_file(manifest()).unwrap()[4 * 4096..]);
    holds(&with(&now.disk, &manifest(), &bytes), &now.entries);
}

/// Segments that were cut off in front, put back: they are below the first, and go.
#[test]
fn segments_that_were_removed() {
    let (earlier, now) = earlier_and_now(|log| log.truncate_front(12).unwrap());
    let disk = restored(&earlier, &now, |name| name == "segment-0000.wal");
    holds(&disk, &now.entries);
    assert!(disk.read_file(wal(0)).is_err());
}

/// Segments that were cut off behind, put back beside the newer ones.
#[test]
fn segments_that_were_cut() {
    let (earlier, now) = earlier_and_now(|log| {
        log.truncate_back(12).unwrap();
        grow(log, 2);
    });
    let disk = restored(&earlier, &now, |name| name == "segment-0002.wal");
    let error = refused(&disk, ErrorKind::Corrupt);
    assert!(error.file().is_some(), "{error}");
}
