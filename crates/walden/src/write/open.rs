//! The segments that are not sealed yet: the active one, and those before it that wait to be.

#[cfg(all(test, walden_model = "loom"))]
mod loom_tests;

use crate::keeper::Complete;
use crate::segment::Segment;
use crate::storage::File;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// How far something has come in a segment: bytes, and the seq id that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) end: u64,
    pub(crate) next_seq: u64,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) segment: Arc<Segment>,
    /// The descriptor opened before the first write: the only one that is synced, so that no error of
    /// writing back is missed.
    pub(crate) file: Arc<dyn File>,
    /// What the kernel has, at least; exactly that after a flush. Changed under the write lock.
    written: Mutex<Extent>,
    /// Where the segment ends, once the log has moved on to the next.
    complete: Mutex<Option<Extent>>,
    /// Bytes known to be durable. Under loom: `loom_what_counts_as_synced_is`, `loom_syncs_of_one_file`; under shuttle:
    /// `appends::rotation`, `failures::a_sync_that_fails_...`.
    synced: AtomicU64,
    /// One sync at a time.
    sync: Mutex<()>,
    /// Whether it may get more space. Held while it does.
    grows: Mutex<bool>,
    /// Bytes appended to the log before anything was appended here, since it was opened, and how long
    /// the segment was then.
    bytes_before: u64,
    begin: u64,
}

impl OpenSegment {
    pub(crate) fn new(
        segment: Arc<Segment>,
        file: Arc<dyn File>,
        begin: Extent,
        bytes_before: u64,
    ) -> Self {
        Self {
            segment,
            file,
            written: Mutex::new(begin),
            complete: Mutex::new(None),
            synced: AtomicU64::new(begin.end),
            sync: Mutex::new(()),
            grows: Mutex::new(true),
            bytes_before,
            begin: begin.end,
        }
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.segment.ordinal
    }

    pub(crate) fn written(&self) -> Extent {
        *self.written.lock()
    }

    /// Takes note of writes that are done, once `written` was raised for them.
    pub(crate) fn wrote(&self, extent: Extent) {
        let mut written = self.written.lock();
        if extent.end > written.end {
            *written = extent;
        }
    }

    /// The log moved on: nothing is appended here any more.
    pub(crate) fn complete_at(&self, extent: Extent) {
        *self.complete.lock() = Some(extent);
    }

    /// Ready to be sealed: complete, and all of it with the kernel.
    pub(crate) fn sealable(&self) -> Option<Complete> {
        let end = (*self.complete.lock())?;
        (self.written() == end).then(|| self.as_complete(end))
    }

    pub(crate) fn as_complete(&self, extent: Extent) -> Complete {
        Complete {
            ordinal: self.ordinal(),
            path: self.segment.path.clone(),
            file: Arc::clone(&self.file),
            end: extent.end,
            next_seq: extent.next_seq,
        }
    }

    /// Gets it more space by `work`, unless it is about to be sealed.
    pub(crate) fn grow<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let grows = self.grows.lock();
        grows.then(work)
    }

    /// It gets no more space from here on: what is sealed is as long as what it holds.
    pub(crate) fn stop_growing(&self) {
        *self.grows.lock() = false;
    }

    /// Bytes appended to the log, since it was opened, up to `end` of this segment.
    pub(crate) fn bytes_at(&self, end: u64) -> u64 {
        self.bytes_before + end.saturating_sub(self.begin)
    }

    /// Whether the log has moved on from this segment, and all of it is durable.
    pub(crate) fn is_wholly_synced(&self) -> bool {
        let complete = *self.complete.lock();
        complete.is_some_and(|extent| extent.end <= self.synced())
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Runs `sync` as the only sync of this file and notes that all before `end` is durable.
    pub(crate) fn sync_with<E>(
        &self,
        end: u64,
        sync: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _one = self.sync.lock();
        sync()?;
        self.synced.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }
}
