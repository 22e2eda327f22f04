//! Reads the open segments as one sequence and tells what stands there: facts, no decisions.

use std::path::PathBuf;

use super::verdict::{Later, Stop};
use crate::error::{Error, Result};
use crate::manifest::Place;
use crate::record::Fault;
use crate::segment::index::micros;
use crate::segment::search::{Hit, Search};
use crate::segment::source::first_nonzero;
use crate::segment::{Index, Names, READ_AHEAD, RecordSource, Step};
use crate::storage::{Access, File, Storage};
use crate::sync::Arc;

/// An open segment's file before it is scanned.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) ordinal: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
}

impl Candidate {
    pub(crate) fn open(
        storage: &dyn Storage,
        names: &Names,
        ordinal: u64,
        access: Access,
    ) -> Result<Self> {
        let path = names.wal(ordinal);
        let file = storage
            .open(&path, access)
            .map_err(|error| Error::io("open the segment", &path, error))?;
        let len = file.len().map_err(|error| Error::io("tell the length", &path, error))?;
        Ok(Self { ordinal, path, file, len })
    }

    fn io(&self, error: std::io::Error) -> Error {
        Error::io("read", &self.path, error)
    }
}

/// An open segment after it was scanned.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) from: Candidate,
    /// Seq id of its first record, or the one that would come there.
    pub(crate) first_seq: u64,
    /// Bytes that hold sound records.
    pub(crate) end: u64,
    pub(crate) next_seq: u64,
    /// `None` where the scan began in the middle of the file.
    pub(crate) index: Option<Index>,
}

impl Scanned {
    pub(crate) fn has_records(&self) -> bool {
        self.next_seq > self.first_seq
    }
}

/// Something unsound, and where.
#[derive(Debug, Clone)]
pub(crate) struct Unsound {
    pub(crate) path: PathBuf,
    pub(crate) ordinal: u64,
    pub(crate) offset: u64,
    pub(crate) expected: u64,
    /// The last seq id that is known to have been behind it.
    pub(crate) last: u64,
    pub(crate) what: String,
    /// The first of the seq ids, up to the expected one, that another segment holds too.
    pub(crate) twice_from: Option<u64>,
}

impl Unsound {
    pub(crate) fn error(&self) -> Error {
        let error = Error::corrupt(self.what.clone()).path(&self.path).offset_at(self.offset);
        match self.twice_from {
            Some(first) => error.seqs(first, self.expected.saturating_sub(1)),
            None => error.seqs(self.expected, self.last.max(self.expected)),
        }
    }
}

/// What the scan found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) segments: Vec<Scanned>,
    /// Behind the last sound record.
    pub(crate) next_seq: u64,
    pub(crate) stop: Stop,
    /// What ended the reading, where it was not the end.
    pub(crate) stopped_at: Option<Unsound>,
    pub(crate) damage: Option<Unsound>,
    pub(crate) later: Later,
    /// Something other than zeros stands behind the last sound record.
    pub(crate) rest: bool,
    pub(crate) bytes_read: u64,
    /// A record with a flag was seen: not the Go library's.
    pub(crate) flagged: bool,
}

impl Scan {
    /// What another reading of the segments came to, for those who cut them.
    pub(crate) fn of(segments: Vec<Scanned>, next_seq: u64) -> Self {
        Self {
            segments,
            next_seq,
            stop: Stop::End,
            stopped_at: None,
            damage: None,
            later: Later::NotLooked,
            rest: false,
            bytes_read: 0,
            flagged: false,
        }
    }
}

/// Scans `open`, in order of ordinal. Reading begins at `start`, the first byte that is not sealed;
/// `zone` is where the doubt zone begins if anything says so: what lies before it must be sound.
///
/// # Errors
/// `Io`. Unsound bytes are facts, not errors.
pub(crate) fn scan(open: Vec<Candidate>, start: Place, zone: Option<Place>) -> Result<Scan> {
    let mut run =
        Run { zone, out: Scan::of(Vec::with_capacity(open.len()), start.next_seq), ended: false };
    for candidate in open {
        run.segment(candidate)?;
    }
    if zone.is_none() && run.out.stop == Stop::Invalid {
        run.out.later = run.look_for_later()?;
    }
    Ok(run.out)
}

struct Run {
    zone: Option<Place>,
    out: Scan,
    ended: bool,
}

impl Run {
    fn segment(&mut self, from: Candidate) -> Result<()> {
        let first_seq = self.out.next_seq;
        let mut scanned =
            Scanned { first_seq, end: 0, next_seq: first_seq, index: Some(Index::default()), from };
        if self.ended {
            self.behind_the_end(&scanned.from, 0)?;
        } else {
            self.records(&mut scanned)?;
            self.check_zone(&scanned);
        }
        self.out.segments.push(scanned);
        Ok(())
    }

    /// Whether a byte lies before the doubt zone.
    fn is_trusted(&self, ordinal: u64, offset: u64) -> bool {
        self.zone.is_some_and(|zone| (ordinal, offset) < (zone.ordinal, zone.offset))
    }

    fn records(&mut self, scanned: &mut Scanned) -> Result<()> {
        let from = scanned.from.clone();
        let time = from.file.modified().map_or(0, micros);
        let mut source = RecordSource::new(Arc::clone(&from.file), READ_AHEAD);
        let zone = self.zone.filter(|zone| zone.ordinal == from.ordinal && zone.offset > 0);
        if let Some(zone) = zone
            && !self.skip_to(zone, scanned, &mut source)?
        {
            return Ok(());
        }
        let begun_at = scanned.end;
        let fault = loop {
            let step = source.record_at(scanned.end, from.len).map_err(|e| from.io(e))?;
            match step {
                Step::Record(record) if scanned.end == 0 && record.seq() < self.out.next_seq => {
                    let found = record.seq();
                    self.overlap(scanned, found);
                    return Ok(());
                }
                Step::Record(record) if record.seq() != self.out.next_seq => {
                    break Some(Fault::Sequence { found: record.seq() });
                }
                Step::Record(record)
                    if !record.footer_ok && !self.is_trusted(from.ordinal, scanned.end) =>
                {
                    break Some(Fault::Footer);
                }
                Step::Record(record) => {
                    self.out.flagged |= record.header.is_packed() || record.header.codec() != 0;
                    if let Some(index) = &mut scanned.index {
                        index.times_from_file = true;
                        index.add(scanned.end, record.seq(), record.next_seq(), time);
                    }
                    scanned.end += record.len();
                    scanned.next_seq = record.next_seq();
                    self.out.next_seq = record.next_seq();
                }
                Step::End => break None,
                Step::Unwritten => {
                    self.zeros(scanned)?;
                    break None;
                }
                Step::Bad(fault) => break Some(fault),
            }
        };
        self.out.bytes_read += scanned.end - begun_at;
        if let Some(fault) = fault {
            self.fault(scanned, fault)?;
        }
        Ok(())
    }

    /// Begins at the doubt zone: what the mark says is believed, but for the file's length and its first
    /// record, which must fit what went before. False: it didn't.
    fn skip_to(
        &mut self,
        zone: Place,
        scanned: &mut Scanned,
        source: &mut RecordSource,
    ) -> Result<bool> {
        if scanned.from.len < zone.offset {
            return self.too_short(zone, scanned, source).map(|()| false);
        }
        let from = &scanned.from;
        let expected = self.out.next_seq;
        let what = match source.record_at(0, zone.offset).map_err(|e| from.io(e))? {
            Step::Record(record) if record.seq() == expected => None,
            Step::Record(record) => Some(format!(
                "the segment begins with seq id {}, expected {expected}",
                record.seq()
            )),
            Step::Bad(fault) => Some(fault.to_string()),
            Step::End | Step::Unwritten => Some("zeros stand where a record should be".into()),
        };
        if let Some(what) = what {
            self.damage(scanned, 0, what);
            return Ok(false);
        }
        scanned.end = zone.offset;
        scanned.next_seq = zone.next_seq;
        scanned.index = None;
        self.out.next_seq = zone.next_seq;
        Ok(true)
    }

    /// The file ends before the doubt zone begins: reads it to name what is missing.
    fn too_short(
        &mut self,
        zone: Place,
        scanned: &Scanned,
        source: &mut RecordSource,
    ) -> Result<()> {
        let from = &scanned.from;
        let mut offset = 0;
        while let Step::Record(record) =
            source.record_at(offset, from.len).map_err(|e| from.io(e))?
        {
            if record.seq() != self.out.next_seq {
                break;
            }
            offset += record.len();
            self.out.next_seq = record.next_seq();
        }
        let (durable, len) = (zone.offset, from.len);
        let what = format!("the segment was durable up to byte {durable}, and has {len} bytes");
        self.damage(scanned, offset, what);
        if let Some(damage) = &mut self.out.damage {
            damage.last = zone.next_seq.saturating_sub(1);
        }
        Ok(())
    }

    /// An all-zero header: the rest of the file must be zeros too.
    fn zeros(&mut self, scanned: &Scanned) -> Result<()> {
        let from = &scanned.from;
        let nonzero = first_nonzero(&*from.file, scanned.end, from.len).map_err(|e| from.io(e))?;
        let Some(at) = nonzero else { return Ok(()) };
        let what = "bytes stand behind unwritten space";
        if self.is_trusted(from.ordinal, at) {
            self.damage(scanned, at, what.into());
        } else {
            self.end_at(scanned, Stop::Invalid, what.into());
            self.out.rest = true;
        }
        Ok(())
    }

    fn fault(&mut self, scanned: &Scanned, fault: Fault) -> Result<()> {
        if self.is_trusted(scanned.from.ordinal, scanned.end) {
            self.damage(scanned, scanned.end, fault.to_string());
            return Ok(());
        }
        let stop = match fault {
            Fault::Batch => Stop::Malformed,
            Fault::Newer => Stop::Newer,
            _ => Stop::Invalid,
        };
        self.end_at(scanned, stop, fault.to_string());
        self.behind_the_end(&scanned.from, scanned.end)
    }

    fn end_at(&mut self, scanned: &Scanned, stop: Stop, what: String) {
        self.ended = true;
        self.out.stop = stop;
        self.out.stopped_at = Some(self.unsound(scanned, scanned.end, what));
    }

    fn damage(&mut self, scanned: &Scanned, offset: u64, what: String) {
        self.ended = true;
        let unsound = self.unsound(scanned, offset, what);
        self.out.damage.get_or_insert(unsound);
    }

    /// A segment that begins with what an earlier one holds: no crash leaves that, so it is not torn.
    fn overlap(&mut self, scanned: &Scanned, found: u64) {
        let what = format!("this segment begins with seq id {found}, which an earlier one holds");
        self.damage(scanned, 0, what);
        if let Some(damage) = &mut self.out.damage {
            damage.twice_from.get_or_insert(found);
        }
    }

    fn unsound(&self, scanned: &Scanned, offset: u64, what: String) -> Unsound {
        Unsound {
            path: scanned.from.path.clone(),
            ordinal: scanned.from.ordinal,
            offset,
            expected: self.out.next_seq,
            last: self.out.next_seq,
            what,
            twice_from: None,
        }
    }

    fn behind_the_end(&mut self, from: &Candidate, offset: u64) -> Result<()> {
        let nonzero = first_nonzero(&*from.file, offset, from.len).map_err(|e| from.io(e))?;
        self.out.rest |= nonzero.is_some();
        Ok(())
    }

    /// The place that the mark names must be the border of a record, and reached.
    fn check_zone(&mut self, scanned: &Scanned) {
        let Some(zone) = self.zone else { return };
        if self.out.damage.is_some() || scanned.from.ordinal != zone.ordinal {
            return;
        }
        if zone.offset == 0 && scanned.first_seq != zone.next_seq {
            let what = format!(
                "the log was durable up to seq id {}, and goes on here with {}",
                zone.next_seq.saturating_sub(1),
                scanned.first_seq
            );
            self.damage(scanned, 0, what);
        }
    }

    /// Without a mark: is there a sound record behind the place where reading ended? Then it is damage.
    fn look_for_later(&self) -> Result<Later> {
        let Some(stopped) = &self.out.stopped_at else { return Ok(Later::No) };
        for scanned in &self.out.segments {
            let from = &scanned.from;
            if from.ordinal < stopped.ordinal {
                continue;
            }
            let begin = if from.ordinal == stopped.ordinal { stopped.offset + 1 } else { 0 };
            let found = later_record(&*from.file, begin, from.len, stopped.expected)
                .map_err(|error| from.io(error))?;
            if found {
                return Ok(Later::Yes);
            }
        }
        Ok(Later::No)
    }
}

/// Whether a sound record with a plausible seq id begins in `from..end`, where `expected` is the seq id
/// that is missing. Its payload is never handed out: it may be forged inside another's. Reads and
/// computes at most four times the file's length; `true` too if that budget is spent.
///
/// # Errors
/// What reading gives.
pub(crate) fn later_record(
    file: &dyn File,
    from: u64,
    end: u64,
    expected: u64,
) -> std::io::Result<bool> {
    Ok(Search::new(file, from, end, expected).next(from)? != Hit::Nothing)
}

/// The first and the last record of a complete segment: `(first seq, next seq)`; `None` if it is empty.
///
/// # Errors
/// `Corrupt` where either is unsound.
pub(crate) fn borders(candidate: &Candidate) -> Result<Option<(u64, u64)>> {
    if candidate.len == 0 {
        return Ok(None);
    }
    let unsound =
        |offset: u64, what: String| Error::corrupt(what).path(&candidate.path).offset_at(offset);
    let mut source = RecordSource::new(Arc::clone(&candidate.file), crate::segment::ONE_RECORD);
    let first = match source.record_at(0, candidate.len).map_err(|e| candidate.io(e))? {
        Step::Record(record) => record.seq(),
        Step::Bad(fault) => return Err(unsound(0, fault.to_string())),
        Step::End | Step::Unwritten => {
            return Err(unsound(0, "zeros stand where a record should be".into()));
        }
    };
    let (at, step) = source.record_before(candidate.len).map_err(|e| candidate.io(e))?;
    match step {
        Step::Record(record) => Ok(Some((first, record.next_seq()))),
        Step::Bad(fault) => Err(unsound(at, fault.to_string())),
        Step::End | Step::Unwritten => {
            Err(unsound(at, "no record ends where the segment ends".into()))
        }
    }
}
