//! Crashes, and what must be found after them.

use walden::{ErrorKind, RecoveryMode, Wal};

use super::model::{InFlight, Model};
use super::mount::Mount;
use super::op::{Crash, Opening};
use super::read;
use super::run::{Run, Stop, must, tells_failure};
use super::tail;
use super::violation::{Checked, Rule, broken, hold};
use crate::{CrashPlan, SimDisk};

/// What must be there after a kill, and after a power cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floors {
    kill: u64,
    power: u64,
}

impl Floors {
    pub(crate) const fn new(model: &Model) -> Self {
        Self { kill: model.written, power: model.durable }
    }
}

impl Run {
    /// The process or the machine ends now. What is left must open and hold what was promised.
    pub(crate) fn crash(&mut self, crash: &Crash) -> Checked {
        self.counts.crashes += 1;
        self.check_way()?;
        let mut floors = Floors::new(&self.model);
        if crash.kill && crash.evict {
            self.disk.evict(&mut CrashPlan::seeded(crash.plan));
            floors.kill = floors.power;
        }
        let image = self.image(crash.kill, crash.plan, &mut floors);
        // Only now: a log that is dropped is closed, on the disk that is gone.
        let old = self.disk.clone();
        self.reborn(image);
        old.stop_after(0);
        self.wal = None;
        self.say(format!("     at least {}..{}", self.model.first, floors.kill));
        if crash.strict {
            self.check_strict(floors.kill)?;
        }
        self.open_again(&crash.openings, floors)
    }

    /// Opens the log, the first times with what befalls it then.
    pub(crate) fn open_again(&mut self, openings: &[Opening], mut floors: Floors) -> Checked {
        for opening in openings {
            if self.open_in_trouble(opening, &mut floors)? {
                return Ok(());
            }
        }
        self.open_in_peace(floors)
    }

    fn image(&mut self, kill: bool, plan: u64, floors: &mut Floors) -> SimDisk {
        self.held.crash(kill);
        if kill {
            return self.mount.kill();
        }
        floors.kill = floors.power;
        let image = self.disk.crash(&mut CrashPlan::seeded(plan));
        self.mount = Mount::new(&image);
        image
    }

    /// An opening that ends in the middle, or meets a fault: `true` if the log survives it and goes on.
    fn open_in_trouble(&mut self, opening: &Opening, floors: &mut Floors) -> Checked<bool> {
        self.counts.openings += 1;
        let before = self.disk.fork();
        if let Some(calls) = opening.calls {
            self.disk.stop_after(calls);
        }
        if let Some(rule) = &opening.rule {
            self.disk.add_fault(rule.clone());
        }
        let opened = self.open();
        match &opened {
            Ok(wal) => {
                // What opening reports is durable.
                let (next, durable) = (wal.next_seq(), wal.durable_seq() + 1);
                hold(Rule::Loss, next == durable, || format!("opened: {durable} of {next}"))?;
                *floors = Floors { kill: floors.kill.max(next), power: floors.power.max(next) };
                if opening.plan.is_multiple_of(3) && !self.disk.stopped() {
                    // Asked while the fault is there: what a log remembers of its files comes from then.
                    drop(wal.segments());
                    self.disk.clear_faults();
                    self.unfinished = self.disk.failed() > 0;
                    return self.go_on(wal.clone(), &before, floors.kill).map(|()| true);
                }
            }
            Err(error) => {
                let failed = self.disk.failed() > 0 && tells_failure(error);
                let for_room = self.limited && error.is_out_of_space();
                hold(Rule::Refused, self.disk.stopped() || failed || for_room, || {
                    format!("opening: {:?}: {error}", error.kind())
                })?;
                self.say(format!("     opening: {error}"));
            }
        }
        let image = self.image(opening.kill, opening.plan, floors);
        let old = self.disk.clone();
        self.reborn(image);
        old.stop_after(0);
        drop(opened);
        Ok(false)
    }

    /// The log was opened, and is used from here on.
    fn go_on(&mut self, wal: Wal, before: &SimDisk, floor: u64) -> Checked {
        tail::check_kept(&wal, before, &self.disk)?;
        self.check_found(&wal, floor)?;
        self.wal = Some(wal);
        Ok(())
    }

    fn open_in_peace(&mut self, floors: Floors) -> Checked {
        self.counts.openings += 1;
        let stored = self.disk.bytes_stored();
        let before = self.disk.fork();
        match self.open() {
            Ok(wal) => {
                self.check_work(stored)?;
                self.go_on(wal, &before, floors.kill)
            }
            Err(error) => broken(Rule::Refused, format!("opening: {error}")),
        }
    }

    /// Opening read not much more than there is, or was when it began.
    pub(crate) fn check_work(&self, before: u64) -> Checked {
        let (read, stored) = (self.disk.bytes_read(), self.disk.bytes_stored().max(before));
        hold(Rule::Work, read <= 4 * stored, || format!("opening read {read} bytes of {stored}"))
    }

    fn check_found(&mut self, wal: &Wal, floor: u64) -> Checked {
        let report = wal.recovery();
        let tail = report.cut.as_ref().is_some_and(|cut| !cut.done);
        let raw = (!tail && !self.unfinished).then_some(&self.disk);
        let (first, found) = must(read::all(wal, raw), "reading")?;
        let outcome = self.model.allows(first, &found, floor)?;
        match self.model.in_flight {
            InFlight::Reset(at) if (outcome.first, outcome.next) == (at, at) => {
                self.held.reset(at.min(self.model.first), at);
            }
            // It is cut, and told, once there is room for a copy; until then nothing is appended.
            _ if tail => self.held.crash(false),
            _ => self.held.cut(wal.next_seq()),
        }
        self.model.become_found(outcome, wal.next_seq());
        let meta = wal.meta(b"vote");
        match self.model.meta_in_flight.take() {
            Some(value) if meta.as_ref() == Some(&value) => self.model.meta = meta,
            _ => hold(Rule::Altered, meta == self.model.meta, || format!("meta: {meta:?}"))?,
        }
        let (next, durable) = (wal.next_seq(), wal.durable_seq() + 1);
        hold(Rule::Loss, next == durable, || format!("all found is durable: {durable} of {next}"))?;
        self.say(format!("     found {first}..{next}, {:?}", report.origin));
        self.find_consumer(wal)
    }

    /// The log was opened: its consumer's cursor is where it may be.
    pub(crate) fn find_consumer(&mut self, wal: &Wal) -> Checked {
        let mut consumer = self.model.consumer.clone();
        let faulty = self.disk.stopped() || self.disk.failed() > 0 || self.disk.may_fail();
        let found = consumer.found(wal, &self.model, faulty);
        self.model.consumer = consumer;
        found
    }

    /// On a copy: a torn end is an error, and all else as ever.
    fn check_strict(&self, floor: u64) -> Checked {
        let disk = self.disk.fork();
        let config = self.config().recovery_mode(RecoveryMode::Strict);
        match self.open_on(&disk, config) {
            Err(error) if error.kind() == ErrorKind::TornTail => self.check_torn(),
            Err(error) if self.limited && error.is_out_of_space() => Ok(()),
            Err(error) => broken(Rule::Refused, format!("opening strictly: {error}")),
            Ok(wal) => {
                let cut = wal.recovery().cut;
                hold(Rule::Damage, cut.is_none(), || format!("cut, though strict: {cut:?}"))?;
                let (first, found) = must(read::all(&wal, None), "reading")?;
                self.model.allows(first, &found, floor).map(drop)
            }
        }
    }

    /// What opening strictly refused is a torn end to one that is not strict.
    fn check_torn(&self) -> Checked {
        let wal = match self.open_on(&self.disk.fork(), self.config()) {
            Err(error) if self.limited && error.is_out_of_space() => return Ok(()),
            opened => must(opened.map_err(Stop::from), "what is torn")?,
        };
        hold(Rule::Damage, wal.recovery().cut.is_some(), || "no torn end is there".to_owned())
    }

    /// Opens an image of the disk and checks it against the model; then it takes an entry. For those who
    /// look at every image by themselves.
    pub(crate) fn check_image(&self, image: &SimDisk, floor: u64) -> Checked {
        let wal = must(self.open_on(image, self.config()).map_err(Stop::from), "opening")?;
        let (first, found) = must(read::all(&wal, Some(image)), "reading")?;
        self.model.allows(first, &found, floor)?;
        let (next, payload) = (wal.next_seq(), b"goes on");
        let seq = must(wal.append(payload).map_err(Stop::from), "going on")?;
        hold(Rule::Order, seq == next, || format!("goes on at {seq}, not {next}"))
    }
}
