//! A consistent copy, beside a live writer too.
//!
//! First comes a note that the copy is unfinished, last the manifest, in that note's place.
//! Files are copied in order, after the manifest was read; then the copy itself is read and proved, up
//! to where its records end. That is at or behind the mark that the manifest had when copying began, so
//! nothing that was durable then is missing, and all before the end is there. If the writer cut the log
//! meanwhile, copying begins again. The copy keeps log id and epochs: it is the same history up to its
//! end; opening it for writing begins an epoch of its own. Its cursors are those that there were when copying began:
//! none is further than the copy. Its dictionaries come along.

use std::path::{Path, PathBuf};

use super::cursors;
use super::dictionary::put_dictionaries;
use super::output::{Sink, Written, empty_folder, finish_log, put_file};
use super::rebuild::sync_dir;
use super::survey::{Known, Survey, expect_log, read_known, survey_known};
use super::{Progress, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, ManifestFile};
use crate::recover::Folder;
use crate::storage::Access;

/// How often copying begins again because the log was cut meanwhile.
const RETRIES: u32 = 16;

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Its folder.
    pub dir: PathBuf,
    /// Its first seq id.
    pub first_seq: u64,
    /// The seq id that follows its last.
    pub next_seq: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How often it was begun again because the writer cut the log.
    pub retries: u32,
}

/// Copies the log to `out`, which must be empty or absent.
///
/// If it is ended before its end, by a power cut too, what lies in `out` is refused by everything that opens a log, another
/// copy to there among them, as `Unsupported`: remove `out` and begin anew. Where it fails, it removes what it made.
///
/// # Errors
/// `InvalidInput` where `out` is not empty; `Unsupported` where it holds such a rest;
/// `Corrupt` where the log is damaged; `Busy` where it was cut again
/// and again; `NotFound`, `OutOfSpace`, `Io`.
pub fn copy(
    target: &Target,
    out: impl AsRef<Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied> {
    let made = target.at(out.as_ref());
    expect_log(target)?;
    empty_folder(target, out.as_ref())?;
    let begun = ManifestFile::begin_unfinished(&*target.storage, &made.names);
    let copied = begun.and_then(|()| attempts(target, &made, progress));
    if copied.is_err() {
        // What stays for want of a sound disk is still marked as unfinished. The first error is what is to be told.
        drop(clear(&made).and_then(|()| forget(&made)));
    }
    copied
}

fn attempts(target: &Target, made: &Target, progress: &mut dyn FnMut(Progress)) -> Result<Copied> {
    for retries in 0..RETRIES {
        let (before, note) = read_known(target)?;
        match &before {
            Known::Unsound(error) | Known::Stranger(error) => return Err(error.clone()),
            Known::Found(_) | Known::Missing(_) => {}
        }
        // First: what they stand at was durable then, and so is in the copy.
        let consumers = before.manifest().map(|manifest| cursors::bytes(target, manifest.log_id));
        let consumers = consumers.transpose()?.unwrap_or_default();
        let copied = copy_files(target, made, before.manifest(), progress);
        let (after, _) = read_known(target)?;
        let vanished = copied
            .as_ref()
            .is_err_and(|error| error.io_kind() == Some(std::io::ErrorKind::NotFound));
        if was_cut(before.manifest(), after.manifest()) || vanished {
            clear(made)?;
            continue;
        }
        copied?;
        // Behind the records: what one needs was there before it.
        put_dictionaries(target, made)?;
        let survey = survey_known(made, before, note, false, progress)?;
        if let Some(spot) = survey.damages().next() {
            let error = Error::corrupt(format!("the log is damaged: {}", spot.what))
                .path(&target.dir().join(spot.path.file_name().unwrap_or_default()))
                .offset_at(spot.offset)
                .seq_at(spot.expected)
                .advice(format!(
                    "to keep it as it is, copy the folder (`cp -a`) while nothing writes; then run: {}",
                    target.command("verify")
                ));
            return Err(error);
        }
        put_cursors(made, &consumers)?;
        return finish(made, &survey, retries);
    }
    Err(Error::new(ErrorKind::Busy, "the log was cut again and again while it was copied"))
}

fn copy_files(
    target: &Target,
    made: &Target,
    manifest: Option<&Manifest>,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let folder = Folder::list(&*target.storage, &target.names)?;
    let first = manifest.map_or(0, |manifest| manifest.first_ordinal);
    let mut done = 0;
    for ordinal in folder.segments.into_iter().filter(|ordinal| *ordinal >= first) {
        let (from, to) = (target.names.wal(ordinal), made.names.wal(ordinal));
        progress(Progress { path: from.clone(), done, total: 0 });
        let mut sink = Sink::create(made, &to)?;
        put_file(&mut sink, target, &from)?;
        done += sink.finish()?;
    }
    Ok(())
}

/// Writes the cursors as they were; their name is synced with the others.
fn put_cursors(made: &Target, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let path = made.names.cursors();
    let mut sink = Sink::create(made, &path)?;
    sink.put(bytes)?;
    sink.finish().map(drop)
}

/// Whether something was cut, in front or behind, so that the files may not fit together.
fn was_cut(before: Option<&Manifest>, after: Option<&Manifest>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => {
            before.epochs != after.epochs
                || before.first_ordinal != after.first_ordinal
                || before.cut.is_some()
                || after.cut.is_some()
        }
        (None, None) => false,
        _ => true,
    }
}

/// Removes what was copied; that it is unfinished stays noted.
fn clear(made: &Target) -> Result<()> {
    let folder = Folder::list(&*made.storage, &made.names)?;
    let segments = folder.segments.into_iter().map(|ordinal| made.names.wal(ordinal));
    let dictionaries = folder.dictionaries.into_iter().map(|id| made.names.dictionary(id));
    segments.chain(dictionaries).try_for_each(|path| remove(made, &path))
}

/// Removes the rest, the note last, once nothing is there any more that it is needed for.
fn forget(made: &Target) -> Result<()> {
    let if_there = |path: std::path::PathBuf| match remove(made, &path) {
        Err(error) if error.io_kind() != Some(std::io::ErrorKind::NotFound) => Err(error),
        _ => Ok(()),
    };
    if_there(made.names.cursors())?;
    if_there(made.names.manifest_new())?;
    sync_dir(made)?;
    if_there(made.names.manifest())
}

fn remove(made: &Target, path: &Path) -> Result<()> {
    made.storage.remove(path).map_err(|error| Error::io("remove", path, error))
}

/// Cuts off what is no record and makes the manifest.
fn finish(made: &Target, survey: &Survey, retries: u32) -> Result<Copied> {
    let torn = survey.tail().map(|tail| (tail.ordinal, tail.offset));
    let mut segments = Vec::new();
    for piece in &survey.pieces {
        let path = &piece.from.path;
        let begin = (piece.from.ordinal, 0);
        let io = |doing: &str, error| Error::io(doing, path, error);
        if torn.is_some_and(|(ordinal, _)| begin.0 > ordinal) {
            made.storage.remove(path).map_err(|error| io("remove", error))?;
            continue;
        }
        let len = if piece.sealed { piece.from.len } else { piece.end };
        let file = made
            .storage
            .open(path, Access::ReadWrite)
            .map_err(|error| io("open the segment", error))?;
        file.set_len(len)
            .and_then(|()| file.sync_all())
            .map_err(|error| io("cut free space", error))?;
        segments.push(Written {
            ordinal: piece.from.ordinal,
            len,
            first_seq: segments
                .last()
                .map_or(piece.first_seq().unwrap_or(survey.first_seq), |before: &Written| {
                    before.next_seq
                }),
            next_seq: piece.next_seq,
        });
    }
    finish_log(made, &segments, survey.first_seq, survey.known.manifest())?;
    if let Some(parent) = made.dir().parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(&made.at(parent))?;
    }
    Ok(Copied {
        dir: made.dir().to_owned(),
        first_seq: survey.first_seq,
        next_seq: segments.last().map_or(survey.first_seq, |last| last.next_seq),
        segments: crate::num::size(segments.len()),
        bytes: segments.iter().map(|segment| segment.len).sum(),
        retries,
    })
}
