//! The walk over all segments of a survey, in order.

mod ends;
mod finish;

use std::collections::BTreeMap;

use super::content::Contents;
use super::segment::{Borders, IndexState, Piece, Resume, Run, index_of};
use super::{Kind, Known, Spot, Survey, zone};
use crate::dictionaries::Dictionaries;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::offline::{Progress, Target};
use crate::record::{Fault, Unreadable};
use crate::recover::scan::{Candidate, later_record};
use crate::recover::{Folder, LockNote, MAX_OPEN, flagged};
use crate::segment::index::EVERY;
use crate::segment::search::Search;
use crate::segment::source::first_nonzero;
use crate::segment::{Index, READ_AHEAD, RecordSource, Step};
use crate::storage::Access;
use crate::sync::Arc;

/// More places than anybody reads about; behind so many, a file is taken as a whole for unsound.
const MAX_SPOTS: usize = 4096;

const ACTIVE_MISSING: &str = "the active segment is missing; was this copied while it was live?";

pub(super) struct Walk<'a> {
    target: &'a Target,
    out: Survey,
    log_id: Option<u128>,
    /// The seq id that must follow.
    expected: Option<u64>,
    /// The spot whose last lost id the next sound record tells.
    pending: Option<usize>,
    /// In the doubt zone, the first byte that is no record ends the log.
    ended: bool,
    done: u64,
    total: u64,
    contents: Contents,
    /// Another program's, which completes each segment before it makes the next: opening asks how each begins.
    foreign: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        target: &'a Target,
        folder: Folder,
        known: Known,
        note: LockNote,
        writer: bool,
    ) -> Self {
        let manifest = known.manifest();
        let first_seq = manifest.map_or(0, |manifest| manifest.first_seq);
        let log_id = manifest.map(|manifest| manifest.log_id).or(note.log_id);
        let zone = known.found().and_then(zone);
        let out = Survey {
            zone,
            folder,
            known,
            note,
            writer,
            pieces: Vec::new(),
            spots: Vec::new(),
            first_seq,
            next_seq: first_seq,
            records: 0,
            bytes: 0,
            flagged: false,
            needed: BTreeMap::new(),
        };
        let dictionaries = Dictionaries::new(Arc::clone(&target.storage), &target.names);
        let contents = Contents::new(dictionaries);
        let (expected, pending) = (None, None);
        let (done, total) = (0, 0);
        let (ended, foreign) = (false, false);
        Self { target, out, log_id, expected, pending, ended, done, total, contents, foreign }
    }

    pub(super) fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Survey> {
        let manifest = self.out.known.manifest().cloned();
        let ordinals = self.live(manifest.as_ref());
        let mut candidates = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            let names = &self.target.names;
            let mut candidate =
                Candidate::open(&*self.target.storage, names, ordinal, Access::Read)?;
            if let Some((_, kept)) = cut_keeps(manifest.as_ref()).filter(|(o, _)| *o == ordinal) {
                candidate.len = candidate.len.min(kept);
            }
            self.total += candidate.len;
            candidates.push(candidate);
        }
        candidates.extend(self.prepared(manifest.as_ref())?);
        let count = candidates.len();
        self.foreign = match (&self.out.known, &manifest) {
            (Known::Missing(why), _) => why.is_none(),
            (_, Some(manifest)) => {
                let open = candidates.iter().filter(|from| from.ordinal >= manifest.open_from);
                open.count() > MAX_OPEN
            }
            _ => false,
        };
        for (at, candidate) in candidates.into_iter().enumerate() {
            progress(Progress { path: candidate.path.clone(), done: self.done, total: self.total });
            self.before(&candidate, manifest.as_ref());
            self.segment(candidate, at + 1 == count, progress)?;
        }
        self.finish(manifest.as_ref())?;
        if matches!(self.out.known, Known::Missing(None)) {
            // Opening looks at the ends alone.
            let Target { storage, names, .. } = self.target;
            self.out.flagged |= flagged(&**storage, names, &self.out.folder.segments)?;
        }
        self.out.needed = self.contents.needed;
        Ok(self.out)
    }

    /// Ordinals of the segments that belong to the log.
    fn live(&self, manifest: Option<&Manifest>) -> Vec<u64> {
        let first = manifest.map_or(0, |manifest| manifest.first_ordinal);
        let dead = manifest.and_then(|manifest| manifest.cut).map(|cut| cut.dead_from..cut.dead_to);
        let all = self.out.folder.segments.iter().copied();
        all.filter(|ordinal| {
            *ordinal >= first && !dead.as_ref().is_some_and(|dead| dead.contains(ordinal))
        })
        .collect()
    }

    fn is_sealed(&self, ordinal: u64, is_last: bool) -> bool {
        let manifest = self.out.known.manifest();
        manifest.map_or(!is_last, |manifest| ordinal < manifest.open_from)
    }

    /// Whether a byte was durable, so that it must be sound.
    fn is_trusted(&self, ordinal: u64, offset: u64, sealed: bool) -> bool {
        sealed || self.out.zone.is_some_and(|zone| (ordinal, offset) < (zone.ordinal, zone.offset))
    }

    /// What must be so where a segment begins.
    fn before(&mut self, from: &Candidate, manifest: Option<&Manifest>) {
        let Some(manifest) = manifest else { return };
        if from.ordinal >= manifest.open_from {
            let expected = self.expected.unwrap_or(manifest.first_seq);
            if expected < manifest.open_seq {
                self.missing(from.ordinal, expected, manifest.open_seq);
            }
        }
        if let Some(zone) = self.out.zone {
            let expected = self.expected.unwrap_or(manifest.first_seq);
            if from.ordinal > zone.ordinal && expected < zone.next_seq {
                self.missing(from.ordinal, expected, zone.next_seq);
            }
        }
    }

    /// Entries `expected..next` should lie before segment `ordinal`.
    fn missing(&mut self, ordinal: u64, expected: u64, next: u64) {
        if let Some(spot) = self.pending.take().and_then(|at| self.out.spots.get_mut(at)) {
            spot.last = Some(next - 1);
            spot.kind = Kind::Damage;
        } else {
            self.push(self.gap(ordinal, expected, next));
        }
        self.expected = Some(next);
    }

    fn gap(&self, ordinal: u64, expected: u64, next: u64) -> Spot {
        let before = self.out.pieces.last().map(|piece| piece.from.ordinal);
        let first = self.out.known.manifest().map(|manifest| manifest.first_ordinal);
        let missing = before.map(|before| before + 1).or(first).filter(|o| *o < ordinal);
        let front = before.is_none() && missing.is_some();
        let ordinal = missing.unwrap_or(ordinal);
        let path = self.target.names.wal(ordinal);
        let what = if missing.is_some() {
            "segments are missing"
        } else {
            "entries are missing before this segment"
        };
        let kind = if front { Kind::Front } else { Kind::Damage };
        Spot { ordinal, last: Some(next - 1), ..Spot::blank(kind, path, expected, what) }
    }

    fn push(&mut self, spot: Spot) -> Option<usize> {
        (self.out.spots.len() < MAX_SPOTS).then(|| {
            self.out.spots.push(spot);
            self.out.spots.len() - 1
        })
    }

    fn segment(
        &mut self,
        from: Candidate,
        is_last: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let sealed = self.is_sealed(from.ordinal, is_last);
        let mut piece = self.piece(from, sealed);
        self.begin_foreign(&piece)?;
        let mut borders = self.borders(&piece, is_last);
        if self.ended {
            self.behind_the_end(&mut piece)?;
        } else {
            self.records(&mut piece, &mut borders, progress)?;
        }
        if piece.index == IndexState::Sound {
            piece.times = borders.index.as_ref().and_then(times);
        }
        self.out.records += piece.records();
        self.out.bytes += piece.from.len;
        self.done += piece.from.len;
        self.out.pieces.push(piece);
        Ok(())
    }

    fn piece(&self, from: Candidate, sealed: bool) -> Piece {
        Piece {
            sealed,
            runs: Vec::new(),
            end: 0,
            free: 0,
            index: IndexState::Missing,
            times: None,
            wrong_footers: Vec::new(),
            compressed: 0,
            unseen: None,
            next_seq: self.expected.unwrap_or(self.out.first_seq),
            from,
        }
    }

    fn borders(&self, piece: &Piece, is_last: bool) -> Borders {
        let from = &piece.from;
        let there = self.out.folder.indexes.contains(&from.ordinal);
        let index = there.then(|| {
            let path = self.target.names.index(from.ordinal);
            index_of(&*self.target.storage, &path, self.log_id, from.ordinal, from.len)
        });
        let marked = self.out.zone.filter(|zone| zone.ordinal == from.ordinal && zone.offset > 0);
        let unmarked_tail = is_last && self.out.zone.is_none();
        Borders {
            index: index.and_then(|(index, _)| index),
            marked,
            end: (piece.sealed || unmarked_tail || marked.is_none()).then_some(from.len),
            end_proved: piece.sealed,
            budget: from.len.saturating_mul(4),
        }
    }

    fn records(
        &mut self,
        piece: &mut Piece,
        borders: &mut Borders,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let from = piece.from.clone();
        let io = |error| Error::io("read", &from.path, error);
        let mut source = RecordSource::new(Arc::clone(&from.file), READ_AHEAD);
        piece.index = self.index_state(piece, borders);
        let mut at = 0;
        let mut proved = true;
        let mut told = 0;
        while !self.ended {
            if at - told > 1 << 22 {
                told = at;
                let (path, done) = (from.path.clone(), self.done + at);
                progress(Progress { path, done, total: self.total });
            }
            let trusted = self.is_trusted(from.ordinal, at, piece.sealed);
            let fault = match source.record_at(at, from.len).map_err(io)? {
                Step::Record(record)
                    if record.footer_ok || trusted || self.is_misplaced(at, record.seq()) =>
                {
                    let (seq, next, len) = (record.seq(), record.next_seq(), record.len());
                    self.out.flagged |= record.header.size != record.header.payload_len();
                    if self.contents.are_malformed(&record, (at, self.expected), piece) {
                        let behind = Resume { offset: at + len, seq: next, proved };
                        self.damage(piece, at, Unreadable::Malformed.to_string(), Some(behind))?;
                        at += len;
                        continue;
                    }
                    if !record.footer_ok {
                        piece.wrong_footers.push((at, seq));
                    }
                    if self.take(piece, (at, len), (seq, next), proved, trusted) {
                        check_index(piece, borders.index.as_ref(), at, seq, next);
                        at += len;
                        continue;
                    }
                    Fault::Sequence { found: seq }.to_string()
                }
                Step::Record(_) => Fault::Footer.to_string(),
                Step::End => break,
                Step::Unwritten => match self.unwritten(piece, borders, at)? {
                    None => break,
                    Some(what) => what,
                },
                Step::Bad(fault @ (Fault::Batch | Fault::Newer)) => {
                    let header = source.window(at, 20, from.len).map_err(io)?;
                    let len = crate::record::Header::parse(header).map_or(0, |h| h.record_len());
                    let next = self.behind_malformed(&mut source, piece, at + len)?;
                    self.damage(piece, at, fault.to_string(), next)?;
                    if let Some(spot) = self.out.spots.last_mut() {
                        spot.newer = fault == Fault::Newer;
                    }
                    match next {
                        Some(next) => at = next.offset,
                        None => break,
                    }
                    continue;
                }
                Step::Bad(fault) => fault.to_string(),
            };
            match self.unsound(piece, borders, at, fault)? {
                Some(next) => (at, proved) = (next.offset, next.proved),
                None => break,
            }
        }
        if !self.ended {
            self.at_the_end(piece, at);
        }
        Ok(())
    }

    fn index_state(&self, piece: &Piece, borders: &Borders) -> IndexState {
        if !self.out.folder.indexes.contains(&piece.from.ordinal) {
            return IndexState::Missing;
        }
        if borders.index.is_some() { IndexState::Sound } else { IndexState::Stale }
    }

    /// Whether a segment begins with what an earlier one holds, or in another program's log with anything else than
    /// what follows: no crash leaves that, whatever the record's footer is, and opening refuses it, too.
    fn is_misplaced(&self, at: u64, seq: u64) -> bool {
        let elsewhere = |expected| seq < expected || self.foreign && seq > expected;
        at == 0 && self.expected.is_some_and(elsewhere)
    }

    /// Takes note of a sound record. False: it doesn't follow, in the doubt zone.
    fn take(
        &mut self,
        piece: &mut Piece,
        (at, len): (u64, u64),
        (seq, next): (u64, u64),
        proved: bool,
        trusted: bool,
    ) -> bool {
        let expected = self.expected;
        let first = expected.is_none();
        let begin =
            expected.unwrap_or(if self.out.first_seq == 0 { seq } else { self.out.first_seq });
        let follows = if first { seq <= begin } else { seq == begin };
        // Without a mark, a whole segment may be missing before this one; else it is for `unsound`.
        let skips = self.out.zone.is_none() && at == 0 && seq > begin;
        if !follows && !trusted && !skips && !self.is_misplaced(at, seq) {
            return false;
        }
        if let Some(spot) = self.pending.take().and_then(|spot| self.out.spots.get_mut(spot)) {
            // What begins before it tells nothing of what was there.
            spot.last = (seq >= begin).then(|| seq.saturating_sub(1));
            spot.followed = seq == begin;
            spot.len = if spot.path == piece.from.path { at - spot.offset } else { spot.len };
            if spot.kind == Kind::Note && seq > begin {
                spot.kind = Kind::Damage;
            }
        } else if !follows && seq > begin {
            let mut spot = self.gap(piece.from.ordinal, begin, seq);
            if at > 0 {
                (spot.kind, spot.path, spot.offset) = (Kind::Damage, piece.from.path.clone(), at);
                spot.ordinal = piece.from.ordinal;
                spot.what = format!("seq id {begin} should follow, and {seq} is here");
            }
            self.push(spot);
        }
        if !follows && seq < begin {
            self.overlap(piece, at, begin, seq);
        }
        if first && self.out.first_seq == 0 {
            self.out.first_seq = seq;
        }
        piece.end = at + len;
        if !first && next <= begin && seq < begin {
            return true;
        }
        // The first segment may begin before the first seq id.
        let next_expected = if first { next } else { next.max(begin) };
        self.expected = Some(next_expected);
        piece.next_seq = next_expected;
        match piece.runs.last_mut() {
            Some(run) if run.to == at && run.next_seq == seq && run.proved == proved => {
                run.to = at + len;
                run.next_seq = next;
                run.records += 1;
            }
            _ => piece.runs.push(Run {
                from: at,
                to: at + len,
                first_seq: seq,
                next_seq: next,
                records: 1,
                proved,
            }),
        }
        true
    }

    fn overlap(&mut self, piece: &Piece, at: u64, expected: u64, seq: u64) {
        let told = self.out.spots.iter().any(|spot| spot.path == piece.from.path && spot.len == 1);
        if told {
            return;
        }
        let what = format!("seq id {seq} is here, which an earlier record holds");
        let path = piece.from.path.clone();
        self.push(Spot {
            ordinal: piece.from.ordinal,
            offset: at,
            len: 1,
            ..Spot::blank(Kind::Damage, path, expected, what)
        });
    }

    /// Zeros where a header would be. `None`: up to the end of the file, or bytes in doubt behind them.
    fn unwritten(
        &mut self,
        piece: &mut Piece,
        borders: &Borders,
        at: u64,
    ) -> Result<Option<String>> {
        let from = &piece.from;
        let nonzero = first_nonzero(&*from.file, at, from.len)
            .map_err(|error| Error::io("read", &from.path, error))?;
        let marked = borders.marked.is_some_and(|place| place.offset > at);
        match nonzero {
            None if marked => Ok(Some("zeros stand where a record should be".into())),
            None => {
                piece.free = from.len - at;
                if piece.sealed {
                    let spot =
                        self.blank(piece, Kind::Note, at, "free space in a complete segment");
                    self.pending = self.push(Spot { len: piece.free, ..spot });
                }
                Ok(None)
            }
            Some(_) => Ok(Some("bytes stand behind unwritten space".into())),
        }
    }

    fn blank(&self, piece: &Piece, kind: Kind, at: u64, what: impl Into<String>) -> Spot {
        let expected = self.expected.unwrap_or(self.out.first_seq.max(1));
        Spot {
            ordinal: piece.from.ordinal,
            offset: at,
            ..Spot::blank(kind, piece.from.path.clone(), expected, what)
        }
    }

    /// Bytes that are no record: damage with a way on, or without; or the log's torn end.
    fn unsound(
        &mut self,
        piece: &mut Piece,
        borders: &mut Borders,
        at: u64,
        what: String,
    ) -> Result<Option<Resume>> {
        let trusted = self.is_trusted(piece.from.ordinal, at, piece.sealed);
        let expected = self.expected.unwrap_or(self.out.first_seq.max(1));
        if !trusted {
            let guess = self.out.zone.is_none();
            let from = &piece.from;
            let later = guess
                && later_record(&*from.file, at + 1, from.len, expected)
                    .map_err(|error| Error::io("read", &from.path, error))?;
            if !later {
                self.tail(piece, at, what);
                return Ok(None);
            }
        }
        if self.out.spots.len() >= MAX_SPOTS {
            return Ok(None);
        }
        let resume = borders.resume(&piece.from, at, expected)?;
        self.damage(piece, at, what, resume)?;
        Ok(resume)
    }

    /// The record behind one of proved length whose content makes no sense.
    fn behind_malformed(
        &self,
        source: &mut RecordSource,
        piece: &Piece,
        offset: u64,
    ) -> Result<Option<Resume>> {
        let step = source
            .record_at(offset, piece.from.len)
            .map_err(|error| Error::io("read", &piece.from.path, error))?;
        Ok(match step {
            Step::Record(record) => Some(Resume { offset, seq: record.seq(), proved: true }),
            _ => None,
        })
    }

    fn damage(
        &mut self,
        piece: &mut Piece,
        at: u64,
        what: String,
        resume: Option<Resume>,
    ) -> Result<()> {
        let from = &piece.from;
        let mut spot = self.blank(piece, Kind::Damage, at, what);
        match resume {
            Some(resume) => {
                spot.len = resume.offset - at;
                spot.last = Some(resume.seq.saturating_sub(1));
                // A mark's place may be the log's end.
                piece.end = resume.offset;
                self.expected = Some(resume.seq.max(spot.expected));
                if self.out.first_seq == 0 {
                    (self.out.first_seq, spot.expected) = (resume.seq, resume.seq);
                }
                self.push(spot);
            }
            None => {
                let io = |error| Error::io("read", &from.path, error);
                spot.len = from.len - at;
                spot.candidates = Search::new(&*from.file, at + 1, from.len, spot.expected)
                    .count(at + 1)
                    .map_err(io)?;
                piece.end = from.len;
                self.pending = self.push(spot);
            }
        }
        Ok(())
    }

    /// The end of the log in the doubt zone: all behind it is in flight or torn.
    fn tail(&mut self, piece: &Piece, at: u64, what: String) {
        self.ended = true;
        let kind = if self.out.writer { Kind::InFlight } else { Kind::Torn };
        let spot = self.blank(piece, kind, at, what);
        self.push(Spot { len: piece.from.len - at, ..spot });
    }

    fn behind_the_end(&mut self, piece: &mut Piece) -> Result<()> {
        let from = &piece.from;
        let nonzero = first_nonzero(&*from.file, 0, from.len)
            .map_err(|error| Error::io("read", &from.path, error))?;
        if nonzero.is_some() {
            let kind = if self.out.writer { Kind::InFlight } else { Kind::Torn };
            let spot = self.blank(piece, kind, 0, "behind the end of the log");
            let len = piece.from.len;
            self.push(Spot { len, ..spot });
        } else {
            piece.free = from.len;
        }
        Ok(())
    }

    /// The file's end: were there to be more?
    fn at_the_end(&mut self, piece: &mut Piece, at: u64) {
        let Some(zone) = self.out.zone.filter(|zone| zone.ordinal == piece.from.ordinal) else {
            return;
        };
        let expected = self.expected.unwrap_or(self.out.first_seq.max(1));
        if self.pending.is_none() && (at < zone.offset || expected < zone.next_seq) {
            let what =
                format!("the segment was durable up to byte {}, and ends at {at}", zone.offset);
            let mut spot = self.blank(piece, Kind::Damage, at, what);
            spot.last = Some(zone.next_seq.saturating_sub(1));
            self.push(spot);
            self.expected = Some(zone.next_seq.max(expected));
            piece.next_seq = zone.next_seq.max(expected);
        }
    }
}

fn cut_keeps(manifest: Option<&Manifest>) -> Option<(u64, u64)> {
    manifest?.cut?.kept
}

fn times(index: &Index) -> Option<(u64, u64, bool)> {
    let first = index.entries.first()?.micros;
    Some((first, index.last_micros, index.times_from_file))
}

/// Compares the index's word about the record at `at` with the record.
fn check_index(piece: &mut Piece, index: Option<&Index>, at: u64, seq: u64, next: u64) {
    let Some(index) = index else { return };
    let before = next.saturating_sub(1).checked_sub(index.first_seq);
    let Some(i) = before.map(|distance| distance / EVERY) else { return };
    let holds = index.first_seq.saturating_add(i.saturating_mul(EVERY));
    if holds < seq || holds >= next {
        return;
    }
    if index.entries.get(crate::num::index(i)).is_some_and(|entry| entry.offset != at) {
        piece.index = IndexState::Wrong;
    }
}
