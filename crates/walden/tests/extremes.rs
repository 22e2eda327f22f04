//! Numbers at the end of their range: seq ids, offsets beyond 2^32, records of nearly 4 GiB.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod engine;
#[macro_use]
mod forward;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use engine::over;
use futures_core::Stream as _;
use walden::offline::{self, Target};
use walden::storage::{Access, File, Storage};
use walden::{BatchFormat, Config, ErrorKind, LogReader, Maintenance, Wal};
use walden_sim::{SimClock, SimDisk};

/// A simulated disk on which zeros take no room, as in a sparse file.
#[derive(Debug, Clone)]
struct Sparse(SimDisk);

#[derive(Debug)]
struct SparseFile(Arc<dyn File>);

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.starts_with(chunk))
}

impl Storage for Sparse {
    forward!(self, self.0; rename, remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SparseFile(self.0.open(path, access)?)))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SparseFile(self.0.create(path)?)))
    }
}

impl File for SparseFile {
    forward!(self, self.0; read_at, sync_data, sync_all, set_len, len, modified);

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let end = offset + buf.len() as u64;
        if buf.len() < ZEROS.len() || !is_zero(buf) {
            return self.0.write_at(buf, offset);
        }
        if self.0.len()? < end {
            self.0.set_len(end)?;
        }
        Ok(buf.len())
    }
    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

const FOUR_GIB: u64 = 1 << 32;

fn large() -> Config {
    Config::os_cache()
        .segment_size(16 << 30)
        .max_record_size(FOUR_GIB - 1)
        .maintenance(Maintenance::Manual)
}

fn open(disk: &SimDisk) -> Wal {
    let storage = Arc::new(Sparse(disk.clone()));
    Wal::open_with("/log", large(), storage, Arc::new(SimClock::new(1))).unwrap()
}

/// Offsets in a segment, and in what the manifest, the mark and the index say of it, pass 2^32.
#[test]
fn a_segment_that_passes_4_gib() {
    const EACH: usize = 64 << 20;
    let disk = SimDisk::new();
    let log = open(&disk);
    let zeros = vec![0; EACH];
    for seq in 1..=64 {
        assert_eq!(log.append(&zeros).unwrap(), seq);
    }
    for seq in 65..=200_u64 {
        assert_eq!(log.append(seq.to_string()).unwrap(), seq);
    }
    log.sync().unwrap();
    assert!(log.segments().unwrap()[0].bytes > FOUR_GIB);
    let holds = |log: &Wal, last: u64| {
        assert_eq!(log.next_seq(), last + 1);
        for seq in [65, 96, 97, 130, last] {
            assert_eq!(log.get(seq).unwrap().unwrap().payload, seq.to_string().as_bytes());
        }
        let back = log.range(65..).unwrap().rev().map(|entry| entry.unwrap().seq);
        assert!(back.eq((65..=last).rev()));
    };
    holds(&log, 200);

    // Killed: the mark leads behind 2^32, and only what is behind the mark is read.
    let killed = disk.kill();
    drop(log);
    let target = |disk: &SimDisk| {
        let storage = Arc::new(Sparse(disk.clone()));
        Target::new("/log", "segment", storage, Arc::new(SimClock::new(2)))
    };
    let mark = offline::inspect(&target(&killed)).unwrap();
    let place = |mark: &offline::MarkInfo| mark.place.offset;
    let marks: Vec<u64> = mark.manifest.unwrap().unwrap().marks.iter().map(place).collect();
    assert!(marks.iter().any(|offset| *offset > FOUR_GIB), "{marks:?}");
    let log = open(&killed);
    holds(&log, 200);
    log.truncate_back(150).unwrap();
    assert_eq!(log.append("151").unwrap(), 151);
    holds(&log, 151);
    log.close().unwrap();
    drop(log);

    // Closed: sealed, with its index in a file.
    let log = open(&killed);
    holds(&log, 151);
    assert_eq!(log.append("152").unwrap(), 152);
    log.close().unwrap();
    let reader = LogReader::open_with("/log", "segment", Arc::new(Sparse(killed))).unwrap();
    assert_eq!(reader.get(140).unwrap().unwrap().payload, &b"140"[..]);
}

/// The largest record takes no more memory to append than its caller holds; one byte more is refused, as is a
/// batch whose offsets would pass 2^32.
#[test]
fn a_record_of_nearly_4_gib() {
    const OVERHEAD: u64 = 28;
    let disk = SimDisk::new();
    let log = open(&disk);
    let zeros = vec![0_u8; 1 << 30];
    let most = usize::try_from(FOUR_GIB - 1).unwrap();
    let parts = |len: usize| -> Vec<&[u8]> {
        let whole = vec![&zeros[..]; len / zeros.len()];
        [whole, vec![&zeros[..len % zeros.len()]]].concat()
    };
    for len in [most + 1, 1 << 32, 5 << 30] {
        let refused = log.append_parts(&parts(len)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge, "{refused}");
    }
    // As a batch: 4 bytes for the count and 4 for each offset.
    for len in [most - 4 - 5 * 4 + 1, most, 1 << 32] {
        let mut entries = parts(len);
        entries.resize(5, b"");
        let refused = log.append_batch(entries).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge, "{refused}");
    }
    assert_eq!(log.next_seq(), 1, "nothing was written");

    assert_eq!(log.append_parts(&parts(most)).unwrap(), 1);
    assert_eq!(log.append("behind").unwrap(), 2);
    log.close().unwrap();
    drop(log);
    let file = disk.open(Path::new("/log/segment-0000.wal"), Access::Read).unwrap();
    assert_eq!(file.len().unwrap(), FOUR_GIB - 1 + OVERHEAD + 6 + OVERHEAD);
    let (mut size, mut footer) = ([0; 8], [0; 8]);
    file.read_at(&mut size, 4).unwrap();
    file.read_at(&mut footer, FOUR_GIB - 1 + 20).unwrap();
    assert_eq!(size, footer);
    assert_eq!(size.map(u64::from).iter().fold(0, |sum, byte| sum << 8 | byte), most as u64);
    // Opening reads the last record alone.
    let log = open(&disk);
    let last = log.range(..).unwrap().next_back().unwrap().unwrap();
    assert_eq!((last.seq, &last.payload[..]), (2, &b"behind"[..]));
}

#[test]
fn seq_ids_up_to_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), over(Config::os_cache())).unwrap();
    let first = u64::MAX - 100;
    wal.reset(first).unwrap();
    for seq in first..u64::MAX {
        assert_eq!(wal.append("x").unwrap(), seq);
    }
    assert_eq!(wal.append("x").unwrap_err().kind(), ErrorKind::OutOfRange);
    wal.close().unwrap();
    let wal = Wal::open(dir.path(), over(Config::os_cache())).unwrap();
    assert_eq!((wal.first_seq(), wal.next_seq()), (first, u64::MAX));
    assert_eq!(wal.range(..).unwrap().filter(Result::is_ok).count(), 100);
    wal.truncate_back(u64::MAX - 50).unwrap();
    assert_eq!(wal.append("x").unwrap(), u64::MAX - 49);
}

/// A file whose name leaves no room for the next one's is not the log's.
#[test]
fn the_last_ordinal_is_foreign() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("segment-18446744073709551615.wal"), "").unwrap();
    let wal = Wal::open(dir.path(), over(Config::os_cache()).segment_size(100)).unwrap();
    for _ in 0..10 {
        wal.append([1; 50]).unwrap();
    }
    wal.truncate_back(3).unwrap();
    wal.close().unwrap();
}

fn log_at(next: u64, config: Config) -> (tempfile::TempDir, Wal) {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), over(config)).unwrap();
    wal.reset(next).unwrap();
    (dir, wal)
}

/// The last seq id that can be given is 2^64 - 2: the one behind it is the next seq id for ever.
#[test]
fn the_last_seq_id() {
    let (dir, wal) = log_at(u64::MAX - 1, Config::durable());
    assert_eq!(wal.append("last").unwrap(), u64::MAX - 1);
    for full in [wal.append("x"), wal.submit("x").map(|ticket| ticket.seqs().start)] {
        assert_eq!(full.unwrap_err().kind(), ErrorKind::OutOfRange);
    }
    assert_eq!((wal.next_seq(), wal.last_seq()), (u64::MAX, Some(u64::MAX - 1)));
    assert_eq!(wal.durable_seq(), u64::MAX - 1);
    assert_eq!(wal.get(u64::MAX - 1).unwrap().unwrap().payload, &b"last"[..]);
    assert!(wal.get(u64::MAX).unwrap().is_none());
    assert_eq!(wal.range(u64::MAX..).unwrap().count(), 0);
    assert_eq!(wal.range(..=u64::MAX).unwrap().count(), 1);
    let mut reader = wal.reader_at(u64::MAX).unwrap();
    assert!(reader.read_next().unwrap().is_none());
    assert_eq!(reader.read_prev().unwrap().unwrap().seq, u64::MAX - 1);
    let mut follower = wal.follow(u64::MAX).unwrap();
    assert!(follower.try_next().unwrap().is_none());
    // Nothing can come any more but a cut, a failure, the end: it waits for these, and sleeps meanwhile.
    let begun = std::time::Instant::now();
    assert!(follower.next_timeout(Duration::from_millis(50)).unwrap().is_none());
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut follower).poll_next(&mut context).is_pending());
    let waiting = std::thread::spawn(move || follower.next_blocking().unwrap_err());
    wal.close().unwrap();
    assert!(waiting.join().unwrap().is_closed());

    let log = LogReader::open(dir.path()).unwrap();
    assert_eq!((log.first_seq(), log.next_seq()), (u64::MAX - 1, u64::MAX));
    assert_eq!(log.range(..).unwrap().rev().count(), 1);
    let verified = offline::verify(&Target::on_disk(dir.path(), "segment"), &mut |_| {}).unwrap();
    assert_eq!((verified.records, verified.is_damaged()), (1, false));
    let wal = Wal::open(dir.path(), over(Config::durable())).unwrap();
    assert_eq!(wal.append("x").unwrap_err().kind(), ErrorKind::OutOfRange);
    wal.truncate_front(u64::MAX).unwrap();
    assert!(wal.is_empty());
    assert_eq!(wal.append("x").unwrap_err().kind(), ErrorKind::OutOfRange);
    wal.reset(1).unwrap();
    assert_eq!(wal.append("anew").unwrap(), 1);
}

/// Threads that sync together look ahead to those who may come, also where no seq ids are left for them.
#[test]
fn the_last_seq_ids_are_given_to_many_threads() {
    let (_dir, wal) = log_at(u64::MAX - 8, Config::durable());
    let given: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| std::iter::from_fn(|| wal.append("x").ok()).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let given: std::collections::BTreeSet<u64> = given.into_iter().collect();
    assert!(given.into_iter().eq(u64::MAX - 8..u64::MAX));
    assert_eq!(wal.durable_seq(), u64::MAX - 1);
    wal.close().unwrap();
}

/// A log that is reset to the end of the range is empty and stays so.
#[test]
fn reset_to_the_very_end() {
    let (dir, wal) = log_at(u64::MAX, Config::durable());
    assert_eq!((wal.first_seq(), wal.next_seq(), wal.is_empty()), (u64::MAX, u64::MAX, true));
    assert_eq!(wal.append("x").unwrap_err().kind(), ErrorKind::OutOfRange);
    wal.close().unwrap();
    let wal = Wal::open(dir.path(), over(Config::durable())).unwrap();
    assert_eq!((wal.first_seq(), wal.next_seq(), wal.is_empty()), (u64::MAX, u64::MAX, true));
    assert_eq!(wal.range(..).unwrap().count(), 0);
    assert_eq!(wal.append("x").unwrap_err().kind(), ErrorKind::OutOfRange);
}

/// A batch that has not enough seq ids left is refused whole, in either format.
#[test]
fn a_batch_at_the_end_of_the_range() {
    for format in [BatchFormat::Packed, BatchFormat::Separate] {
        let (_dir, wal) = log_at(u64::MAX - 3, Config::durable().batch_format(format));
        let refused = wal.append_batch(["a", "b", "c", "d"]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfRange, "{refused}");
        assert_eq!(wal.next_seq(), u64::MAX - 3, "{format:?}: nothing was appended");
        assert_eq!(wal.append_batch(["a", "b", "c"]).unwrap(), u64::MAX - 3..u64::MAX);
        assert_eq!(wal.range(..).unwrap().filter(Result::is_ok).count(), 3);
    }
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
