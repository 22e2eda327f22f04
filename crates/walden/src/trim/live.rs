//! Cuts and retention of a live log: what must stand still while the keeper changes the folder.

use std::ops::Range;

use super::cut::Keep;
use super::front::ends;
use super::stopped::Stopped;
use crate::error::{Error, Result};
use crate::keeper::Keeper;
use crate::log::{Log, prepared_segment};
use crate::record::{self, Header, Packed};
use crate::recover::{Folder, Pending, active_after_cut, cut_tail, finish_cut};
use crate::segment::{RecordSource, Segment, Step};
use crate::snapshot::{Snapshot, View};
use crate::stats::Counters;
use crate::sync::{Arc, Ordering};
use crate::trace;
use crate::watermark::refuse_in_callback;
use crate::write::appender::State;
use crate::write::next::allocate_ahead;
use crate::write::open::Extent;

/// Where a seq id's record lies.
struct Found {
    segment: Arc<Segment>,
    offset: u64,
    len: u64,
    /// Seq ids of the record.
    seqs: Range<u64>,
    header: Header,
    stored: Vec<u8>,
}

impl Found {
    /// The entries of a batch before `next_seq`, as a record of their own, which is not compressed.
    fn survivors(&self, next_seq: u64, most: u64) -> Result<Vec<u8>> {
        let damage = |what: &str| self.segment.corrupt(self.offset, what).seq_at(self.seqs.start);
        let kept = next_seq.checked_sub(self.seqs.start).filter(|_| self.header.is_packed());
        let Some(kept) = kept else { return Err(damage("a record does not hold its seq ids")) };
        let of_all = |error: Error| error.seqs(self.seqs.start, self.seqs.end.saturating_sub(1));
        let dictionary = self.segment.dictionary_of(&self.header, &self.stored).map_err(of_all)?;
        let content = record::content(&self.header, &self.stored, dictionary.as_deref(), most)
            .map_err(|why| of_all(why.error().path(&self.segment.path).offset_at(self.offset)))?;
        let batch = Packed::prove(self.seqs.end - self.seqs.start, &content)
            .map_err(|fault| damage(&fault.to_string()))?;
        let entries: Vec<&[u8]> = (0..kept).map_while(|i| batch.get(i)).collect();
        let mut bytes = Vec::new();
        record::encode_packed(&mut bytes, self.seqs.start, &entries);
        Ok(bytes)
    }
}

impl Log {
    /// `truncate_front`: `first` becomes the first seq id.
    ///
    /// # Errors
    /// `OutOfRange`; `Poisoned`; `Io`.
    pub(crate) fn truncate_front(&self, first: u64) -> Result<()> {
        self.cut_front(first)?;
        self.tell_cut();
        Ok(())
    }

    fn cut_front(&self, first: u64) -> Result<()> {
        self.check()?;
        refuse_in_callback()?;
        if first > self.watermark.appended() {
            return Err(self.out_of_range("cannot truncate the front", first));
        }
        if first <= self.first_seq() {
            return self.remove_left_over();
        }
        // What waits for room on a full disk lies behind what is to go, and must not keep it.
        self.sync_before(first).or_else(|error| self.unless_durable(first, error))?;
        self.seal_before(first).or_else(|error| self.unless_durable(first, error))?;
        let mut keeper = self.keeper();
        if first <= keeper.manifest.first_seq {
            return Ok(());
        }
        if first > self.watermark.durable() {
            return Err(self.out_of_range("cannot truncate the front", first));
        }
        let sealed = ends(&View::snapshot(self), keeper.manifest.open_seq)?;
        let dead = self.raise_first(&mut keeper, first, &sealed)?;
        self.remove_front(&mut keeper, dead)
    }

    /// Only where that is not so already: a sync of all that was appended since would keep sealing, and with it
    /// appends, waiting for each segment that retention lets go.
    fn sync_before(&self, next_seq: u64) -> Result<()> {
        if self.watermark.durable() >= next_seq { Ok(()) } else { self.sync() }
    }

    /// Seals what is complete, if any of it ends before `next_seq` and so can go.
    fn seal_before(&self, next_seq: u64) -> Result<()> {
        let oldest = self.open.lock().first().and_then(|open| open.sealable());
        let goes = oldest.is_some_and(|complete| complete.next_seq <= next_seq);
        if goes { self.seal_complete() } else { Ok(()) }
    }

    /// The error, unless it is for want of room and all before `next_seq` is durable.
    fn unless_durable(&self, next_seq: u64, error: Error) -> Result<()> {
        let enough = error.is_out_of_space() && self.watermark.durable() >= next_seq;
        if enough { Ok(()) } else { Err(error) }
    }

    /// As [`unless_durable`](Self::unless_durable), and every segment before the one that holds the last of
    /// those entries is sealed: a cut there says that they are.
    fn unless_sealed(&self, next_seq: u64, error: Error) -> Result<()> {
        self.unless_durable(next_seq, error.clone())?;
        let oldest = self.open.lock().first().map(Arc::clone);
        let complete = oldest.and_then(|oldest| oldest.sealable());
        if complete.is_some_and(|complete| complete.next_seq < next_seq) {
            return Err(error);
        }
        Ok(())
    }

    /// `truncate_back`: `last` becomes the last seq id.
    ///
    /// # Errors
    /// `OutOfRange`; with nothing done `OutOfSpace`, and `Unsupported` or `MissingDictionary` where a batch that the cut
    /// goes through is compressed by a codec that is not compiled in, or with a dictionary that is not there; `Poisoned`.
    pub(crate) fn truncate_back(&self, last: u64) -> Result<()> {
        self.with_appends_stopped(Some(last.saturating_add(1)), |log, keeper| {
            let (first, appended) = (log.first_seq(), log.watermark.appended());
            if last >= appended || last + 1 < first {
                return Err(log.out_of_range("cannot truncate the back", last));
            }
            if last + 1 == appended {
                return Ok(());
            }
            let keep = log.what_stays(keeper, last + 1)?;
            log.commit_and_finish(keeper, &keep)
        })?;
        self.tell_cut();
        Ok(())
    }

    fn tell_cut(&self) {
        trace::cut(self.names.dir(), self.first_seq(), self.watermark.appended());
    }

    /// `reset`: empties the log and goes on at `next`.
    ///
    /// # Errors
    /// `InvalidInput` for 0; `Poisoned`.
    pub(crate) fn reset(&self, next: u64) -> Result<()> {
        if next == 0 {
            return Err(Error::invalid("seq ids begin with 1: cannot reset to 0"));
        }
        self.with_appends_stopped(Some(0), |log, keeper| {
            let keep = Keep { next_seq: next, kept: None, survivors: None };
            log.commit_and_finish(keeper, &keep)
        })?;
        self.tell_cut();
        Ok(())
    }

    /// Does `work` while nobody appends, with everything durable. For a cut, all before what it `keeps` the end of is
    /// enough on a full disk, and an earlier one may still lack its new segment.
    pub(super) fn with_appends_stopped(
        &self,
        keeps: Option<u64>,
        work: impl FnOnce(&Self, &mut Keeper) -> Result<()>,
    ) -> Result<()> {
        self.check()?;
        refuse_in_callback()?;
        // First of all, with no other lock held: a batch in the middle of its appends needs them to end.
        self.stop_appends(keeps.is_some())?;
        let stopped = Stopped(self);
        let leader = self.lead();
        let mut keeper = self.keeper();
        let preparing = self.preparing.lock();
        let synced = match (self.sync_all_open(&leader, &mut keeper), keeps) {
            (Err(error), Some(keeps)) => self.unless_sealed(keeps, error),
            (synced, _) => synced,
        };
        let result = synced.and_then(|()| work(self, &mut keeper));
        drop((preparing, keeper, leader));
        drop(stopped);
        result
    }

    fn stop_appends(&self, for_a_cut: bool) -> Result<()> {
        let mut appender = self.appender.lock();
        loop {
            self.latch.check()?;
            match appender.state {
                State::Running if !appender.turn => {
                    appender.state = State::Cutting;
                    return Ok(());
                }
                State::Running | State::Cutting => {
                    appender = crate::sync::wait(&self.room, appender);
                }
                State::Pending => {
                    drop(appender);
                    let finished = self.finish_pending();
                    let full = finished.as_ref().is_err_and(Error::is_out_of_space);
                    if for_a_cut && full && self.stop_before_new_segment() {
                        return Ok(());
                    }
                    appender = self.appender.lock();
                    // Where it waits no more, another one has found room meanwhile.
                    if !full || matches!(appender.state, State::Pending) {
                        finished?;
                    }
                }
                State::Closed => return Err(Error::closed()),
            }
        }
    }

    /// Stops appends where an earlier cut is done but for its new segment, which finds no room: another cut takes its
    /// place, and may make some. False where it is something else that waits: a torn tail must be kept aside first, and
    /// the surviving part of a batch be named.
    fn stop_before_new_segment(&self) -> bool {
        // Under the maintenance lock nobody is about to finish it.
        let keeper = self.keeper();
        let waits = matches!(*self.pending.lock(), Some(Pending::NewActive));
        let mut appender = self.appender.lock();
        let stops = waits
            && keeper.manifest.cut.is_some_and(|cut| cut.prepared.is_none())
            && matches!(appender.state, State::Pending)
            && !appender.turn;
        if stops {
            appender.state = State::Cutting;
        }
        stops
    }

    /// Step 1: everything is durable, and sealed but for the last segment. The maintenance lock is held, so
    /// the leader's own naming of the active segment is done here.
    fn sync_all_open(
        &self,
        leader: &crate::write::group_commit::Leader<'_>,
        keeper: &mut Keeper,
    ) -> Result<()> {
        let newest = self.open.lock().last().map(|open| open.ordinal());
        if let Some(ordinal) = newest {
            keeper.name_active(ordinal)?;
            self.named.fetch_max(ordinal, Ordering::AcqRel);
        }
        let synced = self.sync_round(leader);
        // What waits for room behind what is complete must not keep that from being sealed.
        if synced.as_ref().is_err_and(|error| !error.is_out_of_space()) {
            return synced;
        }
        while self.seal_oldest(keeper)? {}
        synced
    }

    /// What a cut behind `next_seq` keeps.
    fn what_stays(&self, keeper: &Keeper, next_seq: u64) -> Result<Keep> {
        let snapshot = View::snapshot(self);
        if next_seq <= keeper.manifest.first_seq {
            return Ok(Keep { next_seq, kept: None, survivors: None });
        }
        let found = find(&snapshot, next_seq - 1)?;
        let ordinal = found.segment.ordinal;
        if found.seqs.end == next_seq {
            let kept = Some((ordinal, found.offset + found.len));
            return Ok(Keep { next_seq, kept, survivors: None });
        }
        // The cut goes through a batch: its first entries go into the new active segment.
        let bytes = found.survivors(next_seq, self.settings.max_record_size)?;
        Ok(Keep {
            next_seq,
            kept: Some((ordinal, found.offset)),
            survivors: Some((found.seqs.start, bytes)),
        })
    }

    fn commit_and_finish(&self, keeper: &mut Keeper, keep: &Keep) -> Result<()> {
        let ready = self.appender.lock().ready.take();
        if let Some(ready) = ready {
            keeper.remove_if_there(&self.names.next(ready.ordinal))?;
        }
        let folder = Folder::list(&*self.storage, &self.names)?;
        keeper.commit_cut(keep, &folder.segments)?;
        // Committed: from here on the log is the shorter one, for waiters and readers too.
        self.forget_unwritten(|| {});
        *self.epoch.lock() = keeper.manifest.epoch();
        let before = View::snapshot(self);
        self.show_cut(keeper, keep);
        self.open.lock().clear();
        // Before who waits is told: who waits for room would wait on.
        self.nothing_in_flight();
        self.watermark.tell_cut();
        Counters::add(&self.counters.back_cuts, 1);
        {
            let mut appender = self.appender.lock();
            appender.active = None;
            appender.next_seq = keep.next_seq;
            appender.state = State::Pending;
        }
        *self.pending.lock() = Some(Pending::NewActive);
        if let Err(error) = keeper.remove_dead(&folder.segments) {
            // Half a cut cannot be left behind by a live log: opening finishes it.
            return Err(self.latch.fail(&error));
        }
        // Again: who read by the older list may have opened one meanwhile, and its space would stay taken.
        let kept = keep.kept.map(|(ordinal, _)| ordinal);
        for dead in before.segments.iter().filter(|segment| Some(segment.ordinal) > kept) {
            dead.forget_file();
        }
        match self.begin_again(keeper) {
            // The cut itself is done. The new segment is made at the next append, which is told what keeps it from being
            // made: where that is final, this call is.
            Err(_) => self.check(),
            Ok(()) => Ok(()),
        }
    }

    /// Readers see the log as it is after the cut. The era begins under the lock of the list and before
    /// anything changes: so who finds the list or a segment changed finds that there was a cut, and who finds
    /// the new era finds the new list.
    fn show_cut(&self, keeper: &Keeper, keep: &Keep) {
        let manifest = &keeper.manifest;
        self.change_snapshot(|snapshot| {
            let first_cut = match keep.kept {
                Some(_) => keep.next_seq,
                None => keep.next_seq.min(snapshot.first_seq),
            };
            self.watermark.cut(first_cut, keep.next_seq);
            snapshot.first_seq = manifest.first_seq;
            snapshot.epochs.clone_from(&manifest.epochs);
            snapshot.losses.clone_from(&manifest.losses);
            let kept = keep.kept.map(|(ordinal, _)| ordinal);
            for segment in &snapshot.segments {
                if kept.is_none_or(|kept| segment.ordinal > kept) {
                    segment.forget_file();
                }
            }
            snapshot.segments.retain(|s| kept.is_some_and(|kept| s.ordinal <= kept));
            if let (Some((_, len)), Some(segment)) = (keep.kept, snapshot.segments.last()) {
                let next_seq = manifest.open_seq;
                segment.shorten(len, next_seq, snapshot.log_id);
                segment.seal();
            }
            snapshot.segments.extend(prepared_segment(manifest, &self.names, &self.files));
        });
        if let Some((ordinal, _)) = keep.kept {
            let snapshot = View::snapshot(self);
            if let Some(segment) = snapshot.segments.iter().find(|s| s.ordinal == ordinal) {
                drop(self.write_index(segment));
            }
        }
    }

    /// Step 4 of a cut, and the end of what recovery left pending.
    fn begin_again(&self, keeper: &mut Keeper) -> Result<()> {
        keeper.begin_after_cut()?;
        let active = active_after_cut(keeper)?;
        let end = active.end;
        let allocated = allocate_ahead(&*active.file, end, self.settings.segment_size);
        self.named.fetch_max(active.ordinal, Ordering::AcqRel);
        let open = self.adopt_active(active);
        self.open.lock().push(Arc::clone(&open));
        self.change_snapshot(|snapshot| {
            snapshot.segments.retain(|segment| segment.ordinal != open.segment.ordinal);
            snapshot.segments.push(Arc::clone(&open.segment));
        });
        let extent = Extent { end, next_seq: self.watermark.appended() };
        *self.pending.lock() = None;
        let mut appender = self.appender.lock();
        appender.begin(open, extent, allocated);
        self.look_ahead(&appender);
        drop(appender);
        self.room.notify_all();
        self.signal.wake();
        Ok(())
    }

    /// Tries again what recovery, or a cut, could not finish for want of room.
    ///
    /// # Errors
    /// `OutOfSpace` while there is none; else the log has failed.
    pub(crate) fn finish_pending(&self) -> Result<()> {
        let mut keeper = self.keeper();
        if matches!(self.appender.lock().state, State::Cutting) {
            // Another cut takes the place of what waited.
            return Ok(());
        }
        let pending = self.pending.lock().take();
        let result = match &pending {
            None => return Ok(()),
            Some(Pending::NewActive) => {
                self.finish_removal(&keeper).and_then(|()| self.begin_again(&mut keeper))
            }
            Some(Pending::Tail(scan)) => self.cut_pending_tail(&mut keeper, scan),
        };
        if let Err(error) = &result {
            let mut slot = self.pending.lock();
            if keeper.manifest.cut.is_some() {
                *slot = Some(Pending::NewActive);
            } else if slot.is_none() {
                *slot = pending;
            }
            if error.is_out_of_space() {
                Counters::add(&self.counters.disk_full, 1);
            }
        }
        result
    }

    /// What a cut declared dead may still be there, where removing it found no room: it goes before the cut
    /// is said to be done.
    fn finish_removal(&self, keeper: &Keeper) -> Result<()> {
        let folder = Folder::list(&*self.storage, &self.names)?;
        keeper.remove_dead(&folder.segments)
    }

    fn cut_pending_tail(
        &self,
        keeper: &mut Keeper,
        scan: &crate::recover::scan::Scan,
    ) -> Result<()> {
        let cut = cut_tail(keeper, scan)?;
        // The tail is gone, whatever fails from here on: what was scanned must not be cut again.
        *self.pending.lock() = Some(Pending::NewActive);
        self.change_report(|report| report.cut = Some(cut.clone()));
        *self.epoch.lock() = keeper.manifest.epoch();
        let live = keeper.manifest.first_ordinal..keeper.manifest.open_from;
        self.change_snapshot(|snapshot| {
            snapshot.epochs.clone_from(&keeper.manifest.epochs);
            snapshot.segments.retain(|segment| live.contains(&segment.ordinal));
            for segment in &snapshot.segments {
                segment.seal();
            }
        });
        finish_cut(keeper, &cut, self.settings.quarantine_limit)?;
        self.begin_again(keeper)
    }
}

/// Finds the record that holds a seq id.
fn find(snapshot: &Snapshot, seq: u64) -> Result<Found> {
    for segment in snapshot.segments.iter().rev() {
        let Some(first) = segment.first_seq()? else { continue };
        if first > seq {
            continue;
        }
        let opened = segment.opened()?;
        let end = segment.end()?;
        let mut source = RecordSource::new(Arc::clone(&opened.file), crate::segment::READ_AHEAD);
        let hint = segment.hint(seq, snapshot.log_id).map_or(0, |hint| hint.offset);
        let begin = [hint, 0].into_iter().find(|offset| {
            matches!(source.record_at(*offset, end), Ok(Step::Record(record)) if record.seq() <= seq)
        });
        let mut offset = begin.unwrap_or(0);
        loop {
            let step = source
                .record_at(offset, end)
                .map_err(|error| Error::io("read", &segment.path, error))?;
            match step {
                Step::Record(record) if record.next_seq() > seq => {
                    return Ok(Found {
                        segment: Arc::clone(segment),
                        offset,
                        len: record.len(),
                        seqs: record.seq()..record.next_seq(),
                        header: record.header,
                        stored: record.stored.to_vec(),
                    });
                }
                Step::Record(record) => offset += record.len(),
                Step::End | Step::Unwritten => {
                    return Err(segment
                        .corrupt(offset, "entries are missing at the segment's end")
                        .seq_at(seq));
                }
                Step::Bad(fault) => {
                    return Err(segment.corrupt(offset, &fault.to_string()).seq_at(seq));
                }
            }
        }
    }
    Err(Error::corrupt("no segment holds this entry").seq_at(seq))
}
