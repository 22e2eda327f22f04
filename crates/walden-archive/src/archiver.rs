//! Ships a log to an archive: what is durable and not there yet, in rounds.
//!
//! A round reads runs of records from the log, makes an object of each, and then one generation of the manifest that
//! names them all. Only then is the cursor moved that keeps the log's retention from removing them. A crash in between
//! leaves objects that nothing names; the next archiver ships those entries again.

use std::time::SystemTime;

use walden::{Cursor, Frames, Start};

use crate::archive::Archive;
use crate::chunk::{Chunk, time};
use crate::contents::Latest;
use crate::dictionaries;
use crate::error::{Error, ErrorKind, Result};
use crate::history::History;
use crate::manifest::{Manifest, Part, Stretch};
use crate::options::{ArchiverOptions, Keep};
use crate::retain::{self, Clock};
use crate::source::Source;
use crate::writer::{Draft, Writer};

/// The most epochs that a manifest lists; older ones are taken together, as the log does.
const MOST_EPOCHS: usize = 1024;
/// Within so many entries, the log knows the time of one more, if there are as many in the segment.
const NEXT_TIME: u64 = 33;
/// Objects that are not full, one after the other, before they are put together.
const MOST_PARTIAL: usize = 64;

/// How far shipping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shipping {
    /// Entries that are in the archive.
    pub done: u64,
    /// Entries that will be, after this round.
    pub total: u64,
    /// Bytes shipped in this round.
    pub bytes: u64,
}

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Shipped {
    /// Entries that are new in the archive.
    pub entries: u64,
    /// Bytes of the objects made.
    pub bytes: u64,
    /// Objects made.
    pub objects: u64,
    /// Objects that were removed as too old.
    pub removed: u64,
}

/// Ships one log to one archive; the only one that does.
///
/// Whoever makes one takes the archive over: an older one is fenced, gets
/// [`Fenced`](crate::ErrorKind::Fenced) at its next write, and must not be used any more. What both wrote is never
/// mixed.
#[derive(Debug)]
pub struct Archiver {
    writer: Writer,
    source: Source,
    options: ArchiverOptions,
    hold: Option<Cursor>,
    dictionaries: dictionaries::Shipped,
    clock: Clock,
    /// It must not go on.
    ended: Option<Error>,
}

impl Archiver {
    /// Takes the archive over, or begins it with the first entry of the log.
    ///
    /// # Errors
    /// `Diverged` where archive and log hold different entries, `Gap` where entries between the two are missing: nothing
    /// was changed then, and an archiver that is at work there goes on. `Unsupported` where the store lets one object be
    /// written over another, which is tried. `NotFound` where there is no such bucket. `Corrupt`, `Store`, `Log`,
    /// `InvalidInput`.
    pub fn new(
        archive: &Archive,
        source: impl Into<Source>,
        options: ArchiverOptions,
    ) -> Result<Self> {
        options.check()?;
        let source = source.into();
        source.refresh()?;
        // One that cannot go on must not keep another from it.
        let own = archive.store.clone();
        let latest = archive.store.run(async move { Latest::load_or_none(&own).await })?;
        if let Some(latest) = latest.filter(|latest| !latest.manifest.is_empty()) {
            compare(&source, &latest.manifest, options.follow_cuts)?;
        }
        let writer = Writer::take_over(&archive.store, source.first_seq().max(1))?;
        let clock = if options.keep.age.is_some() { Clock::of(&writer)? } else { Clock::default() };
        let dictionaries = dictionaries::Shipped::default();
        let mut archiver =
            Self { writer, source, options, hold: None, dictionaries, clock, ended: None };
        archiver.follow_log()?;
        Ok(archiver)
    }

    /// Keeps retention of the log from removing what is not archived: by a cursor of this name, which is made if there
    /// is none. It stays when the archiver goes: remove it (`Wal::remove_cursor`) when archiving ends for good.
    ///
    /// # Errors
    /// `InvalidInput` for a log that this process does not write; as `Wal::cursor`.
    pub fn hold(mut self, cursor: &str) -> Result<Self> {
        let Some(wal) = self.source.own() else {
            return Err(Error::invalid("a log that is only read cannot be held back")
                .advice("open it for writing, or set retention so that the archiver keeps up"));
        };
        let hold = wal.cursor(cursor, Start::First)?;
        // A cursor from before, that nothing can be known about any more, begins anew. So does one that stands further
        // than this archive: it was another's.
        if hold.check().is_err() || hold.position() > self.archived() {
            hold.seek(wal.first_seq())?;
        }
        self.hold = Some(hold);
        self.move_hold()?;
        Ok(self)
    }

    /// The seq id that follows the last entry that is safe in the archive.
    #[must_use]
    pub fn archived(&self) -> u64 {
        self.writer.manifest().end
    }

    /// Ships what is durable and not there yet. What was shipped before a failure stays, and the next round goes on
    /// from there.
    ///
    /// # Errors
    /// `Store`, `Log`: try again. `Fenced`, `Diverged`, `Gap`, `Corrupt`: each further round gives the same.
    pub fn ship(&mut self, progress: &mut dyn FnMut(Shipping)) -> Result<Shipped> {
        self.ship_while(&mut |_, shipping| {
            progress(shipping);
            true
        })
    }

    /// As [`ship`](Self::ship), as long as `goes_on`, which is asked after each generation, with where the archive
    /// ends then.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn ship_while(
        &mut self,
        goes_on: &mut dyn FnMut(u64, Shipping) -> bool,
    ) -> Result<Shipped> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let shipped = self.round(goes_on);
        if let Err(error) = &shipped {
            self.ended = error.is_final().then(|| error.clone());
        }
        shipped
    }

    /// Removes objects that the manifest does not name: left by archivers that were killed, or by cuts. Returns how
    /// many, and their bytes.
    ///
    /// # Errors
    /// `Fenced`, `Corrupt`, `Store`.
    pub fn sweep(&mut self) -> Result<(u64, u64)> {
        self.writer.sweep()
    }

    fn round(&mut self, goes_on: &mut dyn FnMut(u64, Shipping) -> bool) -> Result<Shipped> {
        self.writer.settle()?;
        self.source.refresh()?;
        self.follow_log()?;
        let mut shipped = Shipped::default();
        let goal = self.goal()?;
        let begun = self.archived();
        let mut stopped = false;
        while self.archived() < goal && !stopped {
            self.batch(goal, &mut shipped)?;
            let shipping = Shipping {
                done: self.archived() - begun,
                total: goal.max(self.archived()) - begun,
                bytes: shipped.bytes,
            };
            stopped = !goes_on(self.archived(), shipping);
        }
        shipped.entries = self.archived().saturating_sub(begun);
        if !stopped {
            shipped.removed = self.retain(self.options.keep)?;
        }
        self.move_hold()?;
        if !stopped {
            self.writer.prune();
        }
        Ok(shipped)
    }

    /// The seq id up to which is shipped in this round.
    fn goal(&self) -> Result<u64> {
        let durable = self.source.durable_end();
        if self.options.tail {
            return Ok(durable);
        }
        Ok(self.source.sealed_end()?.min(durable))
    }

    /// Makes some objects, and a generation that names them.
    fn batch(&mut self, goal: u64, shipped: &mut Shipped) -> Result<()> {
        let archived = self.archived();
        let most = self.options.chunk_bytes;
        let first = self.frames(archived)?;
        let partial = self.partial();
        let small = partial.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
        let together = !partial.is_empty()
            && (small.saturating_add(first.len()) >= most || partial.len() >= MOST_PARTIAL);
        let begin = partial.first().filter(|_| together).map_or(archived, |part| part.first);
        let mut runs = vec![if begin < archived { self.frames(begin)? } else { first }];
        while let Some(end) = runs.last().map(|run| run.seqs().end)
            && (end < archived || (end < goal && runs.len() < self.options.parallel))
        {
            match self.frames(end) {
                Ok(run) => runs.push(run),
                // What was read so far is shipped; the next batch begins with what cannot be.
                Err(_) if end >= archived => break,
                Err(error) => return Err(error),
            }
        }
        // When what is put together now was shipped in parts.
        let noted: Vec<_> =
            partial.iter().map(|part| (part.end.saturating_sub(1), time(part.by_micros))).collect();
        let needed = runs.iter().flat_map(Frames::dictionaries).collect();
        self.dictionaries.ship(self.writer.store(), &self.source, &needed)?;
        let manifest = self.writer.manifest();
        let mut next = self.writer.next()?;
        let mut drafts = Vec::new();
        // What comes later is not older, whatever the clock says: nothing goes before what comes before it.
        let before = manifest.chunks.iter().rev().find(|part| part.first < begin);
        let mut since = before.or(manifest.pages.last()).map_or(0, |part| part.by_micros);
        if manifest.is_empty() {
            (next.first_seq, next.end) = (begin, begin);
        }
        for run in runs {
            continues(manifest, &run).map_err(|error| self.apart(error))?;
            add(&mut next, &run)?;
            let draft = self.draft(run, &noted, goal, since);
            since = draft.part.by_micros;
            drafts.push(draft);
        }
        let made = self.writer.make(drafts)?;
        let replaced = next.chunks.iter().position(|part| part.first >= begin);
        let replaced = replaced.map(|at| next.chunks.split_off(at)).unwrap_or_default();
        next.end = made.last().map_or(next.end, |part| part.end);
        shipped.objects += crate::store::size(made.len());
        shipped.bytes += made.iter().map(|part| part.bytes).sum::<u64>();
        next.chunks.extend(made);
        self.writer.turn_page(&mut next)?;
        self.writer.commit(next)?;
        self.writer.remove(replaced.into_iter().map(|part| part.name).collect());
        Ok(())
    }

    /// What was read is not of the archive's history: where cuts are followed, the next round does.
    fn apart(&self, error: Error) -> Error {
        if self.options.follow_cuts {
            cut_meanwhile().seq_at(error.seq().unwrap_or(0))
        } else {
            error
        }
    }

    fn frames(&self, from: u64) -> Result<Frames> {
        let gone = || Error::new(ErrorKind::Log, "the log ends before what was durable in it");
        let frames = self.source.frames(from, self.options.chunk_bytes)?;
        let frames = frames.ok_or_else(|| gone().seq_at(from))?;
        if frames.seqs().start != from {
            return Err(diverged(from, "a batch of the log reaches over the archive's end"));
        }
        Ok(frames)
    }

    /// Objects at the end that are not full, and can be put together: they are read from the log again, where it still
    /// has them, and no more than is on its way at once anyway.
    fn partial(&self) -> &[Part] {
        let (chunks, first) = (&self.writer.manifest().chunks, self.source.first_seq());
        let objects = u64::try_from(self.options.parallel).unwrap_or(u64::MAX);
        let mut room = self.options.chunk_bytes.saturating_mul(objects);
        let out = chunks.iter().rposition(|part| {
            let rest = room.checked_sub(part.bytes);
            room = rest.unwrap_or(0);
            !part.partial || part.first < first || rest.is_none()
        });
        chunks.get(out.map_or(0, |at| at + 1)..).unwrap_or_default()
    }

    /// An object of what was appended behind another one, by `since`.
    fn draft(&self, frames: Frames, noted: &[(u64, SystemTime)], goal: u64, since: u64) -> Draft {
        let seqs = frames.seqs();
        let partial = seqs.end >= goal && frames.len() < self.options.chunk_bytes / 2;
        let mut known = self.source.append_times(seqs.start..seqs.end.saturating_add(NEXT_TIME));
        // What was appended next tells by when all of this was.
        let next = known.iter().find(|(seq, _)| *seq >= seqs.end).map(|(_, at)| *at);
        let now = time(self.clock.now());
        let by = next.map_or(now, |next| next.min(now)).max(time(since));
        known.retain(|(seq, _)| *seq < seqs.end);
        known.extend(noted.iter().filter(|(seq, _)| seqs.contains(seq)));
        known.sort_unstable();
        // Of two for one entry the earlier one tells more.
        known.dedup_by_key(|(seq, _)| *seq);
        let chunk = Chunk::new(frames, &known, by);
        let edge = |moment: Option<&crate::chunk::Moment>| moment.map_or(0, |m| m.micros);
        let part = Part {
            name: String::new(),
            sha256: String::new(),
            bytes: 0,
            first: seqs.start,
            end: seqs.end,
            from_micros: edge(chunk.times.first()),
            by_micros: edge(chunk.times.last()),
            stands_for: 0,
            partial,
        };
        Draft { bytes: chunk.to_bytes(), part }
    }

    /// That the log still is the one that is archived; cuts the archive as the log was cut, where that is wanted.
    fn follow_log(&mut self) -> Result<()> {
        if self.writer.manifest().is_empty() {
            self.writer.begin_at(self.source.first_seq());
            return Ok(());
        }
        match compare(&self.source, self.writer.manifest(), self.options.follow_cuts)? {
            Some(at) => self.cut(at),
            None => Ok(()),
        }
    }

    /// Takes everything from `at` on out of the archive.
    fn cut(&mut self, at: u64) -> Result<()> {
        let mut next = self.writer.next()?;
        while let Some(page) = next.pages.last().filter(|page| page.end > at).cloned() {
            let mut chunks = self.writer.contents().chunks_of(&page)?;
            next.pages.pop();
            chunks.append(&mut next.chunks);
            next.chunks = chunks;
        }
        next.chunks.retain(|part| part.first < at);
        if let Some(last) = next.chunks.last_mut() {
            last.end = last.end.min(at);
        }
        next.end = at;
        next.epochs.retain(|stretch| stretch.first < at);
        self.writer.commit(next)
    }

    fn retain(&mut self, keep: Keep) -> Result<u64> {
        if keep.is_all() {
            return Ok(0);
        }
        retain::retain(&mut self.writer, keep, self.clock.now())
    }

    /// What is archived need not be held back.
    fn move_hold(&self) -> Result<()> {
        let Some(hold) = &self.hold else { return Ok(()) };
        let archived = self.archived();
        if hold.check().is_err() {
            // The log was cut, and the archive as well.
            hold.seek(archived.max(self.source.first_seq()).min(self.source.durable_end()))?;
        }
        if archived > hold.position() {
            hold.commit(archived - 1)?;
        }
        Ok(())
    }
}

/// That the log is the one that is archived; where the archive is to be cut, if cuts are followed, and the log was.
///
/// # Errors
/// `Gap`, `Diverged`, `Log`.
fn compare(source: &Source, manifest: &Manifest, follow_cuts: bool) -> Result<Option<u64>> {
    let (first, end, archived) = (source.first_seq(), source.durable_end(), manifest.end);
    if first > archived {
        let what =
            format!("the log begins with seq id {first}, the archive ends before {archived}");
        return Err(Error::new(ErrorKind::Gap, what)
            .seq_at(archived)
            .advice("what is between is lost to the archive: begin a new one at another prefix"));
    }
    // A log that another process writes may be durable further than is known of it: after a power cut, less may be
    // known than was before.
    let behind = end < archived && source.end() < archived;
    // The entry behind the archive's end has the history of all before it, and so has the last one.
    let asked = archived.min(end.saturating_sub(1));
    if asked < first {
        return if behind { Err(behind_archive(end)) } else { Ok(None) };
    }
    let Some(frames) = source.frames(asked, 1)? else { return Ok(None) };
    if !behind && continues(manifest, &frames).is_ok() {
        return Ok(None);
    }
    let epochs = frames.epochs();
    let log = History { epochs: &epochs, end };
    let mine = manifest.stretches();
    let parts = History { epochs: &mine, end: archived }.parts_from(&log);
    let at = parts.unwrap_or(manifest.first_seq).max(manifest.first_seq);
    let ours = frames.log_id() == manifest.log_id && parts.is_some();
    if !follow_cuts || !ours || at < first {
        let both = behind && at == end;
        let apart = || diverged(at, "log and archive hold different entries from here on");
        return Err(if both { behind_archive(at) } else { apart() });
    }
    Ok(Some(at))
}

/// That frames of the log continue the archive, or agree with it where they lie in it.
pub(crate) fn continues(manifest: &Manifest, frames: &Frames) -> Result<()> {
    if manifest.is_empty() {
        return Ok(());
    }
    let (seqs, epochs) = (frames.seqs(), frames.epochs());
    let log = History { epochs: &epochs, end: seqs.end };
    // An entry has the history of all before it.
    let last = seqs.end.min(manifest.end).saturating_sub(1);
    let known = log.epoch_of(last);
    if known.is_some() && known == manifest.epoch_of(last) {
        return Ok(());
    }
    // The log has nothing of what is archived, not even its history.
    let begins = epochs.first().is_some_and(|(first, _)| *first == manifest.end);
    if known.is_none() && begins && frames.log_id() == manifest.log_id {
        return Ok(());
    }
    Err(diverged(last, "log and archive hold different entries here"))
}

/// Takes what was read behind the rest into the manifest's history.
///
/// # Errors
/// `Log`, where the log was cut in between, so that the two do not belong together.
fn add(next: &mut Manifest, run: &Frames) -> Result<()> {
    continues(next, run).map_err(|error| cut_meanwhile().seq_at(error.seq().unwrap_or(0)))?;
    add_history(next, run);
    next.end = run.seqs().end;
    Ok(())
}

fn cut_meanwhile() -> Error {
    Error::new(ErrorKind::Log, "the log was cut while it was read").advice("try again")
}

/// Takes the history of what is new into the manifest.
fn add_history(next: &mut Manifest, frames: &Frames) {
    let start = frames.seqs().start;
    let fresh = frames.epochs();
    let from = if next.epochs.is_empty() { 0 } else { start };
    next.epochs.retain(|stretch| stretch.first < start || from == 0);
    let behind = fresh.into_iter().filter(|(first, _)| *first >= from);
    next.epochs.extend(behind.map(|(first, id)| Stretch { first, id }));
    while next.epochs.len() > MOST_EPOCHS {
        let oldest = next.epochs.remove(0);
        if let Some(stretch) = next.epochs.first_mut() {
            stretch.first = oldest.first;
        }
    }
    next.log_id = frames.log_id();
}

fn behind_archive(at: u64) -> Error {
    diverged(at, "the log is behind the archive, which has entries from here on")
        .advice("nothing was changed; restore what is missing first, or archive to another prefix")
}

fn diverged(at: u64, what: &str) -> Error {
    Error::new(ErrorKind::Diverged, what)
        .seq_at(at)
        .advice("nothing was changed; archive to another prefix, or follow cuts if the log was cut")
}

#[cfg(test)]
mod tests {
    use walden::{Config, Wal};

    use super::*;

    /// Between two pieces that are read from it, it is cut, and goes on.
    #[test]
    fn pieces_of_two_histories_are_not_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
        let fill = |end| {
            (wal.next_seq()..end).for_each(|seq| _ = wal.append(seq.to_le_bytes()).unwrap());
            wal.sync().unwrap();
        };
        fill(20);
        let first = wal.frames(1, 300).unwrap().unwrap();
        let end = first.seqs().end;
        assert!((5..20).contains(&end));
        let mut next = Manifest::begin(1, 0, 7);
        add(&mut next, &first).unwrap();
        let unchanged = wal.frames(end, 300).unwrap().unwrap();
        let mut whole = next.clone();
        add(&mut whole, &unchanged).unwrap();
        assert_eq!(whole.end, unchanged.seqs().end);
        for last in [end - 1, end - 2, 1] {
            wal.truncate_back(last).unwrap();
            fill(30);
            let second = wal.frames(end, 300).unwrap().unwrap();
            let added = add(&mut next.clone(), &second);
            assert_eq!(added.is_ok(), last == end - 1, "cut behind {last}: {added:?}");
            assert!(added.is_ok() || added.is_err_and(|error| !error.is_final()));
        }
    }
}
