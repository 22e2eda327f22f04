//! Names and folders: what callers see, what is durable, and what may still come between.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::crash::Chooser;

/// A folder or file, whatever it is called.
pub(crate) type Node = u64;
/// A name in a folder.
pub(crate) type Key = (Node, Arc<OsStr>);
type Table = BTreeMap<Key, Node>;

pub(crate) const ROOT: Node = 0;

/// With more pending changes, or more outcomes, a crash decides on each change by itself.
const MAX_PENDING: usize = 16;
const MAX_OUTCOMES: usize = 512;

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    /// It stands for this from now on, which loses any other name.
    Is(Node),
    /// It is gone, whatever it stood for.
    Gone,
    /// This is called otherwise from now on; if the name stands for another one, that stays.
    Left(Node),
}

/// One change of names, which happens whole or not at all.
#[derive(Debug, Clone)]
struct Change {
    edits: Vec<(Key, Edit)>,
    /// The folders whose sync it waits for.
    waits: BTreeSet<Node>,
    /// A sync failed since: taken for durable, so that later syncs pass it over.
    stuck: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Names {
    cached: Table,
    durable: Table,
    pending: Vec<Change>,
    dirs: BTreeSet<Node>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            cached: Table::new(),
            durable: Table::new(),
            pending: Vec::new(),
            dirs: BTreeSet::from([ROOT]),
        }
    }
}

impl Names {
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Node> {
        let mut node = ROOT;
        for name in parts(path) {
            if !self.dirs.contains(&node) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            node = self.get(&(node, Arc::from(name))).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub(crate) fn resolve_dir(&self, path: &Path) -> io::Result<Node> {
        let node = self.resolve(path)?;
        if self.dirs.contains(&node) { Ok(node) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    pub(crate) fn resolve_file(&self, path: &Path) -> io::Result<Node> {
        let node = self.resolve(path)?;
        if self.dirs.contains(&node) { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(node) }
    }

    /// The folder, which must be there, and the name in it, which need not.
    pub(crate) fn key(&self, path: &Path) -> io::Result<Key> {
        let mut names = parts(path);
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.resolve_dir(&names.iter().collect::<PathBuf>())?, Arc::from(name)))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Node> {
        self.cached.get(key).copied()
    }

    pub(crate) fn is_dir(&self, node: Node) -> bool {
        self.dirs.contains(&node)
    }

    pub(crate) fn list(&self, dir: Node) -> impl Iterator<Item = (&OsStr, Node)> {
        let inside = self.cached.iter().filter(move |((parent, _), _)| *parent == dir);
        inside.map(|((_, name), &node)| (&**name, node))
    }

    pub(crate) fn new_dir(&mut self, node: Node) {
        self.dirs.insert(node);
    }

    pub(crate) fn link(&mut self, key: Key, node: Node) {
        self.change(vec![(key, Edit::Is(node))]);
    }

    pub(crate) fn unlink(&mut self, key: Key) {
        self.change(vec![(key, Edit::Gone)]);
    }

    pub(crate) fn rename(&mut self, from: Key, to: Key, node: Node) {
        self.change(vec![(from, Edit::Left(node)), (to, Edit::Is(node))]);
    }

    /// Sets a name for good, whatever is pending for it.
    pub(crate) fn force(&mut self, key: &Key, node: Option<Node>) {
        self.forget(key);
        let edit = node.map_or(Edit::Gone, Edit::Is);
        for table in [&mut self.cached, &mut self.durable] {
            apply(table, &[(key.clone(), edit)]);
        }
    }

    pub(crate) fn sync_dir(&mut self, dir: Node) {
        for mut change in std::mem::take(&mut self.pending) {
            if change.stuck {
                self.pending.push(change);
                continue;
            }
            change.waits.remove(&dir);
            if change.waits.is_empty() {
                // What still waits for another folder is older, so it must not come after.
                for (key, _) in &change.edits {
                    self.forget(key);
                }
                apply(&mut self.durable, &change.edits);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// A sync of a folder that fails and is not made good by a later one.
    pub(crate) fn fail_sync(&mut self, dir: Node) {
        for change in self.pending.iter_mut().filter(|change| change.waits.contains(&dir)) {
            change.stuck = true;
        }
    }

    pub(crate) fn settle(&mut self) {
        self.pending.clear();
        self.durable = self.cached.clone();
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether a name leads to it now.
    pub(crate) fn is_linked(&self, node: Node) -> bool {
        self.cached.values().any(|&linked| linked == node)
    }

    /// Whether a name leads to it, now or after some crash.
    pub(crate) fn may_return(&self, node: Node) -> bool {
        let pending = || self.pending.iter().flat_map(|change| &change.edits);
        self.is_linked(node)
            || self.durable.values().any(|&linked| linked == node)
            || pending().any(|(_, edit)| *edit == Edit::Is(node))
    }

    /// The names as the disk has them after a power cut.
    pub(crate) fn crash(&self, chooser: &mut dyn Chooser) -> Self {
        let table = match self.outcomes() {
            Some(mut outcomes) => {
                let n = outcomes.len();
                let chosen = if n > 1 { chooser.choose(n).min(n - 1) } else { 0 };
                outcomes.swap_remove(chosen)
            }
            None => {
                let mut table = self.durable.clone();
                for change in &self.pending {
                    if chooser.choose(2) != 0 {
                        apply(&mut table, &change.edits);
                    }
                }
                self.reachable(&table)
            }
        };
        let dirs = table.values().chain([&ROOT]).filter(|&&node| self.is_dir(node));
        Self {
            dirs: dirs.copied().collect(),
            cached: table.clone(),
            durable: table,
            pending: Vec::new(),
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.cached.values().copied()
    }

    /// Every set of names that some subset of the pending changes leads to: the durable one first, the
    /// cached one last. `None` where there are too many.
    fn outcomes(&self) -> Option<Vec<Table>> {
        if self.pending.len() > MAX_PENDING {
            return None;
        }
        let mut tables = BTreeSet::from([self.durable.clone()]);
        for change in &self.pending {
            let with = tables.iter().cloned().map(|mut table| {
                apply(&mut table, &change.edits);
                table
            });
            let with: Vec<Table> = with.collect();
            tables.extend(with);
            if tables.len() > MAX_OUTCOMES {
                return None;
            }
        }
        let mut tables: BTreeSet<Table> = tables.iter().map(|t| self.reachable(t)).collect();
        let (first, last) = (self.reachable(&self.durable), self.reachable(&self.cached));
        tables.remove(&first);
        let last = tables.take(&last);
        Some([first].into_iter().chain(tables).chain(last).collect())
    }

    /// Without what lies in folders that are not there.
    fn reachable(&self, table: &Table) -> Table {
        let mut found = BTreeSet::from([ROOT]);
        loop {
            let inside = table.iter().filter(|((dir, _), _)| found.contains(dir));
            let more: BTreeSet<Node> =
                inside.map(|(_, &node)| node).filter(|&node| self.is_dir(node)).collect();
            if more.is_subset(&found) {
                break;
            }
            found.extend(more);
        }
        let mut table = table.clone();
        table.retain(|(dir, _), _| found.contains(dir));
        table
    }

    fn change(&mut self, edits: Vec<(Key, Edit)>) {
        apply(&mut self.cached, &edits);
        let waits = edits.iter().map(|((dir, _), _)| *dir).collect();
        self.pending.push(Change { edits, waits, stuck: false });
    }

    fn forget(&mut self, key: &Key) {
        for change in &mut self.pending {
            change.edits.retain(|(edited, _)| edited != key);
        }
        self.pending.retain(|change| !change.edits.is_empty());
    }
}

/// A node has one name at a time, so that half a history of renames does not leave it under two.
fn apply(table: &mut Table, edits: &[(Key, Edit)]) {
    for (key, edit) in edits {
        match edit {
            Edit::Is(node) => {
                table.retain(|_, linked| linked != node);
                table.insert(key.clone(), *node);
            }
            Edit::Left(node) if table.get(key) != Some(node) => {}
            Edit::Gone | Edit::Left(_) => drop(table.remove(key)),
        }
    }
}

fn parts(path: &Path) -> Vec<&OsStr> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}
