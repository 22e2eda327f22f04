//! Readers beside a writer that appends, cuts, seals and is opened again: nothing of another history, no
//! gap, nothing twice. Once through the log itself, once as another process would read it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail them")]

mod engine;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::over;
use walden::{
    BatchFormat, Config, Entry, ErrorKind, Event, Follower, LogReader, Mode, Reader, Result,
    SyncStrategy, Wal,
};

/// Numbers that look random, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What should be in the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Model {
    first: u64,
    entries: VecDeque<Vec<u8>>,
}

impl Model {
    fn next(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).unwrap()
    }
}

fn config() -> Config {
    over(Config::os_cache())
        .mode(Mode::Debug)
        .segment_size(700)
        .sync_strategy(SyncStrategy::OsCache)
        .batch_format(BatchFormat::Packed)
        .sync_interval(Duration::from_millis(2))
}

/// One step of the writer; `serial` makes every payload unlike any other.
fn step(wal: &mut Wal, dir: &Path, model: &mut Model, dice: &mut Dice, serial: &mut u64) {
    let mut payload = || {
        *serial += 1;
        format!("{serial}-").repeat(usize::try_from(1 + *serial * 7 % 30).unwrap()).into_bytes()
    };
    match dice.below(24) {
        0 if !model.entries.is_empty() => {
            let first = model.first + dice.below(model.next() - model.first + 1);
            wal.truncate_front(first).unwrap();
            while model.first < first {
                model.entries.pop_front();
                model.first += 1;
            }
        }
        1 | 2 if !model.entries.is_empty() => {
            let keep = model.entries.len()
                - usize::try_from(dice.below(12)).unwrap().min(model.entries.len());
            model.entries.truncate(keep);
            wal.truncate_back(model.next() - 1).unwrap();
        }
        3 if dice.below(6) == 0 => {
            let next = model.next() + dice.below(5);
            wal.reset(next).unwrap();
            *model = Model { first: next, entries: VecDeque::new() };
        }
        4 if dice.below(3) == 0 => {
            wal.close().unwrap();
            *wal = Wal::open(dir, config()).unwrap();
        }
        5..=9 => {
            let batch: Vec<Vec<u8>> = (0..1 + dice.below(8)).map(|_| payload()).collect();
            wal.append_batch(&batch).unwrap();
            model.entries.extend(batch);
        }
        _ => {
            let payload = payload();
            assert_eq!(wal.append(&payload).unwrap(), model.next());
            model.entries.push_back(payload);
        }
    }
}

fn check(model: &Model, first: u64, next: u64, entries: Vec<Result<Entry>>, context: &str) {
    assert_eq!((first, next), (model.first, model.next()), "{context}");
    let entries: Vec<Entry> = entries.into_iter().map(|entry| entry.unwrap()).collect();
    let read: Vec<(u64, Vec<u8>)> = entries.iter().map(|e| (e.seq, e.payload.to_vec())).collect();
    let wanted: Vec<(u64, Vec<u8>)> = (model.first..).zip(model.entries.iter().cloned()).collect();
    assert_eq!(read, wanted, "{context}");
}

#[test]
fn each_step_is_seen_by_readers() {
    for seed in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let mut wal = Wal::open(dir.path(), config()).unwrap();
        let kept = LogReader::open(dir.path()).unwrap();
        let mut model = Model { first: 1, entries: VecDeque::new() };
        let (mut dice, mut serial) = (Dice(seed), 0);
        for at in 0..120 {
            step(&mut wal, dir.path(), &mut model, &mut dice, &mut serial);
            let context = format!("seed {seed}, step {at}");
            let entries = wal.range(..).unwrap().collect();
            check(&model, wal.first_seq(), wal.next_seq(), entries, &context);
            kept.refresh().unwrap();
            let entries = kept.range(..).unwrap().collect();
            check(&model, kept.first_seq(), kept.next_seq(), entries, &context);
            assert!(kept.durable_seq() < kept.next_seq(), "{context}");
            if at % 10 == 0 {
                let fresh = LogReader::open(dir.path()).unwrap();
                let mut entries: Vec<_> = fresh.range(..).unwrap().rev().collect();
                entries.reverse();
                check(&model, fresh.first_seq(), fresh.next_seq(), entries, &context);
            }
        }
        wal.close().unwrap();
    }
}

/// Follows until `stop` and then to the end; returns what was seen, as far as it was not cut.
fn follow(make: impl Fn() -> Result<Follower>, stop: &AtomicBool) -> VecDeque<(u64, Vec<u8>)> {
    let mut seen: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut follower = loop {
        // The first entry may be removed in between.
        if let Ok(follower) = make() {
            break follower;
        }
    };
    // After a reset the log goes on anywhere.
    let mut anywhere = false;
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        match follower.next_timeout(Duration::from_millis(3)) {
            Ok(Some(Event::Entry(entry))) => {
                match seen.back() {
                    Some((last, _)) if anywhere && entry.seq > last + 1 => seen.clear(),
                    Some((last, _)) => assert_eq!(entry.seq, last + 1),
                    None => {}
                }
                anywhere = false;
                seen.push_back((entry.seq, entry.payload.to_vec()));
            }
            Ok(Some(Event::Truncated { at })) => {
                assert!(seen.back().is_none_or(|(last, _)| at <= *last), "{at} was never given");
                anywhere = true;
                while seen.back().is_some_and(|(seq, _)| *seq >= at) {
                    seen.pop_back();
                }
            }
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) if stopping => return seen,
            Ok(None) => {}
            // Too slow for the front: begin anew.
            Err(error) if matches!(error.kind(), ErrorKind::Removed | ErrorKind::BeyondEnd) => {
                seen.clear();
                if let Ok(new) = make() {
                    follower = new;
                }
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn ends_with(model: &Model, seen: &VecDeque<(u64, Vec<u8>)>) {
    let wanted: Vec<(u64, Vec<u8>)> = (model.first..).zip(model.entries.iter().cloned()).collect();
    let seen: Vec<(u64, Vec<u8>)> =
        seen.iter().filter(|(seq, _)| *seq >= model.first).cloned().collect();
    assert!(wanted.ends_with(&seen), "{seen:?} {wanted:?}");
    assert!(wanted.is_empty() || !seen.is_empty());
}

#[test]
fn followers_beside_a_writer() {
    for seed in 100..103 {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), config()).unwrap();
        let log = LogReader::open(dir.path()).unwrap();
        let shared = Arc::new(Mutex::new(wal));
        let stop = AtomicBool::new(false);
        let model = std::thread::scope(|scope| {
            let foreign = scope.spawn(|| follow(|| log.follow(log.first_seq()), &stop));
            let foreign_reader = scope.spawn(|| read_on(log.reader(), || log.first_seq(), &stop));
            let mut model = Model { first: 1, entries: VecDeque::new() };
            let (mut dice, mut serial) = (Dice(seed), 0);
            for _ in 0..600 {
                let mut wal = shared.lock().unwrap();
                step(&mut wal, dir.path(), &mut model, &mut dice, &mut serial);
            }
            for _ in 0..3 {
                shared.lock().unwrap().append("end").unwrap();
                model.entries.push_back(b"end".to_vec());
            }
            stop.store(true, Ordering::SeqCst);
            ends_with(&model, &foreign.join().unwrap());
            foreign_reader.join().unwrap();
            model
        });
        let entries = log.range(..).unwrap().collect();
        check(&model, log.first_seq(), log.next_seq(), entries, &format!("seed {seed}"));
    }
}

/// Reads in both directions; every error must be one that a cut or a removal explains.
fn read_on(mut reader: Reader, first: impl Fn() -> u64, stop: &AtomicBool) {
    let mut dice = Dice(1);
    while !stop.load(Ordering::SeqCst) {
        let result = if dice.below(3) == 0 {
            reader.read_prev().map(|entry| entry.map(|entry| entry.seq))
        } else {
            reader.read_next().map(|entry| entry.map(|entry| entry.seq))
        };
        match result {
            Ok(_) => {}
            Err(error) => {
                assert!(error.is_truncated() || error.is_removed(), "{error:?}");
                drop(reader.seek(first()));
            }
        }
    }
}

#[test]
fn followers_of_a_log_in_this_process() {
    for seed in 200..203 {
        let dir = tempfile::tempdir().unwrap();
        let mut wal = Wal::open(dir.path(), config()).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reading = wal.clone();
            let stop = &stop;
            let follower = scope.spawn({
                let wal = reading.clone();
                move || follow(|| wal.follow(wal.first_seq()), stop)
            });
            let reader = scope.spawn(move || {
                read_on(reading.reader(), || reading.first_seq(), stop);
            });
            let mut model = Model { first: 1, entries: VecDeque::new() };
            let (mut dice, mut serial) = (Dice(seed), 0);
            for _ in 0..600 {
                // Closing would end what is followed.
                let before = dice.0;
                if dice.below(24) != 4 {
                    dice.0 = before;
                    step(&mut wal, dir.path(), &mut model, &mut dice, &mut serial);
                }
            }
            wal.append("end").unwrap();
            model.entries.push_back(b"end".to_vec());
            stop.store(true, Ordering::SeqCst);
            ends_with(&model, &follower.join().unwrap());
            reader.join().unwrap();
        });
    }
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
