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

/// How many descriptors are kept open for reading: one or two for each segment.
const DESCRIPTORS: usize = 128;

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
                // What is known stays known where the file cannot be opened.
                *self.proof.lock() = index.as_ref().map(|index| index.proof().clone()).or(known);
                index.map(Arc::new)
            })
            .clone()
    }

    /// What an index of this log says of a segment that is as long: told by `known` where all of it can be computed, without
    /// its file; else by `read`.
    pub(crate) fn ask<T>(
        &self,
        path: &Path,
        (log_id, ordinal): (u128, u64),
        segment_len: u64,
        known: impl Fn(&Proof) -> Option<T>,
        read: impl FnOnce(&IndexFile) -> Option<T>,
    ) -> Option<T> {
        let fits = |proof: &&Proof| proof.is_even() && proof.is_of(log_id, segment_len);
        if let Some(said) = self.proof.lock().as_ref().filter(fits).map(&known) {
            return said;
        }
        let said = read(&*self.index(path, log_id, ordinal, segment_len)?);
        self.done_with_index();
        said
    }

    /// Lets go of the index's file where it is seldom needed.
    pub(crate) fn done_with_index(&self) {
        if self.needs_one() {
            *self.index.lock() = None;
        }
    }

    fn forget_index(&self) {
        *self.index.lock() = None;
        *self.proof.lock() = None;
    }

    /// Whether its index is known so well that its file is seldom needed.
    fn needs_one(&self) -> bool {
        self.proof.lock().as_ref().is_some_and(Proof::is_even)
    }

    fn descriptors(&self) -> usize {
        if self.needs_one() { 1 } else { 2 }
    }
}

/// By ordinal.
#[derive(Debug, Default)]
struct Kept {
    /// The most recently opened files.
    files: BTreeMap<u64, Arc<Opened>>,
    /// The same, oldest first.
    order: VecDeque<u64>,
    /// Of indexes whose files are not open any more.
    proofs: BTreeMap<u64, Proof>,
}

impl Kept {
    /// Gives the files that are not kept any more, for their descriptors to be closed without the lock. Opened again, their
    /// indexes are not read as a whole again.
    fn keep(&mut self, ordinal: u64, opened: Arc<Opened>) -> Vec<Arc<Opened>> {
        let mut gone: Vec<_> = self.take(ordinal).into_iter().collect();
        let mut held: usize = self.files.values().map(|kept| kept.descriptors()).sum();
        while held + opened.descriptors() > DESCRIPTORS
            && let Some(oldest) = self.order.front().copied()
            && let Some(file) = self.take(oldest)
        {
            held = held.saturating_sub(file.descriptors());
            if let Some(proof) = file.proof.lock().clone() {
                self.proofs.insert(oldest, proof);
            }
            gone.push(file);
        }
        self.files.insert(ordinal, opened);
        self.order.push_back(ordinal);
        gone
    }

    fn take(&mut self, ordinal: u64) -> Option<Arc<Opened>> {
        let file = self.files.remove(&ordinal)?;
        self.order.retain(|kept| *kept != ordinal);
        Some(file)
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
            match kept.files.get(&ordinal) {
                Some(opened) => return Ok(Arc::clone(opened)),
                None => kept.proofs.get(&ordinal).cloned(),
            }
        };
        let file = self
            .storage
            .open(path, Access::Read)
            .map_err(|error| Error::io("open the segment", path, error))?;
        let (storage, index) = (Arc::clone(&self.storage), Mutex::new(None));
        // Another process may have replaced the file since, and the index with it.
        let proof = proof.filter(|proof| file.len().is_ok_and(|len| len == proof.segment_len()));
        let opened = Arc::new(Opened { file, storage, index, proof: Mutex::new(proof) });
        let gone = self.kept.lock().keep(ordinal, Arc::clone(&opened));
        drop(gone);
        Ok(opened)
    }

    /// Lets go of a file that was removed.
    pub(crate) fn remove(&self, ordinal: u64) {
        let mut kept = self.kept.lock();
        kept.proofs.remove(&ordinal);
        let gone = kept.take(ordinal);
        drop(kept);
        drop(gone);
    }

    /// Looks for the index anew at the next use.
    pub(crate) fn forget_index(&self, ordinal: u64) {
        let mut kept = self.kept.lock();
        kept.proofs.remove(&ordinal);
        if let Some(opened) = kept.files.get(&ordinal) {
            opened.forget_index();
        }
    }
}
