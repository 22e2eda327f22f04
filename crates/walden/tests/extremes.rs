//! Numbers at the end of their range.

mod engine;

use engine::over;
use walden::{Config, ErrorKind, Wal};

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

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
