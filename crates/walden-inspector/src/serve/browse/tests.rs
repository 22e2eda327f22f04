use std::time::Duration;

use walden::{Config, LogReader, Wal};

use super::{Bounds, Needle, Page, Way, browse, within};

const WIDE: Bounds = Bounds {
    entries: 1000,
    preview: 100,
    scanned: u64::MAX,
    bytes: u64::MAX,
    time: Duration::from_secs(60),
};

fn log(entries: u64) -> (tempfile::TempDir, LogReader) {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
    wal.append_batch((1..=entries).map(|n| format!("entry {n}"))).unwrap();
    wal.close().unwrap();
    let reader = LogReader::open(dir.path()).unwrap();
    (dir, reader)
}

fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn each_bound_ends_a_page_and_the_next_one_goes_on() {
    let (_dir, log) = log(1000);
    for bounds in [
        Bounds { entries: 7, ..WIDE },
        Bounds { scanned: 7, ..WIDE },
        Bounds { bytes: 50, ..WIDE },
        Bounds { time: Duration::ZERO, ..WIDE },
    ] {
        for forward in [true, false] {
            let mut all = Vec::new();
            let mut way = if forward { Way::From(0) } else { Way::Before(u64::MAX) };
            let mut pages = 0;
            loop {
                let page = browse(&log, way, None, &bounds).unwrap();
                assert!(!page.entries.is_empty(), "{bounds:?}: no progress");
                pages += 1;
                if forward {
                    all.extend(seqs(&page));
                } else {
                    all.splice(0..0, seqs(&page));
                }
                match page.next {
                    Some(next) if forward => way = Way::From(next),
                    Some(next) => way = Way::Before(next),
                    None => break,
                }
            }
            assert_eq!(all, (1..=1000).collect::<Vec<_>>(), "{bounds:?}");
            assert!(pages > 3, "{bounds:?} bounds nothing");
        }
    }
}

#[test]
fn needles() {
    let (_dir, log) = log(300);
    let find = |needle: &[u8], ignore_case| {
        let needle = Needle::new(needle, ignore_case);
        seqs(&browse(&log, Way::From(1), Some(&needle), &WIDE).unwrap())
    };
    assert_eq!(find(b"entry 29", false), [29, 290, 291, 292, 293, 294, 295, 296, 297, 298, 299]);
    assert_eq!(find(b"TRY 300", true), [300]);
    assert_eq!(find(b"TRY 300", false), [] as [u64; 0]);
}

#[test]
fn an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    Wal::open(dir.path(), Config::os_cache()).unwrap().close().unwrap();
    let log = LogReader::open(dir.path()).unwrap();
    for way in [Way::From(0), Way::From(u64::MAX), Way::Before(0), Way::Before(u64::MAX)] {
        let page = browse(&log, way, None, &WIDE).unwrap();
        assert_eq!((page.entries.len(), page.next, page.problem.is_none()), (0, None, true));
    }
}

/// Between the question where the log ends and the opening there, it is cut.
#[test]
fn a_log_that_is_cut_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
    for _ in 0..9 {
        wal.append("x").unwrap();
    }
    let log = LogReader::open(dir.path()).unwrap();
    let mut cuts = [7, 4].into_iter();
    let open = std::cell::RefCell::new(|at| {
        if let Some(last) = cuts.next() {
            wal.truncate_back(last).unwrap();
        }
        log.reader_at(at)
    });
    for at in [Some(99), None] {
        let (reader, first, next) = within(&log, at, |at| (open.borrow_mut())(at)).unwrap();
        assert_eq!((reader.position(), first, next), (5, 1, 5));
    }
}
