//! The keeper: manifest and folder, changed together, in the order that survives a crash at any step.
//!
//! There is one, behind the maintenance lock: sealing, cuts, retention, metadata and closing each hold it
//! from first step to last, and each generation is derived from the last synced one.

use crate::cursors::Cursors;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, ManifestFile};
use crate::segment::{Names, Segment};
use crate::storage::{Clock, File, Storage};
use crate::sync::Arc;

/// The one who changes the manifest.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) names: Names,
    pub(crate) file: Arc<ManifestFile>,
    /// The last synced generation.
    pub(crate) manifest: Manifest,
    /// They stand in the manifest's epochs, and follow them.
    pub(crate) cursors: Arc<Cursors>,
    /// Segments that are no more in the log, and whose files could not be removed yet.
    pub(crate) unremoved: Vec<Arc<Segment>>,
}

/// A segment that is to be sealed, or kept by a cut.
#[derive(Debug, Clone)]
pub(crate) struct Complete {
    pub(crate) ordinal: u64,
    pub(crate) path: std::path::PathBuf,
    pub(crate) file: Arc<dyn File>,
    /// Bytes that hold records.
    pub(crate) end: u64,
    pub(crate) next_seq: u64,
}

impl Keeper {
    /// Makes `next` the manifest, as the following generation.
    ///
    /// # Errors
    /// `TooLarge` with nothing changed; else the log has failed.
    pub(crate) fn commit(&mut self, mut next: Manifest) -> Result<()> {
        next.generation = self.manifest.generation + 1;
        self.cursors.before_change(&self.manifest.epochs, &next.epochs)?;
        self.file.write(&next)?;
        let before = std::mem::replace(&mut self.manifest, next);
        self.cursors.after_change(&before.epochs, &self.manifest.epochs);
        Ok(())
    }

    /// Makes the names in the log's folder durable.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) fn sync_dir(&self) -> Result<()> {
        let dir = self.names.dir();
        self.storage.sync_dir(dir).map_err(|error| Error::io("sync the folder", dir, error))
    }

    /// A random id for a new epoch.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub(crate) fn random_id(&self) -> Result<u128> {
        self.clock
            .random_id()
            .map_err(|error| Error::io("get a random id", self.names.dir(), error))
    }

    /// Seals the oldest open segment; `successor` is the ordinal that follows it. The order is that of
    /// the design: contents, length, contents again, the successor's name, the manifest.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) fn seal(&mut self, segment: &Complete, successor: u64) -> Result<()> {
        let io = |doing: &str, error| Error::io(doing, &segment.path, error);
        segment.file.sync_data().map_err(|error| io("sync the segment", error))?;
        let len = segment.file.len().map_err(|error| io("tell the length", error))?;
        if len != segment.end {
            segment.file.set_len(segment.end).map_err(|error| io("cut free space", error))?;
        }
        segment.file.sync_all().map_err(|error| io("sync the segment", error))?;
        self.sync_dir()?;
        let mut next = self.manifest.clone();
        next.open_from = segment.ordinal + 1;
        next.open_seq = segment.next_seq;
        next.sealed_count += 1;
        next.name_active(successor);
        self.commit(next)
    }

    /// Names the segment with this ordinal as the active one: before a record in it counts as durable.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) fn name_active(&mut self, ordinal: u64) -> Result<()> {
        if ordinal <= self.manifest.active {
            return Ok(());
        }
        self.sync_dir()?;
        let mut next = self.manifest.clone();
        next.name_active(ordinal);
        self.commit(next)
    }

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn remove_if_there(&self, path: &std::path::Path) -> Result<bool> {
        match self.storage.remove(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", path, error)),
        }
    }
}

impl Manifest {
    /// Takes note of the active segment's ordinal, whose name is synced.
    pub(crate) fn name_active(&mut self, ordinal: u64) {
        self.active = self.active.max(ordinal);
        self.next_ordinal = self.next_ordinal.max(ordinal + 1);
    }
}
