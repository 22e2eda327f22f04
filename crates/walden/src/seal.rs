//! Sealing: a segment that the log has moved on from is made durable, cut to its length and named so by the manifest,
//! oldest first; then its index gets a file. One whose index has none gets it built by reading.

use crate::error::Result;
use crate::log::Log;
use crate::segment::source::READ_AHEAD;
use crate::segment::{Index, RecordSource, Segment, Step, index};
use crate::stats::Counters;
use crate::sync::{Arc, Ordering};
use crate::trace;

impl Log {
    /// Seals what is complete, oldest first: as many as can be open, since under load there is always another.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) fn seal_complete(&self) -> Result<()> {
        for _ in 0..crate::recover::MAX_OPEN {
            if self.open.lock().len() < 2 {
                return Ok(());
            }
            let mut keeper = self.keeper();
            if !self.seal_oldest(&mut keeper)? {
                return Ok(());
            }
        }
        // Other work has its turn, and then the rest.
        self.signal.wake();
        Ok(())
    }

    /// Seals the oldest open segment if it is complete. The caller holds the maintenance lock.
    pub(crate) fn seal_oldest(&self, keeper: &mut crate::keeper::Keeper) -> Result<bool> {
        let (oldest, successor) = {
            let open = self.open.lock();
            match open.as_slice() {
                [oldest, successor, ..] => (Arc::clone(oldest), successor.ordinal()),
                _ => return Ok(false),
            }
        };
        if oldest.sealable().is_none() {
            self.flush()?;
        }
        let Some(complete) = oldest.sealable() else { return Ok(false) };
        let _span = trace::sealing(self.names.dir(), complete.ordinal);
        trace::rotated(complete.ordinal, successor);
        oldest.segment.note_last_append(&*oldest.file);
        oldest.file.cool();
        oldest.stop_growing();
        let begun = self.clock.elapsed();
        self.appender.lock_between().pace.sealing(begun);
        oldest.sync_with(complete.end, || keeper.seal(&complete, successor))?;
        let now = self.clock.elapsed();
        let took = now.saturating_sub(begun);
        self.latch.check()?;
        self.named.fetch_max(keeper.manifest.active, Ordering::AcqRel);
        self.bytes_durable.fetch_max(oldest.bytes_at(complete.end), Ordering::AcqRel);
        self.watermark.raise_durable(complete.next_seq);
        self.hand_on();
        self.open.lock().retain(|open| open.ordinal() != complete.ordinal);
        oldest.segment.seal();
        {
            let mut appender = self.appender.lock_between();
            appender.open_count -= 1;
            appender.pace.sealed(complete.end, now);
        }
        self.room.notify_all();
        Counters::add(&self.counters.seals, 1);
        self.meters.seal_times.add_time(took);
        trace::sealed(complete.end, complete.next_seq);
        // Only a cache: a failure costs time later, nothing else.
        drop(self.noted(self.write_index(&oldest.segment)));
        Ok(true)
    }

    /// Puts a segment's index into its file, built by reading if need be.
    pub(crate) fn write_index(&self, segment: &Segment) -> Result<()> {
        let end = segment.end()?;
        let built = segment.building(|index| index.clone());
        let index = match built {
            Some(index) => index,
            None => build_index(segment, end)?,
        };
        let index =
            Index { last_micros: segment.last_append().unwrap_or(index.last_micros), ..index };
        let bytes = index.encode(self.log_id(), segment.ordinal, end);
        let path = segment.index_path();
        index::write_file(&*self.storage, path, &bytes)
            .map_err(|error| crate::Error::io("write the index", path, error))?;
        segment.index_written();
        Ok(())
    }

    /// Makes the index of one sealed segment that has none: each round one, so as not to be in the way.
    pub(crate) fn rebuild_one_index(&self) {
        let snapshot = crate::snapshot::View::snapshot(self);
        let missing = snapshot
            .segments
            .iter()
            .filter(|segment| segment.is_sealed())
            .rev()
            .take(64)
            .find(|segment| !segment.has_index(snapshot.log_id));
        if let Some(segment) = missing {
            let _keeper = self.keeper();
            let live = crate::snapshot::View::snapshot(self);
            if live.segments.iter().any(|other| other.ordinal == segment.ordinal) {
                drop(self.noted(self.write_index(segment)));
            }
        }
    }

    pub(crate) fn log_id(&self) -> u128 {
        crate::snapshot::View::snapshot(self).log_id
    }
}

/// Reads a segment for its index. The times are the file's.
fn build_index(segment: &Segment, end: u64) -> Result<Index> {
    let opened = segment.opened()?;
    let io = |error| crate::Error::io("read", &segment.path, error);
    let time = opened.file.modified().map_or(0, index::micros);
    let mut source = RecordSource::new(Arc::clone(&opened.file), READ_AHEAD);
    let mut index = Index { times_from_file: true, ..Index::default() };
    let mut offset = 0;
    loop {
        match source.record_at(offset, end).map_err(io)? {
            Step::Record(record) => {
                index.add(offset, record.seq(), record.next_seq(), time);
                offset += record.len();
            }
            Step::End => return Ok(index),
            Step::Unwritten => return Err(segment.corrupt(offset, "zeros stand in the segment")),
            Step::Bad(fault) => return Err(segment.corrupt(offset, &fault.to_string())),
        }
    }
}
