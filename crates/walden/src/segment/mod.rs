//! One segment file: its names, its records, its index.

pub(crate) mod behind;
pub(crate) mod files;
pub(crate) mod index;
#[cfg(all(test, walden_model = "loom"))]
mod loom_tests;
pub(crate) mod names;
pub(crate) mod search;
pub(crate) mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(crate) use self::files::{FileCache, Opened};
use self::index::Proof;
pub(crate) use self::index::{EVERY, Hint, Index};
pub(crate) use self::names::{Name, Names};
pub(crate) use self::source::{ONE_RECORD, READ_AHEAD, RecordSource, Step};
use crate::error::{Error, Result};
use crate::record::{Dictionary, Header};
use crate::storage::File;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};

/// Stands for "ask the file".
const UNKNOWN: u64 = u64::MAX;

/// A live segment as writer and readers share it.
///
/// What is durable, sealed or active about it changes under the maintenance and append locks; readers
/// look only at `end`, `first_seq` and the index.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) ordinal: u64,
    pub(crate) path: PathBuf,
    index_path: PathBuf,
    files: Arc<FileCache>,
    // The next three under shuttle, too, with the log around them: `appends::reading_ones_own_appends`,
    // `waiting::a_follower_of_durable_entries`, `cuts::truncate_back_while_one_reads`.
    /// 0 while unknown, or while the segment is empty. Under loom: `loom_what_begins_is_written`,
    /// `loom_what_is_written_is_in_the_segment`.
    first_seq: AtomicU64,
    /// Bytes that readers may look at; `UNKNOWN`: all of the file. Under loom: `loom_what_ends_is_written`,
    /// `loom_what_is_written_is_in_the_segment`; asked of the file while a cut sets it:
    /// `tests::a_cut_knows_the_end_better_than_the_file` (loom takes a store beside an exchange for unordered).
    end: AtomicU64,
    /// Under loom: `loom_what_is_sealed_is_synced`.
    sealed: AtomicBool,
    /// The writer's descriptor, opened before the first write and held until the segment is sealed.
    writer: Mutex<Option<Arc<dyn File>>>,
    /// When the last entry was appended (microseconds); 0: ask the index. Changed under the append lock, or while a
    /// cut has stopped appends. Nothing else is concluded from it, so it needs no order: the value is asserted by
    /// `rules::retention::by_age`; read beside appends by `stress::everything_at_once`.
    last_append: AtomicU64,
    /// The index being built, until it is in a file.
    building: Mutex<Option<Index>>,
}

impl Segment {
    /// A complete segment, of which nothing is known but its name.
    pub(crate) fn sealed(names: &Names, ordinal: u64, files: Arc<FileCache>) -> Self {
        Self {
            ordinal,
            path: names.wal(ordinal),
            index_path: names.index(ordinal),
            files,
            first_seq: AtomicU64::new(0),
            end: AtomicU64::new(UNKNOWN),
            sealed: AtomicBool::new(true),
            writer: Mutex::new(None),
            last_append: AtomicU64::new(0),
            building: Mutex::new(None),
        }
    }

    /// A segment that is, or was a moment ago, written to: `end` bytes of it hold records.
    pub(crate) fn open(
        names: &Names,
        ordinal: u64,
        files: Arc<FileCache>,
        writer: Option<Arc<dyn File>>,
        end: u64,
        index: Option<Index>,
    ) -> Self {
        Self {
            ordinal,
            path: names.wal(ordinal),
            index_path: names.index(ordinal),
            files,
            first_seq: AtomicU64::new(index.as_ref().map_or(0, |index| index.first_seq)),
            end: AtomicU64::new(end),
            sealed: AtomicBool::new(false),
            writer: Mutex::new(writer),
            last_append: AtomicU64::new(0),
            building: Mutex::new(index),
        }
    }

    /// The new active segment of a cut in progress, as long as it bears the name of one made ready: the
    /// entries of a batch that survive the cut are in it.
    pub(crate) fn prepared(names: &Names, ordinal: u64, files: Arc<FileCache>) -> Self {
        let segment = Self::open(names, ordinal, files, None, 0, Some(Index::default()));
        Self { path: names.next(ordinal), ..segment }
    }

    pub(crate) fn index_path(&self) -> &Path {
        &self.index_path
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// The segment is complete, durable, and named so by the manifest: the writer lets go of it.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        *self.writer.lock() = None;
    }

    /// The segment's file for reading, with its index.
    ///
    /// # Errors
    /// What opening the file gives.
    pub(crate) fn opened(&self) -> Result<Arc<Opened>> {
        match self.files.get(self.ordinal, &self.path) {
            // One made ready gets its name in the end, and stays the same file.
            Err(error)
                if error.io_kind() == Some(std::io::ErrorKind::NotFound)
                    && self.path.extension().is_some_and(|ending| ending == "next") =>
            {
                self.files.get(self.ordinal, &self.path.with_extension("wal"))
            }
            other => other,
        }
    }

    /// The dictionary that is needed to tell what a record of it holds, if any.
    ///
    /// # Errors
    /// What is wrong with it, and its file.
    pub(crate) fn dictionary_of(
        &self,
        header: &Header,
        stored: &[u8],
    ) -> Result<Option<Arc<Dictionary>>> {
        self.files.dictionaries.of(header, stored)
    }

    /// Forgets the descriptors kept for readers, for a file that is removed.
    pub(crate) fn forget_file(&self) {
        self.files.remove(self.ordinal);
    }

    /// Bytes that hold records.
    ///
    /// # Errors
    /// What asking the file gives.
    pub(crate) fn end(&self) -> Result<u64> {
        match self.end.load(Ordering::Acquire) {
            UNKNOWN => {
                let len = self
                    .opened()?
                    .file
                    .len()
                    .map_err(|error| Error::io("tell the length", &self.path, error))?;
                // A cut that came meanwhile knows better.
                let set =
                    self.end.compare_exchange(UNKNOWN, len, Ordering::AcqRel, Ordering::Acquire);
                Ok(set.map_or_else(|newer| newer, |_| len))
            }
            end => Ok(end),
        }
    }

    /// Raises (or after a cut lowers) what readers may look at.
    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Takes note of the first record; later calls do nothing.
    pub(crate) fn note_first_seq(&self, seq: u64) {
        if self.first_seq.load(Ordering::Relaxed) == 0 {
            self.first_seq.store(seq, Ordering::Release);
        }
    }

    /// Forgets it, since a cut emptied the segment.
    pub(crate) fn forget_first_seq(&self) {
        self.first_seq.store(0, Ordering::Release);
    }

    /// The seq id of the first record, read from the file if need be; `None` for an empty segment.
    ///
    /// # Errors
    /// `Corrupt` where the first record is unsound.
    pub(crate) fn first_seq(&self) -> Result<Option<u64>> {
        let known = self.first_seq.load(Ordering::Acquire);
        if known != 0 {
            return Ok(Some(known));
        }
        let end = self.end()?;
        if end == 0 {
            return Ok(None);
        }
        let opened = self.opened()?;
        let mut source = RecordSource::new(Arc::clone(&opened.file), ONE_RECORD);
        let step =
            source.record_at(0, end).map_err(|error| Error::io("read", &self.path, error))?;
        match step {
            Step::Record(record) => {
                self.note_first_seq(record.seq());
                Ok(Some(record.seq()))
            }
            Step::End => Ok(None),
            Step::Unwritten => Err(self.corrupt(0, "zeros stand where a record should be")),
            Step::Bad(fault) => Err(self.corrupt(0, &fault.to_string())),
        }
    }

    /// The error for damage in this segment.
    pub(crate) fn corrupt(&self, offset: u64, what: &str) -> Error {
        Error::corrupt(what).path(&self.path).offset_at(offset)
    }

    /// Where to begin looking for `seq`. To be checked by who uses it.
    pub(crate) fn hint(&self, seq: u64, log_id: u128) -> Option<Hint> {
        if let Some(index) = &*self.building.lock() {
            return index.before(seq);
        }
        let opened = self.opened().ok()?;
        let end = self.end().ok()?;
        let place = (log_id, self.ordinal);
        let known = |proof: &Proof| proof.before(seq);
        opened.ask(&self.index_path, place, end, known, |index| index.before(seq))
    }

    /// Where the record with entry `target` begins, if only what lies behind it leads there.
    ///
    /// # Errors
    /// What reading gives.
    pub(crate) fn behind_loss(&self, target: u64, log_id: u128) -> Result<Option<u64>> {
        let opened = self.opened()?;
        let end = self.end()?;
        let index = opened.index(&self.index_path, log_id, self.ordinal, end);
        opened.done_with_index();
        behind::find_behind_loss(&opened.file, index.as_deref(), end, target)
            .map_err(|error| Error::io("read", &self.path, error))
    }

    /// The whole index: the one being built, or the one in the file if it is sound.
    pub(crate) fn index(&self, log_id: u128) -> Option<Index> {
        if let Some(index) = &*self.building.lock() {
            return Some(index.clone());
        }
        let (opened, end) = (self.opened().ok()?, self.end().ok()?);
        let index = opened.index(&self.index_path, log_id, self.ordinal, end)?;
        opened.done_with_index();
        let index = index.load()?;
        // What begins elsewhere is another segment's, whatever its header says.
        (self.first_seq().ok()? == Some(index.first_seq)).then_some(index)
    }

    /// Append time of the segment's last entry as its index has it (microseconds).
    pub(crate) fn last_micros(&self, log_id: u128) -> Option<u64> {
        let last = self.last_append.load(Ordering::Relaxed);
        if last != 0 {
            return Some(last);
        }
        if let Some(index) = &*self.building.lock() {
            return Some(index.last_micros);
        }
        let opened = self.opened().ok()?;
        let end = self.end().ok()?;
        let place = (log_id, self.ordinal);
        let known = |proof: &Proof| Some(proof.last_micros());
        opened.ask(&self.index_path, place, end, known, |index| known(index.proof()))
    }

    /// Takes note of an append, under the append lock.
    pub(crate) fn note_append(&self, micros: u64) {
        // Within a segment times never go down, as in its index.
        let last = self.last_append.load(Ordering::Relaxed).max(micros);
        self.last_append.store(last, Ordering::Relaxed);
    }

    /// When the last entry was appended, if that was in this opening.
    pub(crate) fn last_append(&self) -> Option<u64> {
        Some(self.last_append.load(Ordering::Relaxed)).filter(|last| *last != 0)
    }

    /// Works on the index being built.
    pub(crate) fn building<T>(&self, work: impl FnOnce(&mut Option<Index>) -> T) -> T {
        work(&mut self.building.lock())
    }

    /// The index now is in a file, or is to be read anew from it.
    pub(crate) fn index_written(&self) {
        *self.building.lock() = None;
        self.files.forget_index(self.ordinal);
    }

    /// Whether a sound index is at hand.
    pub(crate) fn has_index(&self, log_id: u128) -> bool {
        if self.building.lock().is_some() {
            return true;
        }
        let (Ok(opened), Ok(end)) = (self.opened(), self.end()) else { return true };
        let place = (log_id, self.ordinal);
        opened.ask(&self.index_path, place, end, |_| Some(()), |_| Some(())).is_some()
    }

    /// A cut keeps `len` bytes; `next_seq` is what would follow. The index is shortened too.
    pub(crate) fn shorten(&self, len: u64, next_seq: u64, log_id: u128) {
        let mut index = self.index(log_id);
        if let Some(index) = &mut index {
            index.cut(next_seq);
        }
        *self.building.lock() = index;
        self.last_append.store(0, Ordering::Relaxed);
        self.set_end(len);
        if len == 0 {
            self.forget_first_seq();
        }
    }

    /// Takes note of when the last entry was appended at the latest: the index has only the time of some.
    /// To be called before anything else changes the file.
    pub(crate) fn note_last_append(&self, file: &dyn File) {
        let Ok(time) = file.modified().map(index::micros) else { return };
        if let Some(index) = self.building.lock().as_mut().filter(|index| index.first_seq != 0) {
            index.last_micros = index.last_micros.max(time);
        }
    }

    /// When the file was last written to.
    pub(crate) fn modified_micros(&self) -> Option<u64> {
        Some(index::micros(self.opened().ok()?.file.modified().ok()?))
    }
}
