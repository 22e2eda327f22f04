//! Calls in any order, on a disk that fails, fills up and loses power, against the model.

mod consumers;
mod reopen;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use walden::{
    BatchFormat, Config, Error, ErrorKind, Maintenance, Retention, SyncStrategy, Ticket, Wal,
};
use walden_sim::{Action, CrashPlan, EIO, ENOSPC, Fault, OpKind, SimClock, SimDisk};

use self::consumers::{Consumers, Use};
use crate::model::Model;

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Setup {
    strategy: u8,
    segment_size: u8,
    buffer_size: u8,
    separate: bool,
    allocates: bool,
}

#[derive(Debug, Arbitrary)]
enum Op {
    Append(u8),
    /// Longer than a segment, perhaps; or long enough to be written at once.
    Long(u16),
    Batch(u8, u8),
    Submit(u8),
    Wait(u8),
    Sync,
    Flush,
    Tick,
    Advance(u16),
    TruncateFront(u8),
    TruncateBack(u8),
    Reset(u16),
    Retain(u8),
    Meta(u8, u8),
    Get(u8),
    Read,
    Close,
    Kill,
    PowerCut(u64),
    /// What fails: which calls, which of them, whether once.
    Fail {
        what: u8,
        full: bool,
        nth: u8,
        once: bool,
    },
    Mend,
    Capacity(u8),
    /// A power cut in the middle of the calls that follow.
    StopAfter(u8, u64),
}

/// A cut of which it is not known whether it happened.
#[derive(Debug, Clone, Copy)]
enum Doubt {
    Front(u64),
    Back(u64),
    Reset(u64),
    Retained,
}

struct Run {
    setup: Setup,
    disk: SimDisk,
    clock: SimClock,
    /// `None`: it is not open.
    log: Option<Wal>,
    model: Model,
    doubts: Vec<Doubt>,
    /// Metadata that was being set when a call failed.
    meta_doubt: Option<(Vec<u8>, Vec<u8>)>,
    tickets: VecDeque<Ticket>,
    fresh: u64,
    stop_seed: u64,
    /// A fault or a limit was set since opening, and no sync has shown since that it is over.
    disturbed: bool,
    limited: bool,
    consumers: Consumers,
    /// Which strategy the next opening has.
    next_strategy: u8,
}

/// A call, or one who reads: apart, so that what is stored for calls alone stays what it was.
#[derive(Debug, Arbitrary)]
enum Step {
    Call(Op),
    Use(Use),
}

impl Step {
    fn next(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        Self::arbitrary(bytes)
    }
}

/// Whatever is called in whatever order, the log is what the model says.
///
/// # Panics
/// Where it is not.
pub fn run(data: &[u8]) {
    run_steps(data, |bytes| Op::arbitrary(bytes).map(Step::Call));
}

/// The same with readers, followers and cursors among the calls, and another strategy after an opening.
///
/// # Panics
/// Where it is not.
pub fn run_consumers(data: &[u8]) {
    run_steps(data, Step::next);
}

fn run_steps(data: &[u8], next: fn(&mut Unstructured<'_>) -> arbitrary::Result<Step>) {
    let mut bytes = Unstructured::new(data);
    let Ok(setup) = Setup::arbitrary(&mut bytes) else { return };
    crate::show(&setup);
    let clock = SimClock::new(7);
    let disk = SimDisk::with_clock(clock.clone());
    disk.set_allocate_supported(setup.allocates);
    let mut run = Run {
        setup,
        disk,
        clock,
        log: None,
        model: Model::new(),
        doubts: Vec::new(),
        meta_doubt: None,
        tickets: VecDeque::new(),
        fresh: 0,
        stop_seed: 0,
        disturbed: false,
        limited: false,
        consumers: Consumers::default(),
        next_strategy: setup.strategy,
    };
    run.open(Ended::Closed);
    let mut left = 4 * crate::MOST;
    while left > 0 && !bytes.is_empty() {
        let Ok(step) = next(&mut bytes) else { break };
        crate::show(&step);
        match step {
            Step::Call(op) => run.step(&op),
            Step::Use(what) => run.consume(what),
        }
        run.end_if_stopped();
        left -= 1;
    }
    run.end(Ended::Killed);
    run.read_all();
}

/// How the last opening ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Closed,
    Killed,
    PowerCut(u64),
}

impl Run {
    fn config(&self) -> Config {
        let strategy = match self.setup.strategy % 3 {
            0 => SyncStrategy::Always,
            1 => SyncStrategy::OsCache,
            _ => SyncStrategy::Background,
        };
        let format = if self.setup.separate { BatchFormat::Separate } else { BatchFormat::Packed };
        Config::durable()
            .sync_strategy(strategy)
            .segment_size(60 + 4 * u64::from(self.setup.segment_size))
            .buffer_size(1 + u64::from(self.setup.buffer_size))
            .batch_format(format)
            .maintenance(Maintenance::Manual)
    }

    fn strategy(&self) -> u8 {
        self.setup.strategy % 3
    }

    fn log(&self) -> Option<Wal> {
        self.log.clone()
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.fresh += 1;
        let mut payload = self.fresh.to_string().into_bytes();
        while payload.len() < len {
            payload.push((payload.len() as u64 * self.fresh) as u8);
        }
        payload
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Kill => self.end(Ended::Killed),
            Op::PowerCut(seed) => self.end(Ended::PowerCut(*seed)),
            Op::Close => self.end(Ended::Closed),
            Op::Advance(ms) => self.clock.advance(Duration::from_millis(u64::from(*ms))),
            Op::Fail { what, full, nth, once } => self.fail(*what, *full, *nth, *once),
            Op::Mend => self.disk.clear_faults(),
            Op::Capacity(blocks) => {
                let blocks = u64::from(*blocks);
                let used = self.disk.used();
                self.limited = blocks < 128;
                self.disturbed |= self.limited;
                self.disk.set_capacity(self.limited.then_some(used + blocks % 8 * 4096));
            }
            Op::StopAfter(n, seed) => {
                self.stop_seed = *seed;
                self.disk.stop_after(u64::from(*n) + 1);
            }
            _ => self.call(op),
        }
    }

    fn end_if_stopped(&mut self) {
        if self.disk.stopped() {
            self.end(Ended::PowerCut(self.stop_seed));
        }
    }

    /// Nothing keeps a call from what it is to do.
    fn is_healthy(&self) -> bool {
        !self.disturbed && !self.disk.stopped()
    }

    /// `result` is no failure where nothing failed.
    fn must<T>(&self, what: &str, result: &Result<T, Error>) {
        if let Err(error) = result {
            assert!(!self.is_healthy(), "nothing failed, and {what} did: {error}");
        }
    }

    fn fail(&mut self, what: u8, full: bool, nth: u8, once: bool) {
        let ops: &[OpKind] = match what % 8 {
            0 => &[OpKind::Write],
            1 => &OpKind::SYNCS,
            2 => &[OpKind::SyncDir],
            3 => &[OpKind::Create, OpKind::Rename, OpKind::Remove],
            4 => &[OpKind::Read],
            5 => &[OpKind::Allocate],
            6 => &[OpKind::SetLen],
            _ => &[OpKind::Open, OpKind::List, OpKind::Lock],
        };
        let rule = Fault::new(Action::Error(if full { ENOSPC } else { EIO })).on(ops.to_vec());
        let nth = u64::from(nth) + 1;
        self.disturbed = true;
        self.disk.add_fault(if once { rule.nth(nth) } else { rule.from_nth(nth) });
    }

    fn call(&mut self, op: &Op) {
        let Some(log) = self.log() else { return };
        match op {
            Op::Append(len) => self.append(&log, vec![usize::from(*len)], false),
            Op::Long(len) => self.append(&log, vec![usize::from(*len) % 20_000], false),
            Op::Batch(count, len) => {
                let len = usize::from(*len);
                let lens = (0..usize::from(*count % 6)).map(|i| len * i % 97).collect();
                self.append(&log, lens, true);
            }
            Op::Submit(len) => self.submit(&log, usize::from(*len)),
            Op::Wait(at) => self.wait(usize::from(*at)),
            Op::Sync => {
                let (next, synced) = (self.model.next(), log.sync());
                self.must("a sync", &synced);
                if synced.is_ok() && self.doubts.is_empty() {
                    assert!(log.durable_seq() + 1 >= next, "synced, and it is not durable");
                    self.disturbed &= self.limited || !self.disk.faults().is_empty();
                }
            }
            Op::Flush => {
                let flushed = log.flush();
                self.must("a flush", &flushed);
                if flushed.is_ok() && self.doubts.is_empty() {
                    self.model.written = self.model.next();
                }
            }
            Op::Tick => self.must("upkeep", &log.tick()),
            Op::TruncateFront(part) => self.truncate_front(&log, *part),
            Op::TruncateBack(part) => self.truncate_back(&log, *part),
            Op::Reset(next) => self.reset(&log, u64::from(*next) + 1),
            Op::Retain(keep) => self.retain(&log, u64::from(*keep % 4)),
            Op::Meta(key, len) => self.set_meta(&log, *key, usize::from(*len)),
            Op::Get(part) => self.get(&log, *part),
            _ => self.read_all(),
        }
        self.note(&log);
    }

    /// What the log says to be durable must be there from now on.
    fn note(&mut self, log: &Wal) {
        if self.doubts.is_empty() {
            let durable = log.durable_seq() + 1;
            assert!(durable <= self.model.next(), "durable beyond the end");
            self.model.durable = self.model.durable.max(durable);
            self.model.written = self.model.written.max(durable);
        }
    }

    /// A position in the log.
    fn position(&self, part: u8) -> u64 {
        self.model.first + (self.model.entries.len() as u64 * u64::from(part)).div_ceil(255)
    }

    fn append(&mut self, log: &Wal, lens: Vec<usize>, batch: bool) {
        let payloads: Vec<_> = lens.into_iter().map(|len| self.payload(len)).collect();
        let (before, count) = (log.next_seq(), payloads.len() as u64);
        let result = match batch {
            true => log.append_batch(&payloads),
            false => log.append(&payloads[0]).map(|seq| seq..seq + 1),
        };
        self.appended(log, payloads, before);
        self.must("an append", &result);
        match result {
            Ok(seqs) if self.doubts.is_empty() => {
                assert_eq!((seqs.start, seqs.end), (before, before + count));
                match self.strategy() {
                    0 if count > 0 => {
                        assert!(log.durable_seq() + 1 >= seqs.end, "Always, and not durable");
                    }
                    1 if count > 0 => self.model.written = self.model.next(),
                    _ => {}
                }
            }
            Err(error) if error.kind() == ErrorKind::OutOfSpace && error.seq().is_none() => {
                assert_eq!(log.next_seq(), before, "refused with nothing done: {error}");
            }
            _ => {}
        }
    }

    /// As many of `payloads` have seq ids as the log says.
    fn appended(&mut self, log: &Wal, mut payloads: Vec<Vec<u8>>, before: u64) {
        let count = (log.next_seq() - before) as usize;
        assert!(count <= payloads.len());
        let atomic = !self.setup.separate;
        assert!(!atomic || count == 0 || count == payloads.len(), "half a batch");
        payloads.truncate(count);
        self.model.append(payloads, atomic);
    }

    fn submit(&mut self, log: &Wal, len: usize) {
        let payloads = vec![self.payload(len)];
        let before = log.next_seq();
        let ticket = log.try_submit(&payloads[0]);
        self.appended(log, payloads, before);
        match ticket {
            Ok(ticket) => {
                assert_eq!(ticket.seqs(), before..before + 1);
                self.tickets.push_back(ticket);
            }
            // Too much is on its way.
            Err(error) if error.kind() == ErrorKind::Busy => {}
            refused => self.must("submitting", &refused),
        }
    }

    fn wait(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.tickets.len()) else { return };
        let Some(ticket) = self.tickets.remove(at) else { return };
        let waited = ticket.wait();
        if !waited.as_ref().is_err_and(Error::is_truncated) {
            self.must("waiting", &waited);
        }
        if let Ok(seqs) = waited
            && self.doubts.is_empty()
            && let Some(log) = &self.log
        {
            assert!(log.durable_seq() + 1 >= seqs.end, "a ticket means durable");
        }
    }

    /// A cut was refused or failed. Where the log failed with it, only opening again will tell whether it happened;
    /// else the log itself says.
    fn failed(&mut self, log: &Wal, doubt: Doubt) {
        assert!(!self.is_healthy(), "nothing failed, and {doubt:?} did");
        if log.flush().is_err_and(|error| error.is_poisoned()) {
            self.doubts.push(doubt);
            return;
        }
        let (first, next) = (log.first_seq(), log.next_seq());
        let before = (self.model.first, self.model.next());
        if (first, next) == before || !self.doubts.is_empty() {
            return;
        }
        match doubt {
            Doubt::Front(at) if (first, next) == (at, before.1) => self.model.cut_front(at),
            Doubt::Back(at) if (first, next) == (before.0, at) => self.cut_back(at),
            Doubt::Reset(at) if (first, next) == (at, at) => self.empty(at),
            Doubt::Retained if next == before.1 && first > before.0 => self.model.cut_front(first),
            _ => panic!("{doubt:?} of {before:?} left {:?}", (first, next)),
        }
    }

    fn cut_back(&mut self, next: u64) {
        self.model.cut_back(next);
        self.consumers.cut(next);
    }

    fn empty(&mut self, next: u64) {
        self.model.reset(next);
        self.consumers.emptied();
    }

    fn truncate_front(&mut self, log: &Wal, part: u8) {
        let first = self.position(part);
        match log.truncate_front(first) {
            Ok(()) if self.doubts.is_empty() => self.model.cut_front(first),
            Ok(()) => assert_eq!(first, self.model.first, "the log has failed, and was cut"),
            Err(_) => self.failed(log, Doubt::Front(first)),
        }
    }

    fn truncate_back(&mut self, log: &Wal, part: u8) {
        let next = self.position(part);
        match log.truncate_back(next - 1) {
            Ok(()) => {
                assert!(self.doubts.is_empty(), "the log has failed, and was cut");
                self.cut_back(next);
            }
            Err(_) => self.failed(log, Doubt::Back(next)),
        }
    }

    fn reset(&mut self, log: &Wal, next: u64) {
        match log.reset(next) {
            Ok(()) => {
                assert!(self.doubts.is_empty(), "the log has failed, and was reset");
                self.empty(next);
            }
            Err(_) => self.failed(log, Doubt::Reset(next)),
        }
    }

    fn retain(&mut self, log: &Wal, keep: u64) {
        let result = log.retain(&Retention::keep_all().max_segments(keep));
        match result {
            Ok(_) if self.doubts.is_empty() => {
                let first = log.first_seq();
                assert!(first >= self.model.first && first <= self.model.next());
                assert!(first <= self.consumers.held().max(self.model.first), "past a cursor");
                self.model.cut_front(first);
            }
            Ok(_) => {}
            Err(_) => self.failed(log, Doubt::Retained),
        }
    }

    fn set_meta(&mut self, log: &Wal, key: u8, len: usize) {
        let (key, value) = (vec![key % 4], self.payload(len)[..len.min(1)].to_vec());
        let put = |meta: &mut BTreeMap<Vec<u8>, Vec<u8>>, key, value: Vec<u8>| {
            drop(if value.is_empty() { meta.remove(&key) } else { meta.insert(key, value) });
        };
        match log.set_meta(&key, &value) {
            Ok(()) => put(&mut self.model.meta, key, value),
            Err(error) if self.is_healthy() => panic!("nothing failed, and metadata did: {error}"),
            Err(error) if error.is_poisoned() => {
                self.meta_doubt.get_or_insert((key, value));
            }
            Err(_) => {
                let found = log.meta(&key).unwrap_or_default();
                let known = self.model.meta.get(&key).cloned().unwrap_or_default();
                assert!(found == known || found == value, "metadata of someone else's");
                put(&mut self.model.meta, key, found);
            }
        }
    }

    fn get(&self, log: &Wal, part: u8) {
        if !self.doubts.is_empty() {
            return;
        }
        let seq = self.position(part);
        let known = self.model.entries.get((seq - self.model.first) as usize);
        match log.get(seq) {
            Ok(None) if known.is_some() => assert!(log.flush().is_err(), "a silent end"),
            Ok(found) => assert_eq!(
                found.map(|entry| entry.payload.to_vec()),
                known.map(|known| known.payload.clone())
            ),
            Err(error) => self.read_failed(&error),
        }
    }

    /// A read fails only for what the disk does, or for bytes that wait in memory.
    fn read_failed(&self, error: &Error) {
        let told = [ErrorKind::Io, ErrorKind::Poisoned, ErrorKind::OutOfSpace];
        assert!(told.contains(&error.kind()), "{error}");
        assert!(!self.is_healthy(), "nothing failed, and reading did: {error}");
        let quiet = self.disk.faults().is_empty() && !self.disk.stopped();
        assert!(!quiet || error.kind() != ErrorKind::Io, "nothing failed, and: {error}");
    }

    fn read_all(&self) {
        let Some(log) = &self.log else { return };
        if !self.doubts.is_empty() {
            return;
        }
        let mut known = self.model.entries.iter();
        for (seq, entry) in (self.model.first..).zip(log.range(..).unwrap()) {
            match entry {
                Ok(entry) => {
                    let known = known.next().map(|known| &known.payload[..]);
                    assert_eq!((entry.seq, Some(&entry.payload[..])), (seq, known));
                }
                Err(error) => return self.read_failed(&error),
            }
        }
        // What a full disk keeps in memory is not read yet; once there is room, it is.
        if known.len() > 0 && log.flush().is_ok() {
            let again = log.range(..).unwrap().filter(Result::is_ok).count();
            assert_eq!(again, self.model.entries.len(), "a silent end");
        }
    }

    fn end(&mut self, how: Ended) {
        let Some(log) = self.log.take() else {
            self.disk.clear_faults();
            return self.open(how);
        };
        let mut how = how;
        match how {
            Ended::Closed => {
                let closed = log.close();
                self.must("closing", &closed);
                if closed.is_ok() && self.doubts.is_empty() {
                    self.model.written = self.model.next();
                    self.model.durable = self.model.next();
                }
                if self.disk.stopped() {
                    how = Ended::PowerCut(self.stop_seed);
                } else {
                    drop(log);
                    self.disk.clear_faults();
                    self.tickets.clear();
                    return self.open(how);
                }
            }
            Ended::Killed | Ended::PowerCut(_) => {}
        }
        let image = match how {
            Ended::PowerCut(seed) => self.disk.crash(&mut CrashPlan::seeded(seed)),
            _ => self.disk.kill(),
        };
        // What the old opening still does, it does to the old disk.
        self.tickets.clear();
        drop(log);
        image.set_allocate_supported(self.setup.allocates);
        self.disk = image;
        self.open(how);
    }
}
