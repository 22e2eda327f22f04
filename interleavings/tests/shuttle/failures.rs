//! Leaders that fail or panic.

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use walden::{Config, ErrorKind, Maintenance, SyncStrategy};

use crate::appends::{Acked, holds, payloads};
use crate::disk::{OnPurpose, Slow, config};
use crate::{explore, panics};

/// Three threads append; who is refused is told the cause; nothing acknowledged is lost; nobody hangs. Returns how
/// many threads panicked.
fn append_on(slow: &Slow, config: Config, goes_wrong: impl FnOnce(&Slow)) -> usize {
    let wal = slow.open(config.clone());
    goes_wrong(slow);
    let threads: Vec<_> = (0..3_u8)
        .map(|who| {
            let wal = wal.clone();
            thread::spawn(move || {
                panics(|| {
                    let mut acked = Acked::new();
                    for payload in payloads(who, 2, 20) {
                        match wal.append(&payload) {
                            Ok(seq) => drop(acked.insert(seq, payload)),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                                break;
                            }
                        }
                    }
                    acked
                })
            })
        })
        .collect();
    let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let panicked = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    let found = slow.after_power_cut(config);
    outcomes.iter().flatten().for_each(|acked| holds(&found, acked));
    assert!(wal.append("x").unwrap_err().is_poisoned());
    panicked
}

#[test]
fn a_leader_that_fails() {
    explore(|| {
        let slow = Slow::new();
        let fails = |slow: &Slow| slow.fail_sync(thread_rng().gen_range(1..=2));
        assert_eq!(append_on(&slow, config(), fails), 0);
    });
}

/// The failure may meet who seals a segment, or who waits for room.
#[test]
fn a_sync_that_fails_while_segments_rotate() {
    explore(|| {
        let slow = Slow::new();
        let fails = |slow: &Slow| slow.fail_sync(thread_rng().gen_range(1..=3));
        assert_eq!(append_on(&slow, config().segment_size(90), fails), 0);
    });
}

/// The same with the log's own thread sealing meanwhile.
#[test]
fn a_sync_that_fails_beside_the_logs_thread() {
    explore(|| {
        let slow = Slow::new();
        let fails = |slow: &Slow| slow.fail_sync(thread_rng().gen_range(1..=3));
        let config = config().segment_size(90).maintenance(Maintenance::Thread);
        assert_eq!(append_on(&slow, config, fails), 0);
    });
}

#[test]
fn a_leader_that_panics() {
    explore(|| {
        let slow = Slow::new();
        let panics = |slow: &Slow| slow.panic_in_sync(thread_rng().gen_range(1..=2));
        assert!(append_on(&slow, config(), panics) <= 1);
    });
}

/// A disk that is full when bytes with seq ids are to be written, and has room again later: nothing that was
/// given a seq id is lost, and those who wait are served in the end.
#[test]
fn a_full_disk() {
    explore(|| {
        let slow = Slow::new();
        slow.disk.set_allocate_supported(false);
        let os_cache = config().sync_strategy(SyncStrategy::OsCache);
        let wal = slow.open(os_cache.clone());
        wal.append(vec![0; 3000]).unwrap();
        slow.disk.set_capacity(Some(slow.disk.used()));
        let threads: Vec<_> = (1..3_u8)
            .map(|who| {
                let wal = wal.clone();
                thread::spawn(move || {
                    for _ in 0..3 {
                        match wal.append(vec![who; 700]) {
                            Ok(_) => {}
                            Err(error) => assert!(error.is_out_of_space(), "{error}"),
                        }
                        thread::yield_now();
                    }
                })
            })
            .collect();
        slow.disk.set_capacity(None);
        let synced = wal.sync();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(synced.is_ok() || synced.unwrap_err().is_out_of_space());
        wal.sync().unwrap();
        wal.append("room again").unwrap();
        wal.sync().unwrap();
        let found = slow.after_power_cut(os_cache);
        assert_eq!(found.len() as u64, wal.next_seq() - 1, "all that has a seq id");
    });
}

/// Closed while bytes wait for room, which go: nobody is told that theirs are there.
#[test]
fn closed_on_a_full_disk() {
    for strategy in [SyncStrategy::OsCache, SyncStrategy::Always] {
        explore(move || {
            let slow = Slow::new();
            slow.disk.set_allocate_supported(false);
            let config = config().sync_strategy(strategy);
            let wal = slow.open(config.clone());
            wal.append(vec![0; 3000]).unwrap();
            slow.disk.set_capacity(Some(slow.disk.used()));
            let threads: Vec<_> = (1..3_u8)
                .map(|who| {
                    let wal = wal.clone();
                    let append = move |_| wal.append(vec![who; 700]).ok();
                    thread::spawn(move || (0..3).map(append).collect::<Vec<_>>())
                })
                .collect();
            drop(wal.close());
            let told: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
            slow.disk.set_capacity(None);
            let kill = Slow { disk: slow.disk.fork(), ..Slow::new() };
            let wal = kill.open(config);
            for seq in told.into_iter().flatten() {
                assert!(seq < wal.next_seq(), "{seq} was acknowledged");
            }
        });
    }
}

/// Tickets of all kinds when the sync fails: each is told.
#[test]
fn tickets_of_a_leader_that_fails() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().maintenance(Maintenance::Thread));
        slow.fail_sync(1);
        let tickets: Vec<_> = (0..3).map(|i| wal.submit(format!("{i}")).unwrap()).collect();
        let (told, hear) = shuttle::sync::mpsc::channel();
        let mut tickets = tickets.into_iter();
        let [waits, polled, called] = std::array::from_fn(|_| tickets.next().unwrap());
        let waiting = thread::spawn(move || waits.wait().is_err());
        let polling = thread::spawn(move || shuttle::future::block_on(polled).is_err());
        called.on_complete(move |outcome| told.send(outcome.is_err()).unwrap());
        assert!(waiting.join().unwrap());
        assert!(polling.join().unwrap());
        assert!(hear.recv().unwrap());
    });
}

/// A callback that panics keeps no one behind it from being told.
#[test]
fn a_callback_that_panics() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().maintenance(Maintenance::Thread));
        let tickets: Vec<_> = (0..2).map(|i| wal.submit(format!("{i}")).unwrap()).collect();
        let (told, hear) = shuttle::sync::mpsc::channel();
        let mut tickets = tickets.into_iter();
        let first = tickets.next().unwrap();
        // Where the outcome is known already, the callback is called, and panics, here.
        panics(|| first.on_complete(|_| std::panic::resume_unwind(Box::new(OnPurpose))));
        tickets.next().unwrap().on_complete(move |outcome| told.send(outcome).unwrap());
        assert_eq!(hear.recv().unwrap().unwrap(), 2..3);
    });
}
