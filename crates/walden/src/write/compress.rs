//! Makes a payload smaller before its record asks for anything: no lock is held meanwhile (invariant 12).
//!
//! What works for that (tables, buffers) is kept in a pool: as many as threads compress at once, for which the
//! pool's own lock is held only to take one out and to put it back.

use super::appender::Content;
use super::submit::Appended;
use crate::error::Result;
use crate::log::Log;
use crate::num;
use crate::record::{self, Codec, Encoder};
use crate::stats::Counters;
use crate::sync::Mutex;

/// No more than this are kept while nobody needs them.
const MOST_KEPT: usize = 16;

/// Encoders that nobody uses now.
#[derive(Debug)]
pub(crate) struct Encoders(Mutex<Vec<Encoder>>);

impl Encoders {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self) -> Encoder {
        self.0.lock().pop().unwrap_or_default()
    }

    fn put(&self, mut encoder: Encoder) {
        encoder.rest();
        let mut kept = self.0.lock();
        if kept.len() < MOST_KEPT {
            kept.push(encoder);
        }
    }
}

impl Log {
    /// One record, whole or not at all, compressed if that makes it smaller.
    ///
    /// Apart from the way of those that are not to be compressed, which is shorter for it.
    #[cold]
    pub(super) fn append_smaller(
        &self,
        content: Content<'_>,
        (codec, level): (Codec, i32),
    ) -> Result<Appended> {
        let len = content.measure().1;
        // What it holds is limited, not just what is stored: a reader takes memory for it.
        self.check_size(len)?;
        // A log that takes nothing any more needs no work.
        self.latch.check()?;
        let mut encoder = self.encoders.take();
        let smaller = match content {
            _ if len - record::OVERHEAD < self.settings.compression_threshold => None,
            Content::Single(parts) => encoder.single(codec, level, parts),
            Content::Packed(entries) => encoder.batch(codec, level, entries),
            Content::Compressed(_) | Content::Stored(_) => None,
        };
        let appended = self.append_record(smaller.as_ref().map_or(content, Content::Compressed));
        if let (Some(smaller), Ok(_)) = (smaller, &appended) {
            let stored = record::OVERHEAD + num::size(smaller.stored.len());
            Counters::add(&self.counters.compressed, 1);
            Counters::add(&self.counters.bytes_saved, len.saturating_sub(stored));
        }
        self.encoders.put(encoder);
        appended
    }
}
