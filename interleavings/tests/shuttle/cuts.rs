//! Cuts at both ends while others append, read and follow.

use std::collections::BTreeMap;

use shuttle::thread;
use walden::{Event, Follower, Wal};
use walden_sim::{Action, ENOSPC, Fault, OpKind};

use crate::appends::{appending, holds, joined, payloads};
use crate::disk::{Slow, config};
use crate::explore;

type Copy = BTreeMap<u64, Vec<u8>>;

fn contents(wal: &Wal) -> Copy {
    wal.range(..)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|e| (e.seq, e.payload.to_vec()))
        .collect()
}

/// Takes all that a follower has to give into `copy`.
fn catch_up(follower: &mut Follower, copy: &mut Copy) {
    while let Some(event) = follower.try_next().unwrap() {
        take(event, copy);
    }
}

fn take(event: Event, copy: &mut Copy) {
    match event {
        Event::Entry(entry) => {
            let next = copy.last_key_value().map_or(1, |(seq, _)| seq + 1);
            assert_eq!(entry.seq, next, "without a gap and without a repetition");
            copy.insert(entry.seq, entry.payload.to_vec());
        }
        Event::Truncated { at } => drop(copy.split_off(&at)),
        other => panic!("{other:?}"),
    }
}

/// `truncate_back` while two append and one follows: seq ids are given again, and whoever holds a copy by following
/// has exactly what the log has.
#[test]
fn truncate_back_while_others_append_and_follow() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        wal.append("1").unwrap();
        wal.append("2").unwrap();
        let mut follower = wal.follow(1).unwrap();
        let threads = [appending(&wal, payloads(1, 2, 9)), appending(&wal, payloads(2, 1, 9))];
        let following = thread::spawn(move || {
            let mut copy = Copy::new();
            for _ in 0..3 {
                if let Some(event) = follower.try_next().unwrap() {
                    take(event, &mut copy);
                }
                thread::yield_now();
            }
            (follower, copy)
        });
        wal.truncate_back(1).unwrap();
        let after = wal.append("after").unwrap();
        let mut acked: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
        for thread in threads {
            for (seq, payload) in thread.join().unwrap() {
                acked.entry(seq).or_default().push(payload);
            }
        }
        let found = contents(&wal);
        assert_eq!(found[&1], b"1");
        assert_eq!(found[&after], b"after", "appended after the cut");
        for (seq, payload) in found.iter().filter(|(seq, _)| ![1, after].contains(seq)) {
            assert!(acked[seq].contains(payload), "seq id {seq} is what someone appended");
        }
        let (mut follower, mut copy) = following.join().unwrap();
        catch_up(&mut follower, &mut copy);
        assert_eq!(copy, found, "the follower's copy is the log");
        let entries = slow.after_power_cut(config());
        let entries: Copy = entries.into_iter().map(|e| (e.seq, e.payload.to_vec())).collect();
        assert_eq!(entries, found, "what is durable is the log");
    });
}

/// A reader and a range that are under way when the log is cut end in entries of the old history or in
/// `Truncated`, never in entries of both.
#[test]
fn truncate_back_while_one_reads() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        for i in 0..4_u8 {
            wal.append([b'a', i]).unwrap();
        }
        let reading = wal.clone();
        let reading = thread::spawn(move || {
            let mut reader = reading.reader();
            let mut seen = Vec::new();
            loop {
                match reader.read_next() {
                    Ok(Some(entry)) => seen.push(entry.payload[0]),
                    Ok(None) => break,
                    Err(error) => {
                        assert!(error.is_truncated(), "{error}");
                        break;
                    }
                }
            }
            assert!(!seen.contains(&b'b') || b"abb".starts_with(&seen), "{seen:?}");
        });
        wal.truncate_back(1).unwrap();
        wal.append([b'b', 0]).unwrap();
        wal.append([b'b', 1]).unwrap();
        reading.join().unwrap();
        assert_eq!(contents(&wal).len(), 3);
    });
}

/// Tickets for what is cut fail; those for what stays, or comes after, do not; nobody hangs.
#[test]
fn tickets_of_what_is_cut() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        wal.append("stays").unwrap();
        let submitting = wal.clone();
        let submitting = thread::spawn(move || {
            let ticket = submitting.submit("cut or not").unwrap();
            (ticket.seqs().start, ticket.wait())
        });
        wal.truncate_back(1).unwrap();
        let (seq, outcome) = submitting.join().unwrap();
        let there = wal.get(seq).unwrap().is_some();
        match outcome {
            // Durable before the cut, and cut then; or appended after it.
            Ok(_) => {}
            Err(error) => assert!(error.is_truncated() && !there, "{error}"),
        }
    });
}

/// A follower that has all there is, and waits, is told of a cut, though nothing is appended after it.
#[test]
fn a_follower_of_what_is_cut() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        wal.append("stays").unwrap();
        wal.append("is cut").unwrap();
        let mut follower = wal.follow(1).unwrap();
        let mut copy = Copy::new();
        catch_up(&mut follower, &mut copy);
        let following = thread::spawn(move || {
            take(follower.next_blocking().unwrap(), &mut copy);
            copy.into_keys().collect::<Vec<_>>()
        });
        wal.truncate_back(1).unwrap();
        assert_eq!(following.join().unwrap(), [1]);
    });
}

/// The front and retention, beside appends and a reader at the front.
#[test]
fn truncate_front_while_others_append_and_read() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().segment_size(90));
        for payload in payloads(0, 4, 20) {
            wal.append(payload).unwrap();
        }
        let threads = [appending(&wal, payloads(1, 2, 20))];
        let reading = wal.clone();
        let reading = thread::spawn(move || {
            let mut last = 0;
            for entry in reading.range(..).unwrap() {
                match entry {
                    Ok(entry) => {
                        assert!(last == 0 || entry.seq == last + 1);
                        last = entry.seq;
                    }
                    Err(error) => assert!(error.is_removed(), "{error}"),
                }
            }
        });
        wal.truncate_front(4).unwrap();
        assert_eq!(wal.first_seq(), 4);
        let acked = joined(threads);
        reading.join().unwrap();
        holds(&slow.after_power_cut(config()), &acked);
        assert!(wal.get(3).unwrap_err().is_removed());
    });
}

/// Cuts at the back, one after the other and against each other, with appends between.
#[test]
fn cuts_against_each_other() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().segment_size(90));
        for payload in payloads(0, 4, 20) {
            wal.append(payload).unwrap();
        }
        let cutting = [2, 1].map(|last| {
            let wal = wal.clone();
            thread::spawn(move || match wal.truncate_back(last) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), walden::ErrorKind::OutOfRange, "{error}"),
            })
        });
        let threads = [appending(&wal, payloads(1, 1, 20))];
        cutting.into_iter().for_each(|thread| thread.join().unwrap());
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        let found = contents(&wal);
        assert_eq!(found[&1], payloads(0, 1, 20)[0]);
        let entries = slow.after_power_cut(config());
        let entries: Copy = entries.into_iter().map(|e| (e.seq, e.payload.to_vec())).collect();
        assert_eq!(entries, found);
    });
}

/// A cut takes the place of an earlier one that waits for room, while appends try to finish that one: there is room
/// again from the third try on, whoever makes that.
#[test]
fn a_cut_behind_one_that_waits_for_room() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config());
        for payload in payloads(0, 4, 20) {
            wal.append(payload).unwrap();
        }
        for nth in [1, 2] {
            let full = Fault::new(Action::Error(ENOSPC)).on([OpKind::Create]).suffix(".next");
            slow.disk.add_fault(full.nth(nth));
        }
        wal.truncate_back(3).unwrap();
        let threads = [1, 2].map(|who| {
            let wal = wal.clone();
            thread::spawn(move || {
                let mut acked = Vec::new();
                for payload in payloads(who, 2, 20) {
                    match wal.append(&payload) {
                        Ok(seq) => acked.push((seq, payload)),
                        Err(error) => assert!(error.is_out_of_space(), "{error}"),
                    }
                }
                acked
            })
        });
        let cutting = wal.clone();
        let cutting = thread::spawn(move || cutting.truncate_back(1));
        cutting.join().unwrap().unwrap();
        // The tries without room may have been this one's.
        let after = (0..3).find_map(|_| wal.append("after").ok()).unwrap();
        let acked: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let found = contents(&wal);
        assert_eq!(found[&1], payloads(0, 1, 20)[0]);
        assert_eq!(found[&after], b"after", "appended after the cut");
        for (seq, payload) in found.iter().filter(|(seq, _)| ![1, after].contains(seq)) {
            assert!(
                acked.contains(&(*seq, payload.clone())),
                "seq id {seq} is what someone appended"
            );
        }
        let entries = slow.after_power_cut(config());
        let entries: Copy = entries.into_iter().map(|e| (e.seq, e.payload.to_vec())).collect();
        assert_eq!(entries, found, "what is durable is the log");
    });
}
