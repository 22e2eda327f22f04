//! The simulated disk: its state, and what a test does to it from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::content::Inode;
use crate::crash::{Chooser, CrashPlan, SectorTear};
use crate::names::ROOT;
use crate::num::index;
use crate::state::State;
use crate::sync::Mutex;
use crate::world::{Call, Watch, World};
use crate::{Fault, SimClock};

/// A simulated disk with a filesystem on it; the [crate's docs](crate) say what it models.
///
/// Clones are handles of the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SimDisk");
        if let Ok(state) = self.0.try_lock() {
            out.field("mutations", &state.world.mutations).field("stopped", &state.world.stopped);
        }
        out.finish_non_exhaustive()
    }
}

/// Making disks out of disks.
impl SimDisk {
    /// An empty disk, with the folder `/`. Relative paths begin there too. Files are of the year 1970.
    #[must_use]
    pub fn new() -> Self {
        Self::from_state(State::default())
    }

    /// An empty disk whose files have their times from `clock`.
    #[must_use]
    pub fn with_clock(clock: SimClock) -> Self {
        let disk = Self::new();
        disk.state().clock = Some(clock);
        disk
    }

    /// The disk as found when power is back: of all that was not durable, what `chooser` says.
    ///
    /// The new disk has nothing unsynced, no locks, no faults and no counts; this one stays as it is.
    #[must_use]
    pub fn crash(&self, chooser: &mut dyn Chooser) -> Self {
        let state = self.state();
        let mut choices = Vec::new();
        let mut noted = |n: usize| {
            let choice = chooser.choose(n);
            choices.push(choice);
            choice
        };
        let names = state.names.crash(&mut noted);
        let mut inodes = BTreeMap::new();
        for node in names.nodes() {
            if let Some(inode) = state.inodes.get(&node) {
                let image = if inode.is_clean() {
                    Arc::clone(inode)
                } else {
                    Arc::new(inode.crash(&mut noted, state.tear))
                };
                inodes.insert(node, image);
            }
        }
        let mutations = state.world.mutations;
        let mut image = State { inodes, ..state.reborn(names) };
        image.world = World::begun(format!("power cut after {mutations}, choices {choices:?}"));
        image.name_all();
        Self::from_state(image)
    }

    /// The disk as the next process finds it after `kill -9`: all that was written is there, what was
    /// not synced still is not, failed syncs still are. No locks, no faults, no counts.
    #[must_use]
    pub fn kill(&self) -> Self {
        let image = self.killed();
        image.state().collect();
        image
    }

    /// As [`kill`](Self::kill), with files that only a handle led to.
    pub(crate) fn killed(&self) -> Self {
        let state = self.state();
        let mut image = State { inodes: state.inodes.clone(), ..state.reborn(state.names.clone()) };
        image.world = World::begun(format!("killed after {}", state.world.mutations));
        image.paths = state.paths.clone();
        Self::from_state(image)
    }

    /// A copy of its own of the disk as it is: cache, faults, counts and log too. Open files and locks
    /// stay with this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut copy = self.state().clone();
        copy.handles.clear();
        copy.locks.clear();
        copy.world.watch = None;
        copy.collect();
        Self::from_state(copy)
    }
}

/// Faults and counts.
impl SimDisk {
    /// Adds a rule. The first rule added whose turn it is decides; all count.
    pub fn add_fault(&self, rule: Fault) {
        self.state().world.faults.push(rule);
    }

    /// Removes all rules, and what [`stop_after`](Self::stop_after) asked for. What stopped stays so.
    pub fn clear_faults(&self) {
        let world = &mut self.state().world;
        world.faults.clear();
        world.stop_at = None;
    }

    /// Removes all rules; the world still stops where it was told to.
    pub(crate) fn clear_rules(&self) {
        self.state().world.faults.clear();
    }

    /// The rules, in words.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.state().world.faults.iter().map(Fault::to_string).collect()
    }

    /// Stops the world at the nth mutating call from now, counted from 1: that one does not happen, it
    /// and every later call of any kind fails. With 0, at once.
    pub fn stop_after(&self, n: u64) {
        self.stop_after_torn(n, 0);
    }

    /// As [`stop_after`](Self::stop_after), but if that call is a write, its first `bytes` happen.
    pub fn stop_after_torn(&self, n: u64, bytes: usize) {
        let world = &mut self.state().world;
        world.stopped |= n == 0;
        world.stop_at = Some((world.mutations.saturating_add(n), bytes));
    }

    /// Whether the world has stopped.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.state().world.stopped
    }

    /// How many mutating calls there were, with those that failed; syncs are such.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.state().world.mutations
    }

    /// How many bytes were read from files.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.state().world.read
    }

    /// How many calls met a rule that acted.
    #[must_use]
    pub fn faults_met(&self) -> u64 {
        self.state().world.met
    }

    /// How many calls failed by a rule.
    pub(crate) fn failed(&self) -> u64 {
        self.state().world.failed
    }

    /// How many of those a log may not survive.
    pub(crate) fn fatal(&self) -> u64 {
        self.state().world.fatal
    }

    /// Whether a rule may still act.
    pub(crate) fn may_fail(&self) -> bool {
        self.state().world.faults.iter().any(|rule| !rule.is_spent())
    }

    /// The mutating calls, and those that met a fault, in words: `12: write /log/a.wal 4096+512`. At
    /// most the last 65,536.
    #[must_use]
    pub fn op_log(&self) -> Vec<String> {
        self.state().world.words()
    }

    /// Has each call looked at as it is made, with the disk locked: `watch` must not call it.
    pub(crate) fn watch(&self, watch: impl Fn(&Call) -> Option<String> + Send + Sync + 'static) {
        self.state().world.watch = Some(Watch(Arc::new(watch)));
    }

    /// The first thing that a watch said.
    pub(crate) fn seen(&self) -> Option<String> {
        self.state().world.seen.clone()
    }

    /// The last lines of the log.
    pub(crate) fn last_ops(&self, count: usize) -> Vec<String> {
        self.state().world.last_words(count)
    }

    /// Adds a line of the test's own to the log.
    pub fn note(&self, note: impl Into<String>) {
        self.state().world.note(note.into());
    }
}

/// What kind of disk it is.
impl SimDisk {
    /// How many bytes of files it holds, counted in blocks of 4 KiB; `None`, as at first, for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of blocks in use, by files with a name or a handle.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// How long all files are together.
    #[must_use]
    pub fn bytes_stored(&self) -> u64 {
        self.state().stored()
    }

    /// Whether the filesystem can reserve space; true at first.
    pub fn set_allocate_supported(&self, supported: bool) {
        self.state().allocates = supported;
    }

    /// What a power cut does to a sector that was not synced.
    pub fn set_sector_tear(&self, tear: SectorTear) {
        self.state().tear = tear;
    }

    /// Whether a failed sync of a folder leaves the names that it was for as a failed sync of a file leaves
    /// bytes: taken for durable, so that later syncs pass them over, until they are changed again. False at
    /// first, since journaling filesystems shut themselves down rather than go on so.
    pub fn set_names_stick(&self, stick: bool) {
        self.state().names_stick = stick;
    }

    /// Whether anything is not durable: contents, lengths or names.
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        let state = self.state();
        !state.names.is_clean() || state.inodes.values().any(|inode| !inode.is_clean())
    }

    /// Makes all durable, even what a failed sync left.
    pub fn settle(&self) {
        let mut state = self.state();
        state.names.settle();
        for inode in state.inodes.values_mut().filter(|inode| !inode.is_clean()) {
            Arc::make_mut(inode).settle();
        }
        state.collect();
    }

    /// The kernel drops what it holds for clean: sectors whose sync failed are read from the disk
    /// again, and show what `chooser` says is there.
    pub fn evict(&self, chooser: &mut dyn Chooser) {
        for inode in self.state().inodes.values_mut().filter(|inode| !inode.is_clean()) {
            Arc::make_mut(inode).evict(chooser);
        }
    }
}

/// Editing by hand: past faults, counts and capacity, and durable at once.
impl SimDisk {
    /// The paths of all files, in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.state();
        let mut found = Vec::new();
        let mut dirs = vec![(ROOT, PathBuf::from("/"))];
        while let Some((dir, path)) = dirs.pop() {
            for (name, node) in state.names.list(dir) {
                let path = path.join(name);
                if state.names.is_dir(node) { dirs.push((node, path)) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    /// A file's bytes, as a read would see them.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let node = state.names.resolve_file(path.as_ref())?;
        let inode = state.inode(node)?;
        let mut bytes = vec![0; index(inode.len())];
        inode.read(&mut bytes, 0);
        Ok(bytes)
    }

    /// Makes a file with these bytes, or gives the one there these bytes; folders are made as needed.
    ///
    /// # Errors
    /// Where the path leads through a file or to a folder.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = path.as_ref();
        let mut state = self.state();
        let parents: Vec<&Path> = path.ancestors().skip(1).collect();
        for dir in parents.into_iter().rev() {
            match state.names.resolve_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let key = state.names.key(dir)?;
                    let node = state.new_dir();
                    state.names.force(&key, Some(node));
                }
                other => drop(other?),
            }
        }
        let key = state.names.key(path)?;
        let inode = Inode::durable(bytes, state.now());
        let node = match state.names.get(&key) {
            Some(_) => state.names.resolve_file(path)?,
            None => state.new_node(),
        };
        state.names.force(&key, Some(node));
        state.inodes.insert(node, Arc::new(inode));
        state.paths.insert(node, Arc::from(path));
        Ok(())
    }

    /// Turns one bit of a file over, in the cache and in everything that may be on the disk.
    ///
    /// # Errors
    /// Where there is no such file, or no such bit in it.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) -> io::Result<()> {
        let mut state = self.state();
        let node = state.names.resolve_file(path.as_ref())?;
        let flipped = Arc::make_mut(state.inode(node)?).flip(bit);
        if flipped { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.state();
        state.names.resolve_file(path.as_ref())?;
        let key = state.names.key(path.as_ref())?;
        state.names.force(&key, None);
        state.collect();
        Ok(())
    }

    /// The disk after a power cut that lost all that was not synced.
    #[must_use]
    pub fn crash_losing_all(&self) -> Self {
        self.crash(&mut CrashPlan::oldest())
    }
}

impl SimDisk {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn from_state(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }
}
