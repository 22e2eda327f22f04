//! The handle: delegates, holds no logic.

#[cfg(test)]
mod locks;
mod probe;

use std::fmt;
use std::future::Future;
use std::ops::{Range, RangeBounds};
use std::path::Path;
use std::time::SystemTime;

use crate::close;
use crate::config::{Compression, Config, Retention, Settings};
use crate::cursors::{Cursor, CursorInfo, Start};
use crate::dictionaries::{self, DictionaryInfo};
use crate::entry::Entry;
use crate::error::Result;
use crate::frames::Frames;
use crate::log::Log;
use crate::maintain;
use crate::metrics::{Metrics, Observer};
use crate::read::{Entries, Follower, Reader};
use crate::recover::{self, Recovery};
use crate::snapshot::View;
use crate::stats::Stats;
use crate::storage::{self, Clock, Latch, LatchedStorage, Storage, SystemClock};
use crate::sync::Arc;
use crate::trace;
use crate::watermark;
use crate::write::ticket::{Ready, Ticket};
use crate::{SegmentInfo, segments};

/// A log open for writing.
///
/// Clones share it, and any thread may use any of them. Dropping the last one closes the log; to learn of
/// an error then, call [`close`](Self::close).
#[derive(Clone)]
pub struct Wal {
    owner: Arc<Owner>,
    /// How what is appended by this handle is stored.
    compression: Compression,
}

/// Closes the log when the last handle goes.
struct Owner {
    log: Arc<Log>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Nobody is left to be told; what could not be synced is as after a crash.
        if watermark::in_callback() {
            // Closing waits for the sync that runs this callback.
            let log = Arc::clone(&self.log);
            drop(crate::sync::spawn("walden-close", move || drop(close::close(&log))));
        } else {
            drop(close::close(&self.log));
        }
    }
}

impl From<&Wal> for Observer {
    fn from(wal: &Wal) -> Self {
        wal.observer()
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.log().names.dir())
            .field("first_seq", &self.first_seq())
            .field("next_seq", &self.next_seq())
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Opens the log in `dir`: makes it (and the folder) if there is none, adopts a log of the Go library,
    /// recovers one that was not closed cleanly. [`recovery`](Self::recovery) tells what was done.
    ///
    /// # Errors
    /// `Locked` where another writer has it; `Corrupt` where durable bytes are not what was written:
    /// nothing was changed then, and the error names file, offset, seq ids and the next command;
    /// `TornTail` under `RecoveryMode::Strict`; `Unsupported`; `InvalidInput`; `Io`; `OutOfSpace`.
    pub fn open(dir: impl AsRef<Path>, config: Config) -> Result<Self> {
        let storage = storage::of_engine(config.chosen_engine());
        Self::open_with(dir, config, storage, Arc::new(SystemClock::default()))
    }

    /// As [`open`](Self::open), on a storage and clock of the caller's: a simulated disk, for one. The storage
    /// decides how files are written, whatever [`Config::engine`] says.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        dir: impl AsRef<Path>,
        config: Config,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let _span = trace::opening(dir.as_ref());
        let opened = Self::open_log(dir.as_ref(), config, storage, clock);
        match &opened {
            Ok(wal) => trace::opened(&wal.recovery(), wal.first_seq(), wal.next_seq()),
            Err(error) => trace::not_opened(error),
        }
        opened
    }

    fn open_log(
        dir: &Path,
        config: Config,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let settings = Settings::check(config)?;
        let latch = Arc::new(Latch::default());
        let storage: Arc<dyn Storage> =
            Arc::new(LatchedStorage::new(storage, Arc::clone(&latch), dir));
        let opened = recover::open(dir, &settings, storage, clock)?;
        let compression = settings.compression;
        let log = Log::new(opened, settings, latch)?;
        let wal = Self { owner: Arc::new(Owner { log }), compression };
        maintain::start(wal.log())?;
        Ok(wal)
    }

    /// Another handle of this log, and clones of that, by which what is appended is stored so, whatever
    /// [`Config::compression`] says: for payloads that are compressed already, say, or for large ones.
    ///
    /// ```
    /// # use walden::{Compression, Config, Wal};
    /// # fn main() -> walden::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = Wal::open(dir.path(), Config::durable())?;
    /// let as_it_is = wal.with_compression(Compression::None)?;
    /// as_it_is.append("a picture")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` where this build is without the feature; `InvalidInput` for a level that there is not, or in
    /// a log with [`BatchFormat::Separate`](crate::BatchFormat::Separate).
    pub fn with_compression(&self, compression: Compression) -> Result<Self> {
        compression.check(self.log().settings.batch_format)?;
        Ok(Self { owner: Arc::clone(&self.owner), compression })
    }

    fn log(&self) -> &Arc<Log> {
        &self.owner.log
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::<Log>::clone(self.log())
    }

    /// Appends one entry and returns its seq id. Under [`SyncStrategy::Background`] the entry is only in
    /// this process's memory then, under `OsCache` with the kernel, under `Always` durable.
    ///
    /// [`SyncStrategy::Background`]: crate::SyncStrategy::Background
    ///
    /// # Errors
    /// `TooLarge` and `OutOfSpace`: nothing happened (but where the filesystem cannot reserve space, or needs some
    /// to write in place: an `OutOfSpace` that names a [`seq`](crate::Error::seq) says that the entry has it, and
    /// is tried again: it is not to be appended again). `Io`: no space could be made ready, and not for want of room;
    /// nothing happened, and the next append tries again. `Poisoned`: the entry may be found after reopening.
    /// `Closed`; `Truncated` where it was cut while this waited.
    pub fn append(&self, payload: impl AsRef<[u8]>) -> Result<u64> {
        self.log().append(&[payload.as_ref()], self.compression)
    }

    /// Appends one entry whose payload is the concatenation of `parts`, without concatenating them first.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_parts(&self, parts: &[&[u8]]) -> Result<u64> {
        self.log().append(parts, self.compression)
    }

    /// Appends several entries and returns their seq ids. They are one record, so that after a crash all
    /// or none are there, unless [`BatchFormat::Separate`](crate::BatchFormat::Separate) says otherwise.
    /// An empty batch is a no-op.
    ///
    /// # Errors
    /// As [`append`](Self::append). With separate records, `OutOfSpace` may come in the middle: the error
    /// names the seq ids that were appended, which stay.
    pub fn append_batch(
        &self,
        entries: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Range<u64>> {
        let entries: Vec<_> = entries.into_iter().collect();
        let entries: Vec<&[u8]> = entries.iter().map(AsRef::as_ref).collect();
        self.log().append_batch(&entries, self.compression)
    }

    /// Appends one entry without waiting for the disk. The ticket tells when it is durable. Waits while
    /// more than `max_in_flight` bytes are not.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn submit(&self, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.log().submit(&[payload.as_ref()], self.compression, true)
    }

    /// As [`submit`](Self::submit), for a batch.
    ///
    /// # Errors
    /// As [`append_batch`](Self::append_batch).
    pub fn submit_batch(
        &self,
        entries: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Ticket> {
        let entries: Vec<_> = entries.into_iter().collect();
        let entries: Vec<&[u8]> = entries.iter().map(AsRef::as_ref).collect();
        self.log().submit_batch(&entries, self.compression, true)
    }

    /// As [`submit`](Self::submit), but answers `Busy` instead of waiting.
    ///
    /// # Errors
    /// `Busy` over `max_in_flight`; else as [`append`](Self::append).
    pub fn try_submit(&self, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.log().submit(&[payload.as_ref()], self.compression, false)
    }

    /// Resolves once [`try_submit`](Self::try_submit) would be let through.
    ///
    /// # Errors
    /// Where the log was closed or has failed.
    pub fn ready(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        Ready::new(Arc::clone(self.log()))
    }

    /// Hands all that was appended to the kernel.
    ///
    /// # Errors
    /// `OutOfSpace`, `Poisoned`, `Closed`.
    pub fn flush(&self) -> Result<()> {
        self.log().check()?;
        self.log().flush()
    }

    /// Makes all that was appended before the call durable, and what cursors committed.
    ///
    /// # Errors
    /// `OutOfSpace`, `Poisoned`, `Closed`.
    pub fn sync(&self) -> Result<()> {
        self.log().check()?;
        self.log().sync()?;
        self.log().cursors.persist()
    }

    /// Makes everything durable, cuts free space, and closes the log for all clones: they get `Closed` from
    /// then on. A second call is a no-op.
    ///
    /// # Errors
    /// What kept it from closing cleanly; it is closed all the same, and opening will recover it.
    pub fn close(&self) -> Result<()> {
        watermark::refuse_in_callback()?;
        close::close(self.log())
    }

    /// The first seq id that there is; equal to [`next_seq`](Self::next_seq) in an empty log.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.log().first_seq()
    }

    /// The last seq id appended; `None` in an empty log.
    #[must_use]
    pub fn last_seq(&self) -> Option<u64> {
        let next = self.next_seq();
        (next > self.first_seq()).then(|| next - 1)
    }

    /// The seq id that the next entry gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.log().watermark.appended()
    }

    /// The last seq id that is durable: neither a crash nor a power cut loses it. One less than
    /// [`first_seq`](Self::first_seq) where none is.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.log().watermark.durable() - 1
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last_seq().is_none()
    }

    /// One entry; `None` at or above [`next_seq`](Self::next_seq).
    ///
    /// # Errors
    /// `Removed` below [`first_seq`](Self::first_seq); `OutOfSpace` and `Poisoned` where it was appended and its
    /// bytes could not be written: they are in memory alone; `Corrupt`; `Lost`; `Io`.
    pub fn get(&self, seq: u64) -> Result<Option<Entry>> {
        crate::read::get(&self.view(), seq)
    }

    /// The entries with these seq ids, from either end. The end is fixed at the call: the bound, or where what is
    /// written ends. That is [`next_seq`](Self::next_seq), unless the disk is full or the log has failed: then
    /// [`stats`](Self::stats) has it (`written`), and [`get`](Self::get) says what keeps the rest from being read.
    ///
    /// # Errors
    /// `Removed` where it begins below [`first_seq`](Self::first_seq), `BeyondEnd` where it begins above
    /// [`next_seq`](Self::next_seq); as [`get`](Self::get) where it begins behind what could be written.
    pub fn range(&self, seqs: impl RangeBounds<u64>) -> Result<Entries> {
        crate::read::range(&self.view(), &seqs)
    }

    /// A reader at the first entry.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.view())
    }

    /// A reader at `seq`.
    ///
    /// # Errors
    /// As [`Reader::seek`].
    pub fn reader_at(&self, seq: u64) -> Result<Reader> {
        Reader::at(self.view(), seq)
    }

    /// The records from the one with entry `from` on, as they are stored, for another log to
    /// [`append_frames`](Self::append_frames): as many as are durable and fit `max_bytes`, but at least one; `None`
    /// where none is durable yet. To wait for them: [`Follower::in_frames`].
    ///
    /// Where `from` lies in a batch, all of the batch.
    ///
    /// # Errors
    /// `Removed`, `BeyondEnd`; as reading.
    pub fn frames(&self, from: u64, max_bytes: u64) -> Result<Option<Frames>> {
        crate::read::frames(self.view(), from, max_bytes)
    }

    /// Some of these seq ids, in order, each with a moment at or before which its entry was appended: every 32nd of
    /// a segment, as far as the index knows.
    #[must_use]
    pub fn append_times(&self, seqs: Range<u64>) -> Vec<(u64, SystemTime)> {
        crate::read::append_times(&**self.log(), &seqs)
    }

    /// Appends what another log stored, under the same seq ids, and makes this log a copy of that one's
    /// history: frames that are here already are compared and passed over. Returns the seq ids that are new here,
    /// when they are as safe as an append's. Of a batch whose first entries lie before this log's
    /// [`first_seq`](Self::first_seq), the rest is taken, each entry as a record of its own.
    ///
    /// What is appended behind by other calls is a history of this log's own: it begins a new epoch, and frames
    /// of the other log are refused from there on.
    ///
    /// # Errors
    /// With nothing appended: `Gap` where they begin behind [`next_seq`](Self::next_seq), which [`Error::seq`](crate::Error::seq)
    /// has; `Diverged` where this log has other entries, from [`Error::seq`](crate::Error::seq) on
    /// ([`truncate_back`](Self::truncate_back) to the one before makes it fit); `Removed` where the other log removed what
    /// it had before the frames, and its history, so that nobody can tell whether what is here is the same;
    /// `TooLarge`; `Corrupt` where a compressed record does not hold what it says; `MissingDictionary` where they
    /// need one that this log has not ([`add_dictionary`](Self::add_dictionary)). `Busy` where someone
    /// else appended meanwhile. As [`append`](Self::append), after which the same frames can be given again.
    pub fn append_frames(&self, frames: &Frames) -> Result<Range<u64>> {
        self.log().append_frames(frames)
    }

    /// What the entries with these seq ids amount to, however they are stored: to compare two logs by.
    ///
    /// # Errors
    /// As [`range`](Self::range), and as reading.
    #[cfg(feature = "digest")]
    pub fn digest(&self, seqs: impl RangeBounds<u64>) -> Result<crate::Digest> {
        crate::read::digest(self.range(seqs)?)
    }

    /// Follows the log from `from` on, for ever.
    ///
    /// # Errors
    /// `Removed`, `BeyondEnd`.
    pub fn follow(&self, from: u64) -> Result<Follower> {
        Follower::new(self.view(), from)
    }

    /// The cursor with this name, which has one owner at a time. If there is none, it is made, at `start`, and durable
    /// when this returns; else `start` doesn't matter. A log has at most 1,024.
    ///
    /// # Errors
    /// `Locked` while another has it; `InvalidInput` for what is no [name](Cursor::check_name); `Removed` and `BeyondEnd` where `start` lies
    /// outside what is durable; `Corrupt` where one is to be made and there is one that cannot be read: it may be
    /// that; `TooLarge`; `OutOfSpace`; `Poisoned`; `Closed`.
    pub fn cursor(&self, name: impl AsRef<str>, start: Start) -> Result<Cursor> {
        self.log().cursor(name.as_ref(), start)
    }

    /// All cursors, by name; one that cannot be read comes last, without one.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn cursors(&self) -> Result<Vec<CursorInfo>> {
        self.log().list_cursors()
    }

    /// Removes a cursor that nobody has: durable when this returns. False: there is none of this name.
    ///
    /// # Errors
    /// `Locked` while somebody has it; else as [`Cursor::remove`].
    pub fn remove_cursor(&self, name: impl AsRef<str>) -> Result<bool> {
        self.log().remove_cursor(name.as_ref())
    }

    /// Gives up the cursors that cannot be read, and that keep retention from removing anything. Returns how many
    /// those were.
    ///
    /// # Errors
    /// Where the file could not be read at all, what kept it from being read; `Poisoned`; `Closed`.
    pub fn remove_unreadable_cursors(&self) -> Result<u64> {
        watermark::refuse_in_callback()?;
        self.log().check()?;
        self.log().cursors.remove_unreadable()
    }

    /// Makes `first` the first seq id: what is before it is gone for readers at once, and its files go as
    /// soon as whole segments are dead. `next_seq()` empties the log; at or below `first_seq()` it is a no-op.
    /// Cursors don't hold it back: one that it goes past gets `Removed`.
    ///
    /// # Errors
    /// `OutOfRange` above `next_seq()`; `Poisoned`; `Closed`.
    pub fn truncate_front(&self, first: u64) -> Result<()> {
        self.log().truncate_front(first)
    }

    /// Makes `last` the last seq id; `first_seq() - 1` empties the log. What was cut never comes back,
    /// tickets for it fail, followers are told.
    ///
    /// # Errors
    /// `OutOfRange`; `OutOfSpace` (where the cut goes through a batch) with nothing done, and `Unsupported` where
    /// that batch is compressed and this build is without the feature, `MissingDictionary` where its dictionary is gone;
    /// `Poisoned`.
    pub fn truncate_back(&self, last: u64) -> Result<()> {
        self.log().truncate_back(last)
    }

    /// Empties the log and goes on at `next` (at least 1), wherever it was: after a Raft snapshot, say.
    ///
    /// # Errors
    /// `InvalidInput` for 0; `Poisoned`; `Closed`.
    pub fn reset(&self, next: u64) -> Result<()> {
        self.log().reset(next)
    }

    /// Removes, oldest first, the whole segments that `limits` allow to go; never the active one, and none that a
    /// [cursor](Self::cursor) needs, but by [`Config::cursor_cap`]. Returns how many went.
    ///
    /// # Errors
    /// `Corrupt` where there is a cursor that cannot be read, with nothing removed; `Poisoned`, `Closed`, `Io`.
    pub fn retain(&self, limits: &Retention) -> Result<u64> {
        self.log().retain(limits)
    }

    /// Stores a small value durably and atomically beside the log: a Raft vote, say. An empty value
    /// removes the key. All keys and values together have room for 1,400 bytes, 4 bytes each pair included.
    ///
    /// # Errors
    /// `TooLarge` with nothing changed; `Poisoned`; `Closed`.
    pub fn set_meta(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let log = self.log();
        log.check()?;
        watermark::refuse_in_callback()?;
        let mut keeper = log.keeper();
        let mut next = keeper.manifest.clone();
        if value.as_ref().is_empty() {
            next.meta.remove(key.as_ref());
        } else {
            next.meta.insert(key.as_ref().to_vec(), value.as_ref().to_vec());
        }
        let meta = next.meta.clone();
        keeper.commit(next)?;
        *log.meta.lock() = meta;
        Ok(())
    }

    /// A value stored by [`set_meta`](Self::set_meta).
    #[must_use]
    pub fn meta(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.log().meta.lock().get(key.as_ref()).cloned()
    }

    /// Trains a dictionary of at most `size` bytes (1 KiB to 1 MiB; 112,640 is Zstandard's own choice) from entries all over
    /// the log, and puts it beside the segments. From then on [`Compression::Zstd`] compresses with it what has no more
    /// than 32 KiB, here and whenever the log is opened: small entries that are alike get several times smaller. Those
    /// before it stay as they are, and what older dictionaries compressed needs their files.
    ///
    /// Durable when this returns. It takes a while: seconds, for large logs.
    ///
    /// # Errors
    /// `Unsupported` where this build is without the feature `zstd`; `InvalidInput` for another size, and where the
    /// entries are too few or have nothing in common; `TooLarge` where there are 256 dictionaries; `OutOfSpace`;
    /// `Poisoned`; `Closed`; as reading.
    pub fn train_dictionary(&self, size: u64) -> Result<DictionaryInfo> {
        let log = self.log();
        let all = (self.first_seq(), self.next_seq());
        let learnt = dictionaries::learn(all, size, &mut |seq| self.get(seq))?;
        log.keep_dictionary(|storage, names| learnt.keep(storage, names))
    }

    /// The dictionaries beside the log, by id. The one with the highest number is what is compressed with.
    ///
    /// # Errors
    /// `Corrupt` and `Unsupported` where one cannot be read; `Io`.
    pub fn dictionaries(&self) -> Result<Vec<DictionaryInfo>> {
        dictionaries::list(&*self.log().storage, &self.log().names)
    }

    /// What is in the file of a dictionary: for another log to [`add_dictionary`](Self::add_dictionary) that is to take
    /// [frames](Self::frames) of this one.
    ///
    /// # Errors
    /// `MissingDictionary` where there is none with this id; as [`dictionaries`](Self::dictionaries).
    pub fn dictionary(&self, id: u32) -> Result<Vec<u8>> {
        Ok(self.log().files.dictionaries.get(id)?.encode())
    }

    /// Puts a dictionary of another log beside this one: what [`dictionary`](Self::dictionary) gave, or what is in its
    /// file. Durable when this returns. One that is there is left as it is.
    ///
    /// # Errors
    /// `Corrupt` for what is no dictionary, `Unsupported` for one of a newer version; else as
    /// [`train_dictionary`](Self::train_dictionary).
    pub fn add_dictionary(&self, file: impl AsRef<[u8]>) -> Result<DictionaryInfo> {
        let made = dictionaries::given(file.as_ref())?;
        self.log().keep_dictionary(|storage, names| {
            dictionaries::store(storage, names, &made)?;
            Ok(DictionaryInfo::new(names, &made))
        })
    }

    /// What was counted since the log was opened, and how it stands.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.log().stats()
    }

    /// All that the log tells of itself: [`stats`](Self::stats), distributions of times, bytes, cursors, recovery.
    /// Nothing is worked out before it is asked for; the first call may open segments that nobody has read.
    ///
    /// ```
    /// # use walden::{Config, Wal};
    /// # fn main() -> walden::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let wal = Wal::open(&dir, Config::durable())?;
    /// wal.append("hello")?;
    /// let metrics = wal.metrics();
    /// assert_eq!(metrics.stats.appends, 1);
    /// assert_eq!(metrics.append_times.count(), 1);
    /// println!("half of the syncs took at most {:?} ns", metrics.sync_times.quantile(0.5));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.log().metrics(true)
    }

    /// What reads the [`metrics`](Self::metrics) from elsewhere, such as a thread that answers a scraper, and does not
    /// keep the log open. [`Observers`](crate::Observers) shows several logs together.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(self.log())
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.log().report()
    }

    /// The live segments, oldest first.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        segments::list(&**self.log())
    }

    /// Does one round of what the log's thread would do, for
    /// [`Maintenance::Manual`](crate::Maintenance::Manual): makes the next segment ready, seals, and, where
    /// `sync_interval` has passed, syncs and retains.
    ///
    /// # Errors
    /// The first failure.
    pub fn tick(&self) -> Result<()> {
        self.log().check()?;
        watermark::refuse_in_callback()?;
        self.log().maintain()
    }
}
