mod tight;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tight::Tight;

use super::*;
use crate::config::{Config, Maintenance, Settings};
use crate::snapshot::View;
use crate::storage::{Latch, LatchedStorage, OsStorage, Storage, SystemClock};
use crate::sync::Arc;

const NOBODY: Compression = Compression::None;

fn settings() -> Config {
    Config::durable().maintenance(Maintenance::Manual).pack_appends(true)
}

fn open(dir: &std::path::Path, config: Config) -> Arc<Log> {
    open_on(dir, config, Arc::new(OsStorage::new()))
}

fn open_on(dir: &std::path::Path, config: Config, storage: Arc<dyn Storage>) -> Arc<Log> {
    let settings = Settings::check(config).unwrap();
    let latch = Arc::new(Latch::default());
    let storage =
        Arc::new(LatchedStorage::new(storage, Arc::clone(&latch), std::path::Path::new("/log")));
    let clock = Arc::new(SystemClock::default());
    let opened = crate::recover::open(dir, &settings, storage, clock).unwrap();
    Log::new(opened, settings, latch).unwrap()
}

fn payload(i: usize) -> Vec<u8> {
    format!("entry {i}, which is much like the others").into_bytes()
}

/// Appends by as many threads as there are payloads while nothing can become durable, so that all but the first gather;
/// then `meanwhile`, and what each was told: [`panicked`] where the append did not come back.
fn gathered(
    log: &Arc<Log>,
    payloads: Vec<(Vec<u8>, Compression)>,
    meanwhile: impl FnOnce(),
) -> Vec<Result<u64>> {
    let (tell, told) = mpsc::channel();
    let count = payloads.len();
    let leader = log.lead();
    let packing = log.packing.as_ref().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for (i, (payload, how)) in payloads.into_iter().enumerate() {
        let (log, tell) = (Arc::clone(log), tell.clone());
        std::thread::spawn(move || {
            let append = AssertUnwindSafe(|| log.append(&[&payload], how));
            let told = catch_unwind(append).unwrap_or_else(|_| Err(panicked()));
            drop(log);
            drop(tell.send((i, told)));
        });
        // One after the other, so that each test knows their order.
        while {
            let state = packing.state.lock();
            !state.leading || state.waiting.len() < i
        } {
            assert!(Instant::now() < deadline, "they gather");
            std::thread::yield_now();
        }
    }
    meanwhile();
    drop(leader);
    let mut results: Vec<(usize, Result<u64>)> = (0..count)
        .map(|_| told.recv_timeout(Duration::from_secs(60)).expect("nobody hangs"))
        .collect();
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

fn panicked() -> Error {
    Error::new(ErrorKind::Unsupported, "it panicked")
}

fn held(log: &Arc<Log>) -> Vec<Vec<u8>> {
    let view: Arc<dyn View> = Arc::clone(log) as Arc<dyn View>;
    let all = crate::read::range(&view, &(..)).unwrap();
    all.map(|entry| entry.unwrap().payload.to_vec()).collect()
}

fn plain(count: usize) -> Vec<(Vec<u8>, Compression)> {
    (0..count).map(|i| (payload(i), NOBODY)).collect()
}

#[test]
fn those_who_wait_share_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), settings());
    let told = gathered(&log, plain(20), || {});
    let seqs: Vec<u64> = told.into_iter().map(Result::unwrap).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    assert_eq!(held(&log), (0..20).map(payload).collect::<Vec<_>>());
    let stats = log.stats();
    assert_eq!((stats.appends, stats.entries, stats.packed, stats.durable), (2, 20, 19, 21));
    // Who comes alone is alone.
    assert_eq!(log.append(&[b"a", b"lone"], NOBODY).unwrap(), 21);
    assert_eq!((log.stats().appends, log.stats().packed), (3, 19));
}

/// Each can be cut off behind the one before it, and cut at the front.
#[test]
fn each_is_cut_for_itself() {
    for last in 1..=12 {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), settings());
        gathered(&log, plain(12), || {});
        log.truncate_front(last / 2 + 1).unwrap();
        log.truncate_back(last).unwrap();
        let kept = usize::try_from(last / 2).unwrap()..usize::try_from(last).unwrap();
        assert_eq!(held(&log), kept.map(payload).collect::<Vec<_>>());
        assert_eq!(log.append(&[b"next"], NOBODY).unwrap(), last + 1);
        crate::close::close(&log).unwrap();
        drop(log);
        let log = open(dir.path(), settings());
        assert_eq!(held(&log).len() as u64, last - last / 2 + 1);
    }
}

/// They share a record with those alone who are to be stored alike, and what fits.
#[test]
fn what_does_not_go_together_is_parted() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), settings().max_record_size(8000));
    let codecs = [Compression::Lz4, Compression::Snappy, Compression::Zstd { level: 1 }];
    let other = codecs.into_iter().find(|codec| codec.is_available()).unwrap_or(NOBODY);
    let mut payloads = plain(4);
    payloads.extend((4..8).map(|i| (payload(i), other)));
    payloads.extend((8..12).map(|i| (vec![b'a' + u8::try_from(i).unwrap(); 3000], NOBODY)));
    let all: Vec<Vec<u8>> = payloads.iter().map(|(payload, _)| payload.clone()).collect();
    for (i, told) in gathered(&log, payloads, || {}).into_iter().enumerate() {
        assert_eq!(told.unwrap(), i as u64 + 1);
    }
    assert_eq!(held(&log), all);
    // The first alone, three, four and up to two large ones at a time; without a codec they are all alike.
    let stats = log.stats();
    let least = if other == NOBODY { 3 } else { 4 };
    assert!((least..=6).contains(&stats.appends) && stats.packed >= 9, "{stats:?}");
    // What is too large for the log fails alone, and what is too large to be copied goes alone.
    assert_eq!(log.append(&[&[0; 8001]], NOBODY).unwrap_err().kind(), ErrorKind::TooLarge);
    let log = open(tempfile::tempdir().unwrap().path(), settings());
    assert_eq!(log.append(&[&[0; 100_000]], NOBODY).unwrap(), 1);
}

/// Where no space can be reserved, a shared record may have its seq ids and find the disk full: each is told its own, and
/// none is appended twice.
#[test]
fn what_waits_for_room_is_in_the_log_once() {
    for writes in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Tight::new();
        let log = open_on(dir.path(), settings(), Arc::new(disk.clone()));
        let told = gathered(&log, plain(10), || disk.full_after(writes));
        let kept: Vec<u64> = told
            .iter()
            .map(|told| match told {
                Ok(seq) => *seq,
                Err(error) => {
                    assert!(error.is_out_of_space(), "{error}");
                    error.seq().unwrap_or(0)
                }
            })
            .collect();
        let expected: Vec<u64> = match writes {
            // Those behind the first were refused, and have none.
            0 => [1].into_iter().chain([0; 9]).collect(),
            _ => (1..=10).collect(),
        };
        assert_eq!(kept, expected, "{writes} writes");
        let well = told.iter().filter(|told| told.is_ok()).count();
        assert_eq!(well, [0, 1, 10][usize::try_from(writes).unwrap()]);
        disk.full_after(u64::MAX);
        assert_eq!(
            log.append(&[b"there is room again"], NOBODY).unwrap() + 1,
            log.watermark.appended()
        );
        let mut all: Vec<Vec<u8>> =
            (0..10).zip(expected).filter(|(_, seq)| *seq > 0).map(|(i, _)| payload(i)).collect();
        all.push(b"there is room again".to_vec());
        assert_eq!(held(&log), all, "{writes} writes");
    }
}

/// A failure is told to all, and nobody is left behind.
#[test]
fn whoever_waits_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), settings());
    let told = gathered(&log, plain(10), || {
        drop(log.latch.fail(&Error::new(ErrorKind::Io, "the disk is gone")));
    });
    assert!(told.into_iter().all(|told| told.is_err_and(|error| error.is_poisoned())));
    assert!(log.append(&[b"more"], NOBODY).unwrap_err().is_poisoned());
    let state = log.packing.as_ref().unwrap().state.lock();
    assert!(!state.leading && state.waiting.is_empty() && state.done.is_empty());
}

/// A thread that does not come back leaves the way free, and those it appended for are told.
#[test]
fn a_thread_that_panics_is_not_waited_for() {
    let packing = Packing::new();
    for i in 0..3 {
        packing.put(&[&payload(i)], NOBODY);
    }
    let mut state = packing.state.lock();
    state.leading = true;
    let waiting = state.take(MOST_BYTES);
    assert_eq!((waiting.len(), state.waiting.len()), (3, 0));
    drop(state);
    let done = Appended { seqs: 1..2, era: 0, came: crate::write::submit::Came::Buffered };
    drop(Lead { packing: &packing, waiting, results: vec![Ok(done)] });
    let state = packing.state.lock();
    let told: Vec<bool> = state.done.values().map(Result::is_ok).collect();
    assert_eq!((state.leading, told), (false, vec![true, false, false]));
}

/// So it is where the thread panics in a sync, with what it appended in the log: they are not told that nothing happened.
#[test]
fn what_was_appended_by_a_thread_that_panics_is_in_doubt() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Tight::new());
    let log = open_on(dir.path(), settings(), Arc::new(disk.clone()));
    let told = gathered(&log, plain(10), || disk.panic_in_sync(2));
    let kinds: Vec<Option<ErrorKind>> =
        told.iter().map(|told| told.as_ref().err().map(Error::kind)).collect();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!(kinds[0], None, "one sync was done");
    assert_eq!(count(Some(panicked().kind())), 1, "{kinds:?}");
    assert_eq!(count(Some(ErrorKind::Poisoned)), 8, "{kinds:?}");
    drop(crate::close::close(&log));
    assert_eq!(held(&open(dir.path(), settings())).len(), 10, "found after reopening");
}

/// The last seq ids go to those who come first.
#[test]
fn few_seq_ids_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), settings());
    log.reset(u64::MAX - 4).unwrap();
    let told = gathered(&log, plain(6), || {});
    let seqs: Vec<Option<u64>> = told.iter().map(|told| told.as_ref().ok().copied()).collect();
    let given = (u64::MAX - 4..u64::MAX).map(Some);
    assert_eq!(seqs, given.chain([None, None]).collect::<Vec<_>>());
    for error in told.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
    }
    assert_eq!(held(&log), (0..4).map(payload).collect::<Vec<_>>());
}
