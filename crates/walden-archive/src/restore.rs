//! From an archive to a log: all of it, up to an entry, or up to a moment; in an empty folder, or behind what is there.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use walden::{Config, Frames, Wal};

use crate::archive::Archive;
use crate::chunk::{Chunk, micros};
use crate::contents::{Contents, out_of_range};
use crate::dictionaries::Dictionaries;
use crate::error::{Error, ErrorKind, Result};
use crate::history::History;
use crate::manifest::Part;

/// The most that a batch may hold that is looked into: a log's `max_record_size` by default.
const MOST_CONTENT: u64 = 256 << 20;
/// Objects fetched at once.
const AT_ONCE: usize = 4;
/// Metadata of a log that is being restored: where it is to end.
const ENDS: &str = "walden-archive.restore";

/// Metadata of a log to which a batch is appended of which only the beginning is wanted: where that ends, where the
/// batch ends, and its epoch.
const OVER: &str = "walden-archive.over";

/// How far to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// All that is archived.
    End,
    /// This seq id is the last.
    Seq(u64),
    /// Nothing that was appended later. The archive knows of every 32nd entry of a segment when it was appended (of
    /// one that is being written, and shipped by another process, only by when), so a few entries before the moment
    /// may be left out.
    Time(SystemTime),
}

/// How far restoring, or verifying, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// Bytes of records done.
    pub done: u64,
    /// Bytes to do, about.
    pub total: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The first seq id of the log.
    pub first_seq: u64,
    /// The seq id that follows its last entry.
    pub next_seq: u64,
    /// The seq ids that came from the archive.
    pub new: Range<u64>,
}

impl Archive {
    /// Makes the log in `dir` what is archived, up to `until`: in an empty or new folder all of it; where there is a
    /// log of the same history, what is missing at its end. Seq ids and history are kept, so that shipping can go on
    /// to the same archive, if all of it was restored. Entries that are there already are never changed or cut.
    ///
    /// What was restored is durable when this returns. After a crash or a failure, the same call goes on.
    ///
    /// # Errors
    /// `OutOfRange`: `until` is not archived; `Diverged`: the log holds other entries; `Gap`: the log ends before the
    /// archive begins; `InvalidInput`: the log holds entries behind `until`; `Corrupt`, `Store`, `Log`.
    pub fn restore(
        &self,
        dir: impl AsRef<Path>,
        config: Config,
        until: Until,
        progress: &mut dyn FnMut(Reading),
    ) -> Result<Restored> {
        let mut contents = Contents::load(&self.store)?;
        let end = end_of(&mut contents, until)?;
        let wal = Wal::open(dir.as_ref(), config)?;
        let (dictionaries, given) = (Dictionaries::new(&self.store), BTreeSet::new());
        let new = Restore { wal: &wal, contents, end, dictionaries, given }.run(progress)?;
        let restored = Restored { first_seq: wal.first_seq(), next_seq: wal.next_seq(), new };
        wal.close()?;
        Ok(restored)
    }
}

/// The seq id behind the last entry that is wanted.
fn end_of(contents: &mut Contents, until: Until) -> Result<u64> {
    let manifest = contents.manifest();
    match until {
        Until::End => Ok(manifest.end),
        Until::Seq(last) if (manifest.first_seq..manifest.end).contains(&last) => Ok(last + 1),
        Until::Seq(last) => Err(out_of_range(last, manifest)),
        Until::Time(at) => by_time(contents, micros(at)),
    }
}

/// The seq id behind the last entry that is known to have been appended by `at`.
fn by_time(contents: &mut Contents, at: u64) -> Result<u64> {
    let manifest = contents.manifest().clone();
    let page = manifest.pages.iter().find(|page| page.by_micros > at);
    let of_page = page.map(|page| contents.chunks_of(page)).transpose()?;
    let chunks = of_page.as_deref().unwrap_or(&manifest.chunks);
    let Some(part) = chunks.iter().find(|chunk| chunk.by_micros > at) else {
        return Ok(manifest.end);
    };
    if part.from_micros > at {
        if part.first > manifest.first_seq {
            return Ok(part.first);
        }
    } else if let Some((part, chunk)) = contents.fetch_from(part.first, 1)?.pop()
        && let Some(last) = chunk.last_by(at)
    {
        return Ok(last.saturating_add(1).min(part.end));
    }
    let what = "nothing that is archived is known to have been appended by then";
    Err(Error::new(ErrorKind::OutOfRange, what).seq_at(manifest.first_seq))
}

struct Restore<'a> {
    wal: &'a Wal,
    contents: Contents,
    end: u64,
    dictionaries: Dictionaries,
    /// Those that the log was given.
    given: BTreeSet<u32>,
}

impl Restore<'_> {
    fn run(mut self, progress: &mut dyn FnMut(Reading)) -> Result<Range<u64>> {
        let (wal, end) = (self.wal, self.end);
        let mark = end.to_string().into_bytes();
        let first = self.contents.manifest().first_seq;
        if wal.is_empty() && wal.next_seq() == 1 && first > 1 {
            wal.reset(first)?;
        }
        self.cut_over()?;
        let begun = wal.next_seq();
        self.same_history(begun)?;
        if begun > end && wal.meta(ENDS).as_ref() == Some(&mark) && self.is_over(begun)? {
            // A batch went over the end, and it was killed before that was cut off.
            wal.truncate_back(end - 1)?;
        } else if begun > end {
            return Err(Error::invalid(format!(
                "the log holds entries behind that: its next seq id is {begun}"
            ))
            .seq_at(end)
            .advice("restore to another folder, or cut the log first"));
        }
        if begun < first {
            return Err(self.elsewhere());
        }
        wal.set_meta(ENDS, &mark)?;
        let total = self.contents.manifest().bytes();
        let mut done = 0;
        let mut at = begun;
        while at < end {
            for (part, chunk) in self.contents.fetch_from(at, AT_ONCE)? {
                if part.first >= end {
                    break;
                }
                self.append(&part, &chunk)?;
                at = part.end;
                done = part.stands_for.saturating_add(done);
                progress(Reading { done, total: total.max(done) });
            }
        }
        wal.sync()?;
        wal.set_meta(ENDS, "")?;
        Ok(begun.min(end)..end)
    }

    /// Refuses a log whose last entry, or the last one that is archived, is of another history.
    fn same_history(&self, next: u64) -> Result<()> {
        let manifest = self.contents.manifest();
        let last = next.min(manifest.end).saturating_sub(1);
        if last < manifest.first_seq.max(self.wal.first_seq()) {
            return Ok(());
        }
        let Some(frames) = self.wal.frames(last, 1)? else { return Ok(()) };
        let epochs = frames.epochs();
        let log = History { epochs: &epochs, end: frames.seqs().end };
        if log.epoch_of(last) == manifest.epoch_of(last) {
            return Ok(());
        }
        let mine = manifest.stretches();
        let parts = History { epochs: &mine, end: manifest.end }.parts_from(&log);
        let what = "the log holds other entries than the archive, from here on";
        Err(Error::new(ErrorKind::Diverged, what)
            .seq_at(parts.unwrap_or(manifest.first_seq))
            .advice("nothing was changed; restore to another folder"))
    }

    /// Whether the log ends behind the batch that holds the last entry wanted, and that one is not the batch's last.
    fn is_over(&mut self, next: u64) -> Result<bool> {
        let last = self.end - 1;
        let held = self.contents.fetch_from(last, 1)?.pop();
        let batch = held.and_then(|(_, chunk)| chunk.frames.within(last..self.end));
        Ok(batch.is_some_and(|batch| batch.seqs().end == next))
    }

    /// Appends what an object holds, as far as it is wanted and not there.
    fn append(&mut self, part: &Part, chunk: &Chunk) -> Result<()> {
        let end = part.end.min(self.end);
        // A log that was restored to within a batch has a part of it.
        let (next, dictionaries) = (self.wal.next_seq(), &self.dictionaries);
        let missing = chunk
            .frames
            .starting_at_with(next, MOST_CONTENT, |id| dictionaries.get(id).map(Some))?;
        let missing = missing.and_then(|frames| frames.within(frames.seqs().start..end));
        let Some(frames) = missing else { return Ok(()) };
        // The log that was archived may have known nothing any more of what came before.
        let frames = frames.with_older_epochs(&self.contents.manifest().stretches());
        dictionaries.put_beside(self.wal, frames.dictionaries(), &mut self.given)?;
        let over = frames.seqs().end;
        if over <= end {
            self.wal.append_frames(&frames)?;
            return Ok(());
        }
        // The last record is a batch of which only the beginning is wanted. It goes on in a history that may be none of
        // the archive's, so that the next try has to know it from the log's own entries.
        let epoch = epoch_of(&frames, over - 1).unwrap_or_default();
        self.wal.set_meta(OVER, format!("{end} {over} {epoch:032x}"))?;
        self.wal.append_frames(&frames)?;
        if self.wal.next_seq() > end {
            self.wal.truncate_back(end - 1)?;
        }
        self.wal.set_meta(OVER, "")?;
        Ok(())
    }

    /// Cuts off what a batch has behind its wanted beginning, where a try before this one did not come to it.
    fn cut_over(&self) -> Result<()> {
        let Some(mark) = self.wal.meta(OVER) else { return Ok(()) };
        let over = Over::parse(&mark).filter(|over| over.next == self.wal.next_seq());
        if let Some(over) = over
            && let Some(frames) = self.wal.frames(over.next - 1, 1)?
            && epoch_of(&frames, over.next - 1) == Some(over.epoch)
        {
            self.wal.truncate_back(over.end - 1)?;
        }
        self.wal.set_meta(OVER, "")?;
        Ok(())
    }

    fn elsewhere(&self) -> Error {
        let (next, first) = (self.wal.next_seq(), self.contents.manifest().first_seq);
        let what = format!("the log's next seq id is {next}, and the archive begins with {first}");
        Error::new(ErrorKind::Gap, what).seq_at(next).advice("restore to an empty folder")
    }
}

/// What is noted before such a batch is appended.
struct Over {
    /// Behind the last entry that is wanted.
    end: u64,
    /// The log's next seq id, once the batch is there.
    next: u64,
    epoch: u128,
}

impl Over {
    fn parse(mark: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(mark).ok()?.split(' ');
        let (end, next) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let epoch = u128::from_str_radix(words.next()?, 16).ok()?;
        (0 < end && end < next).then_some(Self { end, next, epoch })
    }
}

fn epoch_of(frames: &Frames, seq: u64) -> Option<u128> {
    History { epochs: &frames.epochs(), end: frames.seqs().end }.epoch_of(seq)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use walden::Mode;
    use walden_sim::{SimClock, SimDisk};

    use super::*;
    use crate::{Archiver, ArchiverOptions, StoreOptions};

    fn open(disk: &SimDisk) -> walden::Result<Wal> {
        let clock = Arc::new(SimClock::new(1));
        Wal::open_with("/log", config(), Arc::new(disk.clone()), clock)
    }

    fn config() -> Config {
        Config::os_cache().mode(Mode::Debug).segment_size(4_000)
    }

    fn restore(archive: &Archive, disk: &SimDisk, until: Until) -> Result<u64> {
        let mut contents = Contents::load(&archive.store)?;
        let end = end_of(&mut contents, until)?;
        let wal = open(disk)?;
        let (dictionaries, given) = (Dictionaries::new(&archive.store), BTreeSet::new());
        Restore { wal: &wal, contents, end, dictionaries, given }.run(&mut |_| {})?;
        Ok(wal.next_seq())
    }

    /// The archive was cut within a batch, and goes on. Killed at any write, the next restore goes on, too: also between
    /// appending that batch and cutting it.
    #[test]
    fn killed_at_any_write_it_goes_on_over_a_cut_batch() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), config()).unwrap();
        let archive =
            Archive::with_store(Arc::new(InMemory::new()), "a", StoreOptions::default()).unwrap();
        let options = ArchiverOptions::default().tail(true).follow_cuts(true);
        let ship = || {
            wal.sync().unwrap();
            let mut archiver = Archiver::new(&archive, wal.clone(), options.clone()).unwrap();
            archiver.ship(&mut |_| {}).unwrap();
        };
        wal.append("first").unwrap();
        wal.append_batch((2..10).map(|seq| format!("of a batch: {seq}"))).unwrap();
        ship();
        wal.truncate_back(5).unwrap();
        (6..20).for_each(|seq| _ = wal.append(format!("behind: {seq}")).unwrap());
        ship();
        let mut killed = 0;
        for writes in 0.. {
            let disk = SimDisk::new();
            disk.stop_after(writes);
            let whole = restore(&archive, &disk, Until::End);
            let left = disk.kill();
            // Whatever is wanted then.
            if writes % 2 == 0
                && let Ok(next) = restore(&archive, &left, Until::Seq(8))
            {
                assert_eq!(next, 9);
            }
            assert_eq!(restore(&archive, &left, Until::End).unwrap(), 20, "after {writes} writes");
            let restored = open(&left).unwrap();
            for seq in 1..20 {
                assert_eq!(restored.get(seq).unwrap(), wal.get(seq).unwrap());
            }
            assert_eq!(restored.meta(OVER), None);
            killed += u64::from(whole.is_err());
            if whole.is_ok() {
                break;
            }
        }
        assert!(killed > 10, "{killed}");
    }
}
