//! Makes a payload smaller before its record asks for anything: no lock is held meanwhile (invariant 12).
//!
//! What works for that (tables, buffers) is kept in a pool: as many as threads compress at once, for which the
//! pool's own lock is held only to take one out and to put it back. A dictionary is made ready once for all of them.

use super::appender::Content;
use super::submit::Appended;
use crate::dictionaries;
use crate::error::Result;
use crate::log::Log;
use crate::num;
use crate::record::{self, Codec, Dictionary, Encoder, ForWriting, How};
use crate::stats::Counters;
use crate::sync::{Arc, Mutex};

/// No more than this are kept while nobody needs them.
const MOST_KEPT: usize = 16;

/// What is longer learns little from a dictionary, and takes longer with one.
pub(crate) const MOST_BY_DICTIONARY: u64 = 32 << 10;

/// Encoders that nobody uses now, and the dictionary that is written with.
#[derive(Debug)]
pub(crate) struct Encoders {
    kept: Mutex<Vec<Encoder>>,
    chosen: Mutex<Chosen>,
}

/// The newest dictionary, once it was asked for.
#[derive(Debug, Default)]
struct Chosen {
    looked: bool,
    dictionary: Option<Arc<Dictionary>>,
    /// Ready, for each level it was asked for with; `None`: it cannot be.
    ready: Vec<(i32, Option<Arc<ForWriting>>)>,
}

impl Encoders {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::new(Vec::new()), chosen: Mutex::new(Chosen::default()) }
    }

    fn take(&self) -> Encoder {
        self.kept.lock().pop().unwrap_or_default()
    }

    fn put(&self, mut encoder: Encoder) {
        encoder.rest();
        let mut kept = self.kept.lock();
        if kept.len() < MOST_KEPT {
            kept.push(encoder);
        }
    }

    /// There may be a newer dictionary: the next who needs one looks.
    pub(crate) fn look_again(&self) {
        *self.chosen.lock() = Chosen::default();
    }
}

impl Log {
    /// One record, whole or not at all, compressed if that makes it smaller.
    ///
    /// Apart from the way of those that are not to be compressed, which is shorter for it.
    #[cold]
    pub(super) fn append_smaller(
        &self,
        content: &Content<'_>,
        (codec, level): (Codec, i32),
    ) -> Result<Appended> {
        let len = content.measure().1;
        // What it holds is limited, not just what is stored: a reader takes memory for it.
        self.check_size(len)?;
        // A log that takes nothing any more needs no work.
        self.latch.check()?;
        let dictionary = self.dictionary(codec, level, len);
        let how = How { codec, level, dictionary: dictionary.as_deref() };
        let mut encoder = self.encoders.take();
        let smaller = match *content {
            _ if len - record::OVERHEAD < self.settings.compression_threshold => None,
            Content::Single(parts) => encoder.single(how, parts),
            Content::Packed(entries) => encoder.batch(how, entries),
            Content::Compressed(_) | Content::Stored(_) => None,
        };
        let stored = smaller.as_ref().map(Content::Compressed);
        let appended = self.append_record(stored.as_ref().unwrap_or(content), Ok);
        if let (Some(smaller), Ok(_)) = (smaller, &appended) {
            let stored = record::OVERHEAD + num::size(smaller.stored.len());
            Counters::add(&self.counters.compressed, 1);
            Counters::add(&self.counters.bytes_compressed, stored);
            Counters::add(&self.counters.bytes_saved, len.saturating_sub(stored));
        }
        self.encoders.put(encoder);
        appended
    }

    /// The newest dictionary, ready to compress `len` bytes with; it is on disk. Without one that is sound, none:
    /// what is wrong is noted, and appends go on.
    fn dictionary(&self, codec: Codec, level: i32, len: u64) -> Option<Arc<ForWriting>> {
        if codec != Codec::Zstd || len > MOST_BY_DICTIONARY {
            return None;
        }
        let mut chosen = self.encoders.chosen.lock();
        if !chosen.looked {
            chosen.looked = true;
            chosen.dictionary = self.noted(self.newest_dictionary()).ok().flatten().map(Arc::new);
        }
        let dictionary = chosen.dictionary.as_ref().map(Arc::clone)?;
        if let Some((_, ready)) = chosen.ready.iter().find(|(at, _)| *at == level) {
            return ready.clone();
        }
        let ready = ForWriting::new(&dictionary, level).map(Arc::new);
        chosen.ready.push((level, ready.clone()));
        ready
    }

    fn newest_dictionary(&self) -> Result<Option<Dictionary>> {
        let (newest, wrong) = dictionaries::newest(&*self.storage, &self.names)?;
        if let Some(wrong) = wrong {
            drop(self.noted::<()>(Err(wrong)));
        }
        if let Some(newest) = &newest {
            dictionaries::settle(&*self.storage, &self.names, newest.id())?;
        }
        Ok(newest)
    }
}
