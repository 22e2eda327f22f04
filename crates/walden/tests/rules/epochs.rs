//! Positions across cuts and openings: what was seen is never silently followed by another history.

use std::cmp::Ordering;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use walden::storage::{Access, File, Storage};
use walden::{Event, LogReader, SyncStrategy, Wal};
use walden_sim::SimDisk;

use crate::support::{DIR, Lab, entries, payload, payloads};

/// A mount point: the disk behind it can change under those who read, as when a server comes back from a crash.
#[derive(Debug, Clone)]
pub(crate) struct Mount(Arc<Mutex<SimDisk>>);

impl Mount {
    pub(crate) fn new(disk: &SimDisk) -> Self {
        Self(Arc::new(Mutex::new(disk.clone())))
    }

    pub(crate) fn swap(&self, disk: &SimDisk) {
        *self.0.lock().unwrap() = disk.clone();
    }

    fn disk(&self) -> SimDisk {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn reader(&self) -> LogReader {
        LogReader::open_with(DIR, "segment", Arc::new(self.clone())).unwrap()
    }
}

impl Storage for Mount {
    forward!(self, self.disk(); rename, remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.disk().open(path, access)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk().create(path)
    }
}

pub(crate) fn other(n: u64) -> Vec<u8> {
    format!("another history's {n}").into_bytes()
}

/// Section 5, epochs: "watermarks, tickets, readers, followers … check it after every wait and read, before they hand
/// anything out; no longer in the list: `Truncated { at }`", across `truncate_back` in one process.
#[test]
fn positions_across_a_cut() {
    let lab = Lab::new(SyncStrategy::OsCache, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=9);
    let (kept, cut) = (wal.submit(payload(10)).unwrap(), wal.submit(payload(11)).unwrap());
    let mut reader = wal.reader_at(6).unwrap();
    let mut before = wal.reader_at(3).unwrap();
    assert_eq!(reader.read_next().unwrap().unwrap().seq, 6);
    let mut follower = wal.follow(9).unwrap();
    assert!(matches!(follower.try_next().unwrap(), Some(Event::Entry(entry)) if entry.seq == 9));
    let mut range = wal.range(4..).unwrap();
    assert_eq!(range.next().unwrap().unwrap().seq, 4);

    wal.truncate_back(5).unwrap();
    for seq in 6..=20 {
        assert_eq!(wal.append(other(seq)).unwrap(), seq);
    }
    wal.sync().unwrap();
    for ticket in [kept, cut] {
        let error = ticket.wait().unwrap_err();
        assert!(error.is_truncated(), "{error}");
        assert_eq!(error.seq(), Some(6));
    }
    for _ in 0..2 {
        let error = reader.read_next().unwrap_err();
        assert!(error.is_truncated() && error.seq() == Some(6), "{error}");
        assert!(reader.read_prev().is_err(), "until it is told where to go");
    }
    reader.seek(6).unwrap();
    assert_eq!(reader.read_next().unwrap().unwrap().payload, other(6));
    assert_eq!(before.read_next().unwrap().unwrap().payload, payload(3), "before the cut");
    assert_eq!(follower.try_next().unwrap(), Some(Event::Truncated { at: 6 }));
    let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("an entry") };
    assert_eq!((entry.seq, &entry.payload[..]), (6, &other(6)[..]));
    assert_eq!(range.next().unwrap().unwrap().seq, 5);
    assert!(range.next().unwrap().unwrap_err().is_truncated());
    assert!(range.next().is_none());
}

/// The same from outside: a read-only reader and its follower.
#[test]
fn a_read_only_position_across_a_cut() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=9);
    let log = lab.reader();
    let mut follower = log.follow(8).unwrap();
    assert!(matches!(follower.try_next().unwrap(), Some(Event::Entry(_))));
    let mut reader = log.reader_at(8).unwrap();
    reader.read_next().unwrap().unwrap();
    let mut range = log.range(..).unwrap();
    wal.truncate_back(5).unwrap();
    for seq in 6..=9 {
        wal.append(other(seq)).unwrap();
    }
    // What was read before the cut may still be given; nothing of the other history without a word.
    let told = std::iter::from_fn(|| follower.try_next().unwrap()).find_map(|event| match event {
        Event::Entry(entry) => {
            assert_eq!(entry.payload, payload(entry.seq));
            None
        }
        other => Some(other),
    });
    assert_eq!(told, Some(Event::Truncated { at: 6 }));
    let told = (9..11).find_map(|seq| match reader.read_next() {
        Ok(entry) => {
            assert_eq!(entry.unwrap().payload, payload(seq));
            None
        }
        Err(error) => Some(error),
    });
    assert!(told.unwrap().is_truncated());
    let mut given = 0;
    let last = range.find_map(|entry| match entry {
        Ok(entry) => {
            given += 1;
            assert_eq!(entry.payload, payload(entry.seq));
            None
        }
        Err(error) => Some(error),
    });
    assert!(given >= 5);
    assert!(last.unwrap().is_truncated());
}

/// Section 7: "`LogReader` re-reads the manifest after each read, before handing out": of a segment that a cut has unlinked,
/// and that a reader still has open, it gives what it had read before, and not one window more.
#[test]
fn a_read_only_reader_asks_about_each_window() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = lab.open();
    let large = |seq: u64| {
        let mut bytes = payload(seq);
        bytes.resize(1000, b'.');
        bytes
    };
    for seq in 1..=300 {
        wal.append(large(seq)).unwrap();
    }
    let log = lab.reader();
    let mut reader = log.reader();
    reader.read_next().unwrap().unwrap();
    wal.reset(1).unwrap();
    for seq in 1..=300 {
        wal.append(other(seq)).unwrap();
    }
    let mut given = 1;
    let told = loop {
        match reader.read_next() {
            Ok(entry) => {
                given += 1;
                assert_eq!(entry.expect("not the end").payload, large(given));
            }
            Err(error) => break error,
        }
    };
    assert!(told.is_truncated() && told.seq() == Some(1), "{told}");
    assert!(given < 20, "{given} of 300 entries that were cut");
}

/// Section 4.13: "one lost in a crash, after reopening; the epoch then differs". Entries 6 to 9 are seen, and lost in a
/// power cut; then others are appended under the same seq ids, and more.
fn lost_and_given_again(more: u64, reopenings: u64) {
    let lab = Lab::new(SyncStrategy::OsCache, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    wal.sync().unwrap();
    Lab::append(&wal, 6..=9);
    let mount = Mount::new(&lab.disk);
    let log = mount.reader();
    let mut follower = log.follow(1).unwrap();
    for seq in 1..=9 {
        let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("{seq}") };
        assert_eq!(entry.payload, payload(seq));
    }
    let mut reader = log.reader_at(8).unwrap();
    reader.read_next().unwrap().unwrap();
    let mut early = log.reader_at(3).unwrap();
    let range = log.range(7..).unwrap();

    let after = lab.power_cut();
    let mut next = 6;
    for _ in 0..reopenings {
        let wal = after.open();
        assert_eq!(wal.next_seq(), next);
        for _ in 0..more {
            wal.append(other(next)).unwrap();
            next += 1;
        }
        wal.close().unwrap();
    }
    mount.swap(&after.disk);
    let what = format!("{more} entries, {reopenings} openings");
    assert_eq!(follower.try_next().unwrap(), Some(Event::Truncated { at: 6 }), "{what}");
    for seq in 6..next {
        let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("{what}") };
        assert_eq!((entry.seq, &entry.payload[..]), (seq, &other(seq)[..]), "{what}");
    }
    assert_eq!(follower.try_next().unwrap(), None, "{what}");
    let error = reader.read_next().unwrap_err();
    assert!(error.is_truncated() && error.seq() == Some(6), "{what}: {error}");
    assert_eq!(early.read_next().unwrap().unwrap().payload, payload(3), "{what}");
    for entry in range {
        assert!(entry.unwrap_err().is_truncated(), "{what}");
    }
}

#[test]
fn entries_lost_in_a_crash_are_told() {
    for more in [0, 2, 4, 20] {
        for reopenings in [1, 2, 5] {
            lost_and_given_again(more, reopenings);
        }
    }
}

/// A clean reopening takes nothing from anyone.
#[test]
fn a_clean_reopening_is_not_a_cut() {
    let lab = Lab::new(SyncStrategy::OsCache, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    let log = lab.reader();
    let mut follower = log.follow(1).unwrap();
    let mut seen = 0;
    for turn in 0..5 {
        while let Some(event) = follower.try_next().unwrap() {
            let Event::Entry(entry) = event else { panic!("turn {turn}: {event:?}") };
            seen += 1;
            assert_eq!((entry.seq, &entry.payload[..]), (seen, &payload(seen)[..]));
        }
        assert_eq!(seen, 5 + turn);
        let wal = if turn == 0 { wal.clone() } else { lab.open() };
        Lab::append(&wal, if turn == 0 { 6..=6 } else { 6 + turn..=6 + turn });
        wal.close().unwrap();
    }
}

/// Section 5: "Random, so that a restored backup or a copied folder that went its own way is told apart."
#[test]
fn a_restored_backup_is_another_history() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    let backup = lab.with(lab.disk.fork());
    let wal = lab.open();
    Lab::append(&wal, 6..=9);
    let mount = Mount::new(&lab.disk);
    let log = mount.reader();
    let mut follower = log.follow(6).unwrap();
    for _ in 6..=9 {
        assert!(matches!(follower.try_next().unwrap(), Some(Event::Entry(_))));
    }
    let mut reader = log.reader_at(9).unwrap();
    reader.read_next().unwrap().unwrap();
    let wal = backup.open();
    assert_eq!(entries(&wal), (1, payloads(1..=5)), "it opens");
    for seq in 6..=12 {
        wal.append(other(seq)).unwrap();
    }
    mount.swap(&backup.disk);
    assert_eq!(follower.try_next().unwrap(), Some(Event::Truncated { at: 6 }));
    let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("an entry") };
    assert_eq!(entry.payload, other(6));
    assert!(reader.read_next().unwrap_err().is_truncated());
}

/// Section 4.3: "Starting above `next_seq` is `BeyondEnd`, below `first_seq` `Removed`; never an empty success."
#[test]
fn positions_outside_the_log_are_errors() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=9);
    wal.truncate_front(4).unwrap();
    let log = lab.reader();
    for error in [
        wal.range(3..).unwrap_err(),
        wal.reader_at(1).unwrap_err(),
        wal.follow(3).unwrap_err(),
        wal.get(3).unwrap_err(),
        log.range(3..).unwrap_err(),
        log.reader_at(1).unwrap_err(),
        log.get(3).unwrap_err(),
    ] {
        assert!(error.is_removed(), "{error}");
    }
    for error in [
        wal.range(11..).unwrap_err(),
        wal.reader_at(11).unwrap_err(),
        wal.follow(11).unwrap_err(),
        log.range(11..).unwrap_err(),
        log.follow(11).unwrap_err(),
    ] {
        assert_eq!(error.kind(), walden::ErrorKind::BeyondEnd, "{error}");
    }
}

/// Behind seq id 1 another history up to `middle`; opened anew, it goes on up to `last`, and all before `front` is cut off.
fn replaced(lab: &Lab, wal: Wal, middle: u64, last: u64, front: u64) -> Wal {
    let append = |wal: &Wal, seqs: std::ops::RangeInclusive<u64>| {
        for seq in seqs {
            assert_eq!(wal.append(other(seq)).unwrap(), seq);
        }
    };
    wal.truncate_back(1).unwrap();
    append(&wal, 2..=middle);
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    append(&wal, middle + 1..=last);
    wal.truncate_front(front).unwrap();
    wal
}

/// A reader of another process that has not looked since: the log was cut behind it, as much was appended again, and then all
/// of that was cut off in front, with the history that would tell. Where it stands is the log's first entry now. Nothing that
/// it had is there under another's seq id, and it reads on.
#[test]
fn a_read_only_position_at_the_first_entry_that_is_left() {
    for front in [7, 8] {
        let lab = Lab::new(SyncStrategy::OsCache, 4096);
        let wal = lab.open();
        Lab::append(&wal, 1..=6);
        let log = lab.reader();
        let mut reader = log.reader_at(1).unwrap();
        for seq in 1..=6 {
            assert_eq!(reader.read_next().unwrap().unwrap().payload, payload(seq));
        }
        let _wal = replaced(&lab, wal, 6, 10, front);
        let read = reader.read_next().map(|entry| entry.unwrap().payload.to_vec());
        match front {
            7 => assert_eq!(read.unwrap(), other(7)),
            _ => assert!(read.unwrap_err().is_removed()),
        }
        // And on, to the end.
        for seq in 8..=10 {
            reader.seek(seq).unwrap();
            let entry = reader.read_next().unwrap().map(|entry| entry.payload.to_vec());
            assert_eq!(entry, Some(other(seq)), "{seq}, cut in front of {front}");
        }
    }
}

/// As above, with segments of a few entries, which the new history does not begin where the old one did: a reader at the end
/// of a segment that is gone finds what is there by its seq id, and does not take for damage that the next one begins with
/// another.
#[test]
fn a_read_only_position_behind_a_segment_that_is_gone() {
    for (read, front) in (3..=9).flat_map(|read| (4..=12).map(move |front| (read, front))) {
        let lab = Lab::new(SyncStrategy::OsCache, 240);
        let wal = lab.open();
        Lab::append(&wal, 1..=read);
        let log = lab.reader();
        let mut reader = log.reader_at(1).unwrap();
        for seq in 1..=read {
            assert_eq!(reader.read_next().unwrap().unwrap().payload, payload(seq));
        }
        let _wal = replaced(&lab, wal, read, 14, front);
        let next = reader.read_next().map(|entry| entry.unwrap().payload.to_vec());
        // While the history is kept that tells of the cut at the back, that is what is said.
        let right = match front.cmp(&(read + 1)) {
            Ordering::Less => {
                next.as_ref().is_err_and(|e| e.kind() == walden::ErrorKind::Truncated)
            }
            Ordering::Equal => next.as_ref().is_ok_and(|payload| *payload == other(read + 1)),
            Ordering::Greater => next.as_ref().is_err_and(walden::Error::is_removed),
        };
        assert!(right, "{read} read, cut in front of {front}: {next:?}");
    }
}

/// As above, but less was appended again than had been read, and the segment that the reader came to the end of is gone: it
/// goes on to the end of what is there, and does not wait where the old history ended.
#[test]
fn a_read_only_log_goes_on_where_all_that_it_had_read_is_gone() {
    let lab = Lab::new(SyncStrategy::OsCache, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=4);
    let log = lab.reader();
    let mut reader = log.reader_at(4).unwrap();
    assert_eq!(reader.read_next().unwrap().unwrap().payload, payload(4));
    let _wal = replaced(&lab, wal, 5, 8, 6);
    reader.seek(6).unwrap();
    for seq in 6..=8 {
        let entry = reader.read_next().unwrap().map(|entry| entry.payload.to_vec());
        assert_eq!(entry, Some(other(seq)), "{seq}");
    }
    assert!(reader.read_next().unwrap().is_none());
}

/// Section 5: "a new one at every opening for writing": also at one that finds a cut which waits for room. Two copies of
/// that log go two ways, and neither takes the other's entries for its own.
#[test]
fn copies_of_a_log_whose_cut_waits_for_room_go_two_ways() {
    let (lab, wal) = crate::full::cut_without_room_for_a_new_segment();
    wal.close().unwrap();
    drop(wal);
    let [one, other] = [1, 2].map(|n| {
        let lab = lab.with(lab.disk.fork());
        let wal = lab.open();
        lab.disk.clear_faults();
        assert_eq!(wal.append(other(n)).unwrap(), 7);
        wal
    });
    let frames = other.frames(7, 1 << 20).unwrap().unwrap();
    let error = one.append_frames(&frames).unwrap_err();
    assert_eq!((error.kind(), error.seq()), (walden::ErrorKind::Diverged, Some(7)), "{error}");
    let [mine, theirs] = [&one, &other].map(|wal| wal.frames(7, 1 << 20).unwrap().unwrap());
    assert_ne!(mine.epochs().last(), theirs.epochs().last());
}
