//! `LogReader`: a log opened for reading alone.

use std::collections::BTreeSet;
use std::ops::{Range, RangeBounds};
use std::path::Path;
use std::time::SystemTime;

use super::foreign::Foreign;
use super::{Entries, Follower, Reader, range};
use crate::dictionaries::DictionaryInfo;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::Frames;
use crate::segment::Names;
use crate::segments::{self, SegmentInfo};
use crate::snapshot::View;
use crate::storage::{OsStorage, Storage};
use crate::sync::Arc;
use crate::watermark::Level;

/// A log that is only read: beside a writer in another process, on a read-only mount, as an archive.
///
/// It takes no lock and writes nothing; the writer doesn't notice. It sees what the writer has handed to
/// the kernel, durable or not; [`durable_seq`](Self::durable_seq) tells how far the log is known to be
/// durable (the writer notes it down now and then), and
/// [`Follower::durable_only`](crate::Follower::durable_only) gives no more than that.
///
/// After each read of a file, and before anything of it is handed out, the manifest is read again: so entries
/// that the writer has cut are given only as long as they were in memory before, 256 KiB of them at most, and
/// then `Truncated` is told. [`refresh`](Self::refresh) makes it told at once.
///
/// Logs of the Go library open too. Where such a log's last segment is damaged in front of sound records,
/// its end cannot be told: reading gives the entries before the damage, then the error.
///
/// Clones share what they know of the log.
#[derive(Debug, Clone)]
pub struct LogReader {
    foreign: Arc<Foreign>,
    view: Arc<dyn View>,
}

impl LogReader {
    /// Opens the one log in `dir`.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` where there are several logs ([`open_prefix`](Self::open_prefix) chooses);
    /// `Corrupt`, `Unsupported`, `Io`.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let (dir, storage) = (dir.as_ref(), OsStorage::new());
        let prefixes = prefixes(dir, &storage)?;
        match prefixes.as_slice() {
            [] => Err(Error::new(ErrorKind::NotFound, "there is no log in this folder").path(dir)),
            [prefix] => Self::open_with(dir, prefix, Arc::new(storage)),
            several => Err(Error::invalid("there are several logs in this folder")
                .path(dir)
                .advice(format!("choose one by its prefix: {}", several.join(", ")))),
        }
    }

    /// Opens the log with this prefix.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, `Io`.
    pub fn open_prefix(dir: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        Self::open_with(dir, prefix, Arc::new(OsStorage::new()))
    }

    /// Opens a log on some other storage.
    ///
    /// # Errors
    /// As [`open_prefix`](Self::open_prefix).
    pub fn open_with(
        dir: impl AsRef<Path>,
        prefix: &str,
        storage: Arc<dyn Storage>,
    ) -> Result<Self> {
        let foreign = Arc::new(Foreign::open(Names::new(dir.as_ref(), prefix), storage)?);
        let view: Arc<dyn View> = Arc::clone(&foreign) as Arc<dyn View>;
        Ok(Self { foreign, view })
    }

    /// What the names of its files begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.foreign.prefix()
    }

    /// Looks at the log again. Reading does so by itself where it comes to the end.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`, `Io`, `Busy` (the log was cut over and over while it was looked at).
    pub fn refresh(&self) -> Result<()> {
        self.view.refresh()
    }

    /// The seq id of the first entry; [`next_seq`](Self::next_seq) where there is none.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.view.first_seq()
    }

    /// The seq id after the last entry, when the log was last looked at.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.view.end(Level::Written)
    }

    /// The seq id of the last entry.
    #[must_use]
    pub fn last_seq(&self) -> Option<u64> {
        let next = self.next_seq();
        (next > self.first_seq()).then(|| next.saturating_sub(1))
    }

    /// The last seq id that is known to be durable. One less than [`first_seq`](Self::first_seq) where none
    /// is.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.view.end(Level::Durable).saturating_sub(1)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last_seq().is_none()
    }

    /// The entry `seq`; `None` at or above the log's end.
    ///
    /// # Errors
    /// `Removed` below the first seq id; `Lost`, `Corrupt`, `Unsupported`, `Io`.
    pub fn get(&self, seq: u64) -> Result<Option<Entry>> {
        range::get(&self.view, seq)
    }

    /// The entries in `bounds`. A bound above the log's end is brought down to it; an open start is the first
    /// entry that there is.
    ///
    /// # Errors
    /// `Removed` where a given start lies below the first seq id, `BeyondEnd` where it lies above the next
    /// one; `Corrupt`, `Io`.
    pub fn range(&self, bounds: impl RangeBounds<u64>) -> Result<Entries> {
        range::range(&self.view, &bounds)
    }

    /// Reads from the first entry on.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.view))
    }

    /// Reads from `seq` on, or back from it.
    ///
    /// # Errors
    /// `Removed`, `BeyondEnd`.
    pub fn reader_at(&self, seq: u64) -> Result<Reader> {
        Reader::at(Arc::clone(&self.view), seq)
    }

    /// As [`Wal::frames`](crate::Wal::frames), of what is known to be durable.
    ///
    /// # Errors
    /// `Removed`, `BeyondEnd`; `Unsupported` for a log of the Go library; as reading.
    pub fn frames(&self, from: u64, max_bytes: u64) -> Result<Option<Frames>> {
        super::frames(Arc::clone(&self.view), from, max_bytes)
    }

    /// As [`Wal::dictionaries`](crate::Wal::dictionaries).
    ///
    /// # Errors
    /// As there.
    pub fn dictionaries(&self) -> Result<Vec<DictionaryInfo>> {
        self.foreign.dictionaries()
    }

    /// As [`Wal::dictionary`](crate::Wal::dictionary).
    ///
    /// # Errors
    /// As there.
    pub fn dictionary(&self, id: u32) -> Result<Vec<u8>> {
        self.foreign.dictionary(id)
    }

    /// As [`Wal::digest`](crate::Wal::digest).
    ///
    /// # Errors
    /// As [`range`](Self::range), and as reading.
    #[cfg(feature = "digest")]
    pub fn digest(&self, bounds: impl RangeBounds<u64>) -> Result<crate::Digest> {
        super::digest(self.range(bounds)?)
    }

    /// Gives every entry from `from` on, and then those to come.
    ///
    /// # Errors
    /// `Removed`, `BeyondEnd`.
    pub fn follow(&self, from: u64) -> Result<Follower> {
        Follower::new(Arc::clone(&self.view), from)
    }

    /// As [`Wal::append_times`](crate::Wal::append_times). The segment that is being written has no index for
    /// others to read, so that its entries have no times here.
    #[must_use]
    pub fn append_times(&self, seqs: Range<u64>) -> Vec<(u64, SystemTime)> {
        super::append_times(&*self.view, &seqs)
    }

    /// The live segments, oldest first.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        segments::list(&*self.view)
    }
}

/// The prefixes of the logs in a folder, in order.
///
/// # Errors
/// `NotFound`, `Io`.
pub fn logs_in(dir: impl AsRef<Path>) -> Result<Vec<String>> {
    prefixes(dir.as_ref(), &OsStorage::new())
}

fn prefixes(dir: &Path, storage: &dyn Storage) -> Result<Vec<String>> {
    let entries = storage.list(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "there is no such folder").path(dir)
        }
        _ => Error::io("list the folder", dir, error),
    })?;
    let prefixes: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| Names::prefix_of(&entry.name).map(str::to_owned))
        .collect();
    Ok(prefixes.into_iter().collect())
}

#[cfg(test)]
mod tests;
