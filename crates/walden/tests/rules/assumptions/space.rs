//! "Space that was allocated reads as zeros": a filesystem that hands out what other files left there.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use walden::storage::{Access, File, Storage};
use walden::{LogReader, SyncStrategy};
use walden_sim::SimDisk;

use super::{is_segment, open_over, opened_or_damaged};
use crate::support::{DIR, Lab, entries, every_stop, payload, payloads, record};

/// What allocated space of a file holds, from an offset on.
type Old = fn(offset: u64, len: u64) -> Vec<u8>;

#[derive(Debug, Clone)]
struct Used {
    disk: SimDisk,
    old: Old,
}

#[derive(Debug)]
struct UsedFile {
    inner: Arc<dyn File>,
    old: Old,
}

impl Used {
    fn file(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        if is_segment(path) { Arc::new(UsedFile { inner, old: self.old }) } else { inner }
    }
}

impl Storage for Used {
    forward!(self, self.disk; rename, remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.create(path)?))
    }
}

impl File for UsedFile {
    forward!(self, self.inner; read_at, write_at, sync_data, sync_all, set_len, len, modified);

    /// It knows nothing of them.
    fn next_data(&self, _: u64) -> io::Result<Option<Range<u64>>> {
        Ok(None)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let from = self.inner.len()?.max(offset);
        self.inner.allocate(offset, len)?;
        let bytes = (self.old)(from, (offset + len).saturating_sub(from));
        self.inner.write_at(&bytes, from).map(drop)
    }
}

fn noise(offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len).map(|at| u8::try_from(at * 31 % 251).unwrap() | 1).collect()
}

/// Sound records of another log: where they lie, one of this log ends, but their seq ids are others.
fn records_of_another(offset: u64, len: u64) -> Vec<u8> {
    let all: Vec<u8> = (0..20).flat_map(|at| record(1000 + at, b"another log's")).collect();
    let (from, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
    all.into_iter().cycle().skip(from).take(len).collect()
}

/// Appends up to nine entries, with free space left in each segment that is complete. How many were acknowledged.
fn nine(lab: &Lab, old: Old, acknowledged: &Cell<usize>) {
    acknowledged.set(0);
    let Ok(wal) = open_over(lab, Used { disk: lab.disk.clone(), old }) else { return };
    for payload in payloads(1..=9) {
        if wal.append(payload).is_err() {
            return;
        }
        acknowledged.set(acknowledged.get() + 1);
        if wal.tick().is_err() {
            return;
        }
    }
    drop(wal.close());
}

/// Killed or without power at every call: what is behind the last record is not taken for entries. It is cut off as torn;
/// or the log is called damaged, where it lies behind the last record of a segment that was not sealed yet. There it can
/// hide entries in the next one that were acknowledged: they are cut off with it, put aside and reported. Nothing is altered.
#[test]
fn allocated_space_that_holds_old_bytes() {
    for old in [noise as Old, records_of_another] {
        let (acknowledged, whole, damaged) = (Cell::new(0), Cell::new(0), Cell::new(0));
        every_stop(
            &Lab::new(SyncStrategy::Always, 300),
            20,
            |lab| nine(lab, old, &acknowledged),
            |found, stop| {
                let opened = found.try_open();
                match opened_or_damaged(&opened, &payloads(1..=10)) {
                    Some(count) if count < acknowledged.get() => {
                        let cut = opened.unwrap().recovery().cut.unwrap();
                        let told = cut.possibly_acknowledged.contains(&(acknowledged.get() as u64));
                        assert!(told && !cut.kept_in.is_empty(), "{stop}: {cut:?}");
                    }
                    Some(_) => whole.set(whole.get() + 1),
                    None => damaged.set(damaged.get() + 1),
                }
            },
        );
        assert!(whole.get() > 100, "{} opened, {} are damaged", whole.get(), damaged.get());
    }
}

fn ghost(seq: u64) -> Vec<u8> {
    let mut bytes = payload(seq);
    bytes.reverse();
    bytes
}

/// What was in this place when the log had another history: each record where the one with its seq id would be now.
fn records_that_fit(offset: u64, len: u64) -> Vec<u8> {
    let all: Vec<u8> = (1..=60).flat_map(|seq| record(seq, &ghost(seq))).collect();
    let (from, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
    all.into_iter().chain(std::iter::repeat(0)).skip(from).take(len).collect()
}

/// The one case that nothing on the disk can tell from entries that were written and not acknowledged: a file that gets the
/// very space of an earlier one. No entry that was appended is lost or altered; behind the last one come the old ones.
#[test]
fn old_records_that_fit_place_and_seq_id() {
    let lab = Lab::new(SyncStrategy::Always, 80 * 60);
    let wal = open_over(&lab, Used { disk: lab.disk.clone(), old: records_that_fit }).unwrap();
    Lab::append(&wal, 1..=3);
    let (first, found) = entries(&lab.kill().open());
    assert_eq!((first, &found[..3]), (1, &payloads(1..=3)[..]));
    assert!(found[3..].iter().eq((4..=60).map(ghost).collect::<Vec<_>>().iter()));
}

/// Whatever the filesystem says of it, what stands behind the last record is seen, and kept aside before it is cut off.
#[test]
fn what_a_filesystem_denies_is_kept_aside() {
    for old in [noise as Old, records_of_another] {
        let lab = Lab::new(SyncStrategy::Always, 3000);
        let wal = open_over(&lab, Used { disk: lab.disk.clone(), old }).unwrap();
        Lab::append(&wal, 1..=3);
        let killed = lab.kill();
        let wal = open_over(&killed, Used { disk: killed.disk.clone(), old }).unwrap();
        let cut = wal.recovery().cut.unwrap();
        let kept: Vec<u8> =
            cut.kept_in.iter().flat_map(|path| killed.disk.read_file(path).unwrap()).collect();
        let end = (1..=3).map(|seq| record(seq, &payload(seq)).len() as u64).sum();
        assert_eq!(kept, old(end, 3000 - end), "{cut:?}");
        assert_eq!(entries(&wal), (1, payloads(1..=3)));
    }
}

/// A reader beside the writer comes to what is behind the last record: it sees the end there, or names the place; and goes
/// on once an entry is written over it.
#[test]
fn readers_beside_a_writer_in_space_that_holds_old_bytes() {
    for old in [noise as Old, records_of_another] {
        let lab = Lab::new(SyncStrategy::Always, 300);
        let storage = Used { disk: lab.disk.clone(), old };
        let wal = open_over(&lab, storage.clone()).unwrap();
        Lab::append(&wal, 1..=2);
        let other = LogReader::open_with(DIR, "segment", Arc::new(storage)).unwrap();
        let mut reader = other.reader_at(2).unwrap();
        for seq in 2..=9 {
            if seq > 2 {
                assert_eq!(wal.append(payload(seq)).unwrap(), seq);
            }
            let entry = reader.read_next().unwrap().unwrap();
            assert_eq!((entry.seq, entry.payload), (seq, &payload(seq)[..]));
            if let Err(error) = reader.read_next().map(|entry| assert!(entry.is_none())) {
                assert!(error.is_corruption(), "{error}");
            }
        }
    }
}
