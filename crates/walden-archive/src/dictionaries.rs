//! Dictionaries of the log: entries that were compressed with one cannot be read without it.
//!
//! An id stands for the same dictionary everywhere and for ever, so an object of that name is the one that is wanted,
//! whoever made it, and none is ever removed. That it is sound is proved by who takes it: its own checksum, and the id,
//! which is made of its bytes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use walden::{Dictionary, Wal};

use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;
use crate::store::{Made, Store};

pub(crate) const FOLDER: &str = "dictionaries";
/// A dictionary of 1 MiB, and its head.
const MOST_BYTES: u64 = (1 << 20) + 32;
/// The most that one who reads keeps in memory.
const MOST_KEPT: usize = 16;

/// Those that are in the archive for certain.
#[derive(Debug, Default)]
pub(crate) struct Shipped {
    ids: BTreeSet<u32>,
    /// What the log has beyond what was needed was shipped, too, as far as it is sound.
    all: bool,
}

impl Shipped {
    /// Ships those that records need and the archive has not; the first time, all others that the log has, too: one
    /// that is missing or unsound in the bucket is put back so. To be called between reading records and naming them:
    /// what they were compressed with was there before they were.
    pub(crate) fn ship(
        &mut self,
        store: &Store,
        source: &Source,
        needed: &BTreeSet<u32>,
    ) -> Result<()> {
        for id in needed {
            self.ship_one(store, source, *id)?;
        }
        if self.all {
            return Ok(());
        }
        // One that is unsound in the log, and that nothing needs, is in nobody's way.
        for id in source.dictionaries().unwrap_or_default() {
            self.ship_one(store, source, id)?;
        }
        self.all = true;
        Ok(())
    }

    fn ship_one(&mut self, store: &Store, source: &Source, id: u32) -> Result<()> {
        if self.ids.contains(&id) {
            return Ok(());
        }
        let (own, bytes) = (store.clone(), Bytes::from(source.dictionary(id)?));
        let put = bytes.clone();
        let made = store.run(async move { own.put_new(&name_of(id), put).await })?;
        if made == Made::WasThere && !is_sound(store, id)? {
            // Of an upload that was cut off. Whatever else is of its name has the same bytes.
            let own = store.clone();
            store.run(async move { own.put_again(&name_of(id), bytes).await })?;
        }
        self.ids.insert(id);
        Ok(())
    }
}

/// # Errors
/// `Store`.
fn is_sound(store: &Store, id: u32) -> Result<bool> {
    match fetch(store, id) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
            // One of a newer version is none of ours to replace.
            Ok(error.kind() == ErrorKind::Unsupported)
        }
        Err(error) => Err(error),
    }
}

fn name_of(id: u32) -> String {
    format!("{FOLDER}/{id}.dict")
}

/// What is in the file of one, proved.
///
/// # Errors
/// `Corrupt` where it is missing or not what was shipped; `Unsupported`, `Store`.
pub(crate) fn fetch(store: &Store, id: u32) -> Result<(Bytes, Dictionary)> {
    let own = store.clone();
    let read = store.run(async move { own.read(&name_of(id), MOST_BYTES).await })?;
    let wrong = |what: String| {
        Error::corrupt(what).object(name_of(id)).advice(
            "put it back, from any copy of the log; an archiver of a log that has it does, too",
        )
    };
    let Some(bytes) = read else {
        return Err(wrong("it is missing, and entries are compressed with it".into()));
    };
    match Dictionary::from_bytes(&bytes) {
        Ok(found) if found.id() == id => Ok((bytes, found)),
        Ok(found) => Err(wrong(format!("it holds the dictionary {}", found.id()))),
        Err(error) if error.kind() == walden::ErrorKind::Unsupported => {
            Err(Error::new(ErrorKind::Unsupported, error.to_string()).object(name_of(id)))
        }
        Err(_) => Err(wrong("it is not the dictionary that was shipped".into())),
    }
}

/// Those of an archive, fetched when a record first needs them.
#[derive(Debug, Clone)]
pub(crate) struct Dictionaries {
    store: Store,
    /// The one asked for last stands last.
    kept: Arc<Mutex<VecDeque<Dictionary>>>,
}

impl Dictionaries {
    pub(crate) fn new(store: &Store) -> Self {
        Self { store: store.clone(), kept: Arc::default() }
    }

    /// # Errors
    /// As [`fetch`]. The next call looks again.
    pub(crate) fn get(&self, id: u32) -> Result<Dictionary> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|dictionary| dictionary.id() == id);
        let found = match known.and_then(|at| kept.remove(at)) {
            Some(found) => found,
            None => fetch(&self.store, id)?.1,
        };
        kept.push_back(found.clone());
        if kept.len() > MOST_KEPT {
            kept.pop_front();
        }
        Ok(found)
    }

    /// Puts those beside a log that records which it is to have need, and that it was not given yet.
    pub(crate) fn put_beside(
        &self,
        wal: &Wal,
        needed: BTreeSet<u32>,
        given: &mut BTreeSet<u32>,
    ) -> Result<()> {
        for id in needed {
            if !given.contains(&id) {
                let (bytes, _) = fetch(&self.store, id)?;
                wal.add_dictionary(&bytes)
                    .map_err(|error| Error::from(error).object(name_of(id)))?;
                given.insert(id);
            }
        }
        Ok(())
    }
}
