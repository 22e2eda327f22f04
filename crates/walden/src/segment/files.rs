//! What is kept at hand for readers: descriptors, a bounded number of them, however many segments a log has, and the
//! dictionaries that records need.

use std::collections::VecDeque;
use std::path::Path;

use super::Names;
use super::index::IndexFile;
use crate::dictionaries::Dictionaries;
use crate::error::{Error, Result};
use crate::storage::{Access, File, Storage};
use crate::sync::{Arc, Mutex};

/// How many segments' files are kept open for reading.
const KEPT: usize = 64;

/// A segment's file opened for reading, and its index if there is a sound one.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn File>,
    storage: Arc<dyn Storage>,
    /// `None`: not looked for yet.
    index: Mutex<Option<Option<Arc<IndexFile>>>>,
}

impl Opened {
    /// The segment's index file, looked for once.
    pub(crate) fn index(
        &self,
        path: &Path,
        log_id: u128,
        ordinal: u64,
        segment_len: u64,
    ) -> Option<Arc<IndexFile>> {
        let mut index = self.index.lock();
        index
            .get_or_insert_with(|| {
                IndexFile::open(&*self.storage, path, log_id, ordinal, segment_len).map(Arc::new)
            })
            .clone()
    }
}

/// The most recently opened files, by ordinal.
#[derive(Debug)]
pub(crate) struct FileCache {
    storage: Arc<dyn Storage>,
    kept: Mutex<VecDeque<(u64, Arc<Opened>)>>,
    pub(crate) dictionaries: Dictionaries,
}

impl FileCache {
    pub(crate) fn new(storage: Arc<dyn Storage>, names: &Names) -> Self {
        let dictionaries = Dictionaries::new(Arc::clone(&storage), names);
        Self { storage, kept: Mutex::new(VecDeque::new()), dictionaries }
    }

    /// # Errors
    /// What opening the file gives.
    pub(crate) fn get(&self, ordinal: u64, path: &Path) -> Result<Arc<Opened>> {
        if let Some((_, opened)) = self.kept.lock().iter().find(|(key, _)| *key == ordinal) {
            return Ok(Arc::clone(opened));
        }
        let file = self
            .storage
            .open(path, Access::Read)
            .map_err(|error| Error::io("open the segment", path, error))?;
        let opened =
            Arc::new(Opened { file, storage: Arc::clone(&self.storage), index: Mutex::new(None) });
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((ordinal, Arc::clone(&opened)));
        Ok(opened)
    }

    /// Lets go of a file that was removed.
    pub(crate) fn remove(&self, ordinal: u64) {
        self.kept.lock().retain(|(key, _)| *key != ordinal);
    }

    /// Looks for the index anew at the next use.
    pub(crate) fn forget_index(&self, ordinal: u64) {
        if let Some((_, opened)) = self.kept.lock().iter().find(|(key, _)| *key == ordinal) {
            *opened.index.lock() = None;
        }
    }
}
