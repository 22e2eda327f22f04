//! The dictionaries of a log: a file each, beside the segments, named by what is in it.
//!
//! A dictionary is written under another name, synced, renamed, and its name synced, before any record is written
//! with it; from then on its file never changes. It is needed as long as a record names it, and removed only by
//! who has looked at all of them ([`prune_dictionaries`](crate::offline::prune_dictionaries)). A file holds its
//! dictionary's id, which is made of the dictionary's bytes: so one from another log is of use here if a record of
//! here names it, and never stands for another.

pub(crate) mod alone;
mod train;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::train::learn;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::num;
use crate::record::{
    Codec, DICTIONARY_HEAD, DICTIONARY_VERSION, Dictionary, Header, MOST_DICTIONARY, NoDictionary,
    dictionary_of,
};
use crate::segment::{Name, Names};
use crate::storage::{Access, File, Storage, read_full, write_full};
use crate::sync::{Arc, Mutex};
use crate::watermark::refuse_in_callback;

/// The most dictionaries that a log has.
const MOST: usize = 256;

/// The most that are kept in memory for reading.
const MOST_KEPT: usize = 16;

/// A dictionary of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DictionaryInfo {
    /// Its id, which records name and its file's name has.
    pub id: u32,
    /// The one with the highest number is what is compressed with.
    pub number: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Its file.
    pub path: PathBuf,
}

impl DictionaryInfo {
    pub(crate) fn new(names: &Names, dictionary: &Dictionary) -> Self {
        Self {
            id: dictionary.id(),
            number: dictionary.number(),
            bytes: num::size(dictionary.bytes().len()),
            path: names.dictionary(dictionary.id()),
        }
    }
}

/// Those of one log, read when a record first needs them.
#[derive(Debug)]
pub(crate) struct Dictionaries {
    storage: Arc<dyn Storage>,
    names: Names,
    /// The one asked for last stands last.
    kept: Mutex<Vec<Arc<Dictionary>>>,
    /// Those that are on disk for certain, in this opening.
    settled: Mutex<BTreeSet<u32>>,
}

impl Dictionaries {
    pub(crate) fn new(storage: Arc<dyn Storage>, names: &Names) -> Self {
        Self {
            storage,
            names: names.clone(),
            kept: Mutex::new(Vec::new()),
            settled: Mutex::default(),
        }
    }

    /// The one that is needed to tell what a record holds, if any.
    ///
    /// # Errors
    /// As [`get`](Self::get). Where the codec is not compiled in, nothing is looked for.
    pub(crate) fn of(&self, header: &Header, stored: &[u8]) -> Result<Option<Arc<Dictionary>>> {
        let id = dictionary_of(header, stored).filter(|_| Codec::Zstd.is_compiled_in());
        id.map(|id| self.get(id)).transpose()
    }

    /// # Errors
    /// `MissingDictionary`, `Corrupt`, `Unsupported` or `Io`, with its file. The next call looks again.
    pub(crate) fn get(&self, id: u32) -> Result<Arc<Dictionary>> {
        {
            let mut kept = self.kept.lock();
            if let Some(at) = kept.iter().position(|dictionary| dictionary.id() == id) {
                let found = kept.remove(at);
                kept.push(Arc::clone(&found));
                return Ok(found);
            }
        }
        let read = Arc::new(load(&*self.storage, &self.names, id)?);
        let mut kept = self.kept.lock();
        if kept.len() >= MOST_KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&read));
        Ok(read)
    }

    /// Makes sure that one is there, sound and on disk, before a record that needs it is stored.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Io` where it cannot be synced.
    pub(crate) fn settle(&self, id: u32) -> Result<()> {
        self.get(id)?;
        if !self.settled.lock().contains(&id) {
            settle(&*self.storage, &self.names, id)?;
            self.settled.lock().insert(id);
        }
        Ok(())
    }
}

/// Reads and proves one.
///
/// # Errors
/// `MissingDictionary`, `Corrupt`, `Unsupported`, `Io`.
pub(crate) fn load(storage: &dyn Storage, names: &Names, id: u32) -> Result<Dictionary> {
    let path = names.dictionary(id);
    let file = match storage.open(&path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(&path)),
        other => other.map_err(|error| Error::io("open the dictionary", &path, error))?,
    };
    let found = parse(&*file, &path)?;
    if found.id() != id {
        let what =
            format!("the file holds the dictionary {}, not the one it is named after", found.id());
        return Err(unsound(&path, what));
    }
    Ok(found)
}

/// One that somebody gives.
///
/// # Errors
/// `Corrupt`, `Unsupported`.
pub(crate) fn given(file: &[u8]) -> Result<Dictionary> {
    Dictionary::parse(file).map_err(|why| match why {
        NoDictionary::Unsound => Error::corrupt("what was given is not the file of a dictionary"),
        NoDictionary::Newer(version) => newer(version),
    })
}

fn newer(version: u32) -> Error {
    let what = format!("the dictionary has version {version}, this is for {DICTIONARY_VERSION}");
    Error::new(ErrorKind::Unsupported, what).advice("use a newer walden")
}

fn parse(file: &dyn File, path: &Path) -> Result<Dictionary> {
    let io = |error| Error::io("read the dictionary", path, error);
    let len = num::index(file.len().map_err(io)?);
    if len > DICTIONARY_HEAD + MOST_DICTIONARY {
        return Err(unsound(path, "the dictionary is longer than any is"));
    }
    let mut bytes = vec![0; len];
    let got = read_full(file, &mut bytes, 0).map_err(io)?;
    bytes.truncate(got);
    Dictionary::parse(&bytes).map_err(|why| match why {
        NoDictionary::Unsound => unsound(path, "the dictionary is not what was written"),
        NoDictionary::Newer(version) => newer(version).path(path),
    })
}

fn missing(path: &Path) -> Error {
    Error::new(
        ErrorKind::MissingDictionary,
        "the dictionary that the record is compressed with is missing",
    )
    .path(path)
    .advice(PUT_BACK)
}

fn unsound(path: &Path, what: impl Into<String>) -> Error {
    Error::corrupt(what).path(path).advice(PUT_BACK)
}

const PUT_BACK: &str = "put the file back from a backup or any copy of this log; entries that need it can be \
                        read then, and all others now";

impl Log {
    /// Puts a dictionary beside the log, while nothing else changes the folder.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`; what `keep` gives.
    pub(crate) fn keep_dictionary(
        &self,
        keep: impl FnOnce(&dyn Storage, &Names) -> Result<DictionaryInfo>,
    ) -> Result<DictionaryInfo> {
        refuse_in_callback()?;
        let keeper = self.keeper();
        self.check()?;
        let kept = keep(&*self.storage, &self.names)?;
        drop(keeper);
        self.encoders.look_again();
        Ok(kept)
    }
}

/// The ids that files are named after.
///
/// # Errors
/// `Io`.
pub(crate) fn ids(storage: &dyn Storage, names: &Names) -> Result<Vec<u32>> {
    let dir = names.dir();
    let entries = storage.list(dir).map_err(|error| Error::io("list the folder", dir, error))?;
    let id = |name: &std::ffi::OsStr| match names.parse(name) {
        Some(Name::Dictionary(id)) => Some(id),
        _ => None,
    };
    let mut ids: Vec<u32> = entries.iter().filter_map(|entry| id(&entry.name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// All of them, by id.
///
/// # Errors
/// The first that is wrong with one.
pub(crate) fn list(storage: &dyn Storage, names: &Names) -> Result<Vec<DictionaryInfo>> {
    let all = ids(storage, names)?.into_iter();
    all.map(|id| Ok(DictionaryInfo::new(names, &load(storage, names, id)?))).collect()
}

/// The sound one with the highest number, and what is wrong with the first that is not sound.
///
/// # Errors
/// `Io`.
pub(crate) fn newest(
    storage: &dyn Storage,
    names: &Names,
) -> Result<(Option<Dictionary>, Option<Error>)> {
    let (mut newest, mut wrong) = (None::<Dictionary>, None);
    // More than there can be are somebody's joke.
    for id in ids(storage, names)?.into_iter().take(MOST) {
        match load(storage, names, id) {
            Ok(found) => {
                let rank = |it: &Dictionary| (it.number(), it.id());
                if newest.as_ref().is_none_or(|newest| rank(newest) < rank(&found)) {
                    newest = Some(found);
                }
            }
            Err(error) => _ = wrong.get_or_insert(error),
        }
    }
    Ok((newest, wrong))
}

/// Makes sure that one which was found is on disk, contents and name, before a record is written with it: who put it
/// there may not have.
///
/// # Errors
/// `Io`.
pub(crate) fn settle(storage: &dyn Storage, names: &Names, id: u32) -> Result<()> {
    let path = names.dictionary(id);
    // For writing, so that a failure is as final as that of any other sync; but one may be there for reading only.
    let file = storage.open(&path, Access::ReadWrite).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            storage.open(&path, Access::Read)
        }
        _ => Err(error),
    });
    file.and_then(|file| file.sync_all())
        .map_err(|error| Error::io("sync the dictionary", &path, error))?;
    sync_dir(storage, names)
}

/// Puts one beside the log, durable when this returns. One that is there is taken as it is.
///
/// # Errors
/// `TooLarge` where there are too many; `Corrupt` where its file is there and unsound; `OutOfSpace`, `Io`.
pub(crate) fn store(storage: &dyn Storage, names: &Names, made: &Dictionary) -> Result<()> {
    let (path, new) = (names.dictionary(made.id()), names.dictionary_new());
    let there = ids(storage, names)?;
    if there.contains(&made.id()) {
        load(storage, names, made.id())?;
        return settle(storage, names, made.id());
    }
    if there.len() >= MOST {
        let what = format!("the log has {MOST} dictionaries, and no more are kept");
        return Err(Error::new(ErrorKind::TooLarge, what)
            .path(names.dir())
            .advice("`walden dictionary prune` removes those that no record needs"));
    }
    remove_if_there(storage, &new)?;
    let io = |doing: &str, error| Error::io(doing, &new, error);
    let file = storage.create(&new).map_err(|error| io("create", error))?;
    let written = write_full(&*file, &made.encode(), 0).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // What is there of it is of no use, and may be in the way on a full disk.
        drop(storage.remove(&new));
        return Err(io("write the dictionary", error));
    }
    storage.rename(&new, &path).map_err(|error| io("rename the dictionary", error))?;
    sync_dir(storage, names)
}

fn remove_if_there(storage: &dyn Storage, path: &Path) -> Result<()> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn sync_dir(storage: &dyn Storage, names: &Names) -> Result<()> {
    let dir = names.dir();
    storage.sync_dir(dir).map_err(|error| Error::io("sync the folder", dir, error))
}
