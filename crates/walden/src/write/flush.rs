//! Hands encoded records to the kernel, in order: the write stage.
//!
//! Whoever holds the write lock writes for all: those who come after find their bytes written. That one
//! writer at a time writes chunks in the order of their seq ids is what makes `written` a prefix
//! (invariant 5).

use std::collections::VecDeque;

use super::appender::Chunk;
use super::open::Extent;
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
    queue: VecDeque<Chunk>,
    /// An emptied buffer, for the append stage to fill next.
    spare: Option<Vec<u8>>,
}

/// Buffers above this size are not kept for the next time.
const KEEP_BUFFER: usize = 4 << 20;

impl Log {
    /// Writes all that was appended before the call.
    ///
    /// # Errors
    /// `OutOfSpace`: the bytes stay in memory and are tried again at the next call; `Poisoned`.
    pub(crate) fn flush(&self) -> Result<()> {
        self.flush_past(u64::MAX)
    }

    /// As [`flush`](Self::flush), unless all before `next_seq` is written already when the lock is had.
    pub(crate) fn flush_past(&self, next_seq: u64) -> Result<()> {
        let mut writer = self.writer.lock();
        if self.watermark.written() >= next_seq {
            return Ok(());
        }
        let spare = writer.spare.take();
        self.appender.lock().take_chunks(&mut writer.queue, spare);
        let result = self.write_queue(&mut writer);
        let stuck = !writer.queue.is_empty();
        if self.stuck.load(Ordering::Relaxed) != stuck {
            self.stuck.store(stuck, Ordering::Release);
        }
        result
    }

    fn write_queue(&self, writer: &mut Writer) -> Result<()> {
        while let Some(chunk) = writer.queue.front() {
            write_full(&*chunk.open.file, &chunk.bytes, chunk.offset)
                .map_err(|error| self.write_failed(chunk, error))?;
            Counters::add(&self.counters.writes, 1);
            if chunk.offset == 0 {
                chunk.open.segment.note_first_seq(chunk.first_seq);
            }
            let end = chunk.offset + num::size(chunk.bytes.len());
            let next_seq = chunk.next_seq;
            // Readers look at the segment once `written` is raised, a leader at the extent: and makes it
            // durable, which must not be more than what is written.
            chunk.open.segment.set_end(end);
            self.watermark.raise_written(next_seq);
            chunk.open.wrote(Extent { end, next_seq });
            writer.spare = writer.queue.pop_front().map(|chunk| chunk.bytes).and_then(emptied);
        }
        Ok(())
    }

    fn write_failed(&self, chunk: &Chunk, error: std::io::Error) -> Error {
        let full = is_full(&error);
        let error = Error::io("write records", &chunk.open.segment.path, error)
            .offset_at(chunk.offset)
            .seq_at(chunk.first_seq);
        if full { error } else { self.latch.fail(&error) }
    }

    /// Forgets what was not written: a cut removed it. The write lock must be free.
    pub(crate) fn forget_unwritten(&self) {
        let mut writer = self.writer.lock();
        self.appender.lock().take_chunks(&mut writer.queue, None);
        writer.queue.clear();
        self.stuck.store(false, Ordering::Release);
    }
}

fn emptied(mut buffer: Vec<u8>) -> Option<Vec<u8>> {
    buffer.clear();
    (buffer.capacity() <= KEEP_BUFFER).then_some(buffer)
}
