//! Makes room for appends ahead of them: the next segment's file, created and allocated while the active one
//! fills, and space in the active one where a record needs more.

use std::io;
use std::path::Path;

use super::appender::{Need, Ready, State};
use crate::config::SyncStrategy;
use crate::error::{Error, ErrorKind, Result, is_full};
use crate::log::{Log, empty_segment};
use crate::stats::Counters;
use crate::storage::File;
use crate::sync::{Arc, MutexGuard, Ordering, wait, wait_timeout};
use crate::watermark::{in_callback, refuse_in_callback};
use crate::write::appender::Appender;
use crate::write::open::{Extent, OpenSegment};

/// Below this, a smaller piece of a segment is not worth asking for.
const LEAST_PIECE: u64 = 64 << 10;

/// How much space is warmed ahead of appends: where warming costs a microsecond a page, and an append less, that of a
/// few hundred microseconds.
const WARM_AHEAD: u64 = 2 << 20;

/// Allocates from `from` up to a whole segment, or as much as there is room for.
///
/// Returns the bytes from the file's start that are allocated then (at least `have`); `None` where the
/// filesystem cannot allocate.
///
/// # Errors
/// What allocating gives, unless it is for want of room.
pub(crate) fn allocate(
    file: &dyn File,
    from: u64,
    segment_size: u64,
    have: u64,
) -> io::Result<Option<u64>> {
    let mut want = segment_size.saturating_sub(from);
    while want > 0 {
        match file.allocate(from, want) {
            Ok(()) => return Ok(Some(from + want)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
            // More than there is room for, or than the filesystem lets a file have: less may do.
            Err(error) if is_full(&error) || error.kind() == io::ErrorKind::FileTooLarge => {
                if want <= LEAST_PIECE {
                    break;
                }
                want /= 4;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(have))
}

/// As [`allocate`], but up to `want` where a whole segment ends before or finds no room. Also what there is then if it
/// comes to an error.
fn allocate_for(
    file: &dyn File,
    have: u64,
    segment_size: u64,
    want: u64,
) -> (Option<u64>, io::Result<()>) {
    let now = match allocate(file, have, segment_size, have) {
        Ok(now) => now,
        Err(error) => return (Some(have), Err(error)),
    };
    let Some(from) = now.filter(|now| *now < want) else { return (now, Ok(())) };
    match file.allocate(from, want - from) {
        Ok(()) => (Some(want), Ok(())),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => (None, Ok(())),
        Err(error) => (now, Err(error)),
    }
}

/// As [`allocate`], ahead of any need: a failure is told to the append that needs the space, which tries again.
pub(crate) fn allocate_ahead(file: &dyn File, from: u64, segment_size: u64) -> Option<u64> {
    allocate(file, from, segment_size, from).unwrap_or(Some(from))
}

impl Log {
    /// Does what an append needs, outside the append lock, or waits for it: the log's own thread, which does it
    /// ahead, may be busy sealing. Gives the lock back; the caller looks again.
    ///
    /// # Errors
    /// `OutOfSpace`, or what else kept it from being made; `Poisoned`.
    pub(crate) fn make_room<'a>(
        &'a self,
        need: Need,
        appender: MutexGuard<'a, Appender>,
    ) -> Result<MutexGuard<'a, Appender>> {
        if need == Need::Pause {
            return Ok(self.pause(appender));
        }
        refuse_in_callback()?;
        match need {
            Need::Turn | Need::Cut => return Ok(wait(&self.room, appender)),
            Need::Pending => {
                drop(appender);
                self.finish_pending()?;
                return Ok(self.appender.lock());
            }
            Need::OwnEpoch => {
                drop(appender);
                self.own_epoch()?;
                return Ok(self.appender.lock());
            }
            Need::Seal => return self.wait_for_seal(appender),
            Need::Next | Need::Pause => {}
            Need::Grow(end) => {
                self.grow_to.fetch_max(end, Ordering::AcqRel);
            }
        }
        drop(appender);
        let prepared = self.prepare();
        let appender = self.appender.lock();
        match prepared {
            // What was asked for may have been made all the same.
            Err(error) if self.still_needs(&appender, need) => {
                self.count_full(&error);
                Err(error)
            }
            _ => Ok(appender),
        }
    }

    /// Lets the disk keep up. Who is in a callback goes on: it must not wait for the log.
    fn pause<'a>(&'a self, mut appender: MutexGuard<'a, Appender>) -> MutexGuard<'a, Appender> {
        let (offset, now, crowded) = (appender.offset, self.clock.elapsed(), appender.is_crowded());
        if in_callback() {
            appender.pace.excuse(offset, now);
            return appender;
        }
        match appender.pace.pause(offset, now, crowded) {
            None => appender,
            Some(left) => {
                Counters::add(&self.counters.pauses, 1);
                wait_timeout(&self.room, appender, left)
            }
        }
    }

    /// Waits until one of the open segments is sealed, or seals where there is no thread that does.
    ///
    /// # Errors
    /// `OutOfSpace` where sealing finds no room; `Poisoned`.
    fn wait_for_seal<'a>(
        &'a self,
        appender: MutexGuard<'a, Appender>,
    ) -> Result<MutexGuard<'a, Appender>> {
        if self.signal.is_manual() {
            drop(appender);
            self.flush()?;
            self.seal_complete()?;
            return Ok(self.appender.lock());
        }
        let before = self.signal.refusals();
        self.signal.wake();
        let appender = wait(&self.room, appender);
        self.latch.check()?;
        match self.signal.refused_since(before) {
            Some(error) if appender.open_count >= crate::recover::MAX_OPEN => {
                self.count_full(&error);
                Err(error)
            }
            _ => Ok(appender),
        }
    }

    fn still_needs(&self, appender: &Appender, need: Need) -> bool {
        match need {
            Need::Next => appender.ready.is_none(),
            Need::Grow(end) => appender.allocated.is_some_and(|allocated| allocated < end),
            _ => false,
        }
    }

    fn count_full(&self, error: &Error) {
        if error.is_out_of_space() {
            Counters::add(&self.counters.disk_full, 1);
        }
    }

    /// Makes ready what is missing: the next segment, or space in the active one.
    ///
    /// # Errors
    /// What kept it from being made; who waits for it is told.
    pub(crate) fn prepare(&self) -> Result<()> {
        let _one = self.preparing.lock();
        let result = self.grow_active().and_then(|()| self.prepare_next());
        // The lock is taken so that nobody is between looking and waiting.
        drop(self.appender.lock_between());
        self.room.notify_all();
        result
    }

    fn grow_active(&self) -> Result<()> {
        let want = self.grow_to.swap(0, Ordering::AcqRel);
        let (open, have) = {
            let appender = self.appender.lock_between();
            match (&appender.state, &appender.active, appender.allocated) {
                // Not in a closed log: its files are as long as what they hold.
                (State::Running, Some(open), Some(have)) if have < want => (Arc::clone(open), have),
                _ => return Ok(()),
            }
        };
        let size = self.settings.segment_size;
        // The log may move on from it meanwhile, and seal it.
        let Some((now, result)) = open.grow(|| allocate_for(&*open.file, have, size, want)) else {
            return Ok(());
        };
        let result = result.map_err(|error| Error::io("reserve space", &open.segment.path, error));
        // Also where it is not enough for who asked: another may fit.
        let mut appender = self.appender.lock_between();
        if appender.active.as_ref().is_some_and(|active| Arc::ptr_eq(active, &open)) {
            appender.allocated = now;
            self.look_ahead(&appender);
        }
        result
    }

    fn prepare_next(&self) -> Result<()> {
        let ordinal = {
            let appender = self.appender.lock_between();
            match (&appender.state, &appender.active) {
                (State::Running, Some(active)) if appender.ready.is_none() => active.ordinal() + 1,
                _ => return Ok(()),
            }
        };
        let path = self.names.next(ordinal);
        let file = match self.storage.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Ours from a try that failed half-way: never reused, it may hold anything.
                self.storage
                    .remove(&path)
                    .and_then(|()| self.storage.create(&path))
                    .map_err(|error| Error::io("create the next segment", &path, error))?
            }
            other => other.map_err(|error| Error::io("create the next segment", &path, error))?,
        };
        let allocated = match self.reserve_next(&*file, &path) {
            Ok(allocated) => allocated,
            Err(error) => {
                drop(file);
                drop(self.storage.remove(&path));
                // A log that failed or was closed meanwhile gives no room either, and that is not why.
                self.check()?;
                return Err(error);
            }
        };
        if self.warms() {
            file.warm(WARM_AHEAD);
        }
        self.appender.lock_between().ready = Some(Ready { ordinal, file, allocated });
        Ok(())
    }

    /// Space for the next segment: for all of it, or as much as there is.
    fn reserve_next(&self, file: &dyn File, path: &Path) -> Result<Option<u64>> {
        match allocate(file, 0, self.settings.segment_size, 0) {
            Ok(Some(0)) => {
                Err(Error::new(ErrorKind::OutOfSpace, "there is no room for the next segment")
                    .path(path)
                    .advice("free some space (truncate_front and retention work on a full disk)"))
            }
            Ok(allocated) => Ok(allocated),
            Err(error) => Err(Error::io("reserve space", path, error)),
        }
    }

    /// Keeps some space ahead of appends warm, until they ask again.
    pub(crate) fn warm(&self) {
        loop {
            let (open, want) = {
                let appender = self.appender.lock_between();
                let Some(open) = &appender.active else { return };
                (Arc::clone(open), appender.offset + WARM_AHEAD)
            };
            let warm = open.file.warm(want);
            let appender = self.appender.lock_between();
            if !appender.active.as_ref().is_some_and(|active| Arc::ptr_eq(active, &open)) {
                continue;
            }
            if warm == u64::MAX || warm < want {
                // There is nothing to warm, or nothing more in this segment.
                return;
            }
            let ask_at = warm - WARM_AHEAD / 2;
            if appender.offset < ask_at {
                self.signal.warm_at(ask_at);
                return;
            }
        }
    }

    /// Has the next append ask for warm space, if the active segment has something to warm.
    pub(crate) fn look_ahead(&self, appender: &Appender) {
        let mapped = appender.active.as_ref().is_some_and(|open| open.file.is_mapped());
        self.signal.warm_at(if mapped && self.warms() { 0 } else { u64::MAX });
    }

    /// Not in `Always`: each sync would have pages written for which nothing was appended.
    fn warms(&self) -> bool {
        self.settings.strategy != SyncStrategy::Always
    }

    /// Moves on to the segment that is ready. Under the append lock: one rename, no sync.
    pub(crate) fn rotate(&self, appender: &mut Appender) -> Result<()> {
        let Some(ready) = appender.ready.take() else { return Ok(()) };
        let (next, wal) = (self.names.next(ready.ordinal), self.names.wal(ready.ordinal));
        if let Err(error) = self.storage.rename(&next, &wal) {
            appender.ready = Some(ready);
            return Err(Error::io("name the next segment", &wal, error));
        }
        if self.watermark.written() == appender.next_seq {
            appender.all_is_written();
        }
        let segment = Arc::new(empty_segment(self, ready.ordinal, Arc::clone(&ready.file)));
        let begin = Extent { end: 0, next_seq: appender.next_seq };
        let bytes = self.counters.bytes_appended.load(Ordering::Relaxed);
        let open = Arc::new(OpenSegment::new(Arc::clone(&segment), ready.file, begin, bytes));
        self.open.lock().push(Arc::clone(&open));
        self.change_snapshot(|snapshot| snapshot.segments.push(segment));
        appender.move_on(open, ready.allocated);
        self.look_ahead(appender);
        let crowded = appender.is_crowded() && !self.signal.is_manual();
        appender.pace.begin(self.settings.segment_size, crowded);
        Counters::add(&self.counters.rotations, 1);
        self.signal.rotated();
        Ok(())
    }
}
