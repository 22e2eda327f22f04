//! The disk as a process sees it that goes on while the log's own is killed.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};
use std::time::SystemTime;

use walden::storage::{Access, DirEntry, File, Storage};

use crate::SimDisk;
use crate::names::Node;
use crate::sync::Mutex;

/// A disk whose images after kills take its place, under the files that are open.
#[derive(Debug, Clone)]
pub(crate) struct Mount(Arc<Mutex<Mounted>>);

#[derive(Debug)]
struct Mounted {
    disk: SimDisk,
    files: Vec<Weak<Open>>,
}

impl Mount {
    pub(crate) fn new(disk: &SimDisk) -> Self {
        Self(Arc::new(Mutex::new(Mounted { disk: disk.clone(), files: Vec::new() })))
    }

    fn disk(&self) -> SimDisk {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).disk.clone()
    }

    /// What the next process finds after `kill -9` of another one than that which this is mounted for.
    pub(crate) fn kill(&self) -> SimDisk {
        let mut mounted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let files: Vec<_> = mounted.files.iter().filter_map(Weak::upgrade).collect();
        let nodes: Vec<_> = files.iter().map(|file| file.node).collect();
        let (image, again) = mounted.disk.kill_beside(&nodes);
        for (file, again) in files.iter().zip(again) {
            *file.file.lock().unwrap_or_else(PoisonError::into_inner) = again;
        }
        mounted.files = files.iter().map(Arc::downgrade).collect();
        mounted.disk = image.clone();
        image
    }
}

impl Storage for Mount {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let (node, file) = self.disk().open_node(path, access)?;
        let open = Arc::new(Open { node, file: Mutex::new(file) });
        let mut mounted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.files.retain(|file| file.strong_count() > 0);
        mounted.files.push(Arc::downgrade(&open));
        Ok(open)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk().create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk().remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk().list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk().create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk().sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk().lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.disk().free_space(dir)
    }
}

#[derive(Debug)]
struct Open {
    node: Node,
    file: Mutex<Arc<dyn File>>,
}

impl Open {
    fn now(&self) -> Arc<dyn File> {
        Arc::clone(&self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl File for Open {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.now().read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.now().write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.now().sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.now().sync_all()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.now().allocate(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.now().set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.now().len()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.now().next_data(offset)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.now().modified()
    }
}
