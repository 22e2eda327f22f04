//! The way in: limits, room, seq id, encoding; then as much waiting as the strategy promises.

use std::ops::Range;

use super::appender::{Appender, Content, Need, Slot, State, no_seq_ids};
use super::ticket::Ticket;
use crate::config::{BatchFormat, Compression, SyncStrategy};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::num;
use crate::record;
use crate::stats::Counters;
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::watermark::{Level, refuse_in_callback, truncated};

/// Entries that were given their seq ids, and the era they were given in.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    pub(crate) seqs: Range<u64>,
    pub(crate) era: u64,
    pub(super) came: Came,
}

/// How far a record came with its append.
// As wide as its neighbours: moved with padding behind it, it is read as it was not written, and the processor waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Came {
    /// The kernel has it.
    Written,
    /// It waits in a buffer.
    Buffered,
    /// So it does, and buffered bytes reached the limit: someone should write them.
    BufferFull,
}

impl Log {
    /// Appends one entry and waits as long as the strategy says.
    pub(crate) fn append(&self, parts: &[&[u8]], how: Compression) -> Result<u64> {
        if self.meters.sampler.is_due() {
            return self.timed(|| self.append_one(parts, how));
        }
        self.append_one(parts, how)
    }

    #[inline(always)]
    fn append_one(&self, parts: &[&[u8]], how: Compression) -> Result<u64> {
        self.may_settle()?;
        let settle = |appended: Appended| {
            self.settle(&appended)?;
            Ok(appended.seqs.start)
        };
        match &self.packing {
            Some(packing) if packing.takes(parts) => {
                settle(self.append_packed(packing, parts, how)?)
            }
            _ => self.append_as(&Content::Single(parts), how, settle),
        }
    }

    /// Appends a batch and waits as long as the strategy says.
    pub(crate) fn append_batch(&self, entries: &[&[u8]], how: Compression) -> Result<Range<u64>> {
        if self.meters.sampler.is_due() && !entries.is_empty() {
            return self.timed(|| self.append_several(entries, how));
        }
        self.append_several(entries, how)
    }

    fn append_several(&self, entries: &[&[u8]], how: Compression) -> Result<Range<u64>> {
        self.may_settle()?;
        let appended = self.append_entries(entries, how)?;
        if !appended.seqs.is_empty() {
            self.settle(&appended)?;
        }
        Ok(appended.seqs)
    }

    /// Gives an entry its seq id; the ticket tells when it is durable.
    pub(crate) fn submit(
        self: &Arc<Self>,
        parts: &[&[u8]],
        how: Compression,
        wait: bool,
    ) -> Result<Ticket> {
        self.admit(wait)?;
        self.append_as(&Content::Single(parts), how, |appended| self.ticket(appended))
    }

    /// As [`submit`](Self::submit), for a batch.
    pub(crate) fn submit_batch(
        self: &Arc<Self>,
        entries: &[&[u8]],
        how: Compression,
        wait: bool,
    ) -> Result<Ticket> {
        self.admit(wait)?;
        let appended = self.append_entries(entries, how)?;
        self.ticket(appended)
    }

    fn ticket(self: &Arc<Self>, appended: Appended) -> Result<Ticket> {
        let os_cache = self.settings.strategy == SyncStrategy::OsCache;
        if appended.came == Came::BufferFull || (os_cache && appended.came == Came::Buffered) {
            match self.flush_past(appended.seqs.end) {
                // The seq ids are given: the ticket tells once the bytes found room.
                Err(error) if error.is_out_of_space() => {}
                other => other?,
            }
        }
        self.signal.note_dirty();
        Ok(Ticket::new(Arc::clone(self), appended.seqs, appended.era))
    }

    /// Lets through while the bytes in flight are under the limit.
    fn admit(&self, wait: bool) -> Result<()> {
        while self.in_flight() >= self.settings.max_in_flight {
            if !wait {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("{} bytes are in flight", self.in_flight()),
                )
                .advice("wait for `ready()`, or for a ticket"));
            }
            self.sync()?;
        }
        Ok(())
    }

    fn may_settle(&self) -> Result<()> {
        if self.settings.strategy == SyncStrategy::Always { refuse_in_callback() } else { Ok(()) }
    }

    /// What the strategy promises before an append returns.
    #[inline(always)]
    fn settle(&self, appended: &Appended) -> Result<()> {
        if self.settings.strategy == SyncStrategy::OsCache && appended.came == Came::Written {
            self.signal.note_dirty();
            return Ok(());
        }
        self.settle_by_waiting(appended)
    }

    fn settle_by_waiting(&self, appended: &Appended) -> Result<()> {
        match self.settings.strategy {
            SyncStrategy::Always => self
                .wait_durable(appended.seqs.end, appended.era)
                .map_err(|error| kept_waiting(error, appended)),
            SyncStrategy::OsCache => {
                self.signal.note_dirty();
                self.written_or_cause(appended)
            }
            SyncStrategy::Background => {
                self.signal.note_dirty();
                if appended.came == Came::BufferFull {
                    match self.flush() {
                        // The bytes wait in memory, as this strategy allows; new appends are refused.
                        Err(error) if error.is_out_of_space() => {}
                        other => return other,
                    }
                }
                Ok(())
            }
        }
    }

    fn written_or_cause(&self, appended: &Appended) -> Result<()> {
        let (end, era) = (appended.seqs.end, appended.era);
        if let Some(reached) = self.watermark.reached(Level::Written, end, era) {
            return reached;
        }
        let result = self.flush_past(end);
        match self.watermark.reached(Level::Written, end, era) {
            Some(reached) => reached,
            None => match result {
                Err(error) => Err(kept_waiting(error, appended)),
                // What was there to be written was thrown away: by closing, or by a cut that is about to be told.
                Ok(()) => self.check().and(Err(truncated(appended.seqs.start))),
            },
        }
    }

    /// One record, whole or not at all; smaller where it can be, if that is wanted. `then` as in
    /// [`append_record`](Self::append_record).
    #[inline(always)]
    pub(super) fn append_as<T>(
        &self,
        content: &Content<'_>,
        how: Compression,
        then: impl Fn(Appended) -> Result<T>,
    ) -> Result<T> {
        if let Some(codec) = how.codec() {
            return then(self.append_smaller(content, codec)?);
        }
        self.append_record(content, then)
    }

    /// One record, whole or not at all; and `then`, by each way that it can take: brought together in memory before,
    /// what they give is read in other pieces than it was written in, and the processor waits.
    #[inline(always)]
    pub(super) fn append_record<T>(
        &self,
        content: &Content<'_>,
        then: impl Fn(Appended) -> Result<T>,
    ) -> Result<T> {
        let measure = content.measure();
        self.check_size(measure.1)?;
        // Before any lock: this may be a callback that tells of the failure, from under one.
        self.latch.check()?;
        match self.append_through(content, measure)? {
            Some(appended) => then(appended),
            None => then(self.append_with(content, measure, false)?),
        }
    }

    #[inline(always)]
    fn append_with(
        &self,
        content: &Content<'_>,
        measure: (u64, u64),
        own_turn: bool,
    ) -> Result<Appended> {
        let (len, size) = (measure.1, self.settings.segment_size);
        loop {
            let now = self.clock.now_coarse_micros();
            let mut appender = self.room_for(len, own_turn)?;
            if appender.must_rotate(len, size) {
                self.rotate(&mut appender)?;
                // The new segment may be too small for this record.
                if appender.need(len, size, own_turn).is_some() {
                    continue;
                }
            }
            let slot = appender.encode(content, measure, now)?;
            let full = appender.buffered >= self.settings.buffer_size;
            return Ok(self.appended(slot, if full { Came::BufferFull } else { Came::Buffered }));
        }
    }

    /// What is left to do under the append lock once a record has its slot.
    #[inline(always)]
    pub(super) fn appended(&self, slot: Slot, came: Came) -> Appended {
        self.watermark.raise_appended(slot.next_seq);
        self.signal.came_to(slot.offset);
        let era = self.watermark.era();
        // Counted under the lock: no read-modify-write is needed.
        let count = Counters::add_alone(&self.counters.appends, 1);
        self.meters.sampler.came_to(count);
        Counters::add_alone(&self.counters.entries, slot.next_seq - slot.seq);
        Counters::add_alone(&self.counters.bytes_appended, slot.len);
        Appended { seqs: slot.seq..slot.next_seq, era, came }
    }

    pub(crate) fn check_size(&self, len: u64) -> Result<()> {
        let most = self.settings.max_record_size;
        let payload = len.saturating_sub(record::OVERHEAD);
        if payload <= most {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "a record of {payload} bytes is over max_record_size, {most}; nothing was written"
            ),
        ))
    }

    /// The append lock, with everything a record of `len` bytes needs.
    #[inline(always)]
    pub(super) fn room_for(&self, len: u64, own_turn: bool) -> Result<MutexGuard<'_, Appender>> {
        let appender = self.lock_to_append();
        if self.is_free(&appender, len, own_turn) {
            return Ok(appender);
        }
        self.clear_the_way(appender, len, own_turn)
    }

    /// Whether a record of `len` bytes, or a rotation that it asks for, needs nothing more.
    #[inline(always)]
    pub(super) fn is_free(&self, appender: &Appender, len: u64, own_turn: bool) -> bool {
        self.latch.cause().is_none()
            && !matches!(appender.state, State::Closed)
            && !self.stuck.load(Ordering::Acquire)
            && appender.need(len, self.settings.segment_size, own_turn).is_none()
    }

    #[cold]
    fn clear_the_way<'a>(
        &'a self,
        mut appender: MutexGuard<'a, Appender>,
        len: u64,
        own_turn: bool,
    ) -> Result<MutexGuard<'a, Appender>> {
        let mut waited = false;
        loop {
            if let Some(cause) = self.latch.cause() {
                return Err(cause.clone());
            }
            if matches!(appender.state, State::Closed) {
                return Err(Error::closed());
            }
            if self.stuck.load(Ordering::Acquire) {
                drop(appender);
                if let Err(error) = self.flush() {
                    Counters::add(&self.counters.disk_full, 1);
                    return Err(not_given(error));
                }
                appender = self.appender.lock();
                continue;
            }
            match appender.need(len, self.settings.segment_size, own_turn) {
                None => return Ok(appender),
                Some(need) => {
                    if matches!(need, Need::Next | Need::Seal) && !waited {
                        waited = true;
                        Counters::add(&self.counters.rotation_waits, 1);
                    }
                    appender = self.make_room(need, appender).map_err(not_given)?;
                }
            }
        }
    }

    fn append_entries(&self, entries: &[&[u8]], how: Compression) -> Result<Appended> {
        match entries {
            [] => {
                self.check()?;
                let next = self.watermark.appended();
                Ok(Appended { seqs: next..next, era: self.watermark.era(), came: Came::Buffered })
            }
            [entry] => self.append_as(&Content::Single(&[entry]), how, Ok),
            _ => {
                Counters::add(&self.counters.batches, 1);
                match self.settings.batch_format {
                    // Each offset has 32 bits; `max_record_size` is below that, and covers the whole body.
                    BatchFormat::Packed => self.append_as(&Content::Packed(entries), how, Ok),
                    BatchFormat::Separate => self.append_separate(entries),
                }
            }
        }
    }

    /// One record each, with seq ids that follow each other: nobody else appends in between.
    fn append_separate(&self, entries: &[&[u8]]) -> Result<Appended> {
        for entry in entries {
            self.check_size(num::size(entry.len()) + record::OVERHEAD)?;
        }
        refuse_in_callback()?;
        let turn = self.take_turn(false)?;
        let next = self.appender.lock().next_seq;
        if next.checked_add(num::size(entries.len())).is_none() {
            return Err(no_seq_ids(next));
        }
        let mut all: Option<Appended> = None;
        let mut failed = None;
        for entry in entries {
            let content = Content::Single(std::slice::from_ref(entry));
            match self.append_with(&content, content.measure(), true) {
                Ok(one) => match &mut all {
                    None => all = Some(one),
                    Some(all) => {
                        all.seqs.end = one.seqs.end;
                        all.came = one.came;
                        // A batch larger than the buffer must not pile up in memory.
                        if one.came == Came::BufferFull {
                            drop(self.flush());
                        }
                    }
                },
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(turn);
        match (failed, all) {
            (None, Some(all)) => Ok(all),
            (Some(error), Some(all)) => {
                // Nobody waits for them, and perhaps nobody appends after them.
                self.signal.note_dirty();
                drop(self.flush());
                Err(error.seqs(all.seqs.start, all.seqs.end - 1).advice(
                    "these first entries of the batch were appended and stay; those behind them were not",
                ))
            }
            (Some(error), None) => Err(error),
            (None, None) => Err(Error::invalid("an empty batch")),
        }
    }

    /// A record as another log stored it. The caller has the turn, and knows that its seq id is the next one.
    pub(crate) fn append_stored(&self, record: &[u8], count: u64) -> Result<()> {
        let len = num::size(record.len());
        let appended = self.append_with(&Content::Stored(record), (count, len), true)?;
        if appended.came == Came::BufferFull {
            // Frames larger than the buffer must not pile up in memory.
            self.flush_past(appended.seqs.end)?;
        }
        Ok(())
    }

    /// What the strategy promises of all that was appended before `end`.
    pub(crate) fn settle_before(&self, end: u64, era: u64) -> Result<()> {
        self.settle(&Appended { seqs: end..end, era, came: Came::Buffered })
    }

    /// Keeps other appends waiting: until the turn is dropped, seq ids follow each other for this caller, in an
    /// epoch of the log's own unless what is to be appended is another log's (`graft`).
    pub(crate) fn take_turn(&self, graft: bool) -> Result<Turn<'_>> {
        let mut appender = self.appender.lock();
        loop {
            if let Some(cause) = self.latch.cause() {
                return Err(cause.clone());
            }
            if appender.turn || matches!(appender.state, State::Cutting) {
                appender = crate::sync::wait(&self.room, appender);
            } else if appender.adopted && !graft {
                drop(appender);
                self.own_epoch()?;
                appender = self.appender.lock();
            } else {
                break;
            }
        }
        appender.turn = true;
        Ok(Turn(self))
    }
}

/// Held while seq ids must follow each other. It ends with a panic of the storage, too: others would wait for ever.
pub(crate) struct Turn<'a>(&'a Log);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.appender.lock().turn = false;
        self.0.room.notify_all();
    }
}

/// An append is refused. Where entries of earlier ones wait for room, the error names those; this one has no seq
/// id.
fn not_given(error: Error) -> Error {
    if error.is_out_of_space() { error.without_seqs() } else { error }
}

/// Entries that were given their seq ids before something found the disk full: their bytes, where no room could
/// be reserved, or what else must be written before they count.
fn kept_waiting(error: Error, appended: &Appended) -> Error {
    if !error.is_out_of_space() || appended.seqs.is_empty() {
        return error;
    }
    error.seqs(appended.seqs.start, appended.seqs.end - 1).advice(
        "it has these seq ids and waits for room: free some space and call sync(), do not append it again",
    )
}
