//! Runs operations on a log and its model side by side.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walden::{BatchFormat, Config, Error, Maintenance, Retention, SyncStrategy, Wal};
use walden_sim::{CrashPlan, Rng, SimClock, SimDisk};

use crate::model::{InFlight, Model};
use crate::raw;

pub(crate) const DIR: &str = "/log";

/// One thing that is done to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Append(usize),
    Batch(usize, usize),
    Submit(usize),
    Sync,
    Flush,
    Tick,
    Wait,
    Front(u64),
    Back(u64),
    Reset(u64),
    Retain(u64),
    Meta(u8),
    Reopen,
}

/// A log, its disk and its model.
pub(crate) struct Run {
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) wal: Option<Wal>,
    pub(crate) model: Model,
    pub(crate) config: Config,
    pub(crate) strategy: SyncStrategy,
    pub(crate) separate: bool,
    pub(crate) history: Vec<String>,
}

impl Run {
    pub(crate) fn new(
        seed: u64,
        strategy: SyncStrategy,
        segment_size: u64,
        separate: bool,
    ) -> Self {
        let clock = SimClock::new(seed);
        let disk = SimDisk::with_clock(clock.clone());
        let format = if separate { BatchFormat::Separate } else { BatchFormat::Packed };
        let config = Config::durable()
            .sync_strategy(strategy)
            .segment_size(segment_size)
            .buffer_size(256)
            .batch_format(format)
            .maintenance(Maintenance::Manual);
        let mut run = Self {
            disk,
            clock,
            wal: None,
            model: Model::new(),
            config,
            strategy,
            separate,
            history: Vec::new(),
        };
        run.wal = Some(run.try_open().expect("an empty disk opens"));
        run
    }

    pub(crate) fn try_open(&self) -> Result<Wal, Error> {
        open(&self.disk, &self.clock, &self.config)
    }

    /// Does one operation on both. `Err`: the log refused it.
    pub(crate) fn step(&mut self, op: &Op) -> Result<(), Error> {
        self.history.push(format!("{op:?}"));
        let result = self.apply(op);
        if let Some(wal) = &self.wal {
            self.model.durable =
                self.model.durable.max(wal.durable_seq() + 1).min(self.model.next());
        }
        if let Err(error) = &result {
            self.history.push(format!("  -> {error}"));
        }
        result
    }

    fn apply(&mut self, op: &Op) -> Result<(), Error> {
        let wal = self.wal.clone().expect("open");
        match op {
            Op::Append(len) => {
                let payload = self.model.fresh(*len);
                self.model.append(vec![payload.clone()], true);
                let expected = self.model.next() - 1;
                let seq = wal.append(&payload).inspect_err(|_| self.take_back(&wal))?;
                assert_eq!(seq, expected, "seq ids grow by one");
                self.acknowledged();
            }
            Op::Batch(count, len) => {
                let payloads: Vec<_> = (0..*count).map(|_| self.model.fresh(*len)).collect();
                self.model.append(payloads.clone(), !self.separate);
                let end = self.model.next();
                let seqs = wal.append_batch(&payloads).inspect_err(|_| self.take_back(&wal))?;
                assert_eq!(seqs, end - payloads.len() as u64..end);
                self.acknowledged();
            }
            Op::Submit(len) => {
                let payload = self.model.fresh(*len);
                self.model.append(vec![payload.clone()], true);
                let ticket = wal.submit(&payload).inspect_err(|_| self.take_back(&wal))?;
                assert_eq!(ticket.seqs().end, self.model.next());
            }
            Op::Sync => {
                wal.sync()?;
                self.model.durable = self.model.next();
                self.model.written = self.model.next();
            }
            Op::Flush => {
                wal.flush()?;
                self.model.written = self.model.next();
            }
            Op::Tick => wal.tick()?,
            Op::Wait => {
                self.clock.advance(Duration::from_secs(2));
                wal.tick()?;
            }
            Op::Front(first) => {
                let first = (*first).clamp(self.model.first, self.model.next());
                self.model.in_flight = InFlight::Front(first);
                wal.truncate_front(first)?;
                self.model.in_flight = InFlight::None;
                self.model.cut_front(first);
            }
            Op::Back(next) => {
                let next = (*next).clamp(self.model.first, self.model.next());
                self.model.in_flight = InFlight::Back(next);
                wal.truncate_back(next - 1)?;
                self.model.in_flight = InFlight::None;
                self.model.cut_back(next);
            }
            Op::Reset(next) => {
                self.model.in_flight = InFlight::Reset(*next);
                wal.reset(*next)?;
                self.model.in_flight = InFlight::None;
                self.model.reset(*next);
            }
            Op::Retain(segments) => {
                // Where it cuts is the log's choice; the model learns it, and a crash may undo it.
                self.model.in_flight = InFlight::Retain;
                wal.retain(&Retention::keep_all().max_segments(*segments))?;
                self.model.in_flight = InFlight::None;
                self.model.cut_front(wal.first_seq());
            }
            Op::Meta(value) => {
                let (key, value) = (b"vote".to_vec(), vec![*value; 3]);
                self.model.meta_in_flight = Some((key.clone(), value.clone()));
                wal.set_meta(&key, &value)?;
                self.model.meta_in_flight = None;
                self.model.meta.insert(key, value);
            }
            Op::Reopen => {
                wal.close()?;
                self.model.durable = self.model.next();
                self.model.written = self.model.next();
                drop(wal);
                self.wal = None;
                self.wal = Some(self.try_open()?);
                // The disk may have stopped at a call whose failure opening survives.
                if !self.disk.stopped() {
                    self.check_whole();
                }
            }
        }
        Ok(())
    }

    /// An append that failed: was a seq id given or not?
    fn take_back(&mut self, wal: &Wal) {
        let next = wal.next_seq();
        while self.model.next() > next && self.model.next() > self.model.durable {
            self.model.entries.pop_back();
        }
    }

    fn acknowledged(&mut self) {
        match self.strategy {
            SyncStrategy::Always => {
                self.model.durable = self.model.next();
                self.model.written = self.model.next();
            }
            SyncStrategy::OsCache => self.model.written = self.model.next(),
            _ => {}
        }
    }

    /// Everything the model knows is there, by each way to read.
    pub(crate) fn check_whole(&self) {
        let wal = self.wal.as_ref().expect("open");
        let (first, found) = read_all(wal, &self.disk);
        if let Err(why) = self.model.allows(first, &found, self.model.next()) {
            self.fail(&why);
        }
        assert_eq!(wal.next_seq(), self.model.next());
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        eprintln!("{why}");
        for line in &self.history {
            eprintln!("  {line}");
        }
        for line in self.disk.op_log().iter().rev().take(60).rev() {
            eprintln!("    {line}");
        }
        panic!("{why}");
    }

    /// A call failed for good: the log takes no changes, touches nothing, and still can be read.
    pub(crate) fn check_poisoned(&self) {
        let Some(wal) = self.wal.clone() else { return };
        if !wal.stats().poisoned {
            return;
        }
        let before = self.disk.mutations();
        let durable = wal.durable_seq();
        let refused = [
            wal.append(b"x").err(),
            wal.sync().err(),
            wal.truncate_back(wal.durable_seq()).err(),
            wal.truncate_front(wal.first_seq() + 1).err(),
            wal.set_meta("a", "b").err(),
            wal.tick().err(),
        ];
        drop(wal.close());
        for (at, error) in refused.iter().enumerate() {
            if !error.as_ref().is_some_and(Error::is_poisoned) {
                self.fail(&format!("call {at} after a failure: {error:?}"));
            }
        }
        if self.disk.mutations() != before {
            self.fail("something was written after a failure");
        }
        assert_eq!(wal.durable_seq(), durable);
    }

    /// The disk stopped: what a power cut, or a kill, leaves must open and hold what was promised.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let kill = rng.chance(0.3);
        self.wal = None;
        let floor = if kill { self.model.written } else { self.model.durable };
        let image = if kill {
            self.disk.kill()
        } else {
            self.disk.crash(&mut CrashPlan::seeded(rng.next_u64()))
        };
        self.history.push(format!("{} (floor {floor})", if kill { "KILL" } else { "POWER CUT" }));
        self.disk = image;
        self.reopen_after_crash(rng, floor, 3);
    }

    /// Opens, perhaps crashing on the way a few times more.
    fn reopen_after_crash(&mut self, rng: &mut Rng, floor: u64, depth: usize) {
        if depth > 0 && rng.chance(0.3) {
            self.disk.stop_after(1 + rng.below(30));
            let opened = self.try_open();
            if self.disk.stopped() {
                drop(opened);
                let plan = &mut CrashPlan::seeded(rng.next_u64());
                let kill = rng.chance(0.3);
                self.history.push(format!("crash in recovery, kill: {kill}"));
                self.disk = if kill { self.disk.kill() } else { self.disk.crash(plan) };
                let floor = if kill { floor } else { floor.min(self.model.durable) };
                return self.reopen_after_crash(rng, floor, depth - 1);
            }
            drop(opened);
            self.disk = self.disk.kill();
        }
        match self.try_open() {
            Err(error) => self.fail(&format!("REFUSED: {error}")),
            Ok(wal) => {
                self.check_found(&wal, floor);
                self.wal = Some(wal);
            }
        }
    }

    fn check_found(&mut self, wal: &Wal, floor: u64) {
        let (first, found) = read_all(wal, &self.disk);
        let mut whys = Vec::new();
        for model in self.model.outcomes() {
            let floor = floor.min(model.next()).max(model.first);
            match model.allows(first, &found, floor) {
                Ok(()) => {
                    self.check_meta(wal);
                    self.model.become_found(first, &found);
                    assert_eq!(wal.next_seq(), self.model.next(), "next seq id");
                    assert_eq!(wal.durable_seq() + 1, self.model.next(), "all found is durable");
                    self.history.push(format!("found {first}..{}", self.model.next()));
                    return;
                }
                Err(why) => whys.push(why),
            }
        }
        self.fail(&whys.join("; "));
    }

    fn check_meta(&mut self, wal: &Wal) {
        let found = wal.meta(b"vote");
        let in_flight = self.model.meta_in_flight.take();
        let known = self.model.meta.get(&b"vote"[..]).cloned();
        if found != known {
            match in_flight {
                Some((key, value)) if found.as_ref() == Some(&value) => {
                    self.model.meta.insert(key, value);
                }
                _ => self.fail(&format!("META: found {found:?}, known {known:?}")),
            }
        }
    }
}

pub(crate) fn open(disk: &SimDisk, clock: &SimClock, config: &Config) -> Result<Wal, Error> {
    Wal::open_with(Path::new(DIR), config.clone(), Arc::new(disk.clone()), Arc::new(clock.clone()))
}

/// All payloads: as the library reads them, forwards and backwards, and as they lie in the files, read
/// without its help. All must agree.
pub(crate) fn read_all(wal: &Wal, disk: &SimDisk) -> (u64, Vec<Vec<u8>>) {
    let first = wal.first_seq();
    let mut forwards = Vec::new();
    for (entry, seq) in wal.range(..).expect("a range").zip(first..) {
        let entry = entry.unwrap_or_else(|error| panic!("seq id {seq}: {error}"));
        assert_eq!(entry.seq, seq);
        forwards.push(entry.payload.to_vec());
    }
    assert_eq!(first + forwards.len() as u64, wal.next_seq(), "range ends at the end");
    let mut backwards: Vec<_> =
        wal.range(..).expect("a range").rev().map(|e| e.expect("sound").payload.to_vec()).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards, "backwards");
    for (seq, payload) in (first..).zip(&forwards).step_by(7) {
        assert_eq!(wal.get(seq).expect("sound").expect("there").payload, payload[..]);
    }
    assert_eq!(forwards, raw::entries(disk, first), "the files say the same");
    (first, forwards)
}
