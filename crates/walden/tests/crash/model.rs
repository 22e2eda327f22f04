//! The model: a list with a durable length.

use std::collections::{BTreeMap, VecDeque};

/// An entry as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) payload: Vec<u8>,
    /// Entries of one packed batch share this; each other entry has its own.
    pub(crate) batch: u64,
}

/// A cut whose outcome is not known, since the disk stopped in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    None,
    Front(u64),
    /// Somewhere: the log chooses.
    Retain,
    Back(u64),
    Reset(u64),
}

/// What the log may hold.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) first: u64,
    pub(crate) entries: VecDeque<Known>,
    /// Everything before this survives a power cut, as far as the log said.
    pub(crate) durable: u64,
    /// Everything before this survives a kill.
    pub(crate) written: u64,
    pub(crate) in_flight: InFlight,
    pub(crate) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) meta_in_flight: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) next_batch: u64,
    pub(crate) next_value: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            first: 1,
            entries: VecDeque::new(),
            durable: 1,
            written: 1,
            in_flight: InFlight::None,
            meta: BTreeMap::new(),
            meta_in_flight: None,
            next_batch: 0,
            next_value: 0,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// A payload that no other entry has.
    pub(crate) fn fresh(&mut self, len: usize) -> Vec<u8> {
        self.next_value += 1;
        let mut payload = self.next_value.to_string().into_bytes();
        while payload.len() < len {
            payload.push((payload.len() as u64 * self.next_value) as u8);
        }
        payload
    }

    pub(crate) fn append(&mut self, payloads: Vec<Vec<u8>>, atomic: bool) {
        for payload in payloads {
            if !atomic {
                self.next_batch += 1;
            }
            self.entries.push_back(Known { payload, batch: self.next_batch });
        }
        self.next_batch += 1;
    }

    pub(crate) fn cut_back(&mut self, next: u64) {
        self.entries.truncate(usize::try_from(next - self.first).unwrap());
        self.durable = next;
        self.written = next;
    }

    pub(crate) fn cut_front(&mut self, first: u64) {
        self.entries.drain(..usize::try_from(first - self.first).unwrap());
        self.first = first;
        self.durable = self.durable.max(first);
        self.written = self.written.max(first);
    }

    pub(crate) fn reset(&mut self, next: u64) {
        self.entries.clear();
        self.first = next;
        self.durable = next;
        self.written = next;
    }

    /// The models that a log found after a crash may match: the cut in flight done, or not.
    pub(crate) fn outcomes(&self) -> Vec<Self> {
        let mut done = self.clone();
        match self.in_flight {
            InFlight::None => return vec![self.clone()],
            InFlight::Retain => {
                let cut = |first| {
                    let mut model = self.clone();
                    model.cut_front(first);
                    model
                };
                return (self.first..=self.next()).map(cut).collect();
            }
            InFlight::Front(first) => done.cut_front(first),
            InFlight::Back(next) => done.cut_back(next),
            InFlight::Reset(next) => done.reset(next),
        }
        vec![self.clone(), done]
    }

    /// Whether `found` (the first seq id and all payloads) is a state that a crash may leave; `floor` is
    /// what must be there.
    pub(crate) fn allows(&self, first: u64, found: &[Vec<u8>], floor: u64) -> Result<(), String> {
        if first != self.first {
            return Err(format!("first seq id is {first}, not {}", self.first));
        }
        let next = first + found.len() as u64;
        if next < floor {
            return Err(format!("LOSS: the log ends before {next}, and must reach {floor}"));
        }
        if next > self.next() {
            return Err(format!(
                "GHOST: the log ends before {next}, the model before {}",
                self.next()
            ));
        }
        for (known, (seq, payload)) in self.entries.iter().zip((first..).zip(found)) {
            if known.payload != *payload {
                return Err(format!("ALTERED: seq id {seq}"));
            }
        }
        let last = found.len().checked_sub(1).and_then(|last| self.entries.get(last));
        if let (Some(last), Some(cut)) = (last, self.entries.get(found.len()))
            && last.batch == cut.batch
        {
            return Err(format!("a batch is there in part: up to seq id {}", next - 1));
        }
        Ok(())
    }

    /// The log was found as `found`: from now on that is what there is, and all of it durable.
    pub(crate) fn become_found(&mut self, first: u64, found: &[Vec<u8>]) {
        let next = first + found.len() as u64;
        for model in self.outcomes() {
            if model.allows(first, found, 0).is_ok() {
                *self = model;
                break;
            }
        }
        self.entries.truncate(found.len());
        self.durable = next;
        self.written = next;
        self.in_flight = InFlight::None;
    }
}
