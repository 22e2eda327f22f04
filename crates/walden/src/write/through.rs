//! Encoding and writing in one go: what `OsCache` does, and large records in every strategy.
//!
//! Who has the write lock needs the append lock only to take seq ids and a place: what others append behind
//! is written behind, by whoever gets the write lock next. A large record is not copied: header, payload and
//! footer are written from where they are.
//!
//! Letting one thread write what eight have encoded was measured slower than this on two cores (0.87 and
//! 0.94 of a bare loop under a mutex, against 0.96): the waking costs more than the system calls saved.

use std::io::IoSlice;

use super::appender::{Appender, Chunk, Content, Slot, State};
use super::flush::{Direct, KEEP_BUFFER, Writer};
use super::open::Extent;
use super::submit::Appended;
use crate::config::SyncStrategy;
use crate::error::Result;
use crate::log::Log;
use crate::record;
use crate::storage::{write_full, write_parts_full};
use crate::sync::{Arc, Ordering};

/// From this length on a record is written from where it is.
const LARGE: u64 = 16 << 10;

/// The most parts of a payload that are written without being put together.
const MOST_PARTS: usize = 6;

impl Log {
    /// Appends a record and writes it. `None`: by way of the buffer, please.
    ///
    /// Bytes that cannot be written for want of room are queued, as in [`flush`](super::flush), and whoever
    /// settles for them learns of it.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`, and what keeps room from being made.
    pub(super) fn append_through(
        &self,
        content: Content<'_>,
        measure: (u64, u64),
    ) -> Result<Option<Appended>> {
        let len = measure.1;
        if len >= LARGE {
            loop {
                if let Some(appended) = self.through(&mut self.writer.lock(), content, measure)? {
                    return Ok(Some(appended));
                }
                // Room is waited for without the write lock: who makes it may need that.
                drop(self.room_for(len, false)?);
            }
        }
        if self.settings.strategy != SyncStrategy::OsCache {
            return Ok(None);
        }
        let mut writer = self.writer.lock();
        self.through(&mut writer, content, measure)
    }

    /// `None`: something must happen first that cannot be waited for with the write lock held.
    fn through(
        &self,
        writer: &mut Writer,
        content: Content<'_>,
        (count, len): (u64, u64),
    ) -> Result<Option<Appended>> {
        let now = self.clock.now_coarse_micros();
        let mut appender = self.appender.lock();
        if !self.has_room(&mut appender, len)? {
            return Ok(None);
        }
        let slot = appender.take_slot(count, len, now)?;
        let Some(open) = &appender.active else { return Ok(None) };
        if !writer.direct.as_ref().is_some_and(|direct| Arc::ptr_eq(&direct.open, open)) {
            writer.publish();
            writer.direct = Some(Direct {
                open: Arc::clone(open),
                bytes: Vec::new(),
                // Nothing yet: what is queued before may find no room.
                wrote: Extent { end: 0, next_seq: slot.seq },
            });
        }
        appender.take_chunks(&mut writer.queue, None);
        let mut appended = self.appended(appender, slot, false);
        appended.buffer_full = !self.write_through(writer, content, slot);
        Ok(Some(appended))
    }

    /// Whether a record of `len` bytes can be appended now, if need be after a rotation, which is done.
    fn has_room(&self, appender: &mut Appender, len: u64) -> Result<bool> {
        let size = self.settings.segment_size;
        if self.latch.cause().is_some()
            || matches!(appender.state, State::Closed)
            || self.stuck.load(Ordering::Relaxed)
            || appender.need(len, size, false).is_some()
        {
            return Ok(false);
        }
        if appender.must_rotate(len, size) {
            self.rotate(appender)?;
            return Ok(appender.need(len, size, false).is_none());
        }
        Ok(true)
    }

    /// Writes what is queued, and then this record. False: it could not be; it was queued then.
    fn write_through(&self, writer: &mut Writer, content: Content<'_>, slot: Slot) -> bool {
        let queue_written = writer.queue.is_empty() || self.write_queue(writer).is_ok();
        let Some(direct) = &mut writer.direct else { return false };
        let written = queue_written.then(|| write_record(direct, content, slot));
        if let Some(Ok(())) = written {
            direct.wrote = Extent { end: slot.offset + slot.len, next_seq: slot.next_seq };
            self.wrote(&direct.open, slot.offset, slot.seq, direct.wrote);
            return true;
        }
        let mut chunk = Chunk::new(Arc::clone(&direct.open), slot, Vec::new());
        if let Some(Err(error)) = written {
            drop(self.write_failed(&chunk, error));
        }
        content.encode(&mut chunk.bytes, slot.seq);
        writer.queue.push_back(chunk);
        self.note_stuck(true);
        false
    }
}

/// Writes a record to its slot.
fn write_record(direct: &mut Direct, content: Content<'_>, slot: Slot) -> std::io::Result<()> {
    if let Content::Single(payload) = content
        && slot.len >= LARGE
        && payload.len() <= MOST_PARTS
    {
        let (header, footer) = record::frame(slot.seq, payload);
        let mut parts = [IoSlice::new(&[]); MOST_PARTS + 2];
        let whole = [&header[..]].into_iter().chain(payload.iter().copied()).chain([&footer[..]]);
        for (part, bytes) in parts.iter_mut().zip(whole) {
            *part = IoSlice::new(bytes);
        }
        return write_parts_full(&*direct.open.file, &mut parts, slot.offset);
    }
    direct.bytes.clear();
    direct.bytes.shrink_to(KEEP_BUFFER);
    content.encode(&mut direct.bytes, slot.seq);
    write_full(&*direct.open.file, &direct.bytes, slot.offset)
}
