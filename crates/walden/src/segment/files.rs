//! What is kept at hand for readers: descriptors, a bounded number of them, however many segments a log has, and the
//! dictionaries that records need.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::Names;
use super::index::{IndexFile, Proof};
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
    /// What is known of it. Apart, so that who only wants to keep that need not wait while the index is read.
    proof: Mutex<Option<Proof>>,
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
                let (storage, known) = (&*self.storage, self.proof.lock().take());
                let index =
                    IndexFile::open(storage, path, log_id, ordinal, segment_len, known.as_ref());
                *self.proof.lock() = index.as_ref().map(IndexFile::proof);
                index.map(Arc::new)
            })
            .clone()
    }

    fn forget_index(&self) {
        *self.index.lock() = None;
        *self.proof.lock() = None;
    }
}

/// By ordinal.
#[derive(Debug, Default)]
struct Kept {
    /// The most recently opened files.
    files: VecDeque<(u64, Arc<Opened>)>,
    /// Of indexes whose files are not open any more.
    proofs: BTreeMap<u64, Proof>,
}

impl Kept {
    fn get(&self, ordinal: u64) -> Option<&Arc<Opened>> {
        self.files.iter().find(|(key, _)| *key == ordinal).map(|(_, opened)| opened)
    }

    /// Gives the file that is not kept any more, for its descriptor to be closed without the lock. Opened again, its index is
    /// not read as a whole again.
    fn keep(&mut self, ordinal: u64, opened: Arc<Opened>) -> Option<Arc<Opened>> {
        let full = self.files.len() >= KEPT;
        let oldest = if full { self.files.pop_front() } else { None };
        self.files.push_back((ordinal, opened));
        let (ordinal, oldest) = oldest?;
        if let Some(proof) = oldest.proof.lock().clone() {
            self.proofs.insert(ordinal, proof);
        }
        Some(oldest)
    }
}

/// The most recently opened files, and what is known of the others' indexes.
#[derive(Debug)]
pub(crate) struct FileCache {
    storage: Arc<dyn Storage>,
    kept: Mutex<Kept>,
    pub(crate) dictionaries: Dictionaries,
}

impl FileCache {
    pub(crate) fn new(storage: Arc<dyn Storage>, names: &Names) -> Self {
        let dictionaries = Dictionaries::new(Arc::clone(&storage), names);
        Self { storage, kept: Mutex::new(Kept::default()), dictionaries }
    }

    /// # Errors
    /// What opening the file gives.
    pub(crate) fn get(&self, ordinal: u64, path: &Path) -> Result<Arc<Opened>> {
        let proof = {
            let kept = self.kept.lock();
            match kept.get(ordinal) {
                Some(opened) => return Ok(Arc::clone(opened)),
                None => kept.proofs.get(&ordinal).cloned(),
            }
        };
        let file = self
            .storage
            .open(path, Access::Read)
            .map_err(|error| Error::io("open the segment", path, error))?;
        let (storage, index) = (Arc::clone(&self.storage), Mutex::new(None));
        let opened = Arc::new(Opened { file, storage, index, proof: Mutex::new(proof) });
        let oldest = self.kept.lock().keep(ordinal, Arc::clone(&opened));
        drop(oldest);
        Ok(opened)
    }

    /// Lets go of a file that was removed.
    pub(crate) fn remove(&self, ordinal: u64) {
        let mut kept = self.kept.lock();
        kept.files.retain(|(key, _)| *key != ordinal);
        kept.proofs.remove(&ordinal);
    }

    /// Looks for the index anew at the next use.
    pub(crate) fn forget_index(&self, ordinal: u64) {
        let mut kept = self.kept.lock();
        kept.proofs.remove(&ordinal);
        if let Some(opened) = kept.get(ordinal) {
            opened.forget_index();
        }
    }
}
