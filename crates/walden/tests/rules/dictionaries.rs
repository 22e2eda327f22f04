//! A dictionary is on disk before a record needs it.

use std::cell::Cell;

use walden::offline::prune_dictionaries;
use walden::{Compression, SyncStrategy};
use walden_sim::{Action, EIO, Fault, OpKind, SectorTear};

use crate::support::{Lab, every_stop};

const SIZE: u64 = 1024;

fn line(i: u64) -> Vec<u8> {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30;
    format!("{{\"level\":\"info\",\"request\":{mixed},\"path\":\"/a/path/that/is/asked/for\",\"ms\":{}}}", mixed % 700)
        .into_bytes()
}

fn lab() -> Lab {
    let mut lab = Lab::new(SyncStrategy::Always, 20_000);
    lab.config = lab.config.compression(Compression::Zstd { level: 1 });
    let wal = lab.open();
    for i in 1..=400 {
        wal.append(line(i)).unwrap();
        drop(wal.tick());
    }
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    lab
}

/// Cut off at each call from training on, what was acknowledged is read (section 4.1).
#[test]
fn cut_off_at_every_call() {
    let lab = lab();
    for tear in [SectorTear::Whole, SectorTear::Changed] {
        lab.disk.set_sector_tear(tear);
        let acknowledged = Cell::new(0);
        let needed = Cell::new(0);
        let stops = every_stop(
            &lab,
            20,
            |lab| {
                acknowledged.set(400);
                let Ok(wal) = lab.try_open() else { return };
                drop(wal.train_dictionary(SIZE));
                for i in 401..=404 {
                    if wal.append(line(i)).is_ok() {
                        acknowledged.set(i);
                    }
                }
                std::mem::forget(wal);
            },
            |found, stop| {
                let wal = found.open();
                assert!(wal.next_seq() > acknowledged.get(), "call {stop}");
                for entry in wal.range(..).unwrap() {
                    let entry = entry.unwrap_or_else(|error| panic!("call {stop}: {error}"));
                    assert_eq!(entry.payload, line(entry.seq));
                }
                needed.set(needed.get() + u64::from(!wal.dictionaries().unwrap().is_empty()));
                // One that a crash left half made is no dictionary, and not in the way of the next.
                wal.train_dictionary(SIZE).unwrap();
                let seq = wal.append(line(wal.next_seq())).unwrap();
                assert_eq!(wal.get(seq).unwrap().unwrap().payload, line(seq));
                std::mem::forget(wal);
                let wal = found.power_cut().open();
                assert!(wal.range(..).unwrap().all(|entry| entry.is_ok()), "call {stop}");
            },
        );
        assert!(stops > 10 && needed.get() > 5, "{stops} calls, {} with one", needed.get());
    }
}

/// It is durable when training returns, whatever else is not.
#[test]
fn what_was_trained_is_on_disk() {
    let lab = lab();
    let wal = lab.open();
    let made = wal.train_dictionary(SIZE).unwrap();
    std::mem::forget(wal);
    for seed in 0..50 {
        let found = lab.power_cut_by(seed).open().dictionaries().unwrap();
        assert_eq!(found.first(), Some(&made));
    }
    assert_eq!(lab.power_cut().open().dictionaries().unwrap(), [made]);
}

/// One that was put there by hand is synced before it is written with.
#[test]
fn one_that_was_found_is_on_disk_first() {
    let lab = lab();
    let elsewhere = lab.with(lab.disk.fork());
    let wal = elsewhere.open();
    let made = wal.train_dictionary(SIZE).unwrap();
    let file = wal.dictionary(made.id).unwrap();
    std::mem::forget(wal);
    let name = made.path.file_name().unwrap().to_str().unwrap();
    // As `cp` does it: nothing is synced.
    let storage: &dyn walden::storage::Storage = &lab.disk;
    storage.create(&lab.path(name)).unwrap().write_at(&file, 0).unwrap();
    let wal = lab.open();
    let seq = wal.append(line(401)).unwrap();
    std::mem::forget(wal);
    for seed in 0..50 {
        let wal = lab.power_cut_by(seed).open();
        assert_eq!(wal.get(seq).unwrap().unwrap().payload, line(401), "seed {seed}");
    }
    let wal = lab.power_cut().open();
    assert_eq!(wal.get(seq).unwrap().unwrap().payload, line(401));
    assert_eq!(wal.dictionaries().unwrap().len(), 1);
}

/// The same where frames bring the records that need it.
#[test]
fn one_that_frames_need_is_on_disk_first() {
    let lab = lab();
    let source = lab.with(lab.disk.fork());
    let wal = source.open();
    let made = wal.train_dictionary(SIZE).unwrap();
    let file = wal.dictionary(made.id).unwrap();
    wal.append(line(401)).unwrap();
    let frames = wal.frames(401, 1 << 20).unwrap().unwrap();
    let name = made.path.file_name().unwrap().to_str().unwrap();
    for looked_at in [false, true] {
        let lab = lab.with(lab.disk.fork());
        let storage: &dyn walden::storage::Storage = &lab.disk;
        storage.create(&lab.path(name)).unwrap().write_at(&file, 0).unwrap();
        let wal = lab.open();
        if looked_at {
            assert_eq!(wal.dictionaries().unwrap().len(), 1);
        }
        assert_eq!(wal.append_frames(&frames).unwrap(), 401..402);
        std::mem::forget(wal);
        for seed in 0..50 {
            let wal = lab.power_cut_by(seed).open();
            assert_eq!(wal.get(401).unwrap().unwrap().payload, line(401), "seed {seed}");
        }
        let wal = lab.power_cut().open();
        assert_eq!(wal.get(401).unwrap().unwrap().payload, line(401));
    }
}

/// Section 5: "only then acts on it": a cut that was in the cache only is on disk before a dictionary goes that only what
/// was cut needs.
#[test]
fn no_dictionary_goes_by_a_cut_that_was_in_the_cache_only() {
    let lab = lab();
    let wal = lab.open();
    let first = wal.train_dictionary(SIZE).unwrap();
    wal.append(line(401)).unwrap();
    let second = wal.train_dictionary(2 * SIZE).unwrap();
    assert_ne!(first.id, second.id);
    let fault = Fault::new(Action::Error(EIO)).on([OpKind::SyncData]).suffix(".manifest");
    lab.disk.add_fault(fault.nth(1));
    assert!(wal.truncate_back(400).unwrap_err().is_poisoned());
    std::mem::forget(wal);
    let lab = lab.kill();
    let pruned = prune_dictionaries(&lab.target(), &mut |_| {}).unwrap();
    assert_eq!(pruned.removed, [lab.path(first.path.file_name().unwrap().to_str().unwrap())]);
    let wal = lab.power_cut().open();
    for entry in wal.range(..).unwrap() {
        let entry = entry.unwrap_or_else(|error| panic!("LOSS: {error}"));
        assert_eq!(entry.payload, line(entry.seq));
    }
}

/// A full disk leaves no dictionary, and a log that goes on.
#[test]
fn no_room_for_a_dictionary() {
    let lab = lab();
    let wal = lab.open();
    lab.disk.set_capacity(Some(lab.disk.used()));
    let error = wal.train_dictionary(64 << 10).unwrap_err();
    assert!(error.is_out_of_space(), "{error}");
    assert!(wal.dictionaries().unwrap().is_empty() && lab.names(".new").is_empty());
    lab.disk.set_capacity(None);
    wal.append(line(401)).unwrap();
    wal.train_dictionary(SIZE).unwrap();
    let seq = wal.append(line(402)).unwrap();
    assert_eq!(wal.get(seq).unwrap().unwrap().payload, line(402));
}
