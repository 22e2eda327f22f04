//! Those who wait for what comes: followers, and the periodic sync that no one asks for.

use shuttle::thread;
use walden::{Event, Follower, LogReader, Maintenance};

use crate::appends::{appending, joined, payloads};
use crate::disk::{Slow, background, config};
use crate::explore;

fn next(follower: &mut Follower) -> u64 {
    match follower.next_blocking().unwrap() {
        Event::Entry(entry) => entry.seq,
        other => panic!("{other:?}"),
    }
}

/// A follower gets each entry once, in order, whoever appends.
#[test]
fn a_follower() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        let mut follower = wal.follow(1).unwrap();
        let following =
            thread::spawn(move || (0..4).map(|_| next(&mut follower)).collect::<Vec<_>>());
        let threads = [appending(&wal, payloads(1, 2, 9)), appending(&wal, payloads(2, 2, 9))];
        joined(threads);
        assert_eq!(following.join().unwrap(), [1, 2, 3, 4]);
    });
}

/// One that wants durable entries alone never sees one that is not; and across segments.
#[test]
fn a_follower_of_durable_entries() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().segment_size(90));
        let mut follower = wal.follow(1).unwrap().durable_only();
        let watched = wal.clone();
        let following = thread::spawn(move || {
            for seq in 1..=4 {
                assert_eq!(next(&mut follower), seq);
                assert!(watched.durable_seq() >= seq);
            }
        });
        let tickets: Vec<_> = (0..2_u8).map(|i| wal.submit([i; 20]).unwrap()).collect();
        let threads = [appending(&wal, payloads(2, 2, 20))];
        tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
        joined(threads);
        following.join().unwrap();
    });
}

/// A follower that waits is told that the log was closed.
#[test]
fn a_follower_of_a_log_that_closes() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        let mut follower = wal.follow(1).unwrap();
        let following = thread::spawn(move || follower.next_blocking().unwrap_err().is_closed());
        wal.close().unwrap();
        assert!(following.join().unwrap());
    });
}

/// The log's thread syncs what nobody waits for: the last append, too, whenever it comes.
#[test]
fn the_periodic_sync_sees_every_append() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(background());
        let mut follower = wal.follow(1).unwrap().durable_only();
        let threads = [appending(&wal, payloads(1, 2, 9)), appending(&wal, payloads(2, 1, 9))];
        // Nobody but the log's own thread makes anything durable.
        for seq in 1..=3 {
            assert_eq!(next(&mut follower), seq);
        }
        joined(threads);
        assert_eq!(slow.after_power_cut(config()).len(), 3);
    });
}

/// As the last, with tickets that nobody waits for, in `Always`.
#[test]
fn the_periodic_sync_sees_tickets_that_are_dropped() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().maintenance(Maintenance::Thread));
        let mut follower = wal.follow(1).unwrap().durable_only();
        let threads: Vec<_> = (0..2_u8)
            .map(|i| {
                let wal = wal.clone();
                thread::spawn(move || drop(wal.submit([i; 5]).unwrap()))
            })
            .collect();
        assert_eq!([next(&mut follower), next(&mut follower)], [1, 2]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Two readers of the same read-only log, beside a writer that appends and cuts: each sees a beginning of one
/// history, without a gap.
#[test]
fn readers_of_another_process() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        for i in 0..3_u8 {
            wal.append([b'a', i]).unwrap();
        }
        let log = LogReader::open_with("/log", "segment", std::sync::Arc::new(slow)).unwrap();
        let log = std::sync::Arc::new(log);
        let threads = [(); 2].map(|()| {
            let log = std::sync::Arc::clone(&log);
            thread::spawn(move || {
                log.refresh().unwrap();
                let mut next = 1;
                for entry in log.range(..).unwrap() {
                    match entry {
                        Ok(entry) => assert_eq!(entry.seq, next),
                        Err(error) => {
                            assert!(error.is_truncated(), "{error}");
                            break;
                        }
                    }
                    next += 1;
                }
            })
        });
        wal.truncate_back(1).unwrap();
        wal.append([b'b', 0]).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        log.refresh().unwrap();
        let found = log.range(..).unwrap().map(|entry| entry.unwrap().payload);
        assert_eq!(found.collect::<Vec<_>>(), [&[b'a', 0][..], &[b'b', 0]]);
    });
}
