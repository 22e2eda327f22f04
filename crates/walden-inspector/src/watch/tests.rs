use std::time::{Duration, Instant};

use walden::{Config, Wal};

use super::history::History;
use super::{Seen, Watch};

fn log(dir: &std::path::Path) -> Wal {
    let wal = Wal::open(dir, Config::os_cache()).unwrap();
    wal.append("a").unwrap();
    wal
}

#[test]
fn what_is_seen_grows_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let wal = log(dir.path());
    let watch = Watch::open(dir.path(), "segment").unwrap();
    assert_eq!((watch.seen().entries(), watch.samples().len()), (1, 1));
    let looking = watch.keep_looking(Duration::from_millis(5)).unwrap();
    wal.append("bc").unwrap();
    let begun = Instant::now();
    while watch.samples().last().unwrap().next_seq != 3 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(looking);
    let looks = watch.samples().len();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(watch.samples().len(), looks, "it looks no more");
    // The segments are looked at more seldom than the rest.
    while watch.look().bytes() != 28 + 1 + 28 + 2 {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(watch.samples().last().unwrap().appended_bytes, 30);
}

#[test]
fn the_segments_can_be_left_for_later() {
    let dir = tempfile::tempdir().unwrap();
    let wal = log(dir.path());
    let watch = Watch::open_unlisted(dir.path(), "segment").unwrap();
    let seen = watch.seen();
    assert_eq!((seen.first_seq, seen.next_seq, watch.samples().len()), (1, 2, 0));
    assert!(seen.outline.is_some() && seen.segments.as_ref().unwrap().is_empty());
    wal.append("bc").unwrap();
    let seen = watch.look();
    assert_eq!((seen.next_seq, seen.segments.as_ref().unwrap().len()), (3, 1));
    // What was there before the first sample did not come since.
    assert_eq!(watch.samples().last().unwrap().appended_bytes, 0);
}

#[test]
fn no_log_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let none = Watch::open(dir.path(), "segment").unwrap_err();
    assert_eq!(none.kind(), walden::ErrorKind::NotFound);
    let none = Watch::open(dir.path().join("none"), "segment").unwrap_err();
    assert_eq!(none.kind(), walden::ErrorKind::NotFound);
    log(dir.path()).close().unwrap();
    assert!(Watch::open(dir.path(), "other").is_err());
    assert!(Watch::open_unlisted(dir.path(), "other").is_err());
    assert!(Watch::open(dir.path(), "../other").is_err());
    std::fs::write(dir.path().join("file"), "x").unwrap();
    assert!(Watch::open(dir.path().join("file"), "segment").unwrap().seen().problem.is_some());
}

#[test]
fn how_long_entries_wait_to_be_durable() {
    let dir = tempfile::tempdir().unwrap();
    drop(log(dir.path()));
    let seen = (*Watch::open(dir.path(), "segment").unwrap().seen()).clone();
    let begun = Instant::now();
    let mut history = History::default();
    let mut look = |seconds, next_seq, durable_seq| {
        let seen = Seen { first_seq: 1, next_seq, durable_seq, ..seen.clone() };
        history.add(&seen, begun + Duration::from_secs(seconds));
        history.samples().last().unwrap().waits.as_secs()
    };
    assert_eq!(look(0, 11, 10), 0, "all is durable");
    assert_eq!(look(1, 21, 10), 0, "seen for the first time");
    assert_eq!(look(3, 31, 10), 2);
    assert_eq!(look(4, 31, 15), 3, "16 was seen at 1");
    assert_eq!(look(5, 31, 20), 2, "21 was seen at 3");
    assert_eq!(look(6, 31, 30), 0);
    assert_eq!(look(7, 41, 30), 0);
    // A cut takes what waited away.
    assert_eq!(look(9, 35, 30), 0);
    assert_eq!(look(10, 35, 30), 1);
}

#[test]
fn a_log_that_cannot_be_read_is_not_looked_at_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).close().unwrap();
    std::fs::write(dir.path().join("segment.manifest"), "nothing").unwrap();
    let watch = Watch::open(dir.path(), "segment").unwrap();
    assert!(watch.seen().problem.is_some() && watch.seen().outline.is_some());
    assert_eq!(watch.seen().known_bytes(), None);
    let slow = *super::lock(&watch.0.slow);
    let (last, _) = slow.expect("that it was looked at, and for how long");
    // As if that had taken long: it is told again, and not looked for again.
    *super::lock(&watch.0.slow) = Some((last, Duration::from_secs(9)));
    std::fs::remove_file(dir.path().join("segment.manifest")).unwrap();
    let kind = watch.look().problem.as_ref().map(walden::Error::kind);
    assert_eq!(kind, Some(walden::ErrorKind::Corrupt));
    assert_eq!(super::lock(&watch.0.slow).map(|(at, _)| at), Some(last));
}
