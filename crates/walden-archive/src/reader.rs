//! Reads an archive, and goes on into the log that it is of: entries that the log removed come from the bucket.

use std::collections::VecDeque;

use walden::{Entry, Frames};

use crate::archive::Archive;
use crate::archiver::continues;
use crate::contents::{Contents, out_of_range};
use crate::dictionaries::Dictionaries;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

/// The most that a compressed record may hold: as a log's `max_record_size` by default.
const MOST_CONTENT: u64 = 256 << 20;

/// Entries of an archive and, behind them, of a log, one after another.
///
/// What the log has is read from the log, what it does not have any more from the bucket, an object at a time. That
/// both are of one history is proved where reading goes over from the one to the other. Dictionaries that entries are
/// compressed with are fetched when the first such entry comes. It stays where it is after an error.
#[derive(Debug)]
pub struct ArchiveReader {
    contents: Contents,
    dictionaries: Dictionaries,
    log: Option<Source>,
    /// Log and archive are known to be of one history.
    joined: bool,
    position: u64,
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
        Ok(ArchiveReader { contents, dictionaries, log, joined: false, position, cache, run: None })
    }
}

impl ArchiveReader {
    /// The seq id that comes next.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Moves to `seq`, which may be the end, too.
    ///
    /// # Errors
    /// `OutOfRange`; as reading.
    pub fn seek(&mut self, seq: u64) -> Result<()> {
        self.position = seq;
        self.run = None;
        let first = self.contents.manifest().first_seq;
        let first = self.log.as_ref().map_or(first, |log| log.first_seq().min(first));
        let there = seq >= first
            && (seq <= self.end()? || (self.contents.refresh()? && seq <= self.end()?));
        if there { Ok(()) } else { Err(out_of_range(seq, self.contents.manifest())) }
    }

    /// The entry at the position, which then moves behind it; `None` at the end, for now.
    ///
    /// # Errors
    /// `Gap`: the log begins behind the archive's end. `Diverged`: log and archive are not of one history.
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
        let (position, run) = (self.position, self.run.take());
        self.position = seq;
        let entry = self.read_next();
        (self.position, self.run) = (position, run);
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
                self.join(&log, at)?;
                match log.entries(at..end) {
                    Ok(entries) => {
                        let entries = Box::new(entries.map(|entry| entry.map_err(Error::from)));
                        self.run = Some(Run { next: at, end, entries });
                    }
                    Err(error) if error.log().is_some_and(walden::Error::is_removed) => {}
                    Err(error) => return Err(error),
                }
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
        self.run = Some(self.cold(at)?);
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

    /// Entries from the bucket.
    fn cold(&mut self, at: u64) -> Result<Run> {
        let frames = match self.cache.find(at) {
            Some(frames) => frames,
            None => {
                let mut fetched = self.contents.fetch_from(at, 1)?;
                let (part, chunk) = fetched.pop().ok_or_else(|| {
                    Error::corrupt("no object of the archive holds it").seq_at(at)
                })?;
                self.cache.add(part.seqs().end, chunk.frames)
            }
        };
        let (frames, end) = frames;
        let dictionaries = self.dictionaries.clone();
        let entries = frames.within(at..end).map(|frames| {
            frames.entries_with(MOST_CONTENT, move |id| dictionaries.get(id).map(Some))
        });
        let entries = entries.into_iter().flatten();
        // A batch begins with entries that were given before.
        let entries = entries.skip_while(move |entry| entry.as_ref().is_ok_and(|e| e.seq < at));
        Ok(Run { next: at, end, entries: Box::new(entries) })
    }

    /// Proves that log and archive are of one history.
    fn join(&mut self, log: &Source, at: u64) -> Result<()> {
        if !self.joined {
            if let Some(frames) = log.frames(at, 1)? {
                continues(self.contents.manifest(), &frames)?;
            }
            self.joined = true;
        }
        Ok(())
    }
}

/// Objects that were asked for last, as they are stored.
#[derive(Debug)]
struct Cache {
    most: u64,
    /// The newest last; each with the seq id where what is wanted of it ends.
    runs: VecDeque<(Frames, u64)>,
}

impl Cache {
    fn find(&mut self, seq: u64) -> Option<(Frames, u64)> {
        let holds = |(frames, end): &(Frames, u64)| (frames.seqs().start..*end).contains(&seq);
        let at = self.runs.iter().position(holds)?;
        let found = self.runs.remove(at)?;
        self.runs.push_back(found.clone());
        Some(found)
    }

    fn add(&mut self, end: u64, frames: Frames) -> (Frames, u64) {
        self.runs.push_back((frames.clone(), end));
        let bytes = |runs: &VecDeque<(Frames, u64)>| runs.iter().map(|(f, _)| f.len()).sum::<u64>();
        while self.runs.len() > 1 && bytes(&self.runs) > self.most {
            self.runs.pop_front();
        }
        (frames, end)
    }
}
