//! What a log must hold: a queue, how far of it is safe, and what is not known since a call failed.

use std::collections::{BTreeMap, VecDeque};

/// An entry; those of one batch that is atomic share a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) payload: Vec<u8>,
    pub(crate) batch: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) first: u64,
    pub(crate) entries: VecDeque<Known>,
    /// All before this is there after a kill, and after a power cut.
    pub(crate) written: u64,
    pub(crate) durable: u64,
    pub(crate) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) batches: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { first: 1, written: 1, durable: 1, ..Self::default() }
    }

    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn append(&mut self, payloads: Vec<Vec<u8>>, atomic: bool) {
        self.batches += 1;
        for payload in payloads {
            if !atomic {
                self.batches += 1;
            }
            self.entries.push_back(Known { payload, batch: self.batches });
        }
    }

    pub(crate) fn cut_back(&mut self, next: u64) {
        self.entries.truncate((next - self.first) as usize);
        (self.written, self.durable) = (next, next);
    }

    pub(crate) fn cut_front(&mut self, first: u64) {
        self.entries.drain(..(first - self.first) as usize);
        self.first = first;
        self.written = self.written.max(first);
        self.durable = self.durable.max(first);
    }

    pub(crate) fn reset(&mut self, next: u64) {
        self.entries.clear();
        (self.first, self.written, self.durable) = (next, next, next);
    }

    /// Whether a log that was opened again may be as `found`; `floor` is what must be there.
    pub(crate) fn allows(&self, first: u64, found: &[Vec<u8>], floor: u64) -> Result<(), String> {
        let next = first + found.len() as u64;
        if first != self.first {
            return Err(format!("it begins at {first}, not at {}", self.first));
        }
        if next < floor || next > self.next() {
            return Err(format!("it ends before {next}, not within {floor}..={}", self.next()));
        }
        let differs = self.entries.iter().zip(found).position(|(known, it)| known.payload != *it);
        if let Some(at) = differs {
            return Err(format!("seq id {} is another entry", first + at as u64));
        }
        let ends = found.len().checked_sub(1).map(|last| &self.entries[last]);
        if let (Some(last), Some(cut)) = (ends, self.entries.get(found.len()))
            && last.batch == cut.batch
        {
            return Err(format!("half a batch is there, up to {}", next - 1));
        }
        Ok(())
    }

    /// That is what there is now, and all of it is safe.
    pub(crate) fn settle(&mut self, next: u64) {
        self.entries.truncate((next - self.first) as usize);
        (self.written, self.durable) = (next, next);
    }
}
