//! Removes from the archive what is older than wanted: whole objects, oldest first.
//!
//! An age is told by the clock of this machine, which may be wrong. One that is ahead would let all go at once, so it
//! counts only up to an hour beyond what a second one says: the store's, when the archiver began, and the time that
//! passed since. Where a folder is archived to, both are this machine's: there, that is no help against a clock that was
//! ahead already then. A machine that was suspended since lets objects go later, until an archiver begins anew.
//!
//! First a generation is made that does not name them, then they go. Who is reading by an older generation finds one
//! missing, looks for a newer generation, and learns that its entries are no more.

use std::time::{Duration, Instant, SystemTime};

use crate::chunk::micros;
use crate::error::Result;
use crate::manifest::{Manifest, Part};
use crate::options::Keep;
use crate::store::size;
use crate::writer::Writer;

/// So far may the clock of this machine be ahead.
const MOST_AHEAD: Duration = Duration::from_secs(3_600);

/// What time it is, as far as that is to be believed.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The store's time, and when it was asked for.
    began: Option<(u64, Instant)>,
}

impl Clock {
    /// A clock that is bounded by the store's, which has just made the newest generation.
    ///
    /// # Errors
    /// `Store`.
    pub(crate) fn of(writer: &Writer) -> Result<Self> {
        Ok(Self { began: writer.made_at()?.map(|made| (made, Instant::now())) })
    }

    /// In microseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let now = micros(SystemTime::now());
        let Some((began, at)) = self.began else { return now };
        let passed = at.elapsed().saturating_add(MOST_AHEAD).as_micros();
        now.min(began.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }
}

/// Removes what `keep` lets go. Returns how many objects of records went.
///
/// # Errors
/// `Fenced`, `Corrupt`, `Store`.
pub(crate) fn retain(writer: &mut Writer, keep: Keep, now: u64) -> Result<u64> {
    let mut next = writer.next()?;
    let mut rule = Rule::new(keep, now, &next);
    let (mut dead, mut dead_pages) = (Vec::new(), Vec::new());
    let mut contents = writer.contents();
    // The last object stays: it proves whose continuation may come.
    let last = next.end;
    while let Some(page) = next.pages.first_mut() {
        // A page goes with all that it lists, or is kept with what it still stands for.
        let chunks = contents.chunks_of(page)?;
        let before = dead.len();
        for chunk in &chunks {
            if chunk.end == last || !rule.lets_go(chunk) {
                break;
            }
            page.first = chunk.end;
            page.stands_for = page.stands_for.saturating_sub(chunk.stands_for);
            dead.push(chunk.name.clone());
        }
        if dead.len() - before < chunks.len() {
            break;
        }
        dead_pages.push(next.pages.remove(0).name);
    }
    if next.pages.is_empty() {
        while let [first, _, ..] = next.chunks.as_slice()
            && rule.lets_go(first)
        {
            dead.push(next.chunks.remove(0).name);
        }
    }
    if dead.is_empty() {
        return Ok(0);
    }
    let first = next.pages.first().or(next.chunks.first()).map_or(next.end, |part| part.first);
    next.first_seq = first;
    while next.epochs.get(1).is_some_and(|second| second.first <= first) {
        next.epochs.remove(0);
    }
    writer.commit(next)?;
    let gone = size(dead.len());
    dead.append(&mut dead_pages);
    writer.remove(dead);
    Ok(gone)
}

/// What may go.
struct Rule {
    before: Option<u64>,
    most: Option<u64>,
    bytes: u64,
}

impl Rule {
    fn new(keep: Keep, now: u64, manifest: &Manifest) -> Self {
        let age = |age: std::time::Duration| u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        Self {
            before: keep.age.map(|limit| now.saturating_sub(age(limit))),
            most: keep.bytes,
            bytes: manifest.bytes(),
        }
    }

    fn lets_go(&mut self, part: &Part) -> bool {
        let old = self.before.is_some_and(|before| part.by_micros < before);
        let much = self.most.is_some_and(|most| self.bytes > most);
        if old || much {
            self.bytes = self.bytes.saturating_sub(part.stands_for);
        }
        old || much
    }
}
