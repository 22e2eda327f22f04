//! Small logs to be ill-treated, on a simulated disk, and what to ask of them afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::over;
use walden::{Config, Entry, Error, ErrorKind, LogReader, Maintenance, Result, SyncStrategy, Wal};
use walden_sim::{SimClock, SimDisk};

use crate::record;

pub(crate) const DIR: &str = "/log";

pub(crate) type Entries = Vec<(u64, Vec<u8>)>;

/// A disk with a log on it, and what was appended.
pub(crate) struct Made {
    pub(crate) disk: SimDisk,
    pub(crate) entries: Entries,
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

pub(crate) fn wal(ordinal: u64) -> PathBuf {
    path(&format!("segment-{ordinal:04}.wal"))
}

pub(crate) fn index(ordinal: u64) -> PathBuf {
    path(&format!("segment-{ordinal:04}.idx"))
}

pub(crate) fn manifest() -> PathBuf {
    path("segment.manifest")
}

pub(crate) fn config() -> Config {
    over(Config::durable()).segment_size(400).maintenance(Maintenance::Manual)
}

pub(crate) fn open_as(disk: &SimDisk, config: Config) -> Result<Wal> {
    Wal::open_with(DIR, config, Arc::new(disk.clone()), Arc::new(SimClock::new(99)))
}

pub(crate) fn open(disk: &SimDisk) -> Result<Wal> {
    open_as(disk, config())
}

pub(crate) fn reader(disk: &SimDisk) -> Result<LogReader> {
    LogReader::open_with(DIR, "segment", Arc::new(disk.clone()))
}

pub(crate) fn payload(i: u64) -> Vec<u8> {
    let len = 10 + i * 7 % 40;
    (0..len).map(|j| u8::try_from((i * 37 + j * 11 + 1) % 256).unwrap()).collect()
}

fn append(wal: &Wal, entries: &mut Entries, batch: bool) {
    let i = entries.len() as u64;
    if batch {
        let payloads = [payload(i), Vec::new(), payload(i + 2)];
        let seqs = wal.append_batch(&payloads).unwrap();
        entries.extend(seqs.zip(payloads));
    } else {
        let seq = wal.append(payload(i)).unwrap();
        entries.push((seq, payload(i)));
    }
}

/// Three segments, some batches among the records, closed.
pub(crate) fn closed() -> Made {
    let disk = SimDisk::with_clock(SimClock::new(1));
    let wal = open(&disk).unwrap();
    let mut entries = Entries::new();
    for i in 0.. {
        append(&wal, &mut entries, i % 5 == 3);
        wal.tick().unwrap();
        let segments = wal.segments().unwrap();
        if segments.len() == 3 && segments[2].bytes > 250 {
            break;
        }
    }
    wal.close().unwrap();
    drop(wal);
    disk.settle();
    assert_eq!(
        disk.files().iter().filter(|p| p.extension().is_some_and(|e| e == "wal")).count(),
        3
    );
    Made { disk, entries }
}

/// A log that was killed: some of it sealed, then durable entries in the first open segment, then three
/// open segments of entries that were written and not synced. With the seq id where the doubt begins.
pub(crate) fn killed() -> (Made, u64) {
    let disk = SimDisk::with_clock(SimClock::new(2));
    let os_cache = config().sync_strategy(SyncStrategy::OsCache);
    let wal = open_as(&disk, os_cache).unwrap();
    let mut entries = Entries::new();
    while wal.segments().unwrap().len() < 2 {
        append(&wal, &mut entries, false);
    }
    wal.tick().unwrap();
    append(&wal, &mut entries, true);
    append(&wal, &mut entries, false);
    wal.sync().unwrap();
    let doubt = wal.next_seq();
    for i in 0.. {
        append(&wal, &mut entries, i % 4 == 1);
        let segments = wal.segments().unwrap();
        if segments.len() == 4 && segments[3].bytes > 150 {
            break;
        }
    }
    wal.flush().unwrap();
    let image = disk.kill();
    image.settle();
    drop(wal);
    (Made { disk: image, entries }, doubt)
}

/// Three segments as the Go library leaves them: no manifest, nothing but records.
pub(crate) fn go() -> Made {
    let disk = SimDisk::with_clock(SimClock::new(3));
    let mut entries = Entries::new();
    for ordinal in 0..3 {
        let mut bytes = Vec::new();
        for _ in 0..6 {
            let seq = entries.len() as u64 + 1;
            bytes.extend(record::plain(seq, &payload(seq)));
            entries.push((seq, payload(seq)));
        }
        disk.write_file(wal(ordinal), &bytes).unwrap();
    }
    Made { disk, entries }
}

/// Every file, by its path.
pub(crate) fn contents(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().map(|path| (path.clone(), disk.read_file(&path).unwrap())).collect()
}

/// Opening is refused: nothing is changed but the lock file, and the error says what to do.
#[track_caller]
pub(crate) fn refused(disk: &SimDisk, kind: ErrorKind) -> Error {
    refused_as(disk, kind, config())
}

#[track_caller]
pub(crate) fn refused_as(disk: &SimDisk, kind: ErrorKind, config: Config) -> Error {
    let mut before = contents(disk);
    let error = match open_as(disk, config) {
        Ok(wal) => panic!("opened: {:?}", wal.recovery()),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.file().is_some(), "names no path: {error}");
    assert!(error.what_to_do().is_some_and(|what| !what.is_empty()), "says nothing to do: {error}");
    let mut after = contents(disk);
    before.remove(&path("segment.lock"));
    after.remove(&path("segment.lock"));
    for (path, bytes) in &before {
        assert!(after.get(path) == Some(bytes), "{} was changed; {error}", path.display());
    }
    assert_eq!(after.len(), before.len(), "files were made; {error}");
    error
}

/// What an iterator gives before its error, and the error.
pub(crate) fn drain(entries: impl Iterator<Item = Result<Entry>>) -> (Entries, Option<Error>) {
    let mut found = Entries::new();
    for entry in entries {
        match entry {
            Ok(entry) => found.push((entry.seq, entry.payload.to_vec())),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Reads all of a log, in both directions; there must be no error.
#[track_caller]
pub(crate) fn whole(wal: &Wal) -> Entries {
    let (found, error) = drain(wal.range(..).unwrap());
    assert!(error.is_none(), "{error:?}");
    let (mut back, error) = drain(wal.range(..).unwrap().rev());
    assert!(error.is_none(), "backward: {error:?}");
    back.reverse();
    assert!(back == found, "backward there is something else");
    found
}

/// The log opens and holds exactly `entries`, for a writer and for a reader; and goes on.
#[track_caller]
pub(crate) fn holds(disk: &SimDisk, entries: &[(u64, Vec<u8>)]) {
    let log = reader(disk).unwrap();
    let (found, error) = drain(log.range(..).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert!(found == entries, "the reader finds up to {:?}", found.last());
    let wal = open(disk).unwrap();
    let found = whole(&wal);
    assert!(found == entries, "the writer finds up to {:?}", found.last());
    goes_on(wal, disk, entries);
}

/// Appends continue behind `entries`, and all is there after another opening: no ghosts.
#[track_caller]
pub(crate) fn goes_on(wal: Wal, disk: &SimDisk, entries: &[(u64, Vec<u8>)]) {
    let next = entries.last().map_or(wal.first_seq(), |(seq, _)| seq + 1);
    assert_eq!(wal.next_seq(), next);
    assert_eq!(wal.append(b"goes on").unwrap(), next);
    wal.close().unwrap();
    drop(wal);
    let wal = open(disk).unwrap();
    let found = whole(&wal);
    let (last, before) = found.split_last().unwrap();
    assert!(before == entries && *last == (next, b"goes on".to_vec()), "after another opening");
}

/// Flips one bit.
pub(crate) fn flip(disk: &SimDisk, path: &Path, bit: usize) -> SimDisk {
    let disk = disk.fork();
    disk.flip_bit(path, bit as u64).unwrap();
    disk
}

/// A copy of the disk with other bytes in a file.
pub(crate) fn with(disk: &SimDisk, path: &Path, bytes: &[u8]) -> SimDisk {
    let disk = disk.fork();
    disk.write_file(path, bytes).unwrap();
    disk
}

/// The entries below a seq id.
pub(crate) fn below(entries: &[(u64, Vec<u8>)], seq: u64) -> &[(u64, Vec<u8>)] {
    let at = entries.partition_point(|(at, _)| *at < seq);
    &entries[..at]
}

/// `error` is damage at this place.
#[track_caller]
pub(crate) fn damage_at(error: Option<&Error>, path: &Path, offset: usize, seq: u64) {
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.file(), Some(path), "{error}");
    assert_eq!((error.offset(), error.seq()), (Some(offset as u64), Some(seq)), "{error}");
    assert!(error.what_to_do().is_some(), "{error}");
}
