//! What must be in the log, from what the writer was told; and the comparison with what is.

use std::collections::{BTreeMap, BTreeSet};

use walden::{Entries, LogReader, Wal};

use crate::Outcome;
use crate::event::{Change, Event};
use crate::payload::Proof;
use crate::setup::{BUFFER, Strategy};

/// The key under which the writer keeps a number beside the log.
pub(crate) const META: &str = "turn";

/// What a log was found to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) entries: BTreeMap<u64, Proof>,
    /// `None` where it was not looked for.
    pub(crate) meta: Option<u64>,
}

impl Found {
    /// A folder in which no log was begun.
    pub(crate) fn nothing() -> Self {
        Self { first: 1, next: 1, ..Self::default() }
    }

    pub(crate) fn by_reader(reader: &LogReader) -> Outcome<Self> {
        Self::read(reader.first_seq(), reader.next_seq(), reader.range(..)?)
    }

    pub(crate) fn by_log(wal: &Wal) -> Outcome<Self> {
        let mut found = Self::read(wal.first_seq(), wal.next_seq(), wal.range(..)?)?;
        found.meta = Some(match wal.meta(META) {
            Some(bytes) => u64::from_le_bytes(bytes.as_slice().try_into()?),
            None => 0,
        });
        Ok(found)
    }

    fn read(first: u64, next: u64, range: Entries) -> Outcome<Self> {
        let (mut entries, mut at) = (BTreeMap::new(), first);
        for entry in range {
            let entry = entry?;
            if entry.seq != at {
                return Err(format!("seq id {} where {at} should come", entry.seq).into());
            }
            let proof = Proof::of(&entry.payload).map_err(|why| format!("seq id {at}: {why}"))?;
            entries.insert(at, proof);
            at += 1;
        }
        if at != next {
            return Err(format!("reading ended at {at}, and next_seq is {next}").into());
        }
        Ok(Self { first, next, entries, meta: None })
    }
}

/// What was survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The kernel still has what it was given.
    Kill,
    /// Only what was synced is left.
    Power,
}

/// What must be in the log.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// What was acknowledged, or was found after the last fault.
    entries: BTreeMap<u64, Proof>,
    first: u64,
    /// Retention was under way: the log may begin later.
    first_may_rise: bool,
    /// All before is with the kernel; all before is durable.
    kernel: u64,
    durable: u64,
    /// What the metadata may say: more than one value where a change was under way and nobody looked since.
    meta: BTreeSet<u64>,
    /// After each cut of the back: its last seq id, and the least number of an entry appended later. What lies
    /// behind with a smaller one has come back.
    floors: Vec<(u64, u64)>,
    /// Bytes that were acknowledged and met a full disk, at most.
    stuck: u64,
    /// Changes begun, of which a first part took place.
    pending: Vec<Change>,
}

impl Model {
    /// An empty log.
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            first: 1,
            first_may_rise: false,
            kernel: 1,
            durable: 1,
            meta: BTreeSet::from([0]),
            floors: Vec::new(),
            stuck: 0,
            pending: Vec::new(),
        }
    }

    pub(crate) fn pending(&self) -> &[Change] {
        &self.pending
    }

    pub(crate) fn is_new(&self) -> bool {
        self.entries.is_empty()
            && self.kernel == 1
            && self.meta == BTreeSet::from([0])
            && self.pending.is_empty()
    }

    /// Where a write finds no room, `Background` keeps the bytes in memory, and the append that brought them has
    /// returned or does so: one of each thread, as long as it may be. The next ones are refused.
    pub(crate) fn met_a_full_disk(&mut self, threads: u64) {
        self.stuck = threads * Proof::LONGEST;
    }

    /// Takes in what a writer of this strategy told.
    pub(crate) fn told(&mut self, event: Event, strategy: Strategy) -> Outcome<()> {
        match event {
            Event::Opened { next, .. } => {
                // Opening has read and synced all that it reports.
                self.kernel = self.kernel.max(next);
                self.durable = self.durable.max(next);
            }
            Event::Acked { seq, number, count } => {
                self.acked(seq, number, count)?;
                let end = seq + count;
                match strategy {
                    // Some of the last ones may be in the buffers: how many is looked at when the log is.
                    Strategy::Background => {}
                    Strategy::OsCache => self.kernel = self.kernel.max(end),
                    Strategy::Always => self.is_durable(end),
                }
            }
            Event::Flushed { next } => self.kernel = self.kernel.max(next),
            Event::Durable { next } => self.is_durable(next),
            Event::Begin(change) => self.pending.push(change),
            Event::Done { first } => {
                let change = self.pending.pop().ok_or("a change was done that was not begun")?;
                self.change(change);
                if change == Change::Retain {
                    self.first = self.first.max(first);
                    self.first_may_rise = false;
                }
            }
            Event::Refused => {
                self.pending.pop();
            }
        }
        Ok(())
    }

    /// Takes in what came when the fault had begun already: nobody says that it is true, but a change may have
    /// taken place.
    pub(crate) fn told_too_late(&mut self, event: Event) {
        if let Event::Begin(change) = event {
            self.pending.push(change);
        }
    }

    fn acked(&mut self, seq: u64, number: u64, count: u64) -> Outcome<()> {
        let members = Proof::batch(number, u16::try_from(count)?);
        for (seq, proof) in (seq..).zip(members) {
            if let Some(before) = self.entries.insert(seq, proof)
                && before != proof
            {
                return Err(format!("seq id {seq} was given to {before:?} and {proof:?}").into());
            }
        }
        Ok(())
    }

    fn is_durable(&mut self, next: u64) {
        self.durable = self.durable.max(next);
        self.kernel = self.kernel.max(next);
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Front(first) => self.first = self.first.max(first),
            Change::Back { last, floor } => self.cut(last + 1, floor),
            Change::Reset { next, floor } => {
                self.cut(0, floor);
                (self.first, self.first_may_rise) = (next, false);
                (self.kernel, self.durable) = (next, next);
            }
            Change::Retain => self.first_may_rise = true,
            Change::Meta(value) => self.meta = BTreeSet::from([value]),
        }
    }

    fn cut(&mut self, next: u64, floor: u64) {
        self.entries.split_off(&next);
        // A cut syncs what it keeps.
        (self.kernel, self.durable) = (next, next);
        self.floors.retain(|(last, _)| last + 1 < next);
        self.floors.push((next.saturating_sub(1), floor));
    }

    /// Holds what was found against what must be. Then that is what must be from here on.
    pub(crate) fn check(&mut self, found: Found, fault: Fault) -> Outcome<()> {
        let mut wrong = Vec::new();
        for done in 0..=self.pending.len() {
            let mut after = self.clone();
            for change in after.pending.split_off(0).into_iter().take(done) {
                after.change(change);
            }
            match after.agrees(&found, fault) {
                Ok(()) => {
                    let unseen = self.pending.iter().filter_map(|change| match change {
                        Change::Meta(value) if found.meta.is_none() => Some(*value),
                        _ => None,
                    });
                    after.meta.extend(unseen);
                    after.adopt(found);
                    *self = after;
                    return Ok(());
                }
                Err(why) => wrong.push(format!("with {done} of the changes begun: {why}")),
            }
        }
        let begun = &self.pending;
        Err(format!("{}; changes begun: {begun:?}", wrong.join("; ")).into())
    }

    fn agrees(&self, found: &Found, fault: Fault) -> Outcome<()> {
        let bound = if fault == Fault::Kill { self.kernel } else { self.durable };
        if found.first != self.first && !(self.first_may_rise && found.first > self.first) {
            return Err(format!("it begins at {}, not {}", found.first, self.first).into());
        }
        if found.next < bound {
            return Err(
                format!("it ends before {}, and all before {bound} is safe", found.next).into()
            );
        }
        if fault == Fault::Kill {
            self.two_buffers_at_most(found)?;
        }
        if found.meta.is_some_and(|meta| !self.meta.contains(&meta)) {
            return Err(format!("meta is {:?}, not {:?}", found.meta, self.meta).into());
        }
        for (seq, proof) in self.entries.range(found.first.min(found.next)..found.next) {
            let there = found.entries.get(seq);
            if there != Some(proof) {
                return Err(format!("seq id {seq} is {there:?}, not {proof:?}").into());
            }
        }
        self.no_ghosts(found)?;
        self.whole_batches(found)
    }

    /// What `Background` may lose where the kernel goes on. An append that finds its buffer full does not return before
    /// that is written, so the bound is one of bytes alone, however the threads take turns; and payloads are less
    /// than their records.
    fn two_buffers_at_most(&self, found: &Found) -> Outcome<()> {
        let lost = self.entries.range(found.next.max(self.first)..);
        let (mut count, mut bytes) = (0_u64, 0);
        for (_, proof) in lost {
            (count, bytes) = (count + 1, bytes + proof.bytes());
        }
        if bytes > 2 * BUFFER + self.stuck {
            return Err(format!(
                "it ends before {}: {count} acknowledged entries of {bytes} bytes are gone, more than two buffers hold",
                found.next
            )
            .into());
        }
        Ok(())
    }

    fn no_ghosts(&self, found: &Found) -> Outcome<()> {
        let mut numbers = BTreeSet::new();
        for (seq, proof) in &found.entries {
            if !numbers.insert(proof.number) {
                return Err(format!("{proof:?} is there twice").into());
            }
            let floor = self.floors.iter().rev().find(|(last, _)| last < seq);
            if floor.is_some_and(|(_, floor)| proof.number < *floor) {
                return Err(format!("seq id {seq}: {proof:?} was cut and came back").into());
            }
        }
        Ok(())
    }

    /// A batch is there as a whole, but for what a cut at either end took.
    fn whole_batches(&self, found: &Found) -> Outcome<()> {
        for (seq, proof) in &found.entries {
            let Some(begin) = seq.checked_sub(u64::from(proof.index)) else {
                return Err(format!("seq id {seq} cannot be {proof:?}").into());
            };
            let member = |index: u16| Proof {
                number: proof.number - u64::from(proof.index) + u64::from(index),
                index,
                count: proof.count,
            };
            let next = proof.index + 1;
            let cut_behind = self.floors.iter().any(|(last, _)| last == seq);
            if next < proof.count
                && found.entries.get(&(seq + 1)) != Some(&member(next))
                && !cut_behind
            {
                return Err(format!("seq id {seq}: {proof:?} has no successor").into());
            }
            if proof.index > 0
                && begin.max(found.first) < *seq
                && found.entries.get(&(seq - 1)) != Some(&member(proof.index - 1))
            {
                return Err(format!("seq id {seq}: {proof:?} has no predecessor").into());
            }
        }
        Ok(())
    }

    fn adopt(&mut self, found: Found) {
        (self.first, self.first_may_rise) = (found.first, false);
        (self.kernel, self.durable) = (found.next, found.next);
        if let Some(meta) = found.meta {
            self.meta = BTreeSet::from([meta]);
        }
        self.entries = found.entries;
        // Of the cuts in front of the log only the last one still says something.
        let dead = self.floors.iter().filter(|(last, _)| *last < found.first).count();
        self.floors.drain(..dead.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
