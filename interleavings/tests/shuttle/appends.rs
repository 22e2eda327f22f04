//! Appends of several threads: group commit, rotation, closing.

use std::collections::BTreeMap;
use std::ops::Range;

use shuttle::thread::{self, JoinHandle};
use walden::{Config, Entry, Maintenance, SyncStrategy, Wal};

use crate::disk::{Slow, background, config};
use crate::explore;

/// What was acknowledged, by seq id.
pub(crate) type Acked = BTreeMap<u64, Vec<u8>>;

/// A thread that appends `payloads` until one is refused.
pub(crate) fn appending(wal: &Wal, payloads: Vec<Vec<u8>>) -> JoinHandle<Acked> {
    let wal = wal.clone();
    thread::spawn(move || {
        let mut acked = Acked::new();
        for payload in payloads {
            match wal.append(&payload) {
                Ok(seq) => drop(acked.insert(seq, payload)),
                Err(_) => break,
            }
        }
        acked
    })
}

pub(crate) fn payloads(who: u8, count: u8, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| [vec![who, i], vec![who; len]].concat()).collect()
}

pub(crate) fn joined(threads: impl IntoIterator<Item = JoinHandle<Acked>>) -> Acked {
    let mut all = Acked::new();
    for thread in threads {
        for (seq, payload) in thread.join().unwrap() {
            assert!(all.insert(seq, payload).is_none(), "seq id {seq} was given twice");
        }
    }
    all
}

/// All that was acknowledged is there, as it was appended.
pub(crate) fn holds(entries: &[Entry], acked: &Acked) {
    for (seq, payload) in acked {
        let found = entries.iter().find(|entry| entry.seq == *seq);
        assert_eq!(found.map(|entry| &entry.payload[..]), Some(&payload[..]), "seq id {seq}");
    }
}

fn append_at_once(config: Config, threads: Range<u8>, each: u8, len: usize) {
    let slow = Slow::new();
    let wal = slow.open(config.clone());
    let threads: Vec<_> = threads.map(|who| appending(&wal, payloads(who, each, len))).collect();
    let count = threads.len() * usize::from(each);
    let acked = joined(threads);
    assert_eq!(acked.len(), count);
    assert_eq!(acked.keys().copied().collect::<Vec<_>>(), (1..=count as u64).collect::<Vec<_>>());
    holds(&slow.after_power_cut(config.clone()), &acked);
    wal.close().unwrap();
    holds(&slow.after_power_cut(config), &acked);
}

/// Whoever leads syncs for all; nobody is told too early, nobody sleeps for ever.
#[test]
fn group_commit() {
    explore(|| append_at_once(config(), 0..3, 2, 8));
}

/// Every second record begins a segment: room is made, complete segments are sealed, and what is behind is not
/// durable before what is in front.
#[test]
fn rotation() {
    explore(|| append_at_once(config().segment_size(90), 0..2, 4, 20));
}

/// The same with the log's own thread making room and sealing.
#[test]
fn rotation_by_the_logs_thread() {
    let config = || config().segment_size(90).maintenance(Maintenance::Thread);
    explore(move || append_at_once(config(), 0..3, 2, 20));
}

/// Written at once, without the buffer: small ones under `OsCache`, large ones always.
#[test]
fn records_that_are_written_through() {
    explore(|| {
        let slow = Slow::new();
        let os_cache = config().sync_strategy(SyncStrategy::OsCache).segment_size(20_000);
        let wal = slow.open(os_cache.clone());
        let threads = [
            appending(&wal, payloads(1, 2, 9)),
            appending(&wal, payloads(2, 1, 17 << 10)),
            appending(&wal, payloads(3, 2, 9)),
        ];
        let syncing = wal.clone();
        let syncing = thread::spawn(move || {
            syncing.sync().unwrap();
            syncing.durable_seq()
        });
        let acked = joined(threads);
        let durable = syncing.join().unwrap();
        assert_eq!(acked.len(), 5);
        let found = slow.after_power_cut(os_cache.clone());
        holds(&found, &acked.clone().into_iter().filter(|(seq, _)| *seq <= durable).collect());
        wal.close().unwrap();
        holds(&slow.after_power_cut(os_cache), &acked);
    });
}

/// What is told to be durable survives a power cut at that moment, whatever comes to which segment during a sync.
#[test]
fn what_is_told_durable_is() {
    explore(|| {
        let slow = Slow::new();
        let config = || background().segment_size(90).maintenance(Maintenance::Manual);
        let wal = slow.open(config());
        let threads = [(); 2].map(|()| {
            let wal = wal.clone();
            thread::spawn(move || {
                for payload in payloads(1, 3, 20) {
                    wal.append(payload).unwrap();
                    wal.flush().unwrap();
                }
            })
        });
        for _ in 0..3 {
            wal.sync().unwrap();
            let durable = wal.durable_seq();
            let found = slow.after_power_cut(config());
            assert!(found.len() as u64 >= durable, "{durable} was durable, {} is", found.len());
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// What an append returned for can be read at once, though it is in a buffer.
#[test]
fn reading_ones_own_appends() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(background());
        let threads: Vec<_> = (0..2_u8)
            .map(|who| {
                let wal = wal.clone();
                thread::spawn(move || {
                    for payload in payloads(who, 3, 4) {
                        let seq = wal.append(&payload).unwrap();
                        let found = wal.get(seq).unwrap().expect("it was appended");
                        assert_eq!(found.payload, payload);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let all = wal.range(..).unwrap().map(|entry| entry.unwrap().seq);
        assert_eq!(all.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    });
}

/// Closing while others append: each append is durable or refused, and none hangs.
#[test]
fn close_while_others_append() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().segment_size(120));
        let threads = [appending(&wal, payloads(1, 3, 20)), appending(&wal, payloads(2, 3, 20))];
        let closing = wal.clone();
        let disk = slow.disk.clone();
        let closing = thread::spawn(move || {
            closing.close().unwrap();
            disk.mutations()
        });
        let acked = joined(threads);
        let calls = closing.join().unwrap();
        assert_eq!(slow.disk.mutations(), calls, "the folder may be another writer's by then");
        assert!(wal.append("x").unwrap_err().is_closed());
        holds(&slow.after_power_cut(config()), &acked);
    });
}
