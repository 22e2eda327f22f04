//! A storage on paper: reads what is there, and keeps in memory what is changed. Opening a log on it tells whether it
//! opens, by nobody's judgement but opening's own, and changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Target;
use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::num;
use crate::storage::{Access, DirEntry, File, FileKind, Storage, read_full};
use crate::sync::{Arc, Mutex};

const PAGE: usize = 4096;

/// What opening would refuse the log for, as damaged; `None` where it opens, or meets something else.
///
/// # Errors
/// Where the settings are none: a prefix that no log can have.
pub(super) fn refusal(target: &Target) -> Result<Option<Error>> {
    let config = Config::durable().segment_prefix(target.names.prefix());
    let settings = Settings::check(config.quarantine_limit(u64::MAX))?;
    let paper = Arc::new(Paper {
        under: Arc::clone(&target.storage),
        unread: target.names.quarantine(),
        changed: Mutex::default(),
    });
    let clock = Arc::clone(&target.clock);
    let opened = crate::recover::open(target.dir(), &settings, paper, clock);
    Ok(opened.err().filter(Error::is_corruption))
}

#[derive(Debug)]
struct Paper {
    under: Arc<dyn Storage>,
    /// What is written into this folder is of no interest.
    unread: PathBuf,
    /// Names that are not what they are underneath; `None`: gone.
    changed: Mutex<BTreeMap<PathBuf, Option<Arc<Sheet>>>>,
}

/// A file as it would be.
#[derive(Debug)]
struct Sheet {
    under: Option<Arc<dyn File>>,
    is_read: bool,
    state: Mutex<Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    len: u64,
    /// How much of what is underneath counts.
    under_len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Paper {
    fn sheet(&self, path: &Path, under: Option<Arc<dyn File>>) -> io::Result<Arc<Sheet>> {
        let len = under.as_ref().map_or(Ok(0), |file| file.len())?;
        let state = Changes { len, under_len: len, ..Changes::default() };
        let is_read = !path.starts_with(&self.unread);
        Ok(Arc::new(Sheet { under, is_read, state: Mutex::new(state) }))
    }

    /// The file as it is by now.
    fn find(&self, path: &Path, access: Access) -> io::Result<Arc<Sheet>> {
        let mut changed = self.changed.lock();
        match changed.get(path) {
            Some(Some(sheet)) => Ok(Arc::clone(sheet)),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => {
                let sheet = self.sheet(path, Some(self.under.open(path, Access::Read)?))?;
                // What is only read is not kept: there may be more segments than descriptors.
                if access == Access::ReadWrite {
                    changed.insert(path.to_owned(), Some(Arc::clone(&sheet)));
                }
                Ok(sheet)
            }
        }
    }
}

impl Storage for Paper {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.find(path, access)?)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        if self.find(path, Access::Read).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let sheet = self.sheet(path, None)?;
        self.changed.lock().insert(path.to_owned(), Some(Arc::clone(&sheet)));
        Ok(sheet)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let sheet = self.find(from, Access::ReadWrite)?;
        let mut changed = self.changed.lock();
        changed.insert(from.to_owned(), None);
        changed.insert(to.to_owned(), Some(sheet));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.find(path, Access::Read)?;
        self.changed.lock().insert(path.to_owned(), None);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = match self.under.list(dir) {
            // Made on paper.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        for (path, sheet) in self.changed.lock().iter() {
            let Some(name) = path.file_name().filter(|_| path.parent() == Some(dir)) else {
                continue;
            };
            entries.retain(|entry| entry.name != name);
            if sheet.is_some() {
                entries.push(DirEntry { name: name.to_owned(), kind: FileKind::File });
            }
        }
        Ok(entries)
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match self.find(path, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path),
            other => Ok(other?),
        }
    }
}

impl Sheet {
    /// A page as it is by now.
    fn page(&self, state: &Changes, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = state.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE];
        let from = number * num::size(PAGE);
        let there = num::index(state.under_len.saturating_sub(from).min(num::size(PAGE)));
        if let (Some(under), Some(part)) = (&self.under, page.get_mut(..there)) {
            read_full(&**under, part, from)?;
        }
        Ok(page)
    }
}

/// Of bytes from `offset` on: the page that the first is in, its place there, and how many are in the same page.
fn split(offset: u64, len: usize) -> (u64, usize, usize) {
    let at = num::index(offset % num::size(PAGE));
    (offset / num::size(PAGE), at, len.min(PAGE - at))
}

impl File for Sheet {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock();
        let left = num::index(state.len.saturating_sub(offset));
        let (number, at, len) = split(offset, buf.len().min(left));
        let page = self.page(&state, number)?;
        let (Some(to), Some(from)) = (buf.get_mut(..len), page.get(at..at + len)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        let (number, at, len) = split(offset, buf.len());
        let mut page = self.page(&state, number)?;
        let (Some(to), Some(from)) = (page.get_mut(at..at + len), buf.get(..len)) else {
            return Ok(0);
        };
        // The doubt zone is written again as it is.
        if self.is_read && to != from {
            to.copy_from_slice(from);
            state.pages.insert(number, page);
        }
        state.len = state.len.max(offset.saturating_add(num::size(len)));
        Ok(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.len = state.len.max(offset.saturating_add(len));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if len < state.len {
            let (number, at, _) = split(len, 0);
            let mut last = self.page(&state, number)?;
            if let Some(behind) = last.get_mut(at..) {
                behind.fill(0);
            }
            state.under_len = state.under_len.min(len);
            drop(state.pages.split_off(&number));
            state.pages.insert(number, last);
        }
        state.len = len;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.under.as_ref().map_or(Ok(SystemTime::UNIX_EPOCH), |file| file.modified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{OsStorage, write_full};

    fn contents(file: &dyn File) -> Vec<u8> {
        let mut bytes = vec![0xee; num::index(file.len().unwrap())];
        assert_eq!(read_full(file, &mut bytes, 0).unwrap(), bytes.len());
        bytes
    }

    #[test]
    fn it_reads_what_was_written_on_it_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let old: Vec<u8> = (0..=250_u8).cycle().take(10_000).collect();
        std::fs::write(at("a"), &old).unwrap();
        let paper = Paper {
            under: Arc::new(OsStorage::new()),
            unread: at("unread"),
            changed: Mutex::default(),
        };
        let file = paper.open(&at("a"), Access::ReadWrite).unwrap();
        let mut now = old.clone();
        for (offset, bytes) in [(4090_usize, &[7_u8; 20][..]), (9990, &[8; 9000]), (0, &[9])] {
            write_full(&*file, bytes, offset as u64).unwrap();
            now.resize(now.len().max(offset + bytes.len()), 0);
            now[offset..offset + bytes.len()].copy_from_slice(bytes);
            assert!(contents(&*file) == now);
        }
        for len in [9000, 4096, 5000, 4000, 8192, 0, 3] {
            file.set_len(len).unwrap();
            now.resize(num::index(len), 0);
            assert!(contents(&*file) == now, "{len}");
        }
        file.allocate(0, 30).unwrap();
        assert_eq!(file.len().unwrap(), 30);
        paper.rename(&at("a"), &at("b")).unwrap();
        drop(paper.create(&at("c")).unwrap());
        paper.create(&at("b")).unwrap_err();
        paper.remove(&at("c")).unwrap();
        paper.open(&at("c"), Access::Read).unwrap_err();
        assert_eq!(contents(&*paper.open(&at("b"), Access::Read).unwrap()).len(), 30);
        let names: Vec<_> = paper.list(dir.path()).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["b"]);
        assert!(std::fs::read(at("a")).unwrap() == old);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
