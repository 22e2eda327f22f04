//! The steps of opening, in their order.

use super::adopt;
use super::folder::Folder;
use super::judge::judge;
use super::scan::{self, Candidate, Scan, scan};
use super::tail::{active_after_cut, complete, cut_tail, describe, finish_cut};
use super::verdict::Verdict;
use super::{Active, MAX_OPEN, Origin, Pending, Recovery, WriterLock, chain};
use crate::error::{Error, Result};
use crate::keeper::Keeper;
use crate::manifest::{Found, Place};
use crate::num;
use crate::segment::{RecordSource, Step};
use crate::storage::{Access, read_full, write_full};
use crate::sync::Arc;

/// Bytes of the doubt zone that are written again at once.
const REWRITE_PIECE: u64 = 256 << 10;

/// A log in the middle of being opened.
pub(super) struct Opening {
    pub(super) keeper: Keeper,
    pub(super) lock: WriterLock,
    pub(super) report: Recovery,
    pub(super) strict: bool,
    pub(super) quarantine_limit: u64,
}

/// Sealed ordinals, the active segment, the next seq id, what could not be finished.
pub(super) type Outcome = (Vec<u64>, Option<Active>, u64, Option<Pending>);

impl Opening {
    /// Finds, decides, does.
    pub(super) fn run(&mut self, found: &Found) -> Result<Outcome> {
        let _span = crate::trace::recovering(self.keeper.names.dir());
        // The winner may be in the kernel's cache only: nothing rests on it before it is on disk.
        let winner = self.keeper.manifest.clone();
        self.keeper.file.write_again(&winner)?;
        let mut folder = Folder::list(&*self.keeper.storage, &self.keeper.names)?;
        if self.keeper.manifest.cut.is_some() {
            if let Some(pending) = self.finish_cut(&folder)? {
                return self.wait_for_room(pending);
            }
            folder = Folder::list(&*self.keeper.storage, &self.keeper.names)?;
        }
        self.remove_leftovers(&folder)?;
        let (mut sealed, mut open) = self.check_names(&folder)?;
        let mut mark =
            found.believed().map(|mark| mark.place).filter(|_| !self.report.finished_cut);
        if open.len() > MAX_OPEN {
            self.check_mark(mark, &open)?;
            self.adopt_foreign(&mut sealed, &mut open)?;
            mark = None;
        }
        let zone = self.zone(mark, &open)?;
        let scan = self.scan(&open, zone)?;
        self.decide(sealed, scan, zone)
    }

    fn finish_cut(&mut self, folder: &Folder) -> Result<Option<Pending>> {
        self.report.finished_cut = true;
        let removed = self.keeper.remove_dead(&folder.segments);
        match removed.and_then(|()| self.keeper.begin_after_cut()) {
            Ok(_) => Ok(None),
            Err(error) if error.is_out_of_space() => Ok(Some(Pending::NewActive)),
            Err(error) => Err(error),
        }
    }

    /// The cut is declared, and its end waits for room. The epoch begins now, as in [`finish`](Self::finish): two copies of
    /// such a log must not append under the one that the cut gave them.
    fn wait_for_room(&mut self, pending: Pending) -> Result<Outcome> {
        let keeper = &mut self.keeper;
        let mut next = keeper.manifest.clone();
        let next_seq = next.lowest_next;
        next.begin_epoch(next_seq, keeper.random_id()?);
        keeper.commit(next)?;
        Ok((self.live_sealed()?, None, next_seq, Some(pending)))
    }

    fn live_sealed(&self) -> Result<Vec<u64>> {
        let folder = Folder::list(&*self.keeper.storage, &self.keeper.names)?;
        let manifest = &self.keeper.manifest;
        let live = manifest.first_ordinal..manifest.open_from;
        Ok(folder.segments.into_iter().filter(|ordinal| live.contains(ordinal)).collect())
    }

    /// What a crash left behind: files made ready (they may hold records of a rename that was lost), and
    /// segments that were cut in front.
    fn remove_leftovers(&self, folder: &Folder) -> Result<()> {
        let keeper = &self.keeper;
        if folder.manifest_new {
            keeper.remove_if_there(&keeper.names.manifest_new())?;
        }
        for ordinal in &folder.nexts {
            if !keeper.manifest.needs_next(*ordinal) {
                keeper.remove_if_there(&keeper.names.next(*ordinal))?;
            }
        }
        for ordinal in &folder.indexes_new {
            keeper.remove_if_there(&keeper.names.index_new(*ordinal))?;
        }
        let first = keeper.manifest.first_ordinal;
        for ordinal in folder.segments.iter().filter(|ordinal| **ordinal < first) {
            keeper.remove_if_there(&keeper.names.wal(*ordinal))?;
        }
        for ordinal in folder.indexes.iter().filter(|ordinal| **ordinal < first) {
            keeper.remove_if_there(&keeper.names.index(*ordinal))?;
        }
        Ok(())
    }

    /// Compares the names in the folder with the manifest: sealed and open ordinals.
    fn check_names(&self, folder: &Folder) -> Result<(Vec<u64>, Vec<u64>)> {
        let manifest = &self.keeper.manifest;
        let live = folder.segments.iter().copied().filter(|o| *o >= manifest.first_ordinal);
        let (sealed, open): (Vec<u64>, Vec<u64>) = live.partition(|o| *o < manifest.open_from);
        if num::size(sealed.len()) != manifest.sealed_count {
            return Err(self.missing_sealed(&sealed));
        }
        if !open.contains(&manifest.active) {
            return Err(Error::corrupt(format!(
                "the active segment is missing (of seq ids from {} on); was this copied while it was live?",
                manifest.open_seq
            ))
            .path(&self.keeper.names.wal(manifest.active))
            .seq_at(manifest.open_seq));
        }
        Ok((sealed, open))
    }

    fn missing_sealed(&self, sealed: &[u64]) -> Error {
        let manifest = &self.keeper.manifest;
        let dir = crate::error::shell_word(self.keeper.names.dir());
        let counted = format!(
            "{} complete segments are there, and the manifest counts {}",
            sealed.len(),
            manifest.sealed_count
        );
        let first_there = sealed.first().copied();
        let in_front = first_there.is_none_or(|first| first > manifest.first_ordinal);
        if !in_front {
            return self.missing_behind(sealed, counted);
        }
        let error = Error::corrupt(counted).path(&self.keeper.names.wal(manifest.first_ordinal));
        let next = first_there
            .and_then(|ordinal| {
                let names = &self.keeper.names;
                Candidate::open(&*self.keeper.storage, names, ordinal, Access::Read).ok()
            })
            .and_then(|candidate| scan::borders(&candidate).ok().flatten())
            .map_or(manifest.open_seq, |(first, _)| first);
        let error = if next > manifest.first_seq {
            error.seqs(manifest.first_seq, next - 1)
        } else {
            error.seq_at(manifest.first_seq)
        };
        error.advice(format!(
            "segments are missing in front; put them back, or accept that: walden adopt {dir}"
        ))
    }

    /// The hole among the sealed segments, by the first and last records of those that are there.
    fn missing_behind(&self, sealed: &[u64], counted: String) -> Error {
        let (manifest, keeper) = (&self.keeper.manifest, &self.keeper);
        let mut next = manifest.first_seq;
        let mut before = manifest.first_ordinal;
        for ordinal in sealed {
            let there = Candidate::open(&*keeper.storage, &keeper.names, *ordinal, Access::Read)
                .and_then(|candidate| scan::borders(&candidate));
            match there {
                Ok(Some((first, _))) if first > next && *ordinal > before => {
                    return Error::corrupt(counted)
                        .path(&keeper.names.wal(before))
                        .seqs(next, first - 1);
                }
                Ok(Some((_, behind))) => next = next.max(behind),
                Ok(None) => {}
                Err(error) => {
                    return Error::corrupt(counted)
                        .path(&keeper.names.wal(before))
                        .caused_by(&error);
                }
            }
            before = ordinal.saturating_add(1);
        }
        let error = Error::corrupt(counted).path(&keeper.names.wal(before));
        if manifest.open_seq > next { error.seqs(next, manifest.open_seq - 1) } else { error }
    }

    /// What was durable before another program wrote must be there: up to the mark, and a record ends there.
    fn check_mark(&self, mark: Option<Place>, open: &[u64]) -> Result<()> {
        let Some(zone) = self.zone(mark, open)?.filter(|zone| zone.offset > 0) else {
            return Ok(());
        };
        let keeper = &self.keeper;
        let from = Candidate::open(&*keeper.storage, &keeper.names, zone.ordinal, Access::Read)?;
        let mut source = RecordSource::new(Arc::clone(&from.file), crate::segment::ONE_RECORD);
        let (_, step) = source
            .record_before(zone.offset)
            .map_err(|error| Error::io("read", &from.path, error))?;
        if matches!(step, Step::Record(record) if record.next_seq() == zone.next_seq) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "the log was durable up to byte {} of this segment, and no record with seq id {} ends there",
            zone.offset,
            zone.next_seq.saturating_sub(1)
        ))
        .path(&from.path)
        .offset_at(zone.offset.min(from.len))
        .seq_at(zone.next_seq.saturating_sub(1)))
    }

    /// Another program wrote on: all but the last segment count as complete, as with a Go log. A new epoch
    /// begins, so that no mark is believed if this opening does not finish: nothing says how far it synced.
    fn adopt_foreign(&mut self, sealed: &mut Vec<u64>, open: &mut Vec<u64>) -> Result<()> {
        let keeper = &mut self.keeper;
        let Some(last) = open.pop() else { return Ok(()) };
        let complete = std::mem::replace(open, vec![last]);
        let start = keeper.manifest.open_seq;
        let chain = chain(&*keeper.storage, &keeper.names, &complete, Some(start))?;
        let candidate = Candidate::open(&*keeper.storage, &keeper.names, last, Access::Read)?;
        adopt::begins(&candidate, chain.next_seq)?;
        let mut next = keeper.manifest.clone();
        next.open_from = last;
        next.open_seq = chain.next_seq.unwrap_or(start);
        next.sealed_count += num::size(complete.len());
        next.name_active(last);
        next.base = None;
        // Judged first: a log that is refused is left as it was.
        let scan = scan(vec![candidate], next.open_place(), None)?;
        judge(&scan, None, &next, self.strict, &keeper.names)?;
        keeper.sync_dir()?;
        // Behind what is there: readers have it, and none of it is cut.
        next.begin_epoch(scan.next_seq, keeper.random_id()?);
        keeper.commit(next)?;
        sealed.extend(complete);
        self.report.origin = Origin::Adopted;
        self.report.notes.push("another program wrote to the log: adopted".into());
        Ok(())
    }

    /// Where the doubt zone begins: the latest of mark, base mark and the end of what is sealed. `None`:
    /// nothing says how far the log was durable.
    fn zone(&self, mark: Option<Place>, open: &[u64]) -> Result<Option<Place>> {
        let manifest = &self.keeper.manifest;
        let latest = [mark, manifest.base]
            .into_iter()
            .flatten()
            .filter(|place| place.ordinal >= manifest.open_from)
            .max_by_key(|place| (place.ordinal, place.offset));
        let Some(place) = latest else {
            let known = mark.is_some() || manifest.base.is_some();
            return Ok(known.then(|| manifest.open_place()));
        };
        if !open.contains(&place.ordinal) {
            return Err(Error::corrupt(
                "a segment that was durable is missing; was this copied while it was live?",
            )
            .path(&self.keeper.names.wal(place.ordinal))
            .seq_at(place.next_seq));
        }
        Ok(Some(place))
    }

    fn scan(&mut self, open: &[u64], zone: Option<Place>) -> Result<Scan> {
        let keeper = &self.keeper;
        let candidates: Vec<Candidate> = open
            .iter()
            .map(|o| Candidate::open(&*keeper.storage, &keeper.names, *o, Access::ReadWrite))
            .collect::<Result<_>>()?;
        let scan = scan(candidates, keeper.manifest.open_place(), zone)?;
        self.report.bytes_checked += scan.bytes_read;
        Ok(scan)
    }

    fn decide(&mut self, sealed: Vec<u64>, scan: Scan, zone: Option<Place>) -> Result<Outcome> {
        let verdict = judge(&scan, zone, &self.keeper.manifest, self.strict, &self.keeper.names)?;
        if self.report.origin == Origin::Adopted && zone.is_none() && scan.flagged {
            return Err(Error::corrupt("the manifest is missing: a segment holds batches")
                .path(&self.keeper.names.manifest()));
        }
        self.check_last_record(&scan, zone)?;
        self.rewrite(&scan, zone)?;
        if verdict == Verdict::CutTail {
            return self.cut_tail(sealed, scan);
        }
        self.go_on(sealed, scan, zone)
    }

    /// A log that ends where the mark says is not read, but for its last record: by its footer.
    fn check_last_record(&self, scan: &Scan, zone: Option<Place>) -> Result<()> {
        let (Some(zone), Some(last)) = (zone, scan.segments.last()) else { return Ok(()) };
        let from = &last.from;
        if last.end == 0 || (from.ordinal, last.end) != (zone.ordinal, zone.offset) {
            return Ok(());
        }
        let mut source = RecordSource::new(Arc::clone(&from.file), crate::segment::ONE_RECORD);
        let (at, step) =
            source.record_before(last.end).map_err(|error| Error::io("read", &from.path, error))?;
        let what = match step {
            Step::Record(record) if record.next_seq() == zone.next_seq => None,
            Step::Record(record) => Some(format!(
                "the log was durable up to seq id {}, and ends with {}",
                zone.next_seq.saturating_sub(1),
                record.next_seq() - 1
            )),
            Step::Bad(fault) => Some(fault.to_string()),
            Step::End | Step::Unwritten => Some("no record ends where the log ends".into()),
        };
        match what {
            Some(what) => Err(Error::corrupt(what)
                .path(&from.path)
                .offset_at(at)
                .seq_at(zone.next_seq.saturating_sub(1))),
            None => Ok(()),
        }
    }

    /// Writes what was proved in the doubt zone again and syncs it: after a sync that failed, or a crash
    /// of the process only, it may be in the kernel's cache and nowhere else.
    fn rewrite(&self, scan: &Scan, zone: Option<Place>) -> Result<()> {
        for scanned in &scan.segments {
            let from = &scanned.from;
            let begin = match zone {
                Some(zone) if from.ordinal < zone.ordinal => continue,
                Some(zone) if from.ordinal == zone.ordinal => zone.offset,
                _ => 0,
            };
            if begin >= scanned.end {
                continue;
            }
            let io = |doing: &str, error| Error::io(doing, &from.path, error);
            let mut piece = vec![0; num::index(REWRITE_PIECE.min(scanned.end - begin))];
            let mut at = begin;
            while at < scanned.end {
                let want = num::index((scanned.end - at).min(num::size(piece.len())));
                let Some(part) = piece.get_mut(..want) else { break };
                if read_full(&*from.file, part, at).map_err(|e| io("read", e))? != part.len() {
                    return Err(io("read", std::io::ErrorKind::UnexpectedEof.into()));
                }
                write_full(&*from.file, part, at).map_err(|e| io("write again", e))?;
                at += num::size(part.len());
            }
            from.file.sync_data().map_err(|e| io("sync", e))?;
        }
        Ok(())
    }

    fn cut_tail(&mut self, sealed: Vec<u64>, scan: Scan) -> Result<Outcome> {
        let next_seq = scan.next_seq;
        let cut = match cut_tail(&mut self.keeper, &scan) {
            Ok(cut) => cut,
            Err(error) if error.is_out_of_space() => {
                self.report.cut = Some(describe(&scan, Vec::new(), false));
                return Ok((sealed, None, next_seq, Some(Pending::Tail(Box::new(scan)))));
            }
            Err(error) => return Err(error),
        };
        let finished = finish_cut(&self.keeper, &cut, self.quarantine_limit)
            .and_then(|()| self.keeper.begin_after_cut());
        self.report.cut = Some(cut);
        let sealed = self.live_sealed()?;
        match finished {
            Ok(_) => {
                let active = active_after_cut(&self.keeper)?;
                self.finish(active, sealed, next_seq)
            }
            Err(error) if error.is_out_of_space() => {
                Ok((sealed, None, next_seq, Some(Pending::NewActive)))
            }
            Err(error) => Err(error),
        }
    }

    /// Everything behind the last sound record is zeros: seal all but the last and go on there.
    fn go_on(&mut self, mut sealed: Vec<u64>, scan: Scan, zone: Option<Place>) -> Result<Outcome> {
        let next_seq = scan.next_seq;
        let clean = scan.segments.len() == 1
            && scan.segments.first().zip(zone).is_some_and(|(only, zone)| {
                only.from.len == only.end
                    && (only.from.ordinal, only.end) == (zone.ordinal, zone.offset)
            });
        if clean && self.report.origin == Origin::Recovered && !self.report.finished_cut {
            self.report.origin = Origin::Clean;
        }
        let mut segments = scan.segments.into_iter().peekable();
        let mut last = None;
        while let Some(scanned) = segments.next() {
            let Some(successor) = segments.peek() else {
                last = Some(scanned);
                break;
            };
            let complete = complete(&scanned);
            self.keeper.seal(&complete, successor.from.ordinal)?;
            sealed.push(scanned.from.ordinal);
        }
        let Some(last) = last else {
            return Err(
                Error::corrupt("the log has no active segment").path(self.keeper.names.dir())
            );
        };
        let index = last.index.or_else(|| {
            let keeper = &self.keeper;
            let path = keeper.names.index(last.from.ordinal);
            let id = keeper.manifest.log_id;
            crate::segment::index::IndexFile::open(
                &*keeper.storage,
                &path,
                id,
                last.from.ordinal,
                last.end,
                None,
            )?
            .load()
            .filter(|index| index.first_seq == last.first_seq)
        });
        let active = Active {
            ordinal: last.from.ordinal,
            file: last.from.file,
            end: last.end,
            first_seq: last.first_seq,
            index,
        };
        self.finish(active, sealed, next_seq)
    }

    /// The last step: names synced, then one manifest with the new epoch, the active segment and a base
    /// mark at the end of the log.
    fn finish(&mut self, active: Active, sealed: Vec<u64>, next_seq: u64) -> Result<Outcome> {
        let keeper = &mut self.keeper;
        keeper.sync_dir()?;
        let mut next = keeper.manifest.clone();
        next.begin_epoch(next_seq, keeper.random_id()?);
        next.name_active(active.ordinal);
        next.base = Some(Place { ordinal: active.ordinal, offset: active.end, next_seq });
        next.lowest_next = next_seq;
        keeper.commit(next)?;
        Ok((sealed, Some(active), next_seq, None))
    }
}
