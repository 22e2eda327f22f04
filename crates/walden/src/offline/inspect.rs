//! Shows what a log consists of, sound or not. Nothing is changed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Target;
use super::cursors::{CursorReport, cursors};
use super::survey::{IndexState, Known, Piece, Survey, process_lives, read_known, survey, zone};
use super::verify::{Finding, dictionary_findings, finding, problem};
use crate::error::Result;
use crate::manifest::{Found, Mark, Place};
use crate::recover::LockNote;
use crate::storage::{Access, FileKind};

/// A place in the log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaceInfo {
    /// The segment's ordinal.
    pub ordinal: u64,
    /// The byte in it.
    pub offset: u64,
    /// The seq id of the record that begins there, or will.
    pub next_seq: u64,
}

impl From<Place> for PlaceInfo {
    fn from(place: Place) -> Self {
        Self { ordinal: place.ordinal, offset: place.offset, next_seq: place.next_seq }
    }
}

/// One unforked stretch of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpochInfo {
    /// Its first seq id.
    pub first_seq: u64,
    /// Its random id.
    pub id: u128,
}

/// A mark as it lies in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkInfo {
    /// Which slot.
    pub slot: usize,
    /// How far the log was durable.
    pub place: PlaceInfo,
    /// Higher ones are later.
    pub counter: u64,
    /// The manifest's generation then.
    pub generation: u64,
    /// Whether it is this log's, of the current epoch, and the latest.
    pub believed: bool,
}

/// What the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestInfo {
    /// The log's id.
    pub log_id: u128,
    /// Which generation won.
    pub generation: u64,
    /// The exact first seq id.
    pub first_seq: u64,
    /// The first segment.
    pub first_ordinal: u64,
    /// Complete segments.
    pub sealed_count: u64,
    /// The first segment that is not complete.
    pub open_from: u64,
    /// The active segment.
    pub active: u64,
    /// The next one's ordinal.
    pub next_ordinal: u64,
    /// The log's next seq id is never below.
    pub lowest_next: u64,
    /// How far the log was durable when it was opened or cut.
    pub base: Option<PlaceInfo>,
    /// A cut that is not finished: the first seq id that is cut.
    pub cut_from: Option<u64>,
    /// Seq ids given up, inclusive.
    pub losses: Vec<(u64, u64)>,
    /// User metadata: each key, and the length of its value.
    pub meta: Vec<(Vec<u8>, usize)>,
    /// Stretches of history, the oldest first.
    pub epochs: Vec<EpochInfo>,
    /// The marks.
    pub marks: Vec<MarkInfo>,
    /// Where the doubt zone begins.
    pub doubt_from: Option<PlaceInfo>,
}

/// Who holds, or last held, the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The process.
    pub pid: Option<u32>,
    /// When it opened the log.
    pub since: Option<SystemTime>,
    /// The log's id.
    pub log_id: Option<u128>,
    /// Whether a process with that id lives, where that can be told.
    pub lives: Option<bool>,
}

/// The state of a segment's index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IndexInfo {
    /// There is none; it is made when it is missed.
    Missing,
    /// It agrees with the segment.
    Sound,
    /// It is another log's or another length's, or its checksum is wrong: it is ignored.
    Stale,
    /// It points beside the records: it is ignored where it does.
    Wrong,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentReport {
    /// The number in its name.
    pub ordinal: u64,
    /// The file.
    pub path: PathBuf,
    /// The file's length.
    pub bytes: u64,
    /// Zeros at its end, kept for what comes next.
    pub free: u64,
    /// Sound records.
    pub records: u64,
    /// How many of them are compressed.
    pub compressed: u64,
    /// The first seq id.
    pub first_seq: Option<u64>,
    /// The last one.
    pub last_seq: Option<u64>,
    /// Complete, and never written again.
    pub sealed: bool,
    /// When the first entry was appended.
    pub first_time: Option<SystemTime>,
    /// When the last one was.
    pub last_time: Option<SystemTime>,
    /// The times are the file's: append times were lost.
    pub times_from_file: bool,
    /// Its index.
    pub index: IndexInfo,
}

/// A log, part by part. Each part that could not be read says why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// The manifest, or what is wrong with it; `Ok(None)`: a log of the Go library.
    pub manifest: std::result::Result<Option<ManifestInfo>, String>,
    /// Who holds the lock.
    pub lock: LockInfo,
    /// The segments, or why they could not be read.
    pub segments: std::result::Result<Vec<SegmentReport>, String>,
    /// The first seq id.
    pub first_seq: Option<u64>,
    /// The seq id that follows the last entry.
    pub next_seq: Option<u64>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// The cursors, or why they could not be read.
    pub cursors: std::result::Result<Vec<CursorReport>, String>,
    /// Files in quarantine, with their lengths.
    pub quarantine: std::result::Result<Vec<(PathBuf, u64)>, String>,
    /// What a crash left behind: the next opening removes it.
    pub leftovers: Vec<PathBuf>,
    /// Bytes that can still be written to the disk, where that can be told.
    pub free_space: std::result::Result<Option<u64>, String>,
}

/// What can be told of a log without reading its records.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outline {
    /// The manifest, or what is wrong with it; `Ok(None)`: a log of the Go library.
    pub manifest: std::result::Result<Option<ManifestInfo>, String>,
    /// Who holds the lock.
    pub lock: LockInfo,
    /// The cursors, or why they could not be read.
    pub cursors: std::result::Result<Vec<CursorReport>, String>,
    /// Files in quarantine, with their lengths.
    pub quarantine: std::result::Result<Vec<(PathBuf, u64)>, String>,
    /// Bytes that can still be written to the disk, where that can be told.
    pub free_space: std::result::Result<Option<u64>, String>,
}

/// Looks at what costs the same in a small log and in a large one: for a program that looks again and again.
///
/// # Errors
/// `Io` where manifest and lock cannot be read at all.
pub fn outline(target: &Target) -> Result<Outline> {
    let (known, note) = read_known(target)?;
    Ok(Outline {
        manifest: manifest_part(&known),
        lock: lock_info(target, &note),
        cursors: cursors(target).map_err(|error| error.to_string()),
        quarantine: quarantine(target),
        free_space: target.storage.free_space(target.dir()).map_err(|error| error.to_string()),
    })
}

/// Looks at all parts of a log. Works on a damaged one, and beside a writer.
///
/// # Errors
/// `NotFound` where there is no log; `Unsupported` where a newer version wrote it; `Io` where nothing at all can be read.
pub fn inspect(target: &Target) -> Result<Inspection> {
    let (known, note) = read_known(target)?;
    known.refuse_newer()?;
    let lock = lock_info(target, &note);
    let survey = match survey(target, &mut |_| {}) {
        Ok(survey) => Ok(survey),
        Err(error) if error.kind() == crate::ErrorKind::NotFound => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    let known = survey.as_ref().map_or(&known, |survey| &survey.known);
    let manifest = manifest_part(known);
    let findings = survey.as_ref().map_or_else(
        |_| Vec::new(),
        |survey| {
            let mut findings = survey.spots.iter().map(|spot| finding(target, spot)).collect();
            dictionary_findings(target, survey, &mut findings);
            findings
        },
    );
    Ok(Inspection {
        manifest,
        lock,
        first_seq: survey.as_ref().ok().map(|survey| survey.first_seq),
        next_seq: survey.as_ref().ok().map(|survey| survey.next_seq),
        findings,
        leftovers: survey.as_ref().map_or_else(|_| Vec::new(), |s| leftovers(target, s)),
        segments: survey.map(|survey| survey.pieces.iter().map(segment_report).collect()),
        cursors: cursors(target).map_err(|error| error.to_string()),
        quarantine: quarantine(target),
        free_space: target.storage.free_space(target.dir()).map_err(|error| error.to_string()),
    })
}

fn manifest_part(known: &Known) -> std::result::Result<Option<ManifestInfo>, String> {
    match known {
        Known::Found(found) => Ok(Some(manifest_info(found))),
        Known::Missing(None) => Ok(None),
        Known::Missing(Some(why)) => Err(format!("the manifest is missing: {why}")),
        Known::Unsound(error) | Known::Stranger(error) => Err(problem(error)),
    }
}

fn lock_info(target: &Target, note: &LockNote) -> LockInfo {
    LockInfo {
        pid: note.pid,
        since: note.since.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s))),
        log_id: note.log_id,
        lives: process_lives(target, note),
    }
}

fn manifest_info(found: &Found) -> ManifestInfo {
    let manifest = &found.manifest;
    let believed = found.believed();
    let mark = |(slot, mark): (usize, &Option<Mark>)| {
        mark.map(|mark| MarkInfo {
            slot,
            place: mark.place.into(),
            counter: mark.counter,
            generation: mark.generation,
            believed: believed == Some(mark),
        })
    };
    ManifestInfo {
        log_id: manifest.log_id,
        generation: manifest.generation,
        first_seq: manifest.first_seq,
        first_ordinal: manifest.first_ordinal,
        sealed_count: manifest.sealed_count,
        open_from: manifest.open_from,
        active: manifest.active,
        next_ordinal: manifest.next_ordinal,
        lowest_next: manifest.lowest_next,
        base: manifest.base.map(Into::into),
        cut_from: manifest.cut.map(|cut| cut.first_cut),
        losses: manifest.losses.clone(),
        meta: manifest.meta.iter().map(|(key, value)| (key.clone(), value.len())).collect(),
        epochs: manifest
            .epochs
            .iter()
            .map(|epoch| EpochInfo { first_seq: epoch.first_seq, id: epoch.id })
            .collect(),
        marks: found.marks.iter().enumerate().filter_map(mark).collect(),
        doubt_from: zone(found).map(Into::into),
    }
}

pub(super) fn segment_report(piece: &Piece) -> SegmentReport {
    let time = |micros| crate::segment::index::time(micros);
    SegmentReport {
        ordinal: piece.from.ordinal,
        path: piece.from.path.clone(),
        bytes: piece.from.len,
        free: piece.free,
        records: piece.records(),
        compressed: piece.compressed,
        first_seq: piece.first_seq(),
        last_seq: piece.runs.last().map(|run| run.next_seq.saturating_sub(1)),
        sealed: piece.sealed,
        first_time: piece.times.map(|(first, _, _)| time(first)),
        last_time: piece.times.map(|(_, last, _)| time(last)),
        times_from_file: piece.times.is_some_and(|(_, _, from_file)| from_file),
        index: match piece.index {
            IndexState::Missing => IndexInfo::Missing,
            IndexState::Sound => IndexInfo::Sound,
            IndexState::Stale => IndexInfo::Stale,
            IndexState::Wrong => IndexInfo::Wrong,
        },
    }
}

fn leftovers(target: &Target, survey: &Survey) -> Vec<PathBuf> {
    let (folder, names) = (&survey.folder, &target.names);
    let first = survey.known.manifest().map_or(0, |manifest| manifest.first_ordinal);
    let mut paths: Vec<PathBuf> = Vec::new();
    if folder.manifest_new {
        paths.push(names.manifest_new());
    }
    // A writer's is in use.
    if !survey.writer {
        paths.extend(folder.nexts.iter().map(|ordinal| names.next(*ordinal)));
        paths.extend(folder.indexes_new.iter().map(|ordinal| names.index_new(*ordinal)));
    }
    paths.extend(folder.segments.iter().filter(|o| **o < first).map(|o| names.wal(*o)));
    paths
}

fn quarantine(target: &Target) -> std::result::Result<Vec<(PathBuf, u64)>, String> {
    let dir = target.names.quarantine();
    let entries = match target.storage.list(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let files = entries.into_iter().filter(|entry| entry.kind == FileKind::File);
    let mut files: Vec<(PathBuf, u64)> = files
        .map(|entry| {
            let path = dir.join(entry.name);
            let len = target.storage.open(&path, Access::Read).and_then(|file| file.len());
            (path, len.unwrap_or(0))
        })
        .collect();
    files.sort();
    Ok(files)
}
