//! The disk as `walden` sees it.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use walden::storage::{Access, DirEntry, File, FileKind, Storage};

use crate::SimDisk;
use crate::content::{Inode, PAGE};
use crate::fault::OpKind;
use crate::names::Node;
use crate::num::{index, size};
use crate::state::State;
use crate::world::{Call, Verdict};

/// No file grows longer than this.
const MAX_LEN: u64 = 1 << 34;

fn call(op: OpKind, path: &Path) -> Call {
    Call { op, path: Arc::from(path), to: None, range: None, mutates: op.mutates() }
}

impl SimDisk {
    fn handle(&self, state: &mut State, node: Node, access: Access, locked: bool) -> Arc<dyn File> {
        *state.handles.entry(node).or_default() += 1;
        Arc::new(SimFile { disk: self.clone(), node, access, locked })
    }

    /// As `Storage::open`; with what file it is.
    pub(crate) fn open_node(
        &self,
        path: &Path,
        access: Access,
    ) -> io::Result<(Node, Arc<dyn File>)> {
        let mut state = self.state();
        state.meet(call(OpKind::Open, path)).check()?;
        let node = state.names.resolve(path)?;
        if state.names.is_dir(node) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((node, self.handle(&mut state, node, access, false)))
    }

    /// As [`kill`](Self::kill), but for what another process has open: these files, to be read.
    pub(crate) fn kill_beside(&self, open: &[Node]) -> (Self, Vec<Arc<dyn File>>) {
        let image = self.killed();
        let mut state = image.state();
        let files = open.iter().map(|node| image.handle(&mut state, *node, Access::Read, false));
        let files = files.collect();
        state.collect();
        drop(state);
        (image, files)
    }
}

impl Storage for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.open_node(path, access).map(|(_, file)| file)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.meet(call(OpKind::Create, path)).check()?;
        let key = state.names.key(path)?;
        if state.names.get(&key).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.new_file(path);
        state.names.link(key, node);
        Ok(self.handle(&mut state, node, Access::ReadWrite, false))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let call = Call { to: Some(Arc::from(to)), ..call(OpKind::Rename, from) };
        state.meet(call).check()?;
        let node = state.names.resolve_file(from)?;
        let (old, new) = (state.names.key(from)?, state.names.key(to)?);
        match state.names.get(&new) {
            Some(there) if there == node => return Ok(()),
            Some(_) => drop(state.names.resolve_file(to)?),
            None => {}
        }
        state.names.rename(old, new, node);
        state.paths.insert(node, Arc::from(to));
        state.collect();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.meet(call(OpKind::Remove, path)).check()?;
        state.names.resolve_file(path)?;
        let key = state.names.key(path)?;
        state.names.unlink(key);
        state.collect();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.state();
        state.meet(call(OpKind::List, dir)).check()?;
        let node = state.names.resolve_dir(dir)?;
        let entry = |(name, node): (&std::ffi::OsStr, _)| DirEntry {
            name: name.to_owned(),
            kind: if state.names.is_dir(node) { FileKind::Dir } else { FileKind::File },
        };
        Ok(state.names.list(node).map(entry).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.meet(call(OpKind::CreateDir, dir)).check()?;
        if state.names.resolve(dir).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let key = state.names.key(dir)?;
        let node = state.new_dir();
        state.names.link(key, node);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let verdict = state.meet(call(OpKind::SyncDir, dir));
        let node = state.names.resolve_dir(dir);
        if state.names_stick && verdict.error.is_some() && !verdict.stopped {
            node.iter().for_each(|node| state.names.fail_sync(*node));
        }
        verdict.check()?;
        state.names.sync_dir(node?);
        state.collect();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        let there = state.names.resolve_file(path);
        let mutates = there.is_err();
        state.meet(Call { mutates, ..call(OpKind::Lock, path) }).check()?;
        let node = match there {
            Ok(node) => node,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = state.names.key(path)?;
                let node = state.new_file(path);
                state.names.link(key, node);
                node
            }
            Err(error) => return Err(error),
        };
        if !state.locks.insert(node) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.handle(&mut state, node, Access::ReadWrite, true))
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let mut state = self.state();
        state.meet(call(OpKind::FreeSpace, dir)).check()?;
        state.names.resolve(dir)?;
        Ok(state.capacity.map(|capacity| capacity.saturating_sub(state.used())))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: Node,
    access: Access,
    locked: bool,
}

impl SimFile {
    fn meet(&self, state: &mut State, op: OpKind, range: Option<(u64, u64)>) -> Verdict {
        let path =
            state.paths.get(&self.node).cloned().unwrap_or_else(|| Arc::from(Path::new("?")));
        let call = Call { op, path, to: None, range, mutates: op.mutates() };
        state.meet(call)
    }

    /// The file, to be changed now.
    fn change<'a>(&self, state: &'a mut State) -> io::Result<&'a mut Inode> {
        let now = state.now();
        let inode = Arc::make_mut(state.inode(self.node)?);
        inode.modified = now;
        Ok(inode)
    }

    fn writable(&self, offset: u64, len: u64) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match offset.checked_add(len) {
            Some(end) if end <= MAX_LEN => Ok(()),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    fn look<T>(&self, op: OpKind, at: impl FnOnce(&Inode) -> T) -> io::Result<T> {
        let mut state = self.disk.state();
        self.meet(&mut state, op, None).check()?;
        state.inode(self.node).map(|inode| at(inode))
    }

    fn sync(&self, op: OpKind) -> io::Result<()> {
        let mut state = self.disk.state();
        let verdict = self.meet(&mut state, op, None);
        let inode = state.inode(self.node)?;
        match verdict {
            Verdict { error: None, .. } if inode.is_clean() => Ok(()),
            Verdict { error: None, .. } => {
                Arc::make_mut(inode).sync();
                Ok(())
            }
            Verdict { error: Some(error), stopped, .. } => {
                if !stopped {
                    Arc::make_mut(inode).fail_sync();
                }
                Err(error)
            }
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let verdict = self.meet(&mut state, OpKind::Read, Some((offset, size(buf.len()))));
        if let Some(error) = verdict.error {
            return Err(error);
        }
        let n = buf.len().min(verdict.limit.unwrap_or(usize::MAX));
        let inode = state.inode(self.node)?;
        if let Some(bit) = verdict.rot {
            Arc::make_mut(inode).flip(offset.saturating_mul(8).saturating_add(bit));
        }
        let n = buf.get_mut(..n).map_or(0, |buf| inode.read(buf, offset));
        state.world.read += size(n);
        Ok(n)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.look(OpKind::Len, |inode| inode.next_data(offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let verdict = self.meet(&mut state, OpKind::Write, Some((offset, size(buf.len()))));
        self.writable(offset, size(buf.len()))?;
        let n = buf.len().min(verdict.limit.unwrap_or(usize::MAX));
        let room = state.room(self.node, offset, n)?;
        let bytes = buf.get(..room).unwrap_or_default();
        if !bytes.is_empty() {
            self.change(&mut state)?.write(bytes, offset);
        }
        match verdict.error {
            Some(error) => Err(error),
            None if room == 0 && n > 0 => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(room),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(OpKind::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(OpKind::SyncAll)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        self.meet(&mut state, OpKind::Allocate, Some((offset, len))).check()?;
        self.writable(offset, len)?;
        if !state.allocates {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if state.inode(self.node)?.missing(offset, len) > state.free() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(&mut state)?.allocate(offset, len);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        self.meet(&mut state, OpKind::SetLen, Some((len, 0))).check()?;
        self.writable(len, 0)?;
        self.change(&mut state)?.set_len(len);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.look(OpKind::Len, Inode::len)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.look(OpKind::Modified, |inode| inode.modified)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if self.locked {
            state.locks.remove(&self.node);
        }
        if let Some(handles) = state.handles.get_mut(&self.node) {
            *handles -= 1;
            if *handles == 0 {
                state.handles.remove(&self.node);
                if !state.names.is_linked(self.node) {
                    state.collect();
                }
            }
        }
    }
}

impl State {
    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    /// How many of `len` bytes at `offset` can be written, the first ones.
    fn room(&mut self, node: Node, offset: u64, len: usize) -> io::Result<usize> {
        let free = self.free();
        let inode = self.inode(node)?;
        let mut room = len;
        // Page by page from behind, until what is missing fits.
        while room > 0 && inode.missing(offset, size(room)) > free {
            let over = index((offset + size(room)) % size(PAGE));
            room = room.saturating_sub(if over == 0 { PAGE } else { over });
        }
        Ok(room)
    }
}
