//! The live log: everything that its handles, its threads and its readers share.

use std::collections::BTreeMap;

use crate::config::{Settings, SyncStrategy};
use crate::cursors::Cursors;
use crate::error::{Error, ErrorKind, Result};
use crate::keeper::Keeper;
use crate::maintain::Signal;
use crate::manifest::{Manifest, ManifestFile};
use crate::metrics::Meters;
use crate::recover::{OpenedLog, Pending, Recovery, WriterLock};
use crate::segment::{FileCache, Index, Names, Segment};
use crate::snapshot::{Snapshot, View};
use crate::stats::{Counters, Stats};
use crate::storage::{Clock, Latch, Storage};
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering};
use crate::trace;
use crate::watermark::{Level, Watermark};
use crate::write::appender::{Appender, State};
use crate::write::compress::Encoders;
use crate::write::flush::Writer;
use crate::write::group_commit::Leadership;
use crate::write::next::allocate_ahead;
use crate::write::open::{Extent, OpenSegment};
use crate::write::pack::Packing;
use crate::write::sharing::Sharing;

/// How far the time of day may run ahead of the steady clock before it counts as a jump: clocks are set by
/// small steps.
const CLOCK_SLACK: u64 = 60_000_000;

/// A log open for writing.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) latch: Arc<Latch>,
    /// The time of day at opening (microseconds), and the steady clock then.
    opened_at: (u64, std::time::Duration),
    pub(crate) files: Arc<FileCache>,
    pub(crate) watermark: Arc<Watermark>,
    pub(crate) manifest: Arc<ManifestFile>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) counters: Counters,
    pub(crate) meters: Meters,
    pub(crate) signal: Signal,
    snapshot: Mutex<Arc<Snapshot>>,
    /// The newest snapshot's, for those who ask for every entry. Stored under that one's lock, before the list is
    /// swapped: who has a list finds this at least as new. Who finds an older number looks for an entry that is gone,
    /// and asks again. Under shuttle: `cuts::truncate_front_while_others_append_and_read`.
    pub(crate) first_seq: AtomicU64,

    pub(crate) leadership: Leadership,
    /// The maintenance lock.
    keeper: Mutex<Keeper>,
    /// The manifest's metadata, for those who ask, perhaps in a callback, and must not wait for who has that lock.
    pub(crate) meta: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Frames of another log are appended one after the other. Taken before all other locks.
    pub(crate) grafting: Mutex<()>,
    /// Tries at making room for appends; behind it, one at a time.
    pub(crate) preparing: Mutex<()>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) encoders: Encoders,
    /// Where single appends that wait for the disk gather, if they are to share records.
    pub(crate) packing: Option<Packing>,
    /// The append lock.
    pub(crate) appender: Mutex<Appender>,
    /// Who waits for it.
    pub(crate) sharing: Sharing,
    /// Appends wait here for room, a turn, or the end of a cut.
    pub(crate) room: Condvar,
    /// Bytes from its start that the active segment is asked to grow to. Under shuttle: `appends::rotation`.
    pub(crate) grow_to: AtomicU64,

    /// Open segments, oldest first; the last is the active one.
    pub(crate) open: Mutex<Vec<Arc<OpenSegment>>>,
    pub(crate) pending: Mutex<Option<Pending>>,
    /// The highest ordinal that the manifest names as active: its name is durable. Raised behind the manifest's sync,
    /// and looked at by a leader before its own: releasing and acquiring put the one before the other, as in
    /// `loom_a_generation_that_counts_is_synced`. One that finds it too low takes the maintenance lock, and learns there.
    /// Under shuttle: `appends::rotation`, `appends::rotation_by_the_logs_thread`.
    pub(crate) named: AtomicU64,
    /// The epoch of what is appended now, in two halves behind one lock with the era.
    pub(crate) epoch: Mutex<u128>,
    /// Bytes that could not be written for want of room wait in the write stage. Under shuttle:
    /// `failures::a_full_disk`.
    pub(crate) stuck: AtomicBool,
    /// Whether files of removed segments could not be removed yet. Changed with the maintenance lock held, behind which
    /// the list of them is; who looks without it takes the lock if there are any, and leaves to the next call what comes
    /// to be left meanwhile. So no order is needed. What it decides:
    /// `rules::retention::what_could_not_be_removed_goes_with_the_next_call`; retention beside cuts and appends:
    /// `stress::everything_at_once`.
    pub(crate) left_over: AtomicBool,
    /// How many of the bytes appended since opening (`counters.bytes_appended`) are durable. Under shuttle:
    /// `tickets::ready_to_submit`.
    pub(crate) bytes_durable: AtomicU64,
    report: Mutex<Recovery>,
    lock: Mutex<Option<WriterLock>>,
}

impl Log {
    pub(crate) fn new(
        opened: OpenedLog,
        settings: Settings,
        latch: Arc<Latch>,
    ) -> Result<Arc<Self>> {
        let OpenedLog { keeper, lock, sealed, active, next_seq, pending, report } = opened;
        keeper.file.latch_by(&latch);
        let storage = Arc::clone(&keeper.storage);
        let names = keeper.names.clone();
        let files = Arc::new(FileCache::new(Arc::clone(&storage), &names));
        let mut segments =
            found_segments(&names, &files, &sealed, &keeper.manifest, pending.as_ref());
        segments.extend(prepared_segment(&keeper.manifest, &names, &files));
        let mut allocated = None;
        let mut begin = Extent { end: 0, next_seq };
        let open = match active {
            Some(active) => {
                begin.end = active.end;
                allocated = allocate_ahead(&*active.file, active.end, settings.segment_size);
                let open = open_segment(&names, &files, active, begin, 0);
                segments.push(Arc::clone(&open.segment));
                Some(open)
            }
            None => None,
        };
        let manifest = Arc::clone(&keeper.file);
        let log = Arc::new(Self {
            snapshot: Mutex::new(Arc::new(Snapshot {
                log_id: keeper.manifest.log_id,
                segments,
                first_seq: keeper.manifest.first_seq,
                epochs: keeper.manifest.epochs.clone(),
                losses: keeper.manifest.losses.clone(),
            })),
            first_seq: AtomicU64::new(keeper.manifest.first_seq),
            watermark: Arc::new(Watermark::new(next_seq)),
            counters: Counters::default(),
            // Where it waits for a sync, reading a clock costs nothing.
            meters: Meters::new(settings.strategy == SyncStrategy::Always),
            signal: Signal::default(),
            leadership: Leadership::default(),
            grafting: Mutex::new(()),
            preparing: Mutex::new(()),
            writer: Mutex::new(Writer::default()),
            encoders: Encoders::new(),
            packing: settings.packs_appends().then(Packing::new),
            appender: Mutex::new(Appender::new(open.clone(), begin, allocated)),
            sharing: Sharing::default(),
            room: Condvar::new(),
            grow_to: AtomicU64::new(0),
            open: Mutex::new(open.into_iter().collect()),
            pending: Mutex::new(pending),
            named: AtomicU64::new(keeper.manifest.active),
            epoch: Mutex::new(keeper.manifest.epoch()),
            stuck: AtomicBool::new(false),
            left_over: AtomicBool::new(false),
            bytes_durable: AtomicU64::new(0),
            report: Mutex::new(report),
            lock: Mutex::new(Some(lock)),
            opened_at: times(&*keeper.clock),
            clock: Arc::clone(&keeper.clock),
            cursors: Arc::clone(&keeper.cursors),
            meta: Mutex::new(keeper.manifest.meta.clone()),
            keeper: Mutex::new(keeper),
            manifest,
            settings,
            names,
            storage,
            latch,
            files,
        });
        log.look_ahead(&log.appender.lock());
        log.watch_latch();
        Ok(log)
    }

    /// A failure wakes all who wait, with its cause.
    fn watch_latch(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.latch.watch(Box::new(move |cause| {
            if let Some(log) = weak.upgrade() {
                trace::poisoned(log.names.dir(), cause);
                log.watermark.fail(cause);
                log.room.notify_all();
                log.signal.wake();
            }
        }));
    }

    /// The maintenance lock.
    pub(crate) fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock()
    }

    /// Which of the locks that may be held together are held, in their order.
    #[cfg(not(walden_model))]
    pub(crate) fn held(&self) -> Vec<&'static str> {
        let held = [
            ("leadership", self.leadership.is_taken()),
            ("maintenance", self.keeper.is_held()),
            ("preparing", self.preparing.is_held()),
            ("write", self.writer.is_held()),
            ("append", self.appender.is_held()),
        ];
        held.into_iter().filter(|(_, held)| *held).map(|(name, _)| name).collect()
    }

    /// The models' locks cannot be asked.
    #[cfg(walden_model)]
    pub(crate) fn held(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Swaps the list that readers see.
    pub(crate) fn change_snapshot(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut current = self.snapshot.lock();
        let mut next = Snapshot::clone(&current);
        change(&mut next);
        self.first_seq.store(next.first_seq, Ordering::Release);
        *current = Arc::new(next);
    }

    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq.load(Ordering::Acquire)
    }

    pub(crate) fn report(&self) -> Recovery {
        self.report.lock().clone()
    }

    pub(crate) fn change_report(&self, change: impl FnOnce(&mut Recovery)) {
        change(&mut self.report.lock());
    }

    /// Lets go of the lock; the last step of closing.
    pub(crate) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    /// Whether changes are taken.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    pub(crate) fn check(&self) -> Result<()> {
        self.latch.check()?;
        match self.appender.lock().state {
            State::Closed => Err(Error::closed()),
            _ => Ok(()),
        }
    }

    /// A segment that opening found or a cut began, ready to be appended to.
    pub(crate) fn adopt_active(&self, active: crate::recover::Active) -> Arc<OpenSegment> {
        let begin = Extent { end: active.end, next_seq: self.watermark.appended() };
        let bytes = self.nothing_in_flight();
        open_segment(&self.names, &self.files, active, begin, bytes)
    }

    /// All that was appended is durable or was cut; gives how many bytes that is.
    pub(crate) fn nothing_in_flight(&self) -> u64 {
        let bytes = self.counters.bytes_appended.load(Ordering::Acquire);
        self.bytes_durable.store(bytes, Ordering::Release);
        bytes
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.read();
        stats.appended = self.watermark.appended();
        stats.written = self.watermark.written();
        stats.durable = self.watermark.durable();
        stats.segments = crate::num::size(self.snapshot.lock().segments.len());
        stats.open_segments = crate::num::size(self.open.lock().len());
        stats.mapped = self.open.lock().last().is_some_and(|open| open.file.is_mapped());
        stats.waiters = crate::num::size(self.watermark.waiters());
        stats.bytes_in_flight = self.in_flight();
        (stats.cursors, stats.cursors_unreadable) = self.cursors.count();
        stats.poisoned = self.latch.cause().is_some();
        stats.last_upkeep_failure = self.signal.last_failure().map(|error| error.to_string());
        stats
    }

    /// Bytes appended and not yet durable.
    pub(crate) fn in_flight(&self) -> u64 {
        let durable = self.bytes_durable.load(Ordering::Relaxed);
        self.counters.bytes_appended.load(Ordering::Relaxed).saturating_sub(durable)
    }

    /// The time of day for judging ages (microseconds): no further on than the log has lived since it was
    /// opened, so that a clock that jumps forward makes nothing old.
    pub(crate) fn now_for_ages(&self) -> u64 {
        let (wall, steady) = self.opened_at;
        let lived = self.clock.elapsed().saturating_sub(steady).as_micros();
        let lived = u64::try_from(lived).unwrap_or(u64::MAX);
        let most = wall.saturating_add(lived).saturating_add(CLOCK_SLACK);
        crate::segment::index::micros(self.clock.now()).min(most)
    }

    /// The error for a position outside the log.
    pub(crate) fn out_of_range(&self, what: &str, seq: u64) -> Error {
        Error::new(
            ErrorKind::OutOfRange,
            format!(
                "{what}: the log holds seq ids from {} to before {}",
                self.first_seq(),
                self.watermark.appended()
            ),
        )
        .seq_at(seq)
    }
}

/// What readers see at first, but for the active segment.
fn found_segments(
    names: &Names,
    files: &Arc<FileCache>,
    sealed: &[u64],
    manifest: &Manifest,
    pending: Option<&Pending>,
) -> Vec<Arc<Segment>> {
    let kept = manifest.cut.and_then(|cut| cut.kept);
    let found = |ordinal: &u64| {
        let segment = Segment::sealed(names, *ordinal, Arc::clone(files));
        // Where shortening it found no room, its file is longer than what the cut keeps.
        if let Some((_, len)) = kept.filter(|(kept, _)| kept == ordinal) {
            segment.set_end(len);
        }
        Arc::new(segment)
    };
    let mut segments: Vec<Arc<Segment>> = sealed.iter().map(found).collect();
    if let Some(Pending::Tail(scan)) = pending {
        for scanned in &scan.segments {
            segments.push(Arc::new(Segment::open(
                names,
                scanned.from.ordinal,
                Arc::clone(files),
                None,
                scanned.end,
                scanned.index.clone(),
            )));
        }
    }
    segments
}

/// What a cut in progress made ready: until it gets its name, the surviving part of a batch is read there.
pub(crate) fn prepared_segment(
    manifest: &Manifest,
    names: &Names,
    files: &Arc<FileCache>,
) -> Option<Arc<Segment>> {
    let cut = manifest.cut?;
    let len = cut.prepared?;
    let segment = Segment::prepared(names, cut.dead_to, Arc::clone(files));
    segment.note_first_seq(manifest.open_seq);
    segment.set_end(len);
    Some(Arc::new(segment))
}

/// The time of day (microseconds) and the steady clock.
fn times(clock: &dyn Clock) -> (u64, std::time::Duration) {
    (crate::segment::index::micros(clock.now()), clock.elapsed())
}

fn open_segment(
    names: &Names,
    files: &Arc<FileCache>,
    active: crate::recover::Active,
    begin: Extent,
    bytes_before: u64,
) -> Arc<OpenSegment> {
    let segment = Segment::open(
        names,
        active.ordinal,
        Arc::clone(files),
        Some(Arc::clone(&active.file)),
        active.end,
        active.index,
    );
    if active.end > 0 {
        segment.note_first_seq(active.first_seq);
    }
    Arc::new(OpenSegment::new(Arc::new(segment), active.file, begin, bytes_before))
}

/// A new, empty segment.
pub(crate) fn empty_segment(
    log: &Log,
    ordinal: u64,
    file: Arc<dyn crate::storage::File>,
) -> Segment {
    Segment::open(
        &log.names,
        ordinal,
        Arc::clone(&log.files),
        Some(file),
        0,
        Some(Index::default()),
    )
}

impl View for Log {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock())
    }

    fn refresh(&self) -> Result<()> {
        // What an append returned for may be in our buffers: a reader of this process sees it.
        if self.watermark.written() < self.watermark.appended() && self.latch.cause().is_none() {
            match self.flush() {
                Err(error) if error.is_out_of_space() || error.is_poisoned() => {}
                other => return other,
            }
        }
        Ok(())
    }

    fn has_come(&self, seq: u64) -> Result<bool> {
        if seq >= self.watermark.appended() {
            return Ok(false);
        }
        if seq >= self.watermark.written() {
            self.check()?;
            self.flush()?;
        }
        // Else it was cut meanwhile.
        Ok(seq < self.watermark.written())
    }

    fn is_foreign(&self) -> bool {
        false
    }

    fn end(&self, level: Level) -> u64 {
        match level {
            Level::Written => self.watermark.written(),
            Level::Durable => self.watermark.durable(),
        }
    }

    fn first_seq(&self) -> u64 {
        self.first_seq.load(Ordering::Acquire)
    }

    fn era(&self) -> u64 {
        self.watermark.era()
    }

    fn cut_since(&self, era: u64) -> Option<u64> {
        self.watermark.cut_since(era)
    }

    fn watermark(&self) -> Option<&Watermark> {
        Some(&self.watermark)
    }

    fn met(&self, error: &Error) {
        self.count_damage(error);
    }

    fn most_content(&self) -> u64 {
        self.settings.max_record_size
    }
}
