//! A reader of another process: what it is told of cuts, of another's repairs and of damage, and what it goes on to.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use walden::offline;
use walden::storage::{Access, DirEntry, File, Storage};
use walden::{ErrorKind, LogReader, Reader, SyncStrategy, Wal};
use walden_sim::SimDisk;

use crate::epochs::{Mount, other};
use crate::support::{DIR, Lab, payload, payloads, read_only, records};

/// Takes to the copy what it lacks of the source, up to `last`; each record has 80 bytes.
fn ship(source: &Wal, copy: &Wal, last: u64) {
    let next = copy.next_seq();
    let frames = source.frames(next, (last + 1 - next) * 80).unwrap().unwrap();
    assert_eq!(copy.append_frames(&frames).unwrap(), next..last + 1);
}

fn source_and_copy(strategy: SyncStrategy) -> (Wal, Lab) {
    let wal = Lab::new(SyncStrategy::Always, 1 << 20).open();
    Lab::append(&wal, 1..=12);
    (wal, Lab::new(strategy, 1 << 20))
}

/// Section 5, "the doubt zone starts at the latest of …; a mark at or before `sealed_through` is merely stale": a copy takes
/// up the history again that it was cut out of, with the mark of what was cut still there.
#[test]
fn a_mark_from_before_a_cut_in_a_history_taken_up_again() {
    for last in [7, 12] {
        let (source, lab) = source_and_copy(SyncStrategy::OsCache);
        let copy = lab.open();
        ship(&source, &copy, 8);
        copy.truncate_back(5).unwrap();
        ship(&source, &copy, last);
        let log = lab.reader();
        assert_eq!(log.durable_seq(), 5, "up to {last}");
        assert_eq!(read_only(&log), (1, payloads(1..=last)));
        copy.sync().unwrap();
        log.refresh().unwrap();
        assert_eq!(log.durable_seq(), last);
    }
}

/// A reader that has read `1..=last`, which are `payload(n)`.
fn read_up_to(log: &LogReader, last: u64) -> Reader {
    let mut reader = log.reader();
    for seq in 1..=last {
        let entry = reader.read_next().unwrap().unwrap();
        assert_eq!((entry.seq, entry.payload), (seq, &payload(seq)[..]));
    }
    reader
}

#[track_caller]
fn assert_truncated(reader: &mut Reader, at: u64) {
    let error = reader.read_next().unwrap_err();
    assert!(error.is_truncated() && error.seq() == Some(at), "{error}");
}

/// Section 5: "no longer in the list: `Truncated`". In between a look saw the log shorter, and under the same epochs: a copy
/// was cut, and took up the same history again.
#[test]
fn a_cut_behind_which_less_of_the_same_history_was_seen() {
    let (source, lab) = source_and_copy(SyncStrategy::Always);
    let copy = lab.open();
    ship(&source, &copy, 8);
    let log = lab.reader();
    let mut reader = read_up_to(&log, 8);
    copy.truncate_back(4).unwrap();
    ship(&source, &copy, 6);
    log.refresh().unwrap();
    for seq in 7..=9 {
        assert_eq!(copy.append(other(seq)).unwrap(), seq);
    }
    assert_truncated(&mut reader, 7);
    // And what comes behind the other history's end is not told twice.
    reader.seek(7).unwrap();
    assert_eq!(reader.read_next().unwrap().unwrap().payload, other(7));
}

/// The same with a backup that was put in the log's place, looked at before it was opened and after.
#[test]
fn a_restored_backup_that_was_seen_before_it_was_opened() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    let backup = lab.kill();
    Lab::append(&wal, 6..=12);
    let mount = Mount::new(&lab.disk);
    let log = mount.reader();
    let mut reader = read_up_to(&log, 12);
    mount.swap(&backup.disk);
    log.refresh().unwrap();
    assert_eq!(log.next_seq(), 6);
    let wal = backup.open();
    for seq in 6..=14 {
        assert_eq!(wal.append(other(seq)).unwrap(), seq);
    }
    assert_truncated(&mut reader, 6);
}

/// `walden compress` and then `walden dictionary prune`, as docs/compression.md has it: "a reader … reads on". The records that
/// it opened before need a dictionary that is gone since.
#[cfg(feature = "zstd")]
#[test]
fn a_dictionary_pruned_behind_records_written_anew() {
    let zstd = walden::Compression::Zstd { level: 1 };
    let line = |i: u64| {
        let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30;
        format!(
            "{{\"level\":\"info\",\"request\":{mixed},\"path\":\"/asked/for\",\"ms\":{}}}",
            mixed % 700
        )
        .into_bytes()
    };
    let mut lab = Lab::new(SyncStrategy::Always, 10_000);
    lab.config = lab.config.compression(zstd);
    let wal = lab.open();
    for i in 1..=1500 {
        if i == 401 || i == 801 {
            wal.train_dictionary(1024).unwrap();
        }
        wal.append(line(i)).unwrap();
        wal.tick().unwrap();
    }
    let log = lab.reader();
    let mut forward = log.reader_at(500).unwrap();
    assert!(log.segments().unwrap().len() > 3);
    let mut held = log.reader_at(501).unwrap();
    assert_eq!(held.read_next().unwrap().unwrap().payload, line(501));
    // A log that has read none of them.
    let log = lab.reader();
    log.segments().unwrap();
    let mut backward = log.reader_at(500).unwrap();
    wal.close().unwrap();
    drop(wal);
    let how = offline::Recompress::to(zstd).with_dictionary();
    assert!(offline::compress(&lab.target(), &how, &mut |_| {}).unwrap().rewritten > 1);
    let pruned = offline::prune_dictionaries(&lab.target(), &mut |_| {}).unwrap();
    assert_eq!(pruned.removed.len(), 1, "{pruned:?}");
    assert_eq!(log.get(500).unwrap().unwrap().payload, line(500));
    assert_eq!(backward.read_prev().unwrap().unwrap().payload, line(499));
    assert_eq!(forward.read_next().unwrap().unwrap().payload, line(500));
    assert_eq!(held.read_next().unwrap().unwrap().payload, line(502));
    let all: Vec<_> = log.range(401..).unwrap().map(|entry| entry.unwrap().payload).collect();
    assert!(all.iter().zip(401..).all(|(found, i)| *found == line(i)));
    assert_eq!(all.len(), 1100);
    // What nobody can read stays an error.
    for name in lab.names(".dict") {
        lab.remove(&name);
    }
    let error = lab.reader().get(500).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingDictionary, "{error}");
}

/// Section 5: a Go log is adopted, cut and opened again between two looks; the entries that were read are the first epoch's,
/// as far as they are left.
#[test]
fn a_go_log_adopted_and_cut_between_two_looks() {
    // How many are kept, and from which on the other history is cut in front.
    for (kept, front) in [(4, 1), (4, 5), (0, 1), (7, 1), (7, 9)] {
        let lab = Lab::new(SyncStrategy::Always, 1000);
        lab.write("segment-0000.wal", &records(1..=7));
        let mut reader = read_up_to(&lab.reader(), 7);
        let wal = lab.open();
        wal.truncate_back(kept).unwrap();
        for seq in kept + 1..=8 {
            assert_eq!(wal.append(other(seq)).unwrap(), seq);
        }
        wal.close().unwrap();
        drop(wal);
        let wal = lab.open();
        wal.append(other(9)).unwrap();
        wal.truncate_front(front).unwrap();
        match (kept, front) {
            (7, 1) => assert_eq!(reader.read_next().unwrap().unwrap().payload, other(8)),
            (7, _) => assert!(reader.read_next().unwrap_err().is_removed()),
            _ => assert_truncated(&mut reader, kept + 1),
        }
    }
}

fn flip(lab: &Lab, name: &str, at: usize) {
    let mut bytes = lab.read(name);
    bytes[at] ^= 1;
    lab.write(name, &bytes);
}

/// Section 6: "A footer that is wrong over a sound CRC: outside the doubt zone the entry is proven and delivered", also to a
/// reader of another process, in a segment that is not sealed, with free space at its end.
#[test]
fn a_footer_that_decayed_in_an_open_segment() {
    // The next segment has begun.
    let lab = Lab::new(SyncStrategy::OsCache, 250);
    let wal = lab.open();
    Lab::append(&wal, 1..=4);
    wal.sync().unwrap();
    flip(&lab, "segment-0000.wal", 155);
    assert_eq!(read_only(&lab.reader()), (1, payloads(1..=4)));
    // It has not, and not all of it is durable.
    let lab = Lab::new(SyncStrategy::OsCache, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=3);
    wal.sync().unwrap();
    Lab::append(&wal, 4..=5);
    flip(&lab, "segment-0000.wal", 155);
    assert_eq!(read_only(&lab.reader()), (1, payloads(1..=5)));
    // The first of its segment.
    let lab = Lab::new(SyncStrategy::OsCache, 250);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    wal.sync().unwrap();
    Lab::append(&wal, 6..=6);
    flip(&lab, "segment-0001.wal", 75);
    assert_eq!(read_only(&lab.reader()), (1, payloads(1..=6)));
    // In the doubt zone it is torn.
    let lab = Lab::new(SyncStrategy::OsCache, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=1);
    wal.sync().unwrap();
    Lab::append(&wal, 2..=3);
    flip(&lab, "segment-0000.wal", 155);
    assert_eq!(read_only(&lab.reader()), (1, payloads(1..=1)));
}

/// `walden repair --from`: the last segment, which is not sealed, is another file afterwards; of the same length.
#[test]
fn an_open_segment_put_right_by_another() {
    let lab = Lab::new(SyncStrategy::Always, 1 << 20);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    wal.close().unwrap();
    drop(wal);
    let whole = lab.with(lab.disk.fork());
    flip(&lab, "segment-0000.wal", 185);
    let log = lab.reader();
    let mut reader = read_up_to(&log, 2);
    let error = reader.read_next().unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(3)), "{error}");
    let done = offline::repair_from(&lab.target(), &whole.reader(), &mut |_| {}).unwrap();
    assert!(!done.still_damaged, "{done:?}");
    assert_eq!(log.get(3).unwrap().unwrap().payload, payload(3));
    let wal = lab.open();
    Lab::append(&wal, 6..=6);
    for seq in 3..=6 {
        assert_eq!(reader.read_next().unwrap().unwrap().payload, payload(seq));
        assert_eq!(log.get(seq).unwrap().unwrap().payload, payload(seq));
    }
}

/// Section 4.11: "no … work beyond a small multiple of the file's size". Damage in a sealed segment, where the first open
/// one is no more, since a cut: nothing about the log changes from look to look.
#[test]
fn damage_is_searched_once_where_the_first_open_segment_is_gone() {
    let lab = Lab::new(SyncStrategy::OsCache, 240);
    let wal = lab.open();
    Lab::append(&wal, 1..=9);
    wal.truncate_back(4).unwrap();
    wal.close().unwrap();
    drop(wal);
    flip(&lab, "segment-0000.wal", 105);
    lab.remove("segment-0000.idx");
    let log = lab.reader();
    let before = lab.disk.bytes_read();
    let error = log.get(2).unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Corrupt, Some(2)), "{error}");
    let looks = (lab.disk.bytes_read() - before) / lab.read("segment.manifest").len() as u64;
    assert!(looks < 4, "{looks} looks at the manifest");
}

/// Section 2: "The Go library's logs can … start at any seq id". Its only segment was empty when it was first looked at.
#[test]
fn a_go_log_that_was_empty_when_first_looked_at() {
    let lab = Lab::new(SyncStrategy::Always, 1000);
    lab.write("segment-0005.wal", b"");
    let log = lab.reader();
    assert_eq!((log.first_seq(), log.next_seq()), (1, 1));
    log.refresh().unwrap();
    lab.write("segment-0005.wal", &records(101..=103));
    log.refresh().unwrap();
    assert_eq!(read_only(&log), (101, payloads(101..=103)));
    lab.write("segment-0005.wal", &records(101..=104));
    log.refresh().unwrap();
    assert_eq!(read_only(&log), (101, payloads(101..=104)));
}

/// A disk on which something happens once, when the folder is listed next: before that, or to what it gives.
struct Once {
    disk: SimDisk,
    before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    hidden: Mutex<Option<String>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl Once {
    fn new(lab: &Lab) -> Arc<Self> {
        let disk = lab.disk.clone();
        Arc::new(Self { disk, before: Mutex::new(None), hidden: Mutex::new(None) })
    }

    fn reader(self: &Arc<Self>) -> LogReader {
        LogReader::open_with(DIR, "segment", Arc::clone(self) as Arc<dyn Storage>).unwrap()
    }
}

impl Storage for Once {
    forward!(self, self.disk; rename, remove, create_dir, sync_dir, lock);

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let before = self.before.lock().unwrap().take();
        if let Some(before) = before {
            before();
        }
        let hidden = self.hidden.lock().unwrap().take();
        let mut entries = self.disk.list(dir)?;
        entries.retain(|entry| hidden.as_deref() != entry.name.to_str());
        Ok(entries)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.disk.open(path, access)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path)
    }
}

/// Section 4.3: "`Truncated`" is told of cuts only. A Go log is adopted and appended to while it is looked at.
#[test]
fn a_go_log_adopted_while_it_is_looked_at() {
    let lab = Lab::new(SyncStrategy::Always, 1000);
    lab.write("segment-0000.wal", &records(1..=7));
    let disk = Once::new(&lab);
    let log = disk.reader();
    *disk.before.lock().unwrap() = Some(Box::new(move || {
        let wal = lab.open();
        Lab::append(&wal, 8..=9);
        // Closed, it would have an index.
        std::mem::forget(wal);
    }));
    log.refresh().unwrap();
    let all: Vec<_> = log.range(1..=9).unwrap().map(|entry| entry.unwrap().payload).collect();
    assert_eq!(all, payloads(1..=9));
}

/// A file that is renamed while the folder is listed may be in the list under neither name.
#[test]
fn a_name_that_a_listing_missed() {
    let lab = Lab::new(SyncStrategy::Always, 1000);
    let wal = lab.open();
    Lab::append(&wal, 1..=3);
    let disk = Once::new(&lab);
    let log = disk.reader();
    *disk.hidden.lock().unwrap() = Some("segment-0000.wal".into());
    log.refresh().unwrap();
    assert_eq!(read_only(&log), (1, payloads(1..=3)));
    // One that stays missing is told.
    lab.remove("segment-0000.wal");
    assert_eq!(log.refresh().unwrap_err().kind(), ErrorKind::Corrupt);
}
