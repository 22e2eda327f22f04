//! The model: a list with a durable length.

use std::collections::VecDeque;

use super::consumer::Consumer;
use super::violation::{Checked, Rule, broken};
use crate::num::{index, size};

/// An entry as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) payload: Vec<u8>,
    /// Entries of one packed batch share this; each other entry has its own.
    batch: u64,
}

/// A cut whose outcome is not known, since it did not return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    None,
    Front(u64),
    /// Somewhere: the log chooses.
    Retain,
    Back(u64),
    Reset(u64),
}

/// What a log may hold: the seq ids from `first` on, before `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) first: u64,
    pub(crate) next: u64,
}

/// What the log holds, as far as it said.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) first: u64,
    entries: VecDeque<Known>,
    /// Everything before this survives a power cut.
    pub(crate) durable: u64,
    /// Everything before this survives a kill.
    pub(crate) written: u64,
    pub(crate) in_flight: InFlight,
    pub(crate) meta: Option<Vec<u8>>,
    pub(crate) meta_in_flight: Option<Vec<u8>>,
    pub(crate) consumer: Consumer,
    batches: u64,
}

impl Model {
    pub(crate) const fn new() -> Self {
        Self {
            first: 1,
            entries: VecDeque::new(),
            durable: 1,
            written: 1,
            in_flight: InFlight::None,
            meta: None,
            meta_in_flight: None,
            consumer: Consumer::new(),
            batches: 0,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.first + size(self.entries.len())
    }

    pub(crate) fn payload(&self, seq: u64) -> Option<&[u8]> {
        let at = seq.checked_sub(self.first)?;
        self.entries.get(index(at)).map(|known| &*known.payload)
    }

    /// The least that these seq ids take in a buffer: their payloads.
    pub(crate) fn bytes(&self, seqs: std::ops::Range<u64>) -> u64 {
        seqs.filter_map(|seq| self.payload(seq)).map(|payload| size(payload.len())).sum()
    }

    pub(crate) fn append(&mut self, payloads: Vec<Vec<u8>>, atomic: bool) {
        for payload in payloads {
            if !atomic {
                self.batches += 1;
            }
            self.entries.push_back(Known { payload, batch: self.batches });
        }
        self.batches += 1;
    }

    /// The log says that fewer were appended.
    pub(crate) fn take_back(&mut self, next: u64) {
        while self.next() > next && self.next() > self.durable {
            self.entries.pop_back();
        }
    }

    pub(crate) fn all_durable(&mut self) {
        self.durable = self.next();
        self.written = self.next();
    }

    pub(crate) fn cut_back(&mut self, next: u64) {
        self.entries.truncate(index(next.saturating_sub(self.first)));
        self.all_durable();
    }

    pub(crate) fn cut_front(&mut self, first: u64) {
        let gone = index(first.saturating_sub(self.first)).min(self.entries.len());
        self.entries.drain(..gone);
        self.first = first;
        self.durable = self.durable.max(first);
        self.written = self.written.max(first);
    }

    pub(crate) fn reset(&mut self, next: u64) {
        self.entries.clear();
        self.first = next;
        self.all_durable();
    }

    /// What a log found after a crash may hold: the cut in flight done, or not. Entries at its end may be
    /// missing yet.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        let now = Outcome { first: self.first, next: self.next() };
        match self.in_flight {
            InFlight::None => vec![now],
            InFlight::Retain => {
                (self.first..=self.next()).map(|first| Outcome { first, ..now }).collect()
            }
            InFlight::Front(first) => vec![now, Outcome { first, ..now }],
            InFlight::Back(next) => vec![now, Outcome { next, ..now }],
            InFlight::Reset(next) => vec![now, Outcome { first: next, next }],
        }
    }

    /// Whether `found` (the first seq id and all payloads) is what may be there after a crash, of which all
    /// before `floor` must.
    pub(crate) fn allows(&self, first: u64, found: &[Vec<u8>], floor: u64) -> Checked<Outcome> {
        let mut why = broken(Rule::Gap, format!("first seq id is {first}, not {}", self.first));
        for outcome in self.outcomes() {
            if outcome.first == first {
                let floor = floor.min(outcome.next).max(first);
                match self.allows_outcome(outcome, found, floor) {
                    Ok(()) => return Ok(outcome),
                    Err(error) => why = Err(error),
                }
            }
        }
        why
    }

    fn allows_outcome(&self, outcome: Outcome, found: &[Vec<u8>], floor: u64) -> Checked {
        let next = outcome.first + size(found.len());
        if next < floor {
            return broken(
                Rule::Loss,
                format!("the log ends before {next}, and must reach {floor}"),
            );
        }
        if next > outcome.next {
            let end = outcome.next;
            return broken(
                Rule::Ghost,
                format!("the log ends before {next}, the model before {end}"),
            );
        }
        for (payload, seq) in found.iter().zip(outcome.first..) {
            if self.payload(seq) != Some(&payload[..]) {
                return broken(Rule::Altered, format!("seq id {seq} is not what was appended"));
            }
        }
        let entry = |seq: u64| self.entries.get(index(seq.checked_sub(self.first)?));
        if next < outcome.next
            && let (Some(last), Some(cut)) = (next.checked_sub(1).and_then(entry), entry(next))
            && last.batch == cut.batch
        {
            return broken(Rule::Order, format!("a batch is there in part, up to {}", next - 1));
        }
        Ok(())
    }

    /// The log was found so: from now on that is what there is, and all of it durable.
    pub(crate) fn become_found(&mut self, outcome: Outcome, next: u64) {
        self.in_flight = InFlight::None;
        if outcome.first > self.next() || outcome.first < self.first {
            self.reset(outcome.first);
        } else {
            self.cut_front(outcome.first);
            self.cut_back(next);
        }
        self.all_durable();
    }
}
