//! The cursors' file: two slots for each cursor, written in place, so that a commit needs no room and no new name.

use std::path::Path;

use super::slot::{BLOCK, Bytes, MAX_CURSORS, PAIR_LEN, Pair, SLOT_LEN, Slot, State};
use crate::error::{Error, Result};
use crate::num;
use crate::segment::Names;
use crate::storage::{Access, File, Storage, read_full, write_full};
use crate::sync::Arc;

/// What lies in a cursors' file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: Arc<dyn File>,
    pub(crate) pairs: Vec<Pair>,
}

/// Reads the cursors of the log with this id. `None` where no cursor was ever made.
///
/// # Errors
/// `Corrupt` where the file is longer than it ever gets; `Io`. What is wrong with one cursor is no error.
pub(crate) fn find(
    storage: &dyn Storage,
    names: &Names,
    log_id: u128,
    access: Access,
) -> Result<Option<Found>> {
    let path = names.cursors();
    let file = match storage.open(&path, access) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open the cursors", &path, error)),
    };
    let len = length(&*file, &path)?;
    let count = num::index(len.div_ceil(PAIR_LEN));
    if count > MAX_CURSORS {
        return Err(Error::corrupt(format!(
            "the cursors' file has {len} bytes, and never gets that long"
        ))
        .path(&path));
    }
    let pairs = (0..count).map(|index| read_pair(&*file, log_id, index)).collect();
    Ok(Some(Found { file, pairs }))
}

fn length(file: &dyn File, path: &Path) -> Result<u64> {
    file.len().map_err(|error| Error::io("tell the length", path, error))
}

/// What a pair holds. That it cannot be read keeps others from nothing.
fn read_pair(file: &dyn File, log_id: u128, index: usize) -> Pair {
    let slot = |at| {
        let mut bytes = [0; SLOT_LEN];
        read_full(file, &mut bytes, place(index, at)).map(|_| Bytes::of(&bytes))
    };
    match (slot(0), slot(1)) {
        (Ok(first), Ok(second)) => Pair::of(log_id, [first, second]),
        (Err(error), _) | (_, Err(error)) => {
            Pair::Unreadable(format!("a cursor cannot be read: {error}"))
        }
    }
}

/// Where a slot lies.
fn place(index: usize, slot: usize) -> u64 {
    num::size(index) * PAIR_LEN + num::size(slot) * BLOCK
}

/// The writer's hold on the file. Nothing is written that is not synced in the same call, so that of each pair the
/// slot that counts is on disk before the other one is touched.
#[derive(Debug, Default)]
pub(super) struct Writer {
    file: Option<Arc<dyn File>>,
    pairs: Vec<Held>,
}

/// Of a pair: which slot counts, and its counter.
#[derive(Debug, Clone, Copy)]
struct Held {
    at: usize,
    counter: u64,
}

/// The first slot is written first: torn beside one that was never written, it is that of a cursor nobody was told of.
const UNUSED: Held = Held { at: 1, counter: 0 };

impl Writer {
    /// Takes the file over. What counts in it may be in the kernel's cache only: it is written again and synced
    /// before anything rests on it.
    ///
    /// # Errors
    /// What the disk gives.
    pub(super) fn take(found: Found, path: &Path) -> Result<Self> {
        let mut again = false;
        let mut pairs = Vec::with_capacity(found.pairs.len());
        for (index, pair) in found.pairs.iter().enumerate() {
            let (Pair::Cursor { slot, at } | Pair::Free(Some((slot, at)))) = pair else {
                pairs.push(UNUSED);
                continue;
            };
            write(&*found.file, path, index, *at, slot)?;
            pairs.push(Held { at: *at, counter: slot.counter });
            again = true;
        }
        if again {
            sync(&*found.file, path)?;
        }
        Ok(Self { file: Some(found.file), pairs })
    }

    /// Writes slots into those of their pairs that do not count, and syncs; then they count.
    ///
    /// # Errors
    /// What the disk gives: then those count that did before.
    pub(super) fn put(&mut self, path: &Path, slots: &mut [(usize, Slot)]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        for (index, slot) in slots.iter_mut() {
            let Some(held) = self.pairs.get(*index) else { continue };
            slot.counter = held.counter + 1;
            write(&**file, path, *index, 1 - held.at, slot)?;
        }
        sync(&**file, path)?;
        for (index, slot) in slots.iter() {
            if let Some(held) = self.pairs.get_mut(*index) {
                *held = Held { at: 1 - held.at, counter: slot.counter };
            }
        }
        Ok(())
    }

    /// Writes a slot into both places of its pair, one after the other: from here on it takes two that are unsound to
    /// lose it. On a filesystem that needs room to write in place there may be none for the second.
    ///
    /// # Errors
    /// What the disk gives: then it doesn't count, or the log has failed.
    pub(super) fn put_both(&mut self, path: &Path, index: usize, slot: &Slot) -> Result<()> {
        let mut slots = [(index, slot.clone())];
        self.put(path, &mut slots)?;
        match self.put(path, &mut slots) {
            // It counts already.
            Err(error) if error.is_out_of_space() => Ok(()),
            other => other,
        }
    }

    /// Gives up what cannot be read in a pair.
    ///
    /// # Errors
    /// What the disk gives.
    pub(super) fn clear(&mut self, path: &Path, index: usize, log_id: u128) -> Result<()> {
        let slot = Slot {
            log_id,
            counter: 0,
            state: State::Free,
            epoch: 0,
            position: 0,
            name: String::new(),
        };
        self.put_both(path, index, &slot)
    }

    /// Has room for a cursor in a pair: its space is reserved from here on.
    ///
    /// # Errors
    /// `OutOfSpace` with nothing changed; `Io`.
    pub(super) fn make_room(
        &mut self,
        storage: &dyn Storage,
        names: &Names,
        index: usize,
    ) -> Result<()> {
        // Also where the pair is in the file already: a try that found no room for all of it may have left it.
        let path = names.cursors();
        let made = self.file.is_none();
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => create(storage, &path)?,
        };
        let reserved = reserve(&*file, num::size(index) * PAIR_LEN)
            .and_then(|()| file.sync_all())
            .map_err(|error| Error::io("make room for a cursor", &path, error));
        if let Err(error) = reserved {
            if made {
                // An empty one does no harm, and would be found at the next opening.
                drop(storage.remove(&path));
            }
            return Err(error);
        }
        // Also where it was found: by a crash, its name may not be on disk.
        let dir = names.dir();
        storage.sync_dir(dir).map_err(|error| Error::io("sync the folder", dir, error))?;
        self.file = Some(file);
        let pairs = self.pairs.len().max(index + 1);
        self.pairs.resize(pairs, UNUSED);
        Ok(())
    }
}

/// Makes the file, or takes what an earlier try has left.
fn create(storage: &dyn Storage, path: &Path) -> Result<Arc<dyn File>> {
    let made = match storage.create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            storage.open(path, Access::ReadWrite)
        }
        other => other,
    };
    made.map_err(|error| Error::io("make the cursors' file", path, error))
}

/// Reserves the space of a pair that is free. What lies there stays: torn, it would be a pair that cannot be read.
fn reserve(file: &dyn File, offset: u64) -> std::io::Result<()> {
    match file.allocate(offset, PAIR_LEN) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            let missing = (offset + PAIR_LEN).saturating_sub(file.len()?);
            write_full(file, &vec![0; num::index(missing.min(PAIR_LEN))], offset.max(file.len()?))
        }
        other => other,
    }
}

fn write(file: &dyn File, path: &Path, index: usize, at: usize, slot: &Slot) -> Result<()> {
    write_full(file, &slot.encode(), place(index, at))
        .map_err(|error| Error::io("write a cursor", path, error))
}

fn sync(file: &dyn File, path: &Path) -> Result<()> {
    file.sync_data().map_err(|error| Error::io("sync the cursors", path, error))
}
