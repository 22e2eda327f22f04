//! Encoding and writing in one go: what `OsCache` does, and large records in every strategy.
//!
//! Under `OsCache` a record must reach the kernel before its append returns. Where nothing waits to be written,
//! the next record to be written is the next to be appended: so the append lock alone makes the order, and is
//! held through encoding and one write. Where something waits (separate batches, frames, a full disk), the
//! record waits with it.
//!
//! ```text
//! append at once                           flush, or a large record
//! --------------                           ------------------------
//! takes the append lock                    takes the write lock
//! written = next_seq? no: queues           takes what is queued (append lock), or a slot: next_seq is
//!                                            beyond `written` until it is written
//! writes, raises `written`                 writes, raises `written`
//! ```
//!
//! Large records, where they cannot go at once, take the write lock, and the append lock just for a slot, so that
//! others encode meanwhile. They are not copied: header, payload and footer are written from where they are.
//!
//! Letting one thread write what eight have encoded was measured slower than this on two cores (0.87 and
//! 0.94 of a bare loop under a mutex, against 0.96): the waking costs more than the system calls saved.

use std::io::IoSlice;

use super::appender::{Appender, Chunk, Content, Slot};
use super::flush::{KEEP_BUFFER, Writer};
use super::open::OpenSegment;
use super::submit::{Appended, Came};
use crate::config::SyncStrategy;
use crate::error::Result;
use crate::log::Log;
use crate::record;
use crate::storage::{File, write_full, write_parts_full};
use crate::sync::Arc;

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
    #[inline(always)]
    pub(super) fn append_through(
        &self,
        content: &Content<'_>,
        measure: (u64, u64),
    ) -> Result<Option<Appended>> {
        if self.settings.strategy == SyncStrategy::OsCache
            && let Some(appended) = self.at_once(content, measure)?
        {
            return Ok(Some(appended));
        }
        if measure.1 < LARGE { Ok(None) } else { self.large_through(content, measure) }
    }

    fn large_through(
        &self,
        content: &Content<'_>,
        measure: (u64, u64),
    ) -> Result<Option<Appended>> {
        loop {
            if let Some(appended) = self.through(&mut self.writer.lock(), content, measure)? {
                return Ok(Some(appended));
            }
            // Room is waited for without the write lock: who makes it may need that.
            drop(self.room_for(measure.1, false)?);
        }
    }

    /// `None`: something must happen or be written first.
    #[inline(always)]
    fn at_once(&self, content: &Content<'_>, (count, len): (u64, u64)) -> Result<Option<Appended>> {
        let now = self.clock.now_coarse_micros();
        let mut guard = self.lock_to_append();
        let appender = &mut *guard;
        if self.watermark.written() != appender.next_seq || !self.has_room(appender, len)? {
            return Ok(None);
        }
        let slot = appender.take_slot(count, len, now)?;
        let Some(open) = &appender.active else { return Ok(None) };
        let mut appended = self.appended(slot, Came::Written);
        match write_record(&*open.file, &mut appender.scratch, content, slot) {
            Ok(()) => self.show_written(open, slot.offset, slot.seq, slot.end()),
            Err(error) => {
                let chunk = self.unwritten(open, content, slot, Some(error));
                appender.keep(chunk, len);
                appended.came = Came::Buffered;
            }
        }
        drop(guard);
        self.watermark.tell_written();
        Ok(Some(appended))
    }

    /// `None`: something must happen first that cannot be waited for with the write lock held.
    fn through(
        &self,
        writer: &mut Writer,
        content: &Content<'_>,
        (count, len): (u64, u64),
    ) -> Result<Option<Appended>> {
        let now = self.clock.now_coarse_micros();
        let mut appender = self.appender.lock();
        if !self.has_room(&mut appender, len)? {
            return Ok(None);
        }
        let slot = appender.take_slot(count, len, now)?;
        let Some(open) = appender.active.clone() else { return Ok(None) };
        appender.take_chunks(&mut writer.queue, &mut None);
        let mut appended = self.appended(slot, Came::Written);
        drop(appender);
        // What is queued comes first.
        let ready = writer.queue.is_empty() || self.write_queue(writer).is_ok();
        let written = ready.then(|| write_record(&*open.file, &mut writer.scratch, content, slot));
        if let Some(Ok(())) = written {
            self.wrote(&open, slot.offset, slot.seq, slot.end());
        } else {
            let error = written.and_then(std::result::Result::err);
            writer.queue.push_back(self.unwritten(&open, content, slot, error));
            appended.came = Came::BufferFull;
        }
        Ok(Some(appended))
    }

    /// Whether a record of `len` bytes can be appended now, if need be after a rotation, which is done.
    #[inline(always)]
    fn has_room(&self, appender: &mut Appender, len: u64) -> Result<bool> {
        if !self.is_free(appender, len, false) {
            return Ok(false);
        }
        if appender.must_rotate(len, self.settings.segment_size) {
            self.rotate(appender)?;
            return Ok(appender.need(len, self.settings.segment_size, false).is_none());
        }
        Ok(true)
    }

    /// A record that could not be written: the bytes wait, since the seq ids were given.
    fn unwritten(
        &self,
        open: &Arc<OpenSegment>,
        content: &Content<'_>,
        slot: Slot,
        error: Option<std::io::Error>,
    ) -> Chunk {
        let mut chunk = Chunk::new(Arc::clone(open), slot, Vec::new());
        if let Some(error) = error {
            drop(self.write_failed(&chunk, error));
        }
        content.encode(&mut chunk.bytes, slot.seq);
        self.note_stuck(true);
        chunk
    }
}

/// Writes a record to its slot.
#[inline(always)]
fn write_record(
    file: &dyn File,
    scratch: &mut Vec<u8>,
    content: &Content<'_>,
    slot: Slot,
) -> std::io::Result<()> {
    if slot.len >= LARGE
        && let Some((flags, payload)) = in_parts(content)
        && payload.len() <= MOST_PARTS
    {
        let (header, footer) = record::frame(flags, slot.seq, payload);
        let mut parts = [IoSlice::new(&[]); MOST_PARTS + 2];
        let whole = [&header[..]].into_iter().chain(payload.iter().copied()).chain([&footer[..]]);
        for (part, bytes) in parts.iter_mut().zip(whole) {
            *part = IoSlice::new(bytes);
        }
        return write_parts_full(file, &mut parts, slot.offset);
    }
    scratch.clear();
    if scratch.capacity() > KEEP_BUFFER {
        scratch.shrink_to(KEEP_BUFFER);
    }
    content.encode(scratch, slot.seq);
    write_full(file, scratch, slot.offset)
}

/// A payload that lies somewhere as it is to be stored, and the flags of its record.
fn in_parts<'a>(content: &Content<'a>) -> Option<(u64, &'a [&'a [u8]])> {
    match *content {
        Content::Single(parts) => Some((0, parts)),
        Content::Compressed(payload) => {
            Some((payload.flags, std::slice::from_ref(&payload.stored)))
        }
        Content::Packed(_) | Content::Stored(_) => None,
    }
}
