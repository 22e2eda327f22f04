//! The manifest's file: which generation wins, and how the next one is written.

use std::path::PathBuf;

use super::Manifest;
use super::codec::{self, BLOCK_LEN, Block};
use super::mark::{MARK_LEN, Mark};
use crate::error::{Error, ErrorKind, Result};
use crate::num;
use crate::segment::Names;
use crate::storage::{Access, File, Latch, Storage, read_full, write_full};
use crate::sync::{Arc, AtomicU64, Mutex, OnceLock, Ordering};

const BLOCK: u64 = 4096;
/// Two copies of two generations and two mark slots.
pub(crate) const FILE_LEN: u64 = 6 * BLOCK;
const _: () = assert!(BLOCK_LEN == 4096 && MARK_LEN <= BLOCK_LEN);
/// What stands in the manifest's place while a log is written elsewhere: without it, the segments that are there already
/// would pass as a whole, shorter log. Another version finds no sound copy in it, and refuses the log as well.
const UNFINISHED: &[u8] = b"WALDNPRT\nThis log is unfinished: it was not yet written to its end.\n";
const UNFINISHED_MAGIC: usize = 8;

/// What lies in a manifest's file.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The highest generation with a valid copy.
    pub(crate) manifest: Manifest,
    /// The slots that hold a whole mark, believed or not.
    pub(crate) marks: [Option<Mark>; 2],
}

impl Found {
    /// The latest mark of this log's current epoch.
    pub(crate) fn believed(&self) -> Option<Mark> {
        let ours = |mark: &Mark| {
            mark.log_id == self.manifest.log_id && mark.epoch == self.manifest.epoch()
        };
        self.marks.iter().flatten().copied().filter(ours).max_by_key(|mark| mark.counter)
    }

    /// A sound mark of this log that was written under a generation above the winner's: the manifest
    /// is older than its log.
    pub(crate) fn rolled_back(&self) -> Option<Mark> {
        self.marks.iter().flatten().copied().find(|mark| {
            mark.log_id == self.manifest.log_id && mark.generation > self.manifest.generation
        })
    }

    fn slot_of_latest(&self) -> usize {
        let counter = |slot: &Option<Mark>| slot.map_or(0, |mark| mark.counter);
        let [first, second] = &self.marks;
        usize::from(counter(second) > counter(first))
    }

    fn highest_counter(&self) -> u64 {
        self.marks.iter().flatten().map(|mark| mark.counter).max().unwrap_or(0)
    }
}

/// Reads a manifest without changing anything. `None` if there is no such file.
///
/// # Errors
/// `Corrupt` where no copy is sound, `Unsupported` where a newer version wrote it or the log is unfinished, `Io`.
pub(crate) fn find(storage: &dyn Storage, names: &Names) -> Result<Option<Found>> {
    let path = names.manifest();
    let file = match storage.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open the manifest", &path, error)),
    };
    read(&*file, &path).map(Some)
}

pub(crate) fn read(file: &dyn File, path: &std::path::Path) -> Result<Found> {
    let mut bytes = vec![0; num::index(FILE_LEN)];
    let got = read_full(file, &mut bytes, 0)
        .map_err(|error| Error::io("read the manifest", path, error))?;
    bytes.truncate(got);
    if UNFINISHED.get(..UNFINISHED_MAGIC) == bytes.get(..UNFINISHED_MAGIC) {
        return Err(unfinished(path));
    }
    let mut best: Option<Manifest> = None;
    let mut newer = None;
    let mut blocks = bytes.chunks(BLOCK_LEN);
    for (parity, block) in [0, 1, 0, 1].into_iter().zip(blocks.by_ref()) {
        match codec::decode(block) {
            Block::Sound(manifest) if manifest.generation % 2 == parity => {
                if best.as_ref().is_none_or(|best| best.generation < manifest.generation) {
                    best = Some(*manifest);
                }
            }
            Block::Newer(version) => newer = Some(version),
            Block::Sound(_) | Block::Unsound => {}
        }
    }
    if let Some(version) = newer {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the manifest has version {version}, this is for {}", codec::VERSION),
        )
        .path(path)
        .advice("use a newer walden"));
    }
    let slot = |bytes: Option<&[u8]>| bytes.and_then(|b| b.get(..MARK_LEN)).and_then(Mark::decode);
    let marks = [slot(blocks.next()), slot(blocks.next())];
    let manifest = best.ok_or_else(|| {
        let dir = path.parent().unwrap_or(std::path::Path::new("."));
        Error::corrupt("no copy of the manifest is sound").path(path).advice(format!(
            "nothing was changed; to see how to rebuild it from the segments, run: walden repair {}",
            crate::error::shell_word(dir)
        ))
    })?;
    Ok(Found { manifest, marks })
}

/// The error for what a copy left that was ended, or is still being made.
fn unfinished(path: &std::path::Path) -> Error {
    let dir = path.parent().unwrap_or(std::path::Path::new("."));
    Error::new(
        ErrorKind::Unsupported,
        "the log is unfinished: it was being written by a copy or a salvage that has not come to its end",
    )
    .path(path)
    .advice(format!(
        "unless that is still at work, remove the folder and begin anew: rm -r {}",
        crate::error::shell_word(dir)
    ))
}

/// The writer's hold on the manifest. Updates happen under the maintenance lock; marks may be written
/// at any time.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    file: Arc<dyn File>,
    path: PathBuf,
    /// The last generation that was synced. Under loom: `loom_a_generation_that_counts_is_synced`; under shuttle:
    /// `appends::rotation`.
    synced: AtomicU64,
    marks: Mutex<Slots>,
    /// The log's, once it runs.
    latch: OnceLock<Arc<Latch>>,
}

/// Which mark slot may be written: the other one must be whole on disk.
#[derive(Debug)]
struct Slots {
    /// The slot that holds the latest mark.
    slot: usize,
    /// Whether that slot was synced, so that the other may be taken.
    fresh: bool,
    syncing: bool,
    /// A mark that came while a sync was under way.
    pending: Option<Mark>,
    counter: u64,
    /// Whether the latest mark is not synced yet.
    lagging: bool,
}

impl ManifestFile {
    /// Opens an existing manifest for writing.
    ///
    /// # Errors
    /// As [`find`]; `NotFound` if it went meanwhile.
    pub(crate) fn open(storage: &dyn Storage, names: &Names) -> Result<(Self, Found)> {
        let path = names.manifest();
        let file = storage
            .open(&path, Access::ReadWrite)
            .map_err(|error| Error::io("open the manifest for writing", &path, error))?;
        let found = read(&*file, &path)?;
        let slots = Slots {
            slot: found.slot_of_latest(),
            // What lies in the slots may be in the cache only: wait for the first sync.
            fresh: false,
            syncing: false,
            pending: None,
            counter: found.highest_counter(),
            lagging: false,
        };
        let synced = AtomicU64::new(found.manifest.generation);
        let (marks, latch) = (Mutex::new(slots), OnceLock::new());
        Ok((Self { file, path, synced, marks, latch }, found))
    }

    /// From here on, a generation that is there in part is a failure of the log.
    pub(crate) fn latch_by(&self, latch: &Arc<Latch>) {
        drop(self.latch.set(Arc::clone(latch)));
    }

    /// Makes the manifest of a log that has none, or is unfinished: written beside, synced, renamed, the folder synced.
    ///
    /// # Errors
    /// `Io`, `OutOfSpace`.
    pub(crate) fn create(storage: &dyn Storage, names: &Names, manifest: &Manifest) -> Result<()> {
        let mut bytes = vec![0; num::index(FILE_LEN)];
        let block = codec::encode(manifest);
        for copy in copies(manifest.generation) {
            let at = num::index(copy);
            if let Some(place) = bytes.get_mut(at..at + BLOCK_LEN) {
                place.copy_from_slice(&block);
            }
        }
        create_with(storage, names, &bytes)
    }

    /// Notes in an empty folder that its log is unfinished, before any of it is there.
    ///
    /// # Errors
    /// `Io`, `OutOfSpace`.
    pub(crate) fn begin_unfinished(storage: &dyn Storage, names: &Names) -> Result<()> {
        create_with(storage, names, UNFINISHED)
    }

    /// Writes `manifest` into both copies of its generation and syncs.
    ///
    /// # Errors
    /// `TooLarge` with nothing changed; else what the disk gives, and the log has failed.
    pub(crate) fn write(&self, manifest: &Manifest) -> Result<()> {
        manifest.check_limits()?;
        let block = codec::encode(manifest);
        for copy in copies(manifest.generation) {
            self.put_copy(&block, copy)?;
        }
        self.sync()?;
        self.synced.store(manifest.generation, Ordering::Release);
        Ok(())
    }

    /// Writes the winner again, before anything is done by it: it may be in the cache only. One copy after the other: a power
    /// cut may spoil what is being written, and what was acknowledged is in no other generation.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_again(&self, winner: &Manifest) -> Result<()> {
        winner.check_limits()?;
        let block = codec::encode(winner);
        for copy in copies(winner.generation) {
            self.put_copy(&block, copy)?;
            self.sync()?;
        }
        Ok(())
    }

    fn put_copy(&self, block: &[u8], at: u64) -> Result<()> {
        // One copy is enough for opening, and where only a few bytes changed, a part of one: what opening
        // would find is not what the log goes by then, be it only for want of room, on a filesystem that
        // needs some to write in place.
        write_full(&*self.file, block, at).map_err(|error| {
            let error = Error::io("write the manifest", &self.path, error);
            self.latch.get().map_or(error.clone(), |latch| latch.fail(&error))
        })
    }

    /// The last generation that is on disk for certain.
    pub(crate) fn synced_generation(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Notes how far the log is durable. Not synced here: true where all marks before it are, so that somebody has to
    /// see to it.
    ///
    /// # Errors
    /// What the disk gives.
    pub(crate) fn mark(&self, mut mark: Mark) -> Result<bool> {
        let mut slots = self.marks.lock();
        slots.counter += 1;
        mark.counter = slots.counter;
        let begins_to_lag = !std::mem::replace(&mut slots.lagging, true);
        if slots.syncing {
            // The sync under way may or may not catch it: the slot must stay as it is.
            slots.pending = Some(mark);
        } else {
            self.put(&mut slots, &mark)?;
        }
        Ok(begins_to_lag)
    }

    fn put(&self, slots: &mut Slots, mark: &Mark) -> Result<()> {
        if slots.fresh {
            slots.slot ^= 1;
            slots.fresh = false;
        }
        let at = 4 * BLOCK + num::size(slots.slot) * BLOCK;
        write_full(&*self.file, &mark.encode(), at)
            .map_err(|error| Error::io("write a mark", &self.path, error))
    }

    /// Syncs copies and marks. Callers hold the maintenance lock.
    ///
    /// # Errors
    /// What the disk gives.
    pub(crate) fn sync(&self) -> Result<()> {
        self.marks.lock().syncing = true;
        let result = self.file.sync_data();
        let mut slots = self.marks.lock();
        slots.syncing = false;
        let pending = slots.pending.take();
        result.map_err(|error| Error::io("sync the manifest", &self.path, error))?;
        slots.fresh = true;
        slots.lagging = pending.is_some();
        match pending.map_or(Ok(()), |mark| self.put(&mut slots, &mark)) {
            // What was to be synced is: it must not be taken for undone. The mark before stands.
            Err(error) if error.is_out_of_space() => Ok(()),
            put => put,
        }
    }

    /// Whether a mark was noted that is not synced.
    pub(crate) fn mark_lags(&self) -> bool {
        self.marks.lock().lagging
    }
}

fn create_with(storage: &dyn Storage, names: &Names, bytes: &[u8]) -> Result<()> {
    let (new, path) = (names.manifest_new(), names.manifest());
    match storage.remove(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove an unfinished manifest", &new, error));
        }
        _ => {}
    }
    let file =
        storage.create(&new).map_err(|error| Error::io("create the manifest", &new, error))?;
    write_full(&*file, bytes, 0)
        .and_then(|()| file.sync_all())
        .map_err(|error| Error::io("write the manifest", &new, error))?;
    storage.rename(&new, &path).map_err(|error| Error::io("rename the manifest", &path, error))?;
    storage.sync_dir(names.dir()).map_err(|error| Error::io("sync the folder", names.dir(), error))
}

/// Where the two copies of a generation lie.
fn copies(generation: u64) -> [u64; 2] {
    let parity = generation % 2;
    [parity * BLOCK, (parity + 2) * BLOCK]
}

#[cfg(all(test, walden_model = "loom"))]
mod loom_tests;
#[cfg(test)]
mod tests;
