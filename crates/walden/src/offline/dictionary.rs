//! Dictionaries of a log at rest: trained, listed, removed where nothing needs them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::output::{Sink, put_file};
use super::rebuild::sync_dir;
use super::repair::settled_manifest;
use super::survey::{Survey, read_known, survey, survey_known};
use super::{Progress, Target};
use crate::dictionaries::{DictionaryInfo, ids, learn, load, newest};
use crate::error::{Error, ErrorKind, Result};
use crate::num;
use crate::read::LogReader;
use crate::recover::WriterLock;
use crate::sync::Arc;

/// A dictionary that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainedDictionary {
    /// The dictionary.
    pub dictionary: DictionaryInfo,
    /// Entries that it was made from.
    pub samples: u64,
    /// Their bytes, as far as they were looked at.
    pub sampled_bytes: u64,
}

/// A dictionary that is there, or that a record needs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DictionaryReport {
    /// Its id.
    pub id: u32,
    /// Its file.
    pub path: PathBuf,
    /// The one with the highest number is what is compressed with; `None` where it cannot be read.
    pub number: Option<u32>,
    /// Its bytes.
    pub bytes: Option<u64>,
    /// Records that need it.
    pub records: u64,
    /// The first seq id in those.
    pub first_seq: Option<u64>,
    /// Why it cannot be read: it is missing, or not what was written.
    pub problem: Option<Error>,
}

/// Dictionaries that were removed, and those that stayed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrunedDictionaries {
    /// Files that were removed.
    pub removed: Vec<PathBuf>,
    /// Dictionaries that stayed.
    pub kept: u64,
}

/// Trains a dictionary of at most `size` bytes from entries all over the log, and puts it beside the segments: the next
/// writer compresses small entries with it. As [`Wal::train_dictionary`](crate::Wal::train_dictionary).
///
/// # Errors
/// `Locked` beside a writer; `NotFound` where there is no log; else as [`Wal::train_dictionary`](crate::Wal::train_dictionary).
pub fn train_dictionary(
    target: &Target,
    size: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainedDictionary> {
    let (dir, prefix) = (target.dir(), target.names.prefix());
    // Before the lock, whose file would be made.
    let log = LogReader::open_with(dir, prefix, Arc::clone(&target.storage))?;
    let _lock = WriterLock::take(&*target.storage, &target.names)?;
    log.refresh()?;
    let (from, to) = (log.first_seq(), log.next_seq());
    let mut done = 0;
    let learnt = learn((from, to), size, &mut |seq| {
        let entry = log.get(seq)?;
        done += entry.as_ref().map_or(0, |entry| num::size(entry.payload.len()));
        progress(Progress { path: dir.to_owned(), done, total: 0 });
        Ok(entry)
    })?;
    let (samples, sampled_bytes) = (learnt.samples, learnt.sampled);
    let dictionary = learnt.keep(&*target.storage, &target.names)?;
    Ok(TrainedDictionary { dictionary, samples, sampled_bytes })
}

/// The dictionaries of a log, by id, with what needs them. Reads all of the log, changes nothing; works beside a
/// writer.
///
/// # Errors
/// `NotFound` where there is no log; `Io`.
pub fn dictionaries(
    target: &Target,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<DictionaryReport>> {
    Ok(reports(target, &survey(target, progress)?))
}

pub(super) fn reports(target: &Target, survey: &Survey) -> Vec<DictionaryReport> {
    let there = survey.folder.dictionaries.iter().copied();
    let all: BTreeSet<u32> = there.chain(survey.needed.keys().copied()).collect();
    let report = |id: u32| {
        let found = load(&*target.storage, &target.names, id);
        let needed = survey.needed.get(&id);
        DictionaryReport {
            id,
            path: target.names.dictionary(id),
            number: found.as_ref().ok().map(|found| found.number()),
            bytes: found.as_ref().ok().map(|found| num::size(found.bytes().len())),
            records: needed.map_or(0, |needed| needed.records),
            first_seq: needed.map(|needed| needed.first),
            problem: found.err(),
        }
    };
    all.into_iter().map(report).collect()
}

/// Removes the dictionaries that no record of the log needs, but for the newest, which is what is compressed with.
/// Copies in the log's quarantine are not looked into.
///
/// # Errors
/// `Locked` beside a writer; `Corrupt` where the log is damaged, so that it cannot be told what its records need, with
/// nothing removed; `NotFound`, `Io`.
pub fn prune_dictionaries(
    target: &Target,
    progress: &mut dyn FnMut(Progress),
) -> Result<PrunedDictionaries> {
    // Before the lock, whose file would be made.
    survey(target, &mut |_| {}).map(drop)?;
    let _lock = WriterLock::take(&*target.storage, &target.names)?;
    let (known, note) = read_known(target)?;
    let survey = survey_known(target, known, note, false, progress)?;
    if survey.known.found().is_none() || !survey.is_whole() {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "the log is damaged, so it cannot be told which dictionaries its records need",
        )
        .path(target.dir())
        .advice(format!("nothing was removed; run: {}", target.command("verify"))));
    }
    settled_manifest(target)?;
    let (newest, _) = newest(&*target.storage, &target.names)?;
    let newest = newest.map(|newest| newest.id());
    let mut pruned = PrunedDictionaries { removed: Vec::new(), kept: 0 };
    for id in &survey.folder.dictionaries {
        if survey.needed.contains_key(id) || Some(*id) == newest {
            pruned.kept += 1;
            continue;
        }
        let path = target.names.dictionary(*id);
        target.storage.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
        pruned.removed.push(path);
    }
    sync_dir(target)?;
    Ok(pruned)
}

/// Copies the dictionaries of a log as they are; their names are synced with the others of the copy.
pub(super) fn put_dictionaries(from: &Target, to: &Target) -> Result<()> {
    for id in ids(&*from.storage, &from.names)? {
        let path = to.names.dictionary(id);
        let mut sink = Sink::create(to, &path)?;
        put_file(&mut sink, from, &from.names.dictionary(id))?;
        sink.finish()?;
    }
    Ok(())
}
