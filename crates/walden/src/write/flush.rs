//! Hands encoded records to the kernel, in order: the write stage.
//!
//! Whoever holds the write lock writes for all: those who come after find their bytes written. That one
//! writer at a time writes chunks in the order of their seq ids is what makes `written` a prefix
//! (invariant 5).

use std::collections::VecDeque;

use super::appender::Chunk;
use super::open::{Extent, OpenSegment};
use crate::error::{Error, Result, is_full};
use crate::log::Log;
use crate::num;
use crate::stats::Counters;
use crate::storage::write_full;
use crate::sync::Ordering;

/// What is being written. Behind the write lock.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Oldest first. Not empty between calls only where the disk was full: the bytes wait here, and are
    /// tried again, since their seq ids were given.
    pub(super) queue: VecDeque<Chunk>,
    /// An emptied buffer, for the append stage to fill next.
    spare: Option<Vec<u8>>,
    /// Where large records are encoded that cannot be written from where they are.
    pub(super) scratch: Vec<u8>,
}

/// Buffers above this size are not kept for the next time.
pub(super) const KEEP_BUFFER: usize = 4 << 20;

impl Log {
    /// Writes all that was appended before the call.
    ///
    /// # Errors
    /// `OutOfSpace`: the bytes stay in memory and are tried again at the next call; `Poisoned`.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.flush_all(&mut writer)
    }

    /// As [`flush`](Self::flush), unless all before `next_seq` is written already when the lock is had.
    pub(crate) fn flush_past(&self, next_seq: u64) -> Result<()> {
        if self.watermark.written() >= next_seq {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        if self.watermark.written() >= next_seq { Ok(()) } else { self.flush_all(&mut writer) }
    }

    fn flush_all(&self, writer: &mut Writer) -> Result<()> {
        {
            let mut appender = self.appender.lock();
            appender.take_chunks(&mut writer.queue, &mut writer.spare);
            // With both locks held nobody is writing: all is written but what waits to be. A segment may not know, of
            // records that were written at once; and where what waits finds no room, they can be synced all the same.
            match writer.queue.front() {
                // What a panic left unwritten is told by nothing but the latch.
                None if self.latch.cause().is_some() => {}
                None => appender.all_is_written(),
                Some(Chunk { open, offset, first_seq, .. }) => {
                    open.wrote(Extent { end: *offset, next_seq: *first_seq });
                }
            }
        }
        let result = self.write_queue(writer);
        self.note_stuck(!writer.queue.is_empty());
        result
    }

    pub(super) fn note_stuck(&self, stuck: bool) {
        if self.stuck.load(Ordering::Relaxed) != stuck {
            self.stuck.store(stuck, Ordering::Release);
        }
    }

    pub(super) fn write_queue(&self, writer: &mut Writer) -> Result<()> {
        while let Some(chunk) = writer.queue.front() {
            write_full(&*chunk.open.file, &chunk.bytes, chunk.offset)
                .map_err(|error| self.write_failed(chunk, error))?;
            let Chunk { open, offset, bytes, next_seq, first_seq } = chunk;
            let extent = Extent { end: offset + num::size(bytes.len()), next_seq: *next_seq };
            self.wrote(open, *offset, *first_seq, extent);
            writer.spare = writer.queue.pop_front().map(|chunk| chunk.bytes).and_then(emptied);
        }
        Ok(())
    }

    /// Raises what tells of writing, for a write at `offset` that began with `first_seq` and has come to
    /// `extent`, and then tells the segment: a leader makes that durable, which must not be more than what is
    /// written. Under the write lock.
    pub(super) fn wrote(&self, open: &OpenSegment, offset: u64, first_seq: u64, extent: Extent) {
        self.show_written(open, offset, first_seq, extent);
        self.watermark.tell_written();
        open.wrote(extent);
    }

    /// As [`wrote`](Self::wrote), but that neither who waits nor the segment is told. By the only one who may
    /// write now: so nobody else counts writes.
    #[inline(always)]
    pub(super) fn show_written(
        &self,
        open: &OpenSegment,
        offset: u64,
        first_seq: u64,
        extent: Extent,
    ) {
        Counters::add_alone(&self.counters.writes, 1);
        if offset == 0 {
            open.segment.note_first_seq(first_seq);
        }
        // Readers look at the segment once `written` is raised.
        open.segment.set_end(extent.end);
        self.watermark.raise_written(extent.next_seq);
    }

    pub(super) fn write_failed(&self, chunk: &Chunk, error: std::io::Error) -> Error {
        let full = is_full(&error);
        let error = Error::io("write records", &chunk.open.segment.path, error)
            .offset_at(chunk.offset)
            .seq_at(chunk.first_seq);
        if full { error } else { self.latch.fail(&error) }
    }

    /// Forgets what was not written, as a cut removed it, or the log closes, and does `work` before anybody could write
    /// again. The write lock must be free.
    pub(crate) fn forget_unwritten(&self, work: impl FnOnce()) {
        let mut writer = self.writer.lock();
        self.appender.lock().take_chunks(&mut writer.queue, &mut None);
        writer.queue.clear();
        work();
        self.stuck.store(false, Ordering::Release);
    }
}

fn emptied(mut buffer: Vec<u8>) -> Option<Vec<u8>> {
    buffer.clear();
    (buffer.capacity() <= KEEP_BUFFER).then_some(buffer)
}
