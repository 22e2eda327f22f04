//! Reads an archive, and goes on into the log that it is of: entries that the log removed come from the bucket.

use std::collections::VecDeque;
use std::ops::Range;

use walden::{Entry, ErrorKind as LogErrorKind, Frames};

use crate::archive::Archive;
use crate::archiver::continues;
use crate::contents::{Contents, out_of_range};
use crate::dictionaries::Dictionaries;
use crate::error::{Error, ErrorKind, Result};
use crate::history::History;
use crate::source::Source;

/// The most that a compressed record may hold: as a log's `max_record_size` by default.
const MOST_CONTENT: u64 = 256 << 20;

/// Entries of an archive and, behind them, of a log, one after another.
///
/// What the log has is read from the log, what it does not have any more from the bucket, an object at a time. That
/// both are of one history is proved where reading goes over from the one to the other, and that what comes next is of the
/// history of what was given, each time that more is read. Dictionaries that entries are compressed with are fetched when
/// the first such entry comes. It stays where it is after an error.
#[derive(Debug)]
pub struct ArchiveReader {
    contents: Contents,
    dictionaries: Dictionaries,
    log: Option<Source>,
    /// Log and archive are known to be of one history.
    joined: bool,
    position: u64,
    /// The epochs of what was given before the position, if anything was.
    given: Option<Vec<(u64, u128)>>,
    cache: Cache,
    run: Option<Run>,
}

/// Entries that come next.
struct Run {
    next: u64,
    end: u64,
    entries: Box<dyn Iterator<Item = Result<Entry>> + Send>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("next", &self.next).field("end", &self.end).finish()
    }
}

impl Archive {
    /// A reader at the first entry that is archived. It keeps objects in memory that it was asked for, up to
    /// `cache_bytes`, but at least one. With a log, it goes on into that one.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, `Store`.
    pub fn reader(&self, log: Option<Source>, cache_bytes: u64) -> Result<ArchiveReader> {
        let contents = Contents::load(&self.store)?;
        let position = contents.manifest().first_seq;
        let cache = Cache { most: cache_bytes, runs: VecDeque::new() };
        let dictionaries = Dictionaries::new(&self.store);
        let (joined, given, run) = (false, None, None);
        Ok(ArchiveReader { contents, dictionaries, log, joined, position, given, cache, run })
    }
}

impl ArchiveReader {
    /// The seq id that comes next.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Moves to `seq`, which may be the end, too, in whatever history is there now.
    ///
    /// # Errors
    /// `OutOfRange`; as reading.
    pub fn seek(&mut self, seq: u64) -> Result<()> {
        self.position = seq;
        (self.run, self.given) = (None, None);
        let first = self.contents.manifest().first_seq;
        let first = self.log.as_ref().map_or(first, |log| log.first_seq().min(first));
        let there = seq >= first
            && (seq <= self.end()? || (self.contents.refresh()? && seq <= self.end()?));
        if there { Ok(()) } else { Err(out_of_range(seq, self.contents.manifest())) }
    }

    /// The entry at the position, which then moves behind it; `None` at the end, for now.
    ///
    /// # Errors
    /// `Gap`: the log begins behind the archive's end. `Diverged`: log and archive are not of one history, or entries
    /// that were given were cut since, and others came in their place: [`seek`](Self::seek) to [`Error::seq`] goes on there.
    /// `OutOfRange`: the archive's retention removed it. `Corrupt`, `Store`, `Log`.
    pub fn read_next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.take()? {
                self.position = entry.seq.saturating_add(1);
                return Ok(Some(entry));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The entry `seq`; `None` at the end. The position stays.
    ///
    /// # Errors
    /// As [`read_next`](Self::read_next).
    pub fn get(&mut self, seq: u64) -> Result<Option<Entry>> {
        let (position, run, given) = (self.position, self.run.take(), self.given.take());
        self.position = seq;
        let entry = self.read_next();
        (self.position, self.run, self.given) = (position, run, given);
        entry
    }

    /// The next entry of those at hand.
    fn take(&mut self) -> Result<Option<Entry>> {
        let Some(run) = self.run.as_mut().filter(|run| run.next == self.position) else {
            return Ok(None);
        };
        if run.next >= run.end {
            return Ok(None);
        }
        match run.entries.next() {
            Some(Ok(entry)) => {
                run.next = entry.seq.saturating_add(1);
                Ok(Some(entry))
            }
            Some(Err(error)) => {
                let at = run.next;
                self.run = None;
                // It fell below the log's first seq id: the archive has it.
                if error.log().is_some_and(walden::Error::is_removed) {
                    return Ok(None);
                }
                Err(if error.seq().is_none() { error.seq_at(at) } else { error })
            }
            None => Ok(None),
        }
    }

    /// Gets more entries at hand; false at the end.
    fn fill(&mut self) -> Result<bool> {
        self.run = None;
        let at = self.position;
        if let Some(log) = self.log.clone() {
            log.refresh()?;
            let (first, end) = (log.first_seq(), log.durable_end());
            if at >= first && at < end {
                self.run = self.hot(&log, at, end)?;
                return Ok(true);
            }
            if at >= self.contents.manifest().end && !self.refreshed(at)? && at < first {
                let what =
                    format!("the log begins with seq id {first}, the archive ends before {at}");
                return Err(Error::new(ErrorKind::Gap, what).seq_at(at));
            }
        }
        if at >= self.contents.manifest().end && !self.refreshed(at)? {
            return Ok(false);
        }
        let run = self.cold(at)?;
        // After reading, which may have found a newer manifest.
        self.goes_on(self.contents.manifest().stretches())?;
        self.run = Some(run);
        Ok(true)
    }

    /// Looks for a newer manifest; whether it has `seq`.
    fn refreshed(&mut self, seq: u64) -> Result<bool> {
        Ok(self.contents.refresh()? && seq < self.contents.manifest().end)
    }

    fn end(&self) -> Result<u64> {
        let archived = self.contents.manifest().end;
        let Some(log) = &self.log else { return Ok(archived) };
        log.refresh()?;
        Ok(archived.max(log.durable_end()))
    }

    /// Entries from the log; `None` where it was cut meanwhile, so that it is to be looked at again.
    fn hot(&mut self, log: &Source, at: u64, end: u64) -> Result<Option<Run>> {
        let gone = |error: &Error| {
            let kind = error.log().map(walden::Error::kind);
            matches!(kind, Some(LogErrorKind::Removed | LogErrorKind::BeyondEnd))
        };
        // In this order: a cut behind the first step is told by the entries.
        let read = log.entries(at..end).and_then(|entries| Ok((entries, log.frames(end - 1, 1)?)));
        let (entries, frames) = match read {
            Ok((entries, Some(frames))) => (entries, frames),
            Ok((_, None)) => return Ok(None),
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !self.joined {
            continues(self.contents.manifest(), &frames)?;
            self.joined = true;
        }
        self.goes_on(frames.epochs())?;
        let entries = Box::new(entries.map(|entry| entry.map_err(Error::from)));
        Ok(Some(Run { next: at, end, entries }))
    }

    /// Entries from the bucket.
    fn cold(&mut self, at: u64) -> Result<Run> {
        let part = self.contents.part_with(at)?;
        let (frames, end) = match self.cache.find(&part.name) {
            // A manifest that names one object twice may want other entries of it than it has: for ever, if that is
            // not seen.
            Some(frames) if !covers(&frames, part.first..part.end) => {
                let what = "it does not hold the seq ids that the manifest says";
                return Err(Error::corrupt(what).object(part.name).seq_at(at));
            }
            Some(frames) => (frames, part.end),
            None => {
                let mut fetched = self.contents.fetch_from(at, 1)?;
                let (part, chunk) = fetched.pop().ok_or_else(|| {
                    Error::corrupt("no object of the archive holds it").seq_at(at)
                })?;
                (self.cache.add(part.name, chunk.frames), part.end)
            }
        };
        let dictionaries = self.dictionaries.clone();
        let entries = frames.within(at..end).map(|frames| {
            frames.entries_with(MOST_CONTENT, move |id| dictionaries.get(id).map(Some))
        });
        let entries = entries.into_iter().flatten();
        // A batch begins with entries that were given before.
        let entries = entries.skip_while(move |entry| entry.as_ref().is_ok_and(|e| e.seq < at));
        Ok(Run { next: at, end, entries: Box::new(entries) })
    }

    /// Refuses to go on in a history that has other entries before the position than were given.
    fn goes_on(&mut self, fresh: Vec<(u64, u128)>) -> Result<()> {
        let end = self.position;
        let now = History { epochs: &fresh, end };
        // Where the first entry is the next one, nothing is known of those before.
        let known = end.checked_sub(1).is_some_and(|last| now.epoch_of(last).is_some());
        if let Some(given) = self.given.as_ref().filter(|_| known) {
            let parts = History { epochs: given, end }.parts_from(&now);
            if parts.is_none_or(|at| at < end) {
                let what = "what was read was cut since, and other entries came in its place";
                let at = parts.unwrap_or_else(|| self.contents.manifest().first_seq);
                return Err(Error::new(ErrorKind::Diverged, what)
                    .seq_at(at)
                    .advice(format!("seek to {at} to read on from there")));
            }
        }
        self.given = Some(fresh);
        Ok(())
    }
}

fn covers(frames: &Frames, seqs: Range<u64>) -> bool {
    frames.seqs().start <= seqs.start && seqs.end <= frames.seqs().end
}

/// Objects that were asked for last, as they are stored.
#[derive(Debug)]
struct Cache {
    most: u64,
    /// By name, the newest last.
    runs: VecDeque<(String, Frames)>,
}

impl Cache {
    fn find(&mut self, name: &str) -> Option<Frames> {
        let at = self.runs.iter().position(|(known, _)| known == name)?;
        let found = self.runs.remove(at)?;
        self.runs.push_back(found.clone());
        Some(found.1)
    }

    fn add(&mut self, name: String, frames: Frames) -> Frames {
        self.runs.push_back((name, frames.clone()));
        let bytes =
            |runs: &VecDeque<(String, Frames)>| runs.iter().map(|(_, f)| f.len()).sum::<u64>();
        while self.runs.len() > 1 && bytes(&self.runs) > self.most {
            self.runs.pop_front();
        }
        frames
    }
}
