//! A log, its disk and its model side by side: one step after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walden::{BatchFormat, Config, Error, ErrorKind, Maintenance, Start, SyncStrategy, Wal};

use super::held::Held;
use super::mirror::Mirror;
use super::model::{InFlight, Model};
use super::mount::Mount;
use super::op::{Crash, Op, Setup, Step};
use super::read;
use super::recovery::Floors;
use super::violation::{Checked, Rule, Violation, broken, hold};
use super::way;
use super::{Counts, DIR};
use crate::{SimClock, SimDisk};

/// Why something ended: the log refused it, or a promise is broken.
#[derive(Debug)]
pub(crate) enum Stop {
    Log(Error),
    Broken(Violation),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

/// What the log is asked gives.
pub(crate) type Done<T = ()> = Result<T, Stop>;

/// The log's refusal counts as a violation.
pub(crate) fn must<T>(done: Done<T>, doing: &str) -> Checked<T> {
    done.map_err(|stop| match stop {
        Stop::Broken(violation) => violation,
        Stop::Log(error) => Violation::new(Rule::Refused, format!("{doing}: {error}")),
    })
}

pub(crate) struct Run {
    pub(crate) setup: Setup,
    pub(crate) strategy: SyncStrategy,
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) wal: Option<Wal>,
    pub(crate) model: Model,
    pub(crate) held: Held,
    /// The disk for a process that a kill of the log's own leaves alone.
    pub(crate) mount: Mount,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) backup: Option<(SimDisk, Model)>,
    /// The crash that comes when the disk stops.
    armed: Option<Crash>,
    /// What is done once the log has failed.
    on_failure: Option<Crash>,
    /// The disk has an end.
    pub(crate) limited: bool,
    /// It had one since the log was opened: what waited for room then goes on waiting for the next that writes.
    was_limited: bool,
    /// It was opened while a call failed: a cut may wait for its end, and its bytes lie in the files.
    pub(crate) unfinished: bool,
    pub(crate) trace: Vec<String>,
    /// The last calls of the disk before the last crash.
    pub(crate) before: Vec<String>,
    pub(crate) counts: Counts,
}

/// How many of a disk's last calls a violation shows.
const LAST_CALLS: usize = 40;

/// A disk with nothing on it.
fn empty(setup: &Setup, clock: &SimClock) -> SimDisk {
    let disk = SimDisk::with_clock(clock.clone());
    disk.set_sector_tear(setup.tear);
    disk.set_allocate_supported(setup.allocates);
    disk
}

/// The log's sync interval.
const SYNC_INTERVAL_MILLIS: u64 = 1000;

/// What is done where a history says nothing else.
const KILL: Crash =
    Crash { kill: true, plan: 0, evict: false, strict: false, openings: Vec::new() };

impl Run {
    pub(crate) fn new(setup: Setup) -> Checked<Self> {
        let clock = SimClock::new(setup.seed);
        let disk = empty(&setup, &clock);
        let mut run = Self {
            setup,
            strategy: setup.strategy,
            mount: Mount::new(&disk),
            disk,
            clock,
            wal: None,
            model: Model::new(),
            held: Held::default(),
            mirror: None,
            backup: None,
            armed: None,
            on_failure: None,
            limited: false,
            was_limited: false,
            unfinished: false,
            trace: vec![format!("{setup:?}")],
            before: Vec::new(),
            counts: Counts::default(),
        };
        run.wal = Some(must(run.open().map_err(Stop::from), "an empty disk")?);
        Ok(run)
    }

    pub(crate) fn config(&self) -> Config {
        let Setup { segment_size, buffer_size, separate, compression, .. } = self.setup;
        let format = if separate { BatchFormat::Separate } else { BatchFormat::Packed };
        Config::durable()
            .sync_strategy(self.strategy)
            .segment_size(segment_size)
            .buffer_size(buffer_size)
            .batch_format(format)
            .compression(compression)
            .compression_threshold(0)
            .sync_interval(Duration::from_millis(SYNC_INTERVAL_MILLIS))
            .maintenance(Maintenance::Manual)
    }

    pub(crate) fn open(&self) -> walden::Result<Wal> {
        self.open_on(&self.disk, self.config())
    }

    pub(crate) fn open_on(&self, disk: &SimDisk, config: Config) -> walden::Result<Wal> {
        let clock = Arc::new(self.clock.clone());
        let wal = Wal::open_with(Path::new(DIR), config, Arc::new(disk.clone()), clock)?;
        way::watch(&wal, disk, self.strategy);
        Ok(wal)
    }

    /// The open log.
    pub(crate) fn wal(&self) -> Checked<Wal> {
        self.wal.clone().map_or_else(|| broken(Rule::Refused, "the log is not open"), Ok)
    }

    pub(crate) fn say(&mut self, line: impl Into<String>) {
        self.trace.push(line.into());
    }

    /// Does one step, and checks what must hold after it.
    pub(crate) fn step(&mut self, step: &Step) -> Checked {
        self.say(step.to_string());
        self.counts.steps += 1;
        match &step.op {
            Op::Crash(crash) => return self.crash(crash),
            Op::CrashIn { calls, torn, crash } => {
                // One that did not come yet comes now.
                if let Some(earlier) = self.armed.take() {
                    self.crash(&earlier)?;
                }
                self.disk.stop_after_torn(*calls, *torn);
                self.armed = Some(crash.clone());
                return Ok(());
            }
            Op::Fault { rule, then } => {
                self.disk.add_fault(rule.clone());
                self.on_failure = Some(then.clone());
                return Ok(());
            }
            Op::Heal => {
                self.disk.clear_rules();
                return Ok(());
            }
            Op::Room { blocks } => {
                let capacity = blocks.map(|blocks| self.disk.used() + blocks * 4096);
                self.disk.set_capacity(capacity);
                self.limited = capacity.is_some();
                self.was_limited |= self.limited;
                return Ok(());
            }
            Op::Rot { at, bit } => return self.rot(*at, *bit),
            Op::Restore => return self.restore(),
            Op::Afresh { openings } => {
                self.replace(empty(&self.setup, &self.clock), Model::new());
                return self.open_again(openings, Floors::new(&self.model));
            }
            _ => {}
        }
        let failed = self.disk.failed();
        let said = self.apply(step);
        self.check_way()?;
        self.after(step, said, failed)
    }

    /// What must hold after a step, whatever the log said to it.
    fn after(&mut self, step: &Step, said: Done, failed: u64) -> Checked {
        let failed = self.disk.failed() > failed;
        // Where the disk stops in the middle of reading, the log fails, and reading ends early.
        let reads =
            matches!(step.op, Op::Read { .. } | Op::Look { .. } | Op::Beside | Op::Ship { .. });
        let said = match said {
            Err(Stop::Broken(violation))
                if self.disk.stopped() && reads && violation.rule == Rule::Gap =>
            {
                None
            }
            Err(Stop::Broken(violation)) => return Err(violation),
            Err(Stop::Log(error)) => Some(error),
            Ok(()) => None,
        };
        if let Some(error) = &said {
            self.say(format!("     -> {:?}: {error}", error.kind()));
        }
        if self.disk.stopped() {
            self.heed_durable();
            let crash = self.armed.take().unwrap_or(KILL);
            return self.crash(&crash);
        }
        let Some(wal) = self.wal.clone() else {
            let why = said.as_ref().map_or_else(String::new, ToString::to_string);
            let excused = self.excuses(failed, said.as_ref());
            hold(Rule::Refused, excused, || why)?;
            return self.crash_after_failure();
        };
        let poisoned = wal.stats().poisoned;
        if let Some(error) = &said {
            let excused = self.excuses(failed || poisoned, said.as_ref());
            hold(Rule::Refused, excused, || format!("{:?}: {error}", error.kind()))?;
            let cuts_front = match self.model.in_flight {
                InFlight::Front(first) => first <= self.model.durable,
                InFlight::Retain => true,
                _ => false,
            };
            hold(Rule::Space, failed || poisoned || !cuts_front, || {
                format!("a front cut: {error}")
            })?;
        }
        if poisoned {
            // A cut that is begun cannot be taken back: whatever keeps it from being finished is final.
            let cutting = failed && self.model.in_flight != InFlight::None;
            hold(Rule::Poison, cutting || self.disk.fatal() > 0, || {
                format!("without a failure: {said:?}")
            })?;
            self.check_poisoned(&wal)?;
            return self.crash_after_failure();
        }
        if said.is_some() {
            self.resolve(&wal)?;
        }
        let checked = self.check_light(step, &wal);
        if self.disk.stopped() {
            self.heed_durable();
            let crash = self.armed.take().unwrap_or(KILL);
            return self.crash(&crash);
        }
        checked
    }

    /// Whether bytes that were given seq ids may be waiting for room. Then reading ends before them.
    pub(crate) fn may_lack_room(&self) -> bool {
        self.limited || self.disk.may_fail()
    }

    /// What the log said was durable when the disk stopped must be found.
    fn heed_durable(&mut self) {
        if let Some(wal) = &self.wal {
            self.model.durable =
                self.model.durable.max(wal.durable_seq() + 1).min(self.model.next());
        }
    }

    /// One step of a history that is cut off somewhere: `Err(Ok)` if that was here.
    pub(crate) fn step_until_stopped(&mut self, step: &Step) -> Result<(), Checked> {
        self.say(step.to_string());
        let said = self.apply(step);
        self.check_way().map_err(Err)?;
        if let Err(Stop::Broken(violation)) = said {
            return Err(Err(violation));
        }
        if self.disk.stopped() {
            self.heed_durable();
            return Err(Ok(()));
        }
        let wal = must(said, "a step").and_then(|()| self.wal()).map_err(Err)?;
        self.check_light(step, &wal).map_err(Err)
    }

    /// Whether what the log said is what may be said where a call failed, or the disk has an end.
    fn excuses(&self, failed: bool, said: Option<&Error>) -> bool {
        let for_room = self.limited && said.is_some_and(Error::is_out_of_space);
        for_room || (failed && said.is_some_and(tells_failure))
    }

    fn crash_after_failure(&mut self) -> Checked {
        let crash = self.on_failure.take().unwrap_or(KILL);
        self.crash(&crash)
    }

    /// The disk that a crash left.
    pub(crate) fn reborn(&mut self, disk: SimDisk) {
        self.counts.calls += self.disk.mutations();
        self.counts.faults += self.disk.faults_met();
        self.before = last_calls(&self.disk);
        self.disk = disk;
        (self.armed, self.on_failure) = (None, None);
        (self.was_limited, self.unfinished) = (self.limited, false);
    }

    /// A cut that gave an error, in a log that goes on: done, or not?
    fn resolve(&mut self, wal: &Wal) -> Checked {
        let (first, next) = (wal.first_seq(), wal.next_seq());
        match self.model.in_flight {
            InFlight::None => {}
            _ if (first, next) == (self.model.first, self.model.next()) => {}
            InFlight::Front(_) | InFlight::Retain if next == self.model.next() => {
                self.model.cut_front(first);
            }
            InFlight::Back(at) if (first, next) == (self.model.first, at) => {
                self.held.cut(at);
                self.model.cut_back(at);
            }
            InFlight::Reset(at) if (first, next) == (at, at) => {
                self.held.reset(at.min(self.model.first), at);
                self.model.reset(at);
            }
            cut => return broken(Rule::Ghost, format!("{first}..{next} after {cut:?} failed")),
        }
        self.model.in_flight = InFlight::None;
        let meta = wal.meta(b"vote");
        if let Some(value) = self.model.meta_in_flight.take()
            && meta.as_ref() == Some(&value)
        {
            self.model.meta = meta;
        }
        Ok(())
    }

    /// What costs little, after every step.
    fn check_light(&mut self, step: &Step, wal: &Wal) -> Checked {
        let stats = wal.stats();
        let ordered = stats.durable <= stats.written && stats.written <= stats.appended;
        hold(Rule::Order, ordered, || format!("{stats:?}"))?;
        let (first, next) = (wal.first_seq(), wal.next_seq());
        hold(Rule::Order, (first, next) == (self.model.first, self.model.next()), || {
            format!("seq ids {first}..{next}, not {}..{}", self.model.first, self.model.next())
        })?;
        let durable = wal.durable_seq() + 1;
        hold(Rule::Loss, durable >= self.model.durable, || {
            format!("durable before {durable} now, and before {} once", self.model.durable)
        })?;
        self.model.durable = durable;
        self.model.written = self.model.written.max(durable);
        hold(Rule::Loss, stats.written >= self.model.written, || {
            format!("written before {}, not before {}", stats.written, self.model.written)
        })?;
        // What the kernel has survives a kill.
        self.model.written = stats.written.min(self.model.next());
        self.check_unwritten(step, &stats)?;
        let meta = wal.meta(b"vote");
        hold(Rule::Altered, meta == self.model.meta, || format!("meta: {meta:?}"))?;
        if self.disk.may_fail() {
            return Ok(());
        }
        let seq = first + step.rng(self.setup.seed).below(stats.written.saturating_sub(first));
        if seq < stats.written {
            let entry = must(wal.get(seq).map_err(Stop::from), "get")?;
            hold(
                Rule::Altered,
                entry.map(|e| e.payload.to_vec()).as_deref() == self.model.payload(seq),
                || format!("get({seq})"),
            )?;
        }
        self.check_lock()?;
        if step.id.is_multiple_of(self.whole_every()) { self.check_whole() } else { Ok(()) }
    }

    /// What a kill may take under `Background` (section 3 of the guarantees): what two buffers hold, of no more than one
    /// `sync_interval`.
    fn check_unwritten(&self, step: &Step, stats: &walden::Stats) -> Checked {
        if self.was_limited || self.may_lack_room() || self.disk.failed() > 0 {
            return Ok(());
        }
        let unwritten = stats.written..stats.appended;
        // What is compressed takes less.
        let plain = self.setup.compression == walden::Compression::None;
        let bytes = if plain { self.model.bytes(unwritten.clone()) } else { 0 };
        hold(Rule::Loss, bytes <= 2 * self.setup.buffer_size, || {
            format!("{unwritten:?} are in memory only: {bytes} bytes")
        })?;
        let passed = matches!(step.op, Op::Pass { millis } if millis >= SYNC_INTERVAL_MILLIS);
        hold(Rule::Loss, !passed || unwritten.is_empty(), || {
            format!("{unwritten:?} are in memory only, after a sync interval")
        })
    }

    /// After how many steps all of the log is read. One history in eight does so after each. The others leave what
    /// the log buffers where it is: reading would have it written first.
    const fn whole_every(&self) -> u64 {
        if self.setup.seed / 4 % 8 == 5 { 1 } else { 16 }
    }

    /// Nobody else can write meanwhile.
    fn check_lock(&self) -> Checked {
        let second = self.open();
        if self.disk.stopped() {
            // The power went as it tried.
            return Ok(());
        }
        let refused = second.as_ref().is_err_and(walden::Error::is_locked);
        hold(Rule::Writer, refused, || format!("told {second:?}"))
    }

    /// Everything the model knows is there, by each way to read.
    pub(crate) fn check_whole(&self) -> Checked {
        let wal = self.wal()?;
        if self.limited && wal.flush().is_err_and(|error| error.is_out_of_space()) {
            return Ok(());
        }
        let tail = self.unfinished || wal.recovery().cut.is_some_and(|cut| !cut.done);
        let found = must(read::all(&wal, (!tail).then_some(&self.disk)), "reading");
        if self.disk.stopped() {
            // Reading has buffered bytes written first.
            return Ok(());
        }
        let (first, found) = found?;
        self.model.allows(first, &found, self.model.next()).map(drop)
    }

    /// A call failed for good: the log takes no changes, touches nothing, and still can be read.
    fn check_poisoned(&mut self, wal: &Wal) -> Checked {
        self.counts.poisonings += 1;
        let durable = wal.durable_seq();
        let cut = match self.model.in_flight {
            InFlight::Back(at) => Some(at),
            InFlight::Reset(at) => Some(at.min(self.model.first)),
            _ => None,
        };
        self.held.check_failed(durable + 1, cut)?;
        self.model.durable = self.model.durable.max(durable + 1).min(self.model.next());
        let before = self.disk.mutations();
        let refused = [
            wal.append(b"x").err(),
            wal.append_batch([b"x", b"y"]).err(),
            wal.submit(b"x").err(),
            wal.sync().err(),
            wal.truncate_back(durable).err(),
            wal.truncate_front(wal.first_seq() + 1).err(),
            wal.reset(1).err(),
            wal.set_meta("a", "b").err(),
            wal.cursor("a", Start::End).err(),
            wal.tick().err(),
        ];
        for (at, error) in refused.iter().enumerate() {
            hold(Rule::Poison, error.as_ref().is_some_and(Error::is_poisoned), || {
                format!("call {at} after a failure: {error:?}")
            })?;
        }
        hold(Rule::Poison, self.disk.mutations() == before, || "the disk was changed".to_owned())?;
        hold(Rule::Poison, wal.durable_seq() == durable, || "`durable` rose".to_owned())?;
        self.disk.clear_rules();
        self.check_still_read(wal, durable)
    }

    /// What is durable can be read after a failure.
    fn check_still_read(&self, wal: &Wal, durable: u64) -> Checked {
        let cut = self.model.in_flight != InFlight::None;
        let first = wal.first_seq();
        for seq in first..=durable {
            let entry = must(wal.get(seq).map_err(Stop::from), "reading after a failure")?;
            let found = entry.map(|entry| entry.payload.to_vec());
            let same = found.as_deref() == self.model.payload(seq);
            hold(Rule::Altered, same || cut, || format!("get({seq}) after a failure"))?;
        }
        Ok(())
    }

    /// A bit rots somewhere in what a power cut leaves now: reading gives what was appended, or an error.
    fn rot(&self, at: u64, bit: u64) -> Checked {
        if self.disk.stopped() {
            return Ok(());
        }
        super::rot::check(self, at, bit)
    }

    /// Another disk, without an end, takes the disk's place.
    fn replace(&mut self, disk: SimDisk, model: Model) {
        self.limited = false;
        self.held = Held::default();
        self.mount = Mount::new(&disk);
        self.reborn(disk);
        self.wal = None;
        self.model = model;
    }

    /// A backup takes the folder's place.
    fn restore(&mut self) -> Checked {
        let Some((disk, model)) = &self.backup else { return Ok(()) };
        let (disk, model) = (disk.kill(), model.clone());
        disk.set_capacity(None);
        self.replace(disk, model);
        let opened = must(self.open().map_err(Stop::from), "a restored backup")?;
        self.find_consumer(&opened)?;
        self.wal = Some(opened);
        self.counts.restores += 1;
        self.check_whole()
    }

    /// Ends the history: what was armed and did not come comes now.
    pub(crate) fn end(&mut self) -> Checked {
        if let Some(crash) = self.armed.take() {
            self.crash(&crash)?;
        }
        self.disk.clear_rules();
        self.check_whole()?;
        self.check_way()
    }
}

/// Whether an error says that a call failed, and not that something is damaged.
pub(crate) fn tells_failure(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::OutOfSpace | ErrorKind::Poisoned)
}

/// The last calls of a disk.
pub(crate) fn last_calls(disk: &SimDisk) -> Vec<String> {
    disk.last_ops(LAST_CALLS)
}
