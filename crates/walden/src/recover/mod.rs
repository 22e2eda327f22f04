//! Opening for writing: find what is there, decide, and only then change anything.
//!
//! `folder` lists names, `scan` reads what is in doubt and reports facts, `verdict` decides by a table,
//! and what follows here does as decided. Each step can be cut off by a crash and is done again at the
//! next opening.

mod adopt;
mod folder;
mod judge;
mod lock;
mod opening;
pub(crate) mod quarantine;
mod report;
pub(crate) mod scan;
mod tail;
mod verdict;

use std::path::Path;

pub(crate) use self::adopt::chain;
pub(crate) use self::folder::{Folder, make as make_folder};
pub(crate) use self::lock::{LockNote, WriterLock};
use self::opening::Opening;
pub use self::report::{CutTail, Origin, Recovery};
use self::scan::{Candidate, Scan};
pub(crate) use self::tail::{active_after_cut, cut_tail, finish_cut};
use crate::config::{RecoveryMode, Settings};
use crate::cursors::Cursors;
use crate::error::{Error, ErrorKind, Result};
use crate::keeper::Keeper;
use crate::manifest::{Found, ManifestFile};
use crate::segment::{Index, Names, RecordSource, Step};
use crate::storage::{Access, Clock, File, Storage};
use crate::sync::Arc;

/// Segments behind the sealed ones that one of us can leave; more were made by another program.
pub(crate) const MAX_OPEN: usize = 4;

/// A log opened for writing.
#[derive(Debug)]
pub(crate) struct OpenedLog {
    pub(crate) keeper: Keeper,
    pub(crate) lock: WriterLock,
    /// Ordinals of the sealed segments, in order.
    pub(crate) sealed: Vec<u64>,
    /// What is written to; `None` while `pending`.
    pub(crate) active: Option<Active>,
    pub(crate) next_seq: u64,
    pub(crate) pending: Option<Pending>,
    pub(crate) report: Recovery,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) ordinal: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) end: u64,
    /// Seq id of its first record, or the one that comes there.
    pub(crate) first_seq: u64,
    pub(crate) index: Option<Index>,
}

/// What could not be finished for want of room: appends are refused until it is.
#[derive(Debug)]
pub(crate) enum Pending {
    /// The tail was not cut, since there was no room to keep a copy of it.
    Tail(Box<Scan>),
    /// The new active segment could not be made.
    NewActive,
}

/// Opens a log for writing: makes, adopts or recovers it.
///
/// # Errors
/// `Locked`, `Corrupt` (nothing was changed), `TornTail`, `Unsupported`, `Io`, …
pub(crate) fn open(
    dir: &Path,
    settings: &Settings,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
) -> Result<OpenedLog> {
    try_open(dir, settings, storage, clock).map_err(|error| advise(error, dir))
}

fn try_open(
    dir: &Path,
    settings: &Settings,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
) -> Result<OpenedLog> {
    let begun = clock.elapsed();
    let names = Names::new(dir, &settings.prefix);
    folder::make(&*storage, &names)?;
    let lock = WriterLock::take(&*storage, &names)?;
    let strict = settings.recovery_mode == RecoveryMode::Strict;
    let origin = ensure_manifest(&*storage, &*clock, &names, &lock.note, strict)?;
    let (file, found) = ManifestFile::open(&*storage, &names)?;
    check_identity(&names, &found, &lock.note)?;
    let cursors = Cursors::load(Arc::clone(&storage), &names, found.manifest.log_id)?;
    let mut notes = settings.notes.clone();
    notes.extend(cursors.unreadable().map(|error| error.to_string()));
    let keeper = Keeper {
        storage,
        clock,
        names,
        file: Arc::new(file),
        manifest: found.manifest.clone(),
        cursors: Arc::new(cursors),
        unremoved: Vec::new(),
    };
    let mut opening = Opening {
        keeper,
        lock,
        report: Recovery {
            origin,
            bytes_checked: 0,
            took: std::time::Duration::ZERO,
            cut: None,
            finished_cut: false,
            notes,
        },
        strict,
        quarantine_limit: settings.quarantine_limit,
    };
    let (sealed, active, next_seq, pending) = opening.run(&found)?;
    let mut opened = OpenedLog {
        keeper: opening.keeper,
        lock: opening.lock,
        sealed,
        active,
        next_seq,
        pending,
        report: opening.report,
    };
    let log_id = opened.keeper.manifest.log_id;
    opened.lock.sign(&*opened.keeper.clock, log_id);
    opened.report.took = opened.keeper.clock.elapsed().saturating_sub(begun);
    Ok(opened)
}

/// What keeps a log from opening ends in the next command.
pub(crate) fn advise(error: Error, dir: &Path) -> Error {
    if error.what_to_do().is_some() {
        return error;
    }
    let dir = crate::error::shell_word(dir);
    match error.kind() {
        ErrorKind::Corrupt => {
            error.advice(format!("nothing was changed; run: walden verify {dir}"))
        }
        ErrorKind::TornTail => error.advice(format!(
            "nothing was changed; RecoveryMode::TruncateTail keeps a copy and cuts it off; to see it: \
             walden verify {dir}"
        )),
        _ => error,
    }
}

/// There is a manifest afterwards.
pub(crate) fn ensure_manifest(
    storage: &dyn Storage,
    clock: &dyn Clock,
    names: &Names,
    note: &LockNote,
    strict: bool,
) -> Result<Origin> {
    let folder = Folder::list(storage, names)?;
    if folder.manifest {
        return Ok(Origin::Recovered);
    }
    if note.log_id.is_some() {
        return Err(lost(names, "the lock file names the log's id"));
    }
    if !folder.indexes.is_empty() {
        return Err(lost(names, "there are index files, which are never made before it"));
    }
    if folder.segments.is_empty() {
        adopt::create(storage, clock, names)?;
        return Ok(Origin::Created);
    }
    if flagged(storage, names, &folder.segments)? {
        return Err(lost(names, "a segment holds batches or compressed records"));
    }
    adopt::adopt(storage, clock, names, &folder, strict)?;
    Ok(Origin::Adopted)
}

/// The error for a log that had a manifest and has none.
fn lost(names: &Names, why: &str) -> Error {
    Error::corrupt(format!("the manifest is missing: {why}")).path(&names.manifest()).advice(
        format!(
            "nothing was changed; to rebuild it from the segments: walden repair {}",
            crate::error::shell_word(names.dir())
        ),
    )
}

/// Whether a segment begins or ends with a record that the Go library could not have written.
pub(crate) fn flagged(storage: &dyn Storage, names: &Names, segments: &[u64]) -> Result<bool> {
    let is_flagged = |step: Step<'_>| matches!(step, Step::Record(record) if record.header.size != record.header.payload_len());
    for ordinal in segments {
        let Candidate { file, len, path, .. } =
            Candidate::open(storage, names, *ordinal, Access::Read)?;
        let io = |error| Error::io("read", &path, error);
        let mut source = RecordSource::new(file, crate::segment::ONE_RECORD);
        if is_flagged(source.record_at(0, len).map_err(io)?)
            || is_flagged(source.record_before(len).map_err(io)?.1)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the manifest is this log's, and not an older copy of it.
pub(crate) fn check_identity(names: &Names, found: &Found, note: &LockNote) -> Result<()> {
    if let Some(mark) = found.rolled_back() {
        return Err(Error::corrupt(format!(
            "the manifest is of generation {}, and a mark was written under generation {}: \
             an older copy was restored over a newer log",
            found.manifest.generation, mark.generation
        ))
        .path(&names.manifest()));
    }
    if note.log_id.is_some_and(|id| id != found.manifest.log_id) {
        return Err(Error::corrupt(
            "the manifest is another log's: the lock file names another id",
        )
        .path(&names.manifest())
        .advice(format!(
            "if the whole folder was replaced on purpose, remove {}",
            crate::error::shell_word(&names.lock())
        )));
    }
    Ok(())
}
