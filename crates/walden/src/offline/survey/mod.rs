//! Reads a whole log, sound or not, and tells what stands where. Changes nothing, stops at nothing.
//!
//! Beside opening, which reads only what is in doubt and refuses at the first unsound byte, this is a
//! second reading of the format, made for people. Behind damage it goes on only where something proved
//! leads: at an index entry that was checked, at the place that a mark names, at the end of a complete
//! file, from there back by footers ([`behind`](crate::segment::behind)), or at the next segment.
//!
//! What lies in the doubt zone and is no record is not damage: beside a writer it is in flight, without
//! one it is torn. Where nothing says how far the log was durable, the last segment is in doubt, and an
//! invalid record in it is damage if one that may be sound stands behind it: as opening has it.

mod content;
mod segment;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) use self::content::Needed;
pub(super) use self::segment::{IndexState, Piece, Run};
use self::walk::Walk;
use super::paper::refusal;
use super::verify::problem;
use super::{Progress, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Found, Manifest, Place, find};
use crate::recover::{Folder, LockNote, check_identity};
use crate::storage::Access;

/// How often the log is read again because its writer changed it meanwhile.
const RETRIES: u32 = 8;

/// What is known of the manifest.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Found(Box<Found>),
    /// There is none: a Go log, or (with the reason) a manifest that was lost.
    Missing(Option<String>),
    /// No copy is sound, or it is older than the log.
    Unsound(Error),
    /// It is another log's, or of a newer version, or the log is unfinished: nothing can be said.
    Stranger(Error),
}

impl Known {
    pub(super) fn found(&self) -> Option<&Found> {
        match self {
            Self::Found(found) => Some(found),
            _ => None,
        }
    }

    pub(super) fn manifest(&self) -> Option<&Manifest> {
        self.found().map(|found| &found.manifest)
    }
}

/// What a spot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Durable bytes are not what was written.
    Damage,
    /// Segments are missing in front: `adopt` accepts that.
    Front,
    /// Fewer complete segments than the manifest counts, and no entry is missing.
    Count,
    /// The last record is proved, and its footer does not lead to it: opening, which asks that alone, refuses the log.
    Footer,
    /// Bytes at the end of a complete segment that are no entry's.
    Surplus,
    /// A file that a cut in progress removes, and that holds what it does not cover.
    Dead,
    /// What opening would refuse, where all that was read is sound.
    Refused,
    /// Behind the last sound record, beside a writer.
    InFlight,
    /// Behind the last sound record, without a writer.
    Torn,
    /// Nothing that harms.
    Note,
}

impl Kind {
    pub(super) const fn is_damage(self) -> bool {
        matches!(self, Self::Damage | Self::Front | Self::Dead | Self::Refused)
            || self.is_mendable()
    }

    /// Damage that no entry is lost by, and that repair mends without a choice.
    pub(super) const fn is_mendable(self) -> bool {
        matches!(self, Self::Count | Self::Footer | Self::Surplus)
    }
}

/// A place where the log is not as it should be.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) ordinal: u64,
    pub(super) offset: u64,
    /// Bytes up to where reading went on.
    pub(super) len: u64,
    pub(super) what: String,
    /// The first seq id that should be there.
    pub(super) expected: u64,
    /// The last one that is lost, where that is known; below `expected` if none is.
    pub(super) last: Option<u64>,
    pub(super) behind_in_file: u64,
    pub(super) behind_in_log: u64,
    /// Records that may be sound stand behind it, and nothing proved leads to them.
    pub(super) candidates: u64,
    /// A record of a newer version is there: nothing is known of what it holds.
    pub(super) newer: bool,
    /// The record behind it is the one that was expected where it begins.
    pub(super) followed: bool,
}

impl Spot {
    /// The ids that are lost.
    pub(super) fn lost(&self) -> Option<(u64, u64)> {
        let last = self.last.filter(|last| *last >= self.expected)?;
        self.kind.is_damage().then_some((self.expected, last))
    }

    /// Opening's own word.
    fn refused(target: &Target, error: &Error) -> Self {
        let path = error.file().unwrap_or_else(|| target.dir()).to_owned();
        let what = format!("opening refuses it: {}", problem(error));
        let spot = Self::blank(Kind::Refused, path, error.seq().unwrap_or(0), what);
        Self { offset: error.offset().unwrap_or(0), ..spot }
    }

    fn blank(kind: Kind, path: PathBuf, expected: u64, what: impl Into<String>) -> Self {
        Self {
            kind,
            path,
            ordinal: 0,
            offset: 0,
            len: 0,
            what: what.into(),
            expected,
            last: None,
            behind_in_file: 0,
            behind_in_log: 0,
            candidates: 0,
            newer: false,
            followed: false,
        }
    }
}

/// A whole log, as it was found.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) folder: Folder,
    pub(super) known: Known,
    pub(super) note: LockNote,
    /// Whether a writer has the log open, as far as that can be told.
    pub(super) writer: bool,
    /// Where the doubt zone begins.
    pub(super) zone: Option<Place>,
    pub(super) pieces: Vec<Piece>,
    pub(super) spots: Vec<Spot>,
    pub(super) first_seq: u64,
    /// The seq id that follows the last entry, sound or lost.
    pub(super) next_seq: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// A record that the Go library could not have written was seen.
    pub(super) flagged: bool,
    /// What needs a dictionary, by the dictionary's id.
    pub(super) needed: BTreeMap<u32, Needed>,
}

impl Survey {
    pub(super) fn damages(&self) -> impl Iterator<Item = &Spot> {
        self.spots.iter().filter(|spot| spot.kind.is_damage())
    }

    /// No entry is damaged or missing; the manifest may be.
    pub(super) fn is_whole(&self) -> bool {
        self.damages().next().is_none()
    }

    /// No entry is damaged or missing; of what else is wrong, repair asks nothing.
    pub(super) fn is_mendable(&self) -> bool {
        self.damages().all(|spot| spot.kind.is_mendable())
    }

    /// Complete segments that end in zeros, of which it is known that no entries were there.
    ///
    /// None during a cut: what it keeps of a segment stays as long as it says.
    pub(super) fn spacious(&self) -> impl Iterator<Item = &Piece> {
        let cut = self.known.manifest().is_some_and(|manifest| manifest.cut.is_some());
        let told = |piece: &Piece| self.damages().any(|spot| spot.path == piece.from.path);
        let spacious = move |piece: &&Piece| piece.sealed && piece.free > 0 && !cut && !told(piece);
        self.pieces.iter().filter(spacious)
    }

    pub(super) fn tail(&self) -> Option<&Spot> {
        self.spots.iter().find(|spot| matches!(spot.kind, Kind::Torn | Kind::InFlight))
    }
}

/// Reads the log.
///
/// # Errors
/// `NotFound` where there is no log, `Io`.
pub(super) fn survey(target: &Target, progress: &mut dyn FnMut(Progress)) -> Result<Survey> {
    let mut tries = 0;
    loop {
        let (known, note) = read_known(target)?;
        let writer = is_alive(target, &note);
        let outcome = survey_known(target, known, note, writer, progress)
            .and_then(|survey| ask_opening(target, survey));
        tries += 1;
        let unsettled = match &outcome {
            Ok(survey) => !survey.is_whole(),
            Err(error) => error.io_kind() == Some(std::io::ErrorKind::NotFound),
        };
        // Beside a writer, what looks like damage may be a cut that we read through.
        if !unsettled || tries >= RETRIES || !has_moved(target, &outcome)? {
            return outcome;
        }
    }
}

/// Refuses a folder without a log, before anything is made in it or elsewhere.
///
/// # Errors
/// `NotFound` where there is no log, `Io`.
pub(super) fn expect_log(target: &Target) -> Result<()> {
    let (known, _) = read_known(target)?;
    refuse_none(target, &Folder::list(&*target.storage, &target.names)?, &known)
}

fn refuse_none(target: &Target, folder: &Folder, known: &Known) -> Result<()> {
    if folder.segments.is_empty() && !folder.manifest && matches!(known, Known::Missing(_)) {
        return Err(Error::new(ErrorKind::NotFound, "there is no log here").path(target.dir()));
    }
    Ok(())
}

/// Reads the log as one whose manifest is `known`.
///
/// # Errors
/// `NotFound` where there is no log, `Io`.
pub(super) fn survey_known(
    target: &Target,
    known: Known,
    note: LockNote,
    writer: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Survey> {
    let folder = Folder::list(&*target.storage, &target.names)?;
    refuse_none(target, &folder, &known)?;
    let known = match known {
        Known::Missing(None) => Known::Missing(why_lost(&folder, &note)),
        known => known,
    };
    Walk::new(target, folder, known, note, writer).run(progress)
}

/// Where nothing was found, and nobody writes: whether opening says so, too. The manifest that the survey went by is
/// the one in the folder.
///
/// # Errors
/// Where no log can have the prefix.
pub(super) fn ask_opening(target: &Target, mut survey: Survey) -> Result<Survey> {
    let opens_as_found = match &survey.known {
        Known::Found(_) => true,
        Known::Missing(why) => why.is_none() && !survey.flagged,
        Known::Unsound(_) | Known::Stranger(_) => false,
    };
    if opens_as_found && !survey.writer && survey.is_whole() {
        let refused = refusal(target)?;
        survey.spots.extend(refused.map(|error| Spot::refused(target, &error)));
    }
    Ok(survey)
}

impl Known {
    /// Refuses a log of a newer version, and one that is unfinished: what is made of it would be called damage, and is none.
    ///
    /// # Errors
    /// `Unsupported`.
    pub(super) fn refuse_newer(&self) -> Result<()> {
        match self {
            Self::Stranger(error) if error.kind() == ErrorKind::Unsupported => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

fn why_lost(folder: &Folder, note: &LockNote) -> Option<String> {
    if note.log_id.is_some() {
        return Some("the lock file names the log's id".into());
    }
    (!folder.indexes.is_empty())
        .then(|| "there are index files, which are never made before it".into())
}

/// Manifest and lock file, whatever state they are in.
///
/// # Errors
/// `Io`.
pub(super) fn read_known(target: &Target) -> Result<(Known, LockNote)> {
    let note = match target.storage.open(&target.names.lock(), Access::Read) {
        Ok(file) => LockNote::read(&*file, &target.names.lock())?,
        Err(_) => LockNote::default(),
    };
    let known = match find(&*target.storage, &target.names) {
        Ok(None) => Known::Missing(None),
        Ok(Some(found)) => match check_identity(&target.names, &found, &note) {
            Ok(()) => Known::Found(Box::new(found)),
            Err(error) if found.rolled_back().is_some() => Known::Unsound(error),
            Err(error) => Known::Stranger(error),
        },
        Err(error) if error.is_corruption() => Known::Unsound(error),
        Err(error) if error.kind() == ErrorKind::Unsupported => Known::Stranger(error),
        Err(error) => return Err(error),
    };
    Ok((known, note))
}

/// Whether the process that the lock file names lives, as far as `/proc` tells.
pub(super) fn process_lives(target: &Target, note: &LockNote) -> Option<bool> {
    let pid = note.pid?.to_string();
    if note.pid == Some(std::process::id()) {
        return Some(true);
    }
    let processes = target.storage.list(std::path::Path::new("/proc")).ok()?;
    let known = processes.iter().any(|entry| entry.name == "self");
    known.then(|| processes.iter().any(|entry| entry.name == *pid))
}

fn is_alive(target: &Target, note: &LockNote) -> bool {
    process_lives(target, note).unwrap_or(false)
}

/// Whether the log was cut since it was read.
fn has_moved(target: &Target, outcome: &Result<Survey>) -> Result<bool> {
    let Ok(survey) = outcome else { return Ok(true) };
    let Some(before) = survey.known.manifest() else { return Ok(false) };
    let (known, _) = read_known(target)?;
    Ok(known.manifest().is_some_and(|now| {
        now.first_ordinal != before.first_ordinal
            || now.epochs != before.epochs
            || now.cut != before.cut
            || now.sealed_count != before.sealed_count
    }))
}

/// Where the doubt zone of a manifest begins: the latest of believed mark, base mark and the end of
/// what is sealed.
pub(super) fn zone(found: &Found) -> Option<Place> {
    let manifest = &found.manifest;
    let mark = found.believed().map(|mark| mark.place).filter(|_| manifest.cut.is_none());
    let places = [mark, manifest.base];
    let latest = places
        .into_iter()
        .flatten()
        .filter(|place| place.ordinal >= manifest.open_from)
        .max_by_key(|place| (place.ordinal, place.offset));
    latest.or_else(|| places.iter().any(Option::is_some).then(|| manifest.open_place()))
}
