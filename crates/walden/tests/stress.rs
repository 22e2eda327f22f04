//! Everything at once, for a moment: no deadlock, no acknowledged loss, no two entries with one seq id.
#![expect(clippy::print_stderr, reason = "the figures are shown")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod engine;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use engine::over;
use walden::{BatchFormat, Config, ErrorKind, Retention, SyncStrategy, Wal};

/// Fails the test, instead of hanging for ever, if it has not ended in time.
fn within<T: Send + 'static>(seconds: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || drop(done.send(work())));
    wait.recv_timeout(Duration::from_secs(seconds)).expect("ended in time, without a panic")
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_ticket_in_each_of_its_faces() {
    within(60, || {
        for strategy in [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always] {
            let dir = tempfile::tempdir().unwrap();
            let wal =
                Wal::open(dir.path(), over(Config::durable()).sync_strategy(strategy)).unwrap();
            let first = wal.submit("waited for").unwrap();
            assert_eq!(first.seqs(), 1..2);
            assert_eq!(first.wait().unwrap(), 1..2);
            assert!(wal.durable_seq() >= 1, "{strategy:?}");

            let second = wal.submit_batch(["timed", "out", "or not"]).unwrap();
            assert_eq!(second.wait_timeout(Duration::from_secs(30)).unwrap(), Some(2..5));

            assert_eq!(block_on(wal.submit("awaited").unwrap()).unwrap(), 5..6);

            let (told, tell) = mpsc::channel();
            wal.submit("called back").unwrap().on_complete(move |outcome| {
                told.send(outcome).unwrap();
            });
            assert_eq!(tell.recv_timeout(Duration::from_secs(30)).unwrap().unwrap(), 6..7);

            let empty = wal.submit_batch(Vec::<Vec<u8>>::new()).unwrap();
            assert_eq!(empty.wait().unwrap(), 7..7);
            drop(wal.submit("dropped: cancels nothing").unwrap());
            assert_eq!(wal.next_seq(), 8);
            wal.close().unwrap();
            let wal = Wal::open(dir.path(), over(Config::durable())).unwrap();
            assert_eq!(wal.next_seq(), 8);
        }
    });
}

#[test]
fn a_ticket_for_what_was_cut_says_so() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), over(Config::background())).unwrap();
        let kept = wal.submit("kept").unwrap();
        let cut = wal.submit("cut").unwrap();
        wal.truncate_back(1).unwrap();
        assert_eq!(wal.append("another history").unwrap(), 2);
        wal.sync().unwrap();
        assert_eq!(kept.wait().unwrap(), 1..2);
        let error = cut.wait().unwrap_err();
        assert!(error.is_truncated(), "{error}");
        assert_eq!(error.seq(), Some(2));
        assert!(block_on(cut).unwrap_err().is_truncated());
    });
}

#[test]
fn the_last_handle_may_go_in_a_callback() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), over(Config::os_cache())).unwrap();
        let (told, tell) = mpsc::channel();
        let clone = wal.clone();
        wal.submit("x").unwrap().on_complete(move |outcome| {
            drop(clone);
            told.send(outcome.is_ok()).unwrap();
        });
        drop(wal);
        assert!(tell.recv_timeout(Duration::from_secs(30)).unwrap());
        let begun = Instant::now();
        while let Err(error) = Wal::open(dir.path(), over(Config::durable())) {
            assert_eq!(error.kind(), ErrorKind::Locked);
            assert!(begun.elapsed() < Duration::from_secs(20), "the log was closed");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn in_flight_is_limited() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let config =
            over(Config::background()).max_in_flight(1000).sync_interval(Duration::from_secs(60));
        let wal = Wal::open(dir.path(), config).unwrap();
        let mut busy = 0;
        for _ in 0..20 {
            match wal.try_submit([0; 100]) {
                Ok(ticket) => drop(ticket),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy);
                    busy += 1;
                }
            }
        }
        assert_eq!(busy, 12, "eight records of 128 bytes are let in");
        block_on(wal.ready()).unwrap();
        wal.try_submit("let in again").unwrap().wait().unwrap();
        for _ in 0..100 {
            drop(wal.submit([0; 100]).unwrap());
        }
        assert!(wal.stats().bytes_in_flight < 1000 + 128);
    });
}

/// Appenders, batches, tickets, cuts at both ends, resets, metadata and syncs, from many threads.
fn everything(strategy: SyncStrategy, format: BatchFormat, seconds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let limits = Retention::keep_all().max_segments(20);
    let config = over(Config::durable())
        .sync_strategy(strategy)
        .segment_size(16 << 10)
        .buffer_size(4 << 10)
        .batch_format(format)
        .sync_interval(Duration::from_millis(20))
        .retention(limits);
    let wal = Wal::open(dir.path(), config.clone()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let counted = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for kind in 0..10 {
        let (wal, stop, counted) = (wal.clone(), Arc::clone(&stop), Arc::clone(&counted));
        threads.push(std::thread::spawn(move || {
            let mut turn = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let result = match kind {
                    0..4 => wal.append(format!("{kind} {turn}")).map(drop),
                    4 => wal.append_batch(vec![[kind; 90]; 40]).map(drop),
                    5 => wal.submit([1; 300]).and_then(|ticket| ticket.wait()).map(drop),
                    6 => block_on(wal.submit([2; 30]).unwrap()).map(drop),
                    7 => wal.set_meta("turn", turn.to_string()),
                    8 => {
                        std::thread::sleep(Duration::from_millis(7));
                        let last = wal.next_seq().saturating_sub(5).max(wal.first_seq());
                        match turn % 5 {
                            0 => wal.reset(turn * 1000),
                            1 | 2 => wal.truncate_back(last),
                            _ => wal.truncate_front(last),
                        }
                    }
                    _ => wal.sync(),
                };
                match result {
                    Ok(()) => counted.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        let expected = matches!(
                            error.kind(),
                            ErrorKind::Truncated | ErrorKind::OutOfRange | ErrorKind::Removed
                        );
                        assert!(expected, "{error:?}");
                        0
                    }
                };
            }
        }));
    }
    std::thread::sleep(Duration::from_secs(seconds));
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    let stats = wal.stats();
    assert_eq!(stats.waiters, 0);
    eprintln!("{strategy:?}: {} operations, {stats:?}", counted.load(Ordering::Relaxed));
    // What the log's own thread has still to let go must not go between the question and the closing.
    wal.retain(&limits).unwrap();
    let (first, next) = (wal.first_seq(), wal.next_seq());
    wal.close().unwrap();
    let wal = Wal::open(dir.path(), config).unwrap();
    assert_eq!((wal.first_seq(), wal.next_seq()), (first, next));
    let count = wal.range(..).unwrap().inspect(|entry| assert!(entry.is_ok(), "{entry:?}")).count();
    assert_eq!(count as u64, next - first);
}

#[test]
fn everything_at_once() {
    for strategy in [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always] {
        within(120, move || everything(strategy, BatchFormat::Packed, 2));
    }
}

#[test]
fn everything_at_once_with_separate_records() {
    within(120, move || everything(SyncStrategy::OsCache, BatchFormat::Separate, 2));
}

/// Each acknowledged entry is under its seq id, whoever appended it.
#[test]
fn many_threads_one_order() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), over(Config::os_cache()).segment_size(32 << 10)).unwrap();
        let all = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (wal, all) = (&wal, &all);
                scope.spawn(move || {
                    for i in 0..2000 {
                        let payload = format!("{thread}:{i}");
                        let seq = wal.append(&payload).unwrap();
                        assert_eq!(all.lock().unwrap().insert(seq, payload), None);
                    }
                });
            }
        });
        let all = all.into_inner().unwrap();
        assert_eq!(all.len(), 16_000);
        for (entry, (seq, payload)) in wal.range(..).unwrap().zip(all) {
            let entry = entry.unwrap();
            assert_eq!((entry.seq, &entry.payload[..]), (seq, payload.as_bytes()));
        }
    });
}

/// A reset is told to a follower as a truncation, wherever the log goes on.
#[test]
fn a_follower_across_a_reset() {
    within(60, || {
        for next in [3, 500] {
            let dir = tempfile::tempdir().unwrap();
            let wal = Wal::open(dir.path(), over(Config::os_cache())).unwrap();
            wal.append_batch(["a", "b", "c", "d", "e"]).unwrap();
            let mut follower = wal.follow(1).unwrap();
            for _ in 0..4 {
                assert!(matches!(follower.try_next().unwrap(), Some(walden::Event::Entry(_))));
            }
            wal.reset(next).unwrap();
            wal.append("new").unwrap();
            let told: Vec<_> = (0..2).map(|_| follower.next_blocking().unwrap()).collect();
            assert!(
                matches!(&told[..], [walden::Event::Truncated { at }, walden::Event::Entry(entry)]
                    if *at == 1 && entry.seq == next && entry.payload == b"new"[..]),
                "{next}: {told:?}"
            );
        }
    });
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
