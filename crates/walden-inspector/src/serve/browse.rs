//! Reads some of a log's entries, within bounds: of count, of bytes, of time.

use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use walden::{Error, ErrorKind, LogReader, Reader, Result};

/// How often the clock is asked: after so many entries.
const STRIDE: u64 = 256;

/// How often it is tried to begin in a log that is cut again and again.
const TRIES: u32 = 16;

/// Which way, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// This seq id and those after it.
    From(u64),
    /// Those before this seq id, the nearest first.
    Before(u64),
}

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Entries given.
    pub(super) entries: usize,
    /// Bytes of each entry's payload that are given.
    pub(super) preview: usize,
    /// Entries read.
    pub(super) scanned: u64,
    /// Bytes of payloads read.
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// The beginning of an entry.
#[derive(Debug)]
pub(super) struct Glimpse {
    pub(super) seq: u64,
    pub(super) len: usize,
    /// Which byte of the payload `bytes` begin with.
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
    /// Where in the payload what was searched for stands.
    pub(super) found: Option<usize>,
}

/// Some entries, in the order of the log.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) entries: Vec<Glimpse>,
    pub(super) scanned: u64,
    pub(super) bytes: u64,
    /// Where to go on, the same way; `None` at the log's end or beginning.
    pub(super) next: Option<u64>,
    /// Why it ended before it had to; `next` is then the entry that cannot be read.
    pub(super) problem: Option<Error>,
}

/// What is searched for.
#[derive(Debug)]
pub(super) struct Needle {
    bytes: Vec<u8>,
    finder: Finder<'static>,
    ignore_case: bool,
}

impl Needle {
    /// `bytes`, which are not none; without regard to the case of ASCII letters if `ignore_case`.
    pub(super) fn new(bytes: &[u8], ignore_case: bool) -> Self {
        let bytes = if ignore_case { bytes.to_ascii_lowercase() } else { bytes.to_vec() };
        Self { finder: Finder::new(&bytes).into_owned(), bytes, ignore_case }
    }

    fn find(&self, payload: &[u8], lower: &mut Vec<u8>) -> Option<usize> {
        if !self.ignore_case {
            return self.finder.find(payload);
        }
        lower.clear();
        lower.extend(payload.iter().map(u8::to_ascii_lowercase));
        self.finder.find(lower)
    }
}

/// Entries as they follow, or only those that hold `needle`.
///
/// A place outside the log is brought into it.
///
/// # Errors
/// The log cannot be looked at. What is wrong with an entry is told in the page.
pub(super) fn browse(
    log: &LogReader,
    way: Way,
    needle: Option<&Needle>,
    bounds: &Bounds,
) -> Result<Page> {
    let (Way::From(at) | Way::Before(at)) = way;
    let (mut reader, first, next) = within(log, Some(at), |at| log.reader_at(at))?;
    let mut page = Page { entries: Vec::new(), scanned: 0, bytes: 0, next: None, problem: None };
    let begun = Instant::now();
    let mut lower = Vec::new();
    loop {
        let full = page.entries.len() >= bounds.entries
            || page.scanned >= bounds.scanned
            || page.bytes >= bounds.bytes
            || page.scanned % STRIDE == STRIDE - 1 && begun.elapsed() >= bounds.time;
        let at = reader.position();
        let end = match way {
            // The end as it was at the beginning: a fast writer is not chased.
            Way::From(_) => at >= next,
            Way::Before(_) => at <= first,
        };
        if full || end {
            page.next = (!end).then_some(at);
            break;
        }
        match step(&mut reader, way, needle, bounds.preview, &mut lower) {
            Ok(Some((glimpse, len))) => {
                page.scanned += 1;
                page.bytes = page.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                page.entries.extend(glimpse);
            }
            Ok(None) => break,
            Err(error) => {
                page.next = Some(reader.position());
                page.problem = Some(error);
                break;
            }
        }
    }
    if matches!(way, Way::Before(_)) {
        page.entries.reverse();
    }
    Ok(page)
}

/// Opens something at `at`, or at the log's end, brought into the log; with the first and the next seq id. Where the log
/// is cut between the question how far it goes and the opening, it is asked again.
///
/// # Errors
/// What opening gives.
pub(super) fn within<T>(
    log: &LogReader,
    at: Option<u64>,
    open: impl Fn(u64) -> Result<T>,
) -> Result<(T, u64, u64)> {
    let mut tries = 0;
    loop {
        log.refresh()?;
        let (first, next) = (log.first_seq(), log.next_seq());
        // Another one may have looked at the log in between, and found it begun anew further down.
        match open(at.unwrap_or(next).clamp(first, next.max(first))) {
            Err(error) if tries < TRIES && was_cut(&error) => tries += 1,
            opened => return Ok((opened?, first, next)),
        }
    }
}

fn was_cut(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::BeyondEnd | ErrorKind::Removed)
}

/// The next entry's length, and the entry if it is one that is wanted.
fn step(
    reader: &mut Reader,
    way: Way,
    needle: Option<&Needle>,
    preview: usize,
    lower: &mut Vec<u8>,
) -> Result<Option<(Option<Glimpse>, usize)>> {
    let entry = match way {
        Way::From(_) => reader.read_next()?,
        Way::Before(_) => reader.read_prev()?,
    };
    let Some(entry) = entry else { return Ok(None) };
    let len = entry.payload.len();
    let found = match needle {
        None => None,
        Some(needle) => match needle.find(entry.payload, lower) {
            None => return Ok(Some((None, len))),
            found => found,
        },
    };
    // What was found is to be seen: it begins a quarter into what is given.
    let room = needle.map_or(0, |needle| preview.saturating_sub(needle.bytes.len()) / 4);
    let at = match found {
        Some(found) if len > preview => found.saturating_sub(room).min(len - preview),
        _ => 0,
    };
    let bytes = entry.payload.get(at..len.min(at.saturating_add(preview))).unwrap_or_default();
    Ok(Some((Some(Glimpse { seq: entry.seq, len, at, bytes: bytes.to_vec(), found }), len)))
}

#[cfg(test)]
mod tests;
