//! All cursors of an open log: where each stands in memory, and how far that is on disk.
//!
//! Two locks. `file` is held through writing and syncing; `live` for a moment, and may be taken under `file`. Both
//! come behind the maintenance lock.

use std::path::PathBuf;

use super::file::{self, Writer};
use super::slot::{MAX_CURSORS, NOTHING_BEFORE, Pair, Slot, State};
use crate::error::{Error, ErrorKind, Result, shell_word};
use crate::manifest::Epoch;
use crate::num;
use crate::segment::Names;
use crate::storage::{Access, Storage};
use crate::sync::{Arc, Mutex};

/// How many merges of epochs are remembered, for a commit that looked at the log before one and is done after it.
const ALIASES: usize = 64;

/// Where a cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stand {
    /// The seq id that comes next.
    pub(crate) position: u64,
    /// The epoch of the entry before it.
    pub(crate) epoch: u128,
    /// Retention went past it.
    pub(crate) expired: bool,
}

/// A cursor of an open log.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) stand: Stand,
    /// What is on disk for certain.
    pub(crate) saved: Stand,
    /// The watermarks' era when its owner took it, or moved it.
    pub(crate) era: u64,
    pub(crate) owned: bool,
    dirty: bool,
    /// Removing it failed: it may be gone on disk, until it is written again.
    half_removed: bool,
}

#[derive(Debug, Default)]
struct Live {
    /// By the number of their pair.
    known: Vec<Option<Known>>,
    /// Pairs of which nothing can be known, and why.
    unreadable: Vec<(usize, String)>,
    /// Cursors that could not be made whole: by their number and name, they may be on disk all the same.
    half_made: Vec<(usize, String)>,
    /// Epochs that are no more, and in which their entries are now.
    merged: Vec<(u128, u128)>,
}

/// The cursors of a log.
#[derive(Debug)]
pub(crate) struct Cursors {
    storage: Arc<dyn Storage>,
    names: Names,
    log_id: u128,
    file: Mutex<Writer>,
    live: Mutex<Live>,
    /// Why the file could not be read at all.
    broken: Option<Error>,
}

/// From which seq id on retention must leave entries for a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    index: usize,
    pub(crate) from: u64,
}

impl Hold {
    /// Whether the same cursor held back what is before `first` when these were looked at.
    pub(crate) fn is_among(&self, holds: &[Self], first: u64) -> bool {
        holds.iter().any(|hold| hold.index == self.index && hold.from < first)
    }
}

impl Stand {
    /// The first seq id whose entry is not the one that was there when the position was taken, if that lies before
    /// the position.
    ///
    /// An epoch's id stands for one unforked run of entries and for all that came before it. So a position is good
    /// up to where its epoch ends in the log's list.
    pub(crate) fn parted(&self, epochs: &[Epoch]) -> Option<u64> {
        let first = epochs.first().map_or(1, |epoch| epoch.first_seq);
        if self.epoch == NOTHING_BEFORE {
            return (first < self.position).then_some(first);
        }
        let Some(at) = epochs.iter().position(|epoch| epoch.id == self.epoch) else {
            return Some(first);
        };
        let end = epochs.get(at + 1).map(|next| next.first_seq);
        end.filter(|end| *end < self.position)
    }
}

impl Cursors {
    /// Reads the cursors of a log that is being opened for writing. What cannot be read is no error: it holds
    /// retention back, and is told.
    ///
    /// # Errors
    /// What the disk gives at writing.
    pub(crate) fn load(storage: Arc<dyn Storage>, names: &Names, log_id: u128) -> Result<Self> {
        let path = names.cursors();
        let (mut live, mut writer, mut broken) = (Live::default(), Writer::default(), None);
        match file::find(&*storage, names, log_id, Access::ReadWrite) {
            Ok(None) => {}
            Ok(Some(found)) => {
                live.fill(&found.pairs);
                writer = Writer::take(found, &path)?;
            }
            Err(error) => broken = Some(error),
        }
        let (file, live) = (Mutex::new(writer), Mutex::new(live));
        Ok(Self { storage, names: names.clone(), log_id, file, live, broken })
    }

    fn path(&self) -> PathBuf {
        self.names.cursors()
    }

    /// Why cursors that there may be are not known.
    pub(crate) fn unreadable(&self) -> Option<Error> {
        if let Some(broken) = &self.broken {
            return Some(broken.clone().advice(
                "retention removes nothing meanwhile; if no cursor is needed any more, remove the file",
            ));
        }
        let dir = shell_word(self.names.dir());
        let why = self.live.lock().unreadable.first().map(|(_, why)| why.clone())?;
        Some(Error::corrupt(why).path(&self.path()).advice(format!(
            "retention removes nothing meanwhile; to give the cursor up: walden cursor remove {dir} --unreadable"
        )))
    }

    /// How many there are, and how many of them cannot be read.
    pub(crate) fn count(&self) -> (u64, u64) {
        let live = self.live.lock();
        let unreadable = live.unreadable.len() + usize::from(self.broken.is_some());
        let known = live.known.iter().flatten().count();
        (num::size(known + unreadable), num::size(unreadable))
    }

    /// All of which something is known.
    pub(crate) fn list(&self) -> Vec<Known> {
        self.live.lock().known.iter().flatten().cloned().collect()
    }

    /// Gives the cursor with this name to an owner: its number; `None` where there is none.
    ///
    /// # Errors
    /// `Locked` where it has one; `Corrupt` where the file could not be read.
    pub(crate) fn own(&self, name: &str, era: u64) -> Result<Option<usize>> {
        if self.broken.is_some() {
            return Err(self.unreadable().unwrap_or_else(Error::closed));
        }
        let mut live = self.live.lock();
        let Some(index) = live.find(name) else { return Ok(None) };
        let Some(known) = live.get(index) else { return Ok(None) };
        if known.owned {
            return Err(owned(name));
        }
        known.owned = true;
        known.era = era;
        Ok(Some(index))
    }

    /// Makes a cursor, owned, and durable when this returns. The maintenance lock is held.
    ///
    /// # Errors
    /// `Corrupt` while there are cursors that cannot be read: it may be one of them; `TooLarge`, `OutOfSpace`; else
    /// the log has failed.
    pub(crate) fn make(&self, name: &str, stand: Stand, era: u64) -> Result<usize> {
        if let Some(error) = self.unreadable() {
            return Err(error);
        }
        let mut file = self.file.lock();
        let index = {
            let mut live = self.live.lock();
            let free = live.known.iter().position(Option::is_none).unwrap_or(live.known.len());
            // In its own place, lest there be two of the name.
            let free = live.half_made(name).unwrap_or(free);
            if free >= MAX_CURSORS {
                let what = format!("a log has at most {MAX_CURSORS} cursors");
                return Err(Error::new(ErrorKind::TooLarge, what).advice("remove one"));
            }
            // From here on it holds retention back.
            let known = Known {
                name: name.to_owned(),
                stand,
                saved: stand,
                era,
                owned: true,
                dirty: false,
                half_removed: false,
            };
            live.set(free, Some(known));
            free
        };
        let slot = self.slot(name, stand, State::InUse);
        let made = file
            .make_room(&*self.storage, &self.names, index)
            .and_then(|()| file.put_both(&self.path(), index, &slot));
        let mut live = self.live.lock();
        if let Err(error) = made {
            live.set(index, None);
            // Beside those that were half made there before: any of them may be what is on disk.
            live.half_made.retain(|(half, other)| *half != index || other != name);
            live.half_made.push((index, name.to_owned()));
            return Err(error);
        }
        live.half_made.retain(|(half, _)| *half != index);
        Ok(index)
    }

    fn slot(&self, name: &str, stand: Stand, state: State) -> Slot {
        Slot {
            log_id: self.log_id,
            counter: 0,
            state,
            epoch: stand.epoch,
            position: stand.position,
            name: name.to_owned(),
        }
    }

    /// Removes a cursor, durably.
    ///
    /// # Errors
    /// What the disk gives: then it is still there.
    pub(crate) fn remove(&self, index: usize) -> Result<()> {
        let mut file = self.file.lock();
        let Some(known) = self.get(index) else { return Ok(()) };
        let slot = self.slot("", known.stand, State::Free);
        let removed = file.put_both(&self.path(), index, &slot);
        let mut live = self.live.lock();
        match &removed {
            Ok(()) => live.set(index, None),
            Err(_) => {
                if let Some(known) = live.get(index) {
                    (known.dirty, known.half_removed) = (true, true);
                }
            }
        }
        removed
    }

    /// Sees to it that a cursor whose removal failed is there for who takes it again.
    ///
    /// # Errors
    /// What the disk gives: then it is nobody's, and may be gone after a crash.
    pub(crate) fn keep_half_removed(&self, index: usize) -> Result<()> {
        let half_removed = self.live.lock().get(index).is_some_and(|known| known.half_removed);
        let kept = if half_removed { self.persist() } else { Ok(()) };
        kept.inspect_err(|_| self.release(index))
    }

    /// Sees to it that a cursor of this name that could not be made whole is not found later.
    ///
    /// # Errors
    /// What the disk gives: then it may be.
    pub(crate) fn remove_half_made(&self, name: &str) -> Result<()> {
        let mut file = self.file.lock();
        let Some(index) = self.live.lock().half_made(name) else { return Ok(()) };
        file.clear(&self.path(), index, self.log_id)?;
        self.live.lock().half_made.retain(|(half, _)| *half != index);
        Ok(())
    }

    /// Gives up what cannot be read, durably. Returns how many that were.
    ///
    /// # Errors
    /// Where the file could not be read at all; what the disk gives.
    pub(crate) fn remove_unreadable(&self) -> Result<u64> {
        if self.broken.is_some() {
            return Err(self.unreadable().unwrap_or_else(Error::closed));
        }
        let mut file = self.file.lock();
        let mut gone = 0;
        loop {
            let Some((index, _)) = self.live.lock().unreadable.first().cloned() else {
                return Ok(gone);
            };
            file.clear(&self.path(), index, self.log_id)?;
            let mut live = self.live.lock();
            live.unreadable.retain(|(other, _)| *other != index);
            live.set(index, None);
            gone += 1;
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Known> {
        self.live.lock().known.get(index).cloned().flatten()
    }

    /// Lets go of a cursor.
    pub(crate) fn release(&self, index: usize) {
        if let Some(known) = self.live.lock().get(index) {
            known.owned = false;
        }
    }

    /// Moves a cursor forwards; where it is further already, nothing happens. Tells whether there is something to be
    /// written that was not before.
    ///
    /// # Errors
    /// `Expired`.
    pub(crate) fn advance(&self, index: usize, position: u64, epoch: u128) -> Result<bool> {
        let mut live = self.live.lock();
        let epoch = live.epoch_now(epoch);
        let was_dirty = live.is_dirty();
        let Some(known) = live.get(index) else { return Err(Error::closed()) };
        if known.stand.expired {
            return Err(expired(known));
        }
        if position <= known.stand.position {
            return Ok(false);
        }
        known.stand = Stand { position, epoch, expired: false };
        known.dirty = true;
        Ok(!was_dirty)
    }

    /// Moves a cursor anywhere. The maintenance lock is held, so that retention doesn't go past it meanwhile.
    pub(crate) fn seek(&self, index: usize, stand: Stand, era: u64) -> bool {
        let mut live = self.live.lock();
        let was_dirty = live.is_dirty();
        if let Some(known) = live.get(index) {
            known.stand = stand;
            known.era = era;
            known.dirty = true;
        }
        !was_dirty
    }

    /// Whether a position is not on disk yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.live.lock().is_dirty()
    }

    /// Makes every position that was committed before the call durable.
    ///
    /// # Errors
    /// `OutOfSpace` where the filesystem needs some to write in place: to be tried again; else the log has failed.
    pub(crate) fn persist(&self) -> Result<()> {
        // First of all: who is at it may have taken a position that is not on disk yet.
        let mut file = self.file.lock();
        let due: Vec<(usize, Known)> = self.live.lock().take_dirty();
        if due.is_empty() {
            return Ok(());
        }
        let mut slots: Vec<(usize, Slot)> = due
            .iter()
            .map(|(index, known)| {
                let state = if known.stand.expired { State::Expired } else { State::InUse };
                (*index, self.slot(&known.name, known.stand, state))
            })
            .collect();
        let put = file.put(&self.path(), &mut slots);
        let mut live = self.live.lock();
        for (index, written) in due {
            if let Some(known) = live.get(index) {
                match &put {
                    Ok(()) => (known.saved, known.half_removed) = (written.stand, false),
                    Err(_) => known.dirty = true,
                }
            }
        }
        put
    }

    /// From where on retention must leave entries, for each cursor that has not expired: from what is on disk, or
    /// from before, where a cursor was moved back. One that stands in a history that is no more needs what came in
    /// its place.
    pub(crate) fn holds(&self, epochs: &[Epoch]) -> Vec<Hold> {
        let live = self.live.lock();
        let held = |known: &Known| {
            if known.stand.expired {
                return None;
            }
            let from = if known.saved.expired {
                known.stand.position
            } else {
                known.stand.position.min(known.saved.position)
            };
            let parted = [known.stand, known.saved].map(|stand| stand.parted(epochs));
            Some(parted.into_iter().flatten().fold(from, u64::min))
        };
        let known = live.known.iter().enumerate();
        known
            .filter_map(|(index, known)| Some(Hold { index, from: held(known.as_ref()?)? }))
            .collect()
    }

    /// Declares the cursors expired that need what is before `first`, durably: of those that were seen to hold it back,
    /// the ones that still do. Returns how many those are.
    ///
    /// # Errors
    /// What the disk gives.
    pub(crate) fn expire(&self, holds: &[Hold], first: u64, epochs: &[Epoch]) -> Result<u64> {
        let needs = |stand: &Stand| {
            stand.parted(epochs).map_or(stand.position, |at| at.min(stand.position)) < first
        };
        let mut count = 0;
        {
            let mut live = self.live.lock();
            for hold in holds.iter().filter(|hold| hold.from < first) {
                if let Some(known) = live.get(hold.index)
                    && !known.stand.expired
                    && needs(&known.stand)
                {
                    known.stand.expired = true;
                    known.dirty = true;
                    count += 1;
                }
            }
        }
        self.persist().map(|()| count)
    }

    /// Before epochs go: the cursors that name them and stay good are moved to others, durably. Those are in the list
    /// as it is now, too, so the cursors are good whichever list a crash leaves.
    ///
    /// The oldest are merged or dropped: the one that stays comes behind. The newest are cut, and a cursor from before
    /// the cut names one of them: it was moved there, and a crash kept the list from following.
    ///
    /// # Errors
    /// What the disk gives.
    pub(crate) fn before_change(&self, old: &[Epoch], new: &[Epoch]) -> Result<()> {
        let Some(stays) = new.first().map(|epoch| epoch.id) else { return Ok(()) };
        let mut gone: Vec<u128> =
            old.iter().map(|epoch| epoch.id).take_while(|id| *id != stays).collect();
        if gone.len() == old.len() {
            gone.clear();
        }
        let there = |id: u128| new.iter().any(|epoch| epoch.id == id);
        let moved_to = |stand: &Stand| {
            // One that stands in another history already must not become good by this.
            if there(stand.epoch) || stand.parted(old).is_some() {
                return None;
            }
            if gone.contains(&stand.epoch) {
                return Some(stays);
            }
            let holder = old.iter().rev().find(|epoch| epoch.first_seq < stand.position);
            holder.map(|epoch| epoch.id).filter(|id| there(*id))
        };
        let mut write = !gone.is_empty();
        {
            let mut live = self.live.lock();
            for known in live.known.iter_mut().flatten() {
                // Also where what was committed since names another one: it is not on disk.
                write |= moved_to(&known.saved).is_some();
                if let Some(epoch) = moved_to(&known.stand) {
                    known.stand.epoch = epoch;
                    known.dirty = true;
                }
            }
            // An id that comes back stands for itself again.
            live.merged.retain(|(id, _)| !there(*id));
            live.merged.extend(gone.into_iter().map(|id| (id, stays)));
            let old = live.merged.len().saturating_sub(ALIASES);
            live.merged.drain(..old);
        }
        if write { self.persist() } else { Ok(()) }
    }

    /// After a cut: a cursor whose epoch is no more stands in the one before it, so that it is known where the
    /// histories part. To be written with the next commit; without, all of the log counts as new to it.
    pub(crate) fn after_change(&self, old: &[Epoch], new: &[Epoch]) {
        let there = |id: u128| new.iter().any(|epoch| epoch.id == id);
        let mut live = self.live.lock();
        for known in live.known.iter_mut().flatten() {
            let at = old.iter().position(|epoch| epoch.id == known.stand.epoch);
            let Some(at) = at.filter(|_| !there(known.stand.epoch)) else { continue };
            let before = old.get(..at).unwrap_or_default();
            if let Some(epoch) = before.iter().rev().find(|epoch| there(epoch.id)) {
                known.stand.epoch = epoch.id;
                known.dirty = true;
            }
        }
    }
}

impl Live {
    fn fill(&mut self, pairs: &[Pair]) {
        for (index, pair) in pairs.iter().enumerate() {
            match pair {
                Pair::Free(_) => self.set(index, None),
                Pair::Cursor { slot, .. } if self.find(&slot.name).is_some() => {
                    self.set(index, None);
                    let what = format!("two cursors have the name {:?}", slot.name);
                    self.unreadable.push((index, what));
                }
                Pair::Cursor { slot, .. } => {
                    let stand = Stand {
                        position: slot.position,
                        epoch: slot.epoch,
                        expired: slot.state == State::Expired,
                    };
                    let (name, era) = (slot.name.clone(), 0);
                    let (owned, dirty, half_removed) = (false, false, false);
                    let saved = stand;
                    let known = Known { name, stand, saved, era, owned, dirty, half_removed };
                    self.set(index, Some(known));
                }
                Pair::Unreadable(why) => {
                    self.set(index, None);
                    self.unreadable.push((index, why.clone()));
                }
            }
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.known.iter().position(|known| known.as_ref().is_some_and(|known| known.name == name))
    }

    /// The number under which a cursor of this name was half made, unless another one has it now.
    fn half_made(&self, name: &str) -> Option<usize> {
        let free = |index: usize| self.known.get(index).is_none_or(Option::is_none);
        let mut half = self.half_made.iter().filter(|(index, _)| free(*index));
        half.find(|(_, half)| half == name).map(|(index, _)| *index)
    }

    fn get(&mut self, index: usize) -> Option<&mut Known> {
        self.known.get_mut(index)?.as_mut()
    }

    fn set(&mut self, index: usize, known: Option<Known>) {
        if self.known.len() <= index {
            self.known.resize(index + 1, None);
        }
        if let Some(place) = self.known.get_mut(index) {
            *place = known;
        }
    }

    fn is_dirty(&self) -> bool {
        self.known.iter().flatten().any(|known| known.dirty)
    }

    fn take_dirty(&mut self) -> Vec<(usize, Known)> {
        let mut due = Vec::new();
        for (index, known) in self.known.iter_mut().enumerate() {
            if let Some(known) = known
                && std::mem::take(&mut known.dirty)
            {
                due.push((index, known.clone()));
            }
        }
        due
    }

    /// The id under which an epoch's entries are in the log's list by now.
    fn epoch_now(&self, epoch: u128) -> u128 {
        let later =
            |epoch, (gone, stays): &(u128, u128)| if epoch == *gone { *stays } else { epoch };
        self.merged.iter().fold(epoch, later)
    }
}

fn owned(name: &str) -> Error {
    Error::new(ErrorKind::Locked, format!("the cursor {name:?} has an owner already"))
        .advice("it is free once that one is dropped")
}

pub(super) fn expired(known: &Known) -> Error {
    let what = format!(
        "the cursor {:?} has expired: it held back more than its cap, and retention went past it",
        known.name
    );
    Error::new(ErrorKind::Expired, what)
        .seq_at(known.stand.position)
        .advice("seek to go on where the log begins now")
}

#[cfg(test)]
mod tests;
