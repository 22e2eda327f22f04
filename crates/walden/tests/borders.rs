//! Seq ids that pass 2^32: one that was kept in 32 bits somewhere would be another one behind it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod engine;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use engine::over;
use walden::offline::{self, Target};
use walden::{BatchFormat, Config, Entry, Event, Follower, LogReader, Reader, Start, Wal};

const BORDER: u64 = 1 << 32;

/// What the log holds.
type Model = BTreeMap<u64, Vec<u8>>;

/// A log and what it holds. Of each seq id that is given again, another payload.
struct Log {
    dir: tempfile::TempDir,
    config: Config,
    wal: Wal,
    model: Model,
    fresh: u64,
}

impl Log {
    fn at(first: u64, config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = over(config);
        let wal = Wal::open(dir.path(), config.clone()).unwrap();
        wal.reset(first).unwrap();
        assert_eq!((wal.first_seq(), wal.next_seq(), wal.is_empty()), (first, first, true));
        Self { dir, config, wal, model: Model::new(), fresh: 0 }
    }

    fn payload(&mut self) -> Vec<u8> {
        self.fresh += 1;
        format!("the {}th that was appended", self.fresh).into_bytes()
    }

    /// Single entries, up to before `next`.
    fn append_up_to(&mut self, next: u64) {
        while self.wal.next_seq() < next {
            let (seq, payload) = (self.wal.next_seq(), self.payload());
            assert_eq!(self.wal.append(&payload).unwrap(), seq);
            self.model.insert(seq, payload);
        }
    }

    fn append_batch(&mut self, count: u64) {
        let first = self.wal.next_seq();
        let payloads: Vec<_> = (0..count).map(|_| self.payload()).collect();
        let seqs = self.wal.append_batch(&payloads).unwrap();
        assert_eq!(seqs, first..first + count);
        self.model.extend(seqs.zip(payloads));
    }

    fn truncate_front(&mut self, first: u64) {
        self.wal.truncate_front(first).unwrap();
        self.model.retain(|seq, _| *seq >= first);
        assert_eq!(self.wal.first_seq(), first);
    }

    fn truncate_back(&mut self, last: u64) {
        self.wal.truncate_back(last).unwrap();
        self.model.retain(|seq, _| *seq <= last);
        assert_eq!(self.wal.last_seq(), Some(last));
    }

    fn reopen(&mut self) {
        self.wal.close().unwrap();
        self.wal = Wal::open(self.dir.path(), self.config.clone()).unwrap();
    }

    /// As it is, by who reads it beside the writer, when it was opened again, and by all of its bytes.
    fn check(&mut self) {
        check(&self.model, &Own(&self.wal));
        self.wal.flush().unwrap();
        check(&self.model, &Another(self.dir.path()));
        self.reopen();
        check(&self.model, &Own(&self.wal));
        check(&self.model, &Another(self.dir.path()));
        let target = Target::on_disk(self.dir.path(), "segment");
        let verified = offline::verify(&target, &mut |_| {}).unwrap();
        assert!(!verified.is_damaged(), "{verified:?}");
    }
}

/// The log by its writer, or as another process reads it.
trait Read {
    fn ends(&self) -> (u64, u64);
    fn get(&self, seq: u64) -> Option<Entry>;
    fn range(&self, from: u64, to: u64) -> walden::Entries;
    fn reader_at(&self, seq: u64) -> Reader;
    fn follow(&self, seq: u64) -> Follower;
    fn times(&self, from: u64, to: u64) -> Vec<(u64, SystemTime)>;
}

struct Own<'a>(&'a Wal);
struct Another<'a>(&'a Path);

macro_rules! read {
    ($name:ident, $log:ident => $to:expr) => {
        impl Read for $name<'_> {
            fn ends(&self) -> (u64, u64) {
                let $log = self;
                ($to.first_seq(), $to.next_seq())
            }
            fn get(&self, seq: u64) -> Option<Entry> {
                let $log = self;
                $to.get(seq).unwrap()
            }
            fn range(&self, from: u64, to: u64) -> walden::Entries {
                let $log = self;
                $to.range(from..to).unwrap()
            }
            fn reader_at(&self, seq: u64) -> Reader {
                let $log = self;
                $to.reader_at(seq).unwrap()
            }
            fn follow(&self, seq: u64) -> Follower {
                let $log = self;
                $to.follow(seq).unwrap()
            }
            fn times(&self, from: u64, to: u64) -> Vec<(u64, SystemTime)> {
                let $log = self;
                $to.append_times(from..to)
            }
        }
    };
}

read!(Own, log => log.0);
read!(Another, log => LogReader::open(log.0).unwrap());

fn pair(entry: Entry) -> (u64, Vec<u8>) {
    (entry.seq, entry.payload.to_vec())
}

fn check(model: &Model, log: &impl Read) {
    let first = *model.first_key_value().unwrap().0;
    let next = model.last_key_value().unwrap().0 + 1;
    assert_eq!(log.ends(), (first, next));
    // Where it begins and ends, about the border and some steps from it.
    let near = |at: u64| (at.saturating_sub(40)..at + 40).step_by(3);
    let seqs: Vec<u64> = near(first)
        .chain(BORDER - 9..BORDER + 9)
        .chain(near(next))
        .filter(|seq| model.contains_key(seq))
        .collect();
    for seq in &seqs {
        assert_eq!(log.get(*seq).map(pair), Some((*seq, model[seq].clone())));
    }
    for (from, to) in [(first, next), (first, BORDER), (BORDER - 1, BORDER + 1), (BORDER, next)] {
        let (from, to) = (from.clamp(first, next), to.clamp(first, next));
        let expected: Vec<_> =
            model.range(from..to.max(from)).map(|(s, p)| (*s, p.clone())).collect();
        let found: Vec<_> = log.range(from, to).map(|entry| pair(entry.unwrap())).collect();
        assert!(found == expected, "from {from} to {to}: {found:?}");
        let mut back: Vec<_> =
            log.range(from, to).rev().map(|entry| pair(entry.unwrap())).collect();
        back.reverse();
        assert!(back == expected, "from {from} to {to}, backwards: {back:?}");
    }
    check_readers(model, log, &seqs);
    let times = log.times(first, next);
    assert!(times.iter().all(|(seq, _)| (first..next).contains(seq)), "{times:?}");
    assert!(times.iter().map(|(seq, _)| seq).is_sorted());
}

fn check_readers(model: &Model, log: &impl Read, seqs: &[u64]) {
    let mut reader = log.reader_at(seqs[0]);
    for seq in seqs {
        reader.seek(*seq).unwrap();
        let entry = reader.read_next().unwrap().unwrap();
        assert_eq!((entry.seq, entry.payload), (*seq, &model[seq][..]));
        let entry = reader.read_prev().unwrap().unwrap();
        assert_eq!((entry.seq, entry.payload), (*seq, &model[seq][..]));
        if model.contains_key(&(seq - 1)) {
            assert_eq!(reader.read_prev().unwrap().unwrap().seq, seq - 1);
        }
    }
    let from = seqs[0];
    let mut follower = log.follow(from);
    for (seq, payload) in model.range(from..) {
        let Some(Event::Entry(entry)) = follower.try_next().unwrap() else {
            panic!("no entry {seq}")
        };
        assert_eq!(pair(entry), (*seq, payload.clone()));
    }
    assert!(follower.try_next().unwrap().is_none());
}

fn configs() -> impl Iterator<Item = Config> {
    [BatchFormat::Packed, BatchFormat::Separate].into_iter().flat_map(|format| {
        // The border lies in a small segment or between two, and within a large one that has an index.
        [(Config::durable(), 400), (Config::os_cache(), 64 << 10), (Config::default(), 400)]
            .map(|(config, size)| config.segment_size(size).batch_format(format))
    })
}

/// From just before, by single entries and by batches that end before it, at it and behind it.
#[test]
fn appends_pass_the_border() {
    for config in configs() {
        for (first, batch) in [(5, 0), (5, 5), (5, 9), (3, 4), (1, 1), (1, 2), (150, 0)] {
            let mut log = Log::at(BORDER - first, config.clone());
            if batch > 0 {
                log.append_batch(batch);
            }
            log.append_up_to(BORDER + 3);
            log.append_batch(4);
            log.check();
            log.append_up_to(BORDER + 160);
            log.check();
            assert_eq!(log.wal.durable_seq() + 1, log.wal.next_seq());
        }
    }
}

/// Cuts to either side, from either side, and at the border itself; what is appended again is what is found.
#[test]
fn cuts_at_the_border() {
    for config in configs() {
        let mut log = Log::at(BORDER - 60, config);
        log.append_up_to(BORDER - 2);
        log.append_batch(5);
        log.append_up_to(BORDER + 60);
        for last in [BORDER + 1, BORDER, BORDER - 1, BORDER - 2, BORDER - 20] {
            log.truncate_back(last);
            log.check();
            log.append_up_to(BORDER - 1);
            log.append_batch(3);
            log.append_up_to(BORDER + 30);
            log.check();
        }
        for first in [BORDER - 30, BORDER - 1, BORDER, BORDER + 1, BORDER + 20] {
            log.truncate_front(first);
            log.check();
        }
        log.truncate_back(BORDER + 25);
        log.append_up_to(BORDER + 40);
        log.check();
    }
}

/// A cursor goes over it, is found again there, and goes back with a cut; retention goes by it.
#[test]
fn cursors_and_followers_pass_the_border() {
    for config in configs() {
        let mut log = Log::at(BORDER - 5, config);
        let cursor = log.wal.cursor("c", Start::First).unwrap();
        let mut follower = log.wal.follow(BORDER - 5).unwrap();
        log.append_up_to(BORDER + 5);
        log.wal.sync().unwrap();
        for at in BORDER - 5..BORDER + 3 {
            let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("no {at}") };
            assert_eq!(entry.seq, at);
            cursor.commit(at).unwrap();
            assert_eq!(cursor.position(), at + 1);
        }
        log.wal.sync().unwrap();
        drop((cursor, follower));
        log.reopen();
        let cursor = log.wal.cursor("c", Start::First).unwrap();
        assert_eq!(cursor.position(), BORDER + 3);
        let read = cursor.reader().unwrap().read_next().unwrap().unwrap().seq;
        assert_eq!(read, BORDER + 3);
        let mut follower = log.wal.follow(BORDER + 1).unwrap();
        follower.try_next().unwrap();
        log.truncate_back(BORDER - 2);
        assert!(
            matches!(follower.try_next().unwrap(), Some(Event::Truncated { at }) if at == BORDER - 1)
        );
        assert!(cursor.check().unwrap_err().is_truncated());
        cursor.seek(BORDER - 1).unwrap();
        log.append_up_to(BORDER + 2);
        let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("it ends") };
        assert_eq!(pair(entry), (BORDER - 1, log.model[&(BORDER - 1)].clone()));
        log.wal.sync().unwrap();
        assert!(cursor.follow().unwrap().try_next().unwrap().is_some());
        log.check();
    }
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
