//! The state of a simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use walden::storage::Clock;

use crate::SimClock;
use crate::content::Inode;
use crate::crash::SectorTear;
use crate::names::{Names, Node, ROOT};
use crate::world::{Call, Verdict, World};

/// What is behind a [`SimDisk`](crate::SimDisk)'s lock.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) names: Names,
    pub(crate) inodes: BTreeMap<Node, Arc<Inode>>,
    /// What each file is called, or was at last.
    pub(crate) paths: BTreeMap<Node, Arc<Path>>,
    pub(crate) next: Node,
    /// How many handles each open file has.
    pub(crate) handles: BTreeMap<Node, usize>,
    pub(crate) locks: BTreeSet<Node>,
    pub(crate) capacity: Option<u64>,
    pub(crate) allocates: bool,
    pub(crate) tear: SectorTear,
    /// Whether a failed sync of a folder leaves its names for durable.
    pub(crate) names_stick: bool,
    pub(crate) clock: Option<SimClock>,
    pub(crate) world: World,
}

impl Default for State {
    fn default() -> Self {
        Self {
            names: Names::default(),
            inodes: BTreeMap::new(),
            paths: BTreeMap::new(),
            next: ROOT + 1,
            handles: BTreeMap::new(),
            locks: BTreeSet::new(),
            capacity: None,
            allocates: true,
            tear: SectorTear::default(),
            names_stick: false,
            clock: None,
            world: World::default(),
        }
    }
}

impl State {
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.as_ref().map_or(UNIX_EPOCH, Clock::now)
    }

    /// What becomes of a call. A slow one lets time pass.
    pub(crate) fn meet(&mut self, call: Call) -> Verdict {
        let verdict = self.world.meet(call);
        if let Some(clock) = self.clock.as_ref().filter(|_| !verdict.delay.is_zero()) {
            clock.advance(verdict.delay);
        }
        verdict
    }

    pub(crate) fn inode(&mut self, node: Node) -> io::Result<&mut Arc<Inode>> {
        self.inodes.get_mut(&node).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn new_node(&mut self) -> Node {
        let node = self.next;
        self.next += 1;
        node
    }

    pub(crate) fn new_dir(&mut self) -> Node {
        let node = self.new_node();
        self.names.new_dir(node);
        node
    }

    pub(crate) fn new_file(&mut self, path: &Path) -> Node {
        let node = self.new_node();
        self.inodes.insert(node, Arc::new(Inode::new(self.now())));
        self.paths.insert(node, Arc::from(path));
        node
    }

    pub(crate) fn used(&self) -> u64 {
        let live = |node: &Node| self.handles.contains_key(node) || self.names.is_linked(*node);
        let live = self.inodes.iter().filter(|(node, _)| live(node));
        live.map(|(_, inode)| inode.allocated()).sum()
    }

    /// How long the files are that have a name, together.
    pub(crate) fn stored(&self) -> u64 {
        let named = self.inodes.iter().filter(|(node, _)| self.names.is_linked(**node));
        named.map(|(_, inode)| inode.len()).sum()
    }

    /// Forgets files that no name, handle or crash can lead to.
    pub(crate) fn collect(&mut self) {
        let Self { names, inodes, paths, handles, .. } = self;
        inodes.retain(|node, _| handles.contains_key(node) || names.may_return(*node));
        paths.retain(|node, _| inodes.contains_key(node));
    }

    /// The same disk under another running system.
    pub(crate) fn reborn(&self, names: Names) -> Self {
        Self {
            names,
            next: self.next,
            capacity: self.capacity,
            allocates: self.allocates,
            tear: self.tear,
            names_stick: self.names_stick,
            clock: self.clock.clone(),
            ..Self::default()
        }
    }

    /// Finds what each file is called.
    pub(crate) fn name_all(&mut self) {
        let mut dirs = vec![(ROOT, PathBuf::from("/"))];
        while let Some((dir, path)) = dirs.pop() {
            for (name, node) in self.names.list(dir) {
                let path = path.join(name);
                if self.names.is_dir(node) {
                    dirs.push((node, path));
                } else {
                    self.paths.insert(node, Arc::from(path));
                }
            }
        }
    }
}
