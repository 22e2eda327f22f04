//! Dictionaries of the log: entries that were compressed with one cannot be read without it.
//!
//! An id stands for the same dictionary everywhere and for ever, so an object of that name is the one that is wanted,
//! whoever made it, and none is ever removed.

use std::collections::BTreeSet;

use bytes::Bytes;
use walden::Wal;

use crate::error::Result;
use crate::source::Source;
use crate::store::{Made, Store};

const DICTIONARIES: &str = "dictionaries";
/// A dictionary of 1 MiB, and its head.
const MOST_BYTES: u64 = (1 << 20) + 32;

/// Those that are in the archive for certain.
#[derive(Debug, Default)]
pub(crate) struct Shipped(BTreeSet<u32>);

impl Shipped {
    /// Ships what the log has and the archive has not. To be called between reading records and naming them: what
    /// they were compressed with was there before they were.
    pub(crate) fn ship(&mut self, store: &Store, source: &Source) -> Result<()> {
        for id in source.dictionaries()? {
            if self.0.contains(&id) {
                continue;
            }
            let (own, bytes) = (store.clone(), Bytes::from(source.dictionary(id)?));
            let name = format!("{DICTIONARIES}/{id}.dict");
            let made = store.run(async move { own.put_new(&name, bytes).await })?;
            debug_assert!(matches!(made, Made::Made | Made::WasThere), "either will do");
            self.0.insert(id);
        }
        Ok(())
    }
}

/// Puts those of the archive beside a log, which proves them.
pub(crate) fn restore(store: &Store, wal: &Wal) -> Result<()> {
    let own = store.clone();
    let listed = store.run(async move { own.list(DICTIONARIES, None).await })?;
    for object in listed {
        let (own, name) = (store.clone(), object.name.clone());
        let read = store.run(async move { own.read(&name, MOST_BYTES).await })?;
        let Some(bytes) = read else { continue };
        wal.add_dictionary(&bytes)
            .map_err(|error| crate::Error::from(error).object(&object.name))?;
    }
    Ok(())
}
