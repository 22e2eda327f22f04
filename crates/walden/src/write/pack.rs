//! Single appends that wait for the disk at the same time become one record.
//!
//! Under `Always`, who appends while a record of others is on its way to the disk leaves the payload here. Whoever finds
//! the way free next appends all that have gathered, as one record like a batch, waits until it is durable, and tells
//! each its seq id. So as many as wait for one sync make one record, which is compressed as a whole. Each then asks for
//! itself whether its own seq id is durable, as after any append: a cut through the record parts them.

#[cfg(test)]
#[cfg(not(walden_model))]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::appender::Content;
use super::submit::Appended;
use crate::config::Compression;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::num;
use crate::record::packed_body_len;
use crate::stats::Counters;
use crate::sync::{Condvar, Mutex};

/// Larger payloads go alone: they would be copied once more, and gain little.
const MOST_PAYLOAD: u64 = 16 << 10;

/// The most that one record holds of it.
const MOST_ENTRIES: usize = 1024;
const MOST_BYTES: u64 = 1 << 20;

/// Those who wait, and what became of those who did.
#[derive(Debug)]
pub(crate) struct Packing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Somebody appends for those who waited.
    leading: bool,
    waiting: VecDeque<Waiting>,
    done: BTreeMap<u64, Result<Appended>>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    payload: Vec<u8>,
    how: Compression,
}

impl Packing {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    pub(super) fn takes(&self, parts: &[&[u8]]) -> bool {
        parts.iter().map(|part| num::size(part.len())).sum::<u64>() <= MOST_PAYLOAD
    }

    fn put(&self, parts: &[&[u8]], how: Compression) -> u64 {
        let payload = parts.concat();
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.waiting.push_back(Waiting { id, payload, how });
        id
    }
}

impl State {
    /// The first of those who wait, and those behind that fit into one record with it, of at most `most` bytes.
    fn take(&mut self, most: u64) -> Vec<Waiting> {
        let mut taken: Vec<Waiting> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            bytes += num::size(next.payload.len());
            let body = packed_body_len(num::size(taken.len() + 1), bytes);
            let fits = taken.len() < MOST_ENTRIES && body.is_some_and(|body| body <= most);
            let alike = taken.first().is_none_or(|first| first.how == next.how);
            // Whoever is first goes in any case.
            if !(taken.is_empty() || fits && alike) {
                break;
            }
            taken.extend(self.waiting.pop_front());
        }
        taken
    }
}

/// One who appends for others. Whatever comes, they are told, and the way is free again.
struct Lead<'a> {
    packing: &'a Packing,
    waiting: Vec<Waiting>,
    results: Vec<Result<Appended>>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let lost = || Err(Error::new(ErrorKind::Io, "the thread that was appending it panicked"));
        let mut results = std::mem::take(&mut self.results).into_iter();
        let mut state = self.packing.state.lock();
        for waiting in &self.waiting {
            state.done.insert(waiting.id, results.next().unwrap_or_else(lost));
        }
        state.leading = false;
        drop(state);
        self.packing.changed.notify_all();
    }
}

impl Log {
    /// One entry, in one record with those of others who wait at the same time.
    pub(super) fn append_packed(
        &self,
        packing: &Packing,
        parts: &[&[u8]],
        how: Compression,
    ) -> Result<Appended> {
        // What is too large must not be told to those who are not.
        self.check_size(Content::Single(parts).measure().1)?;
        let id = packing.put(parts, how);
        let mut state = packing.state.lock();
        loop {
            if let Some(done) = state.done.remove(&id) {
                return done;
            }
            if state.leading {
                state = crate::sync::wait(&packing.changed, state);
                continue;
            }
            state.leading = true;
            let waiting = state.take(MOST_BYTES.min(self.settings.max_record_size));
            drop(state);
            let mut lead = Lead { packing, waiting, results: Vec::new() };
            lead.results = self.append_for(&lead.waiting);
            if let Some(last) = lead.results.iter().rev().flatten().next() {
                // Meanwhile others gather. What comes of it, each asks for itself; and also if this panics, all are
                // told that it was appended.
                drop(self.wait_durable(last.seqs.end, last.era));
            }
            drop(lead);
            state = packing.state.lock();
        }
    }

    /// Appends what waits.
    fn append_for(&self, waiting: &[Waiting]) -> Vec<Result<Appended>> {
        let how = waiting.first().map_or(Compression::None, |first| first.how);
        let entries: Vec<&[u8]> = waiting.iter().map(|waiting| &waiting.payload[..]).collect();
        let alone = |entry: &&[u8]| self.append_as(&Content::Single(&[*entry]), how, Ok);
        if entries.len() < 2 {
            return entries.iter().map(alone).collect();
        }
        match self.append_as(&Content::Packed(&entries), how, Ok) {
            Ok(all) => {
                Counters::add(&self.counters.packed, num::size(entries.len()));
                all.seqs.clone().map(|seq| Ok(Appended { seqs: seq..seq + 1, ..all })).collect()
            }
            // Nothing happened: what finds no room together may find some alone, and there may be seq ids left for the
            // first of them.
            Err(error) if is_untouched(&error) => entries.iter().map(alone).collect(),
            Err(error) => entries.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

/// Whether nothing happened, that may go otherwise with less. What has seq ids is in the log, and would be there twice:
/// want of room names them.
fn is_untouched(error: &Error) -> bool {
    error.kind() == ErrorKind::OutOfRange || (error.is_out_of_space() && error.seq().is_none())
}
