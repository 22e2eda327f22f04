//! What lies in a log's folder, by name alone.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::segment::{Name, Names};
use crate::storage::{FileKind, Storage};

/// The log's own files, in order of ordinal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) segments: Vec<u64>,
    pub(crate) indexes: Vec<u64>,
    pub(crate) nexts: Vec<u64>,
    pub(crate) indexes_new: Vec<u64>,
    /// Ids of dictionaries.
    pub(crate) dictionaries: Vec<u32>,
    pub(crate) manifest: bool,
    pub(crate) manifest_new: bool,
    pub(crate) quarantine: bool,
}

impl Folder {
    /// Lists the folder of a log.
    ///
    /// # Errors
    /// `NotFound` where there is no folder; `InvalidInput` where a segment's name stands for something
    /// that is no file.
    pub(crate) fn list(storage: &dyn Storage, names: &Names) -> Result<Self> {
        let mut folder = Self::default();
        let entries = storage.list(names.dir()).map_err(|error| cannot_list(names.dir(), error))?;
        for entry in entries {
            let Some(name) = names.parse(&entry.name) else { continue };
            let wants = if name == Name::Quarantine { FileKind::Dir } else { FileKind::File };
            if entry.kind != wants {
                return Err(Error::invalid("a file of the log is not of the kind it should be")
                    .path(&names.dir().join(&entry.name))
                    .advice("move it away: the log needs this name"));
            }
            match name {
                Name::Wal(ordinal) => folder.segments.push(ordinal),
                Name::Index(ordinal) => folder.indexes.push(ordinal),
                Name::Next(ordinal) => folder.nexts.push(ordinal),
                Name::IndexNew(ordinal) => folder.indexes_new.push(ordinal),
                Name::Manifest => folder.manifest = true,
                Name::ManifestNew => folder.manifest_new = true,
                Name::Quarantine => folder.quarantine = true,
                Name::Dictionary(id) => folder.dictionaries.push(id),
                Name::Lock | Name::Cursors | Name::DictionaryNew => {}
            }
        }
        folder.segments.sort_unstable();
        folder.indexes.sort_unstable();
        folder.nexts.sort_unstable();
        folder.dictionaries.sort_unstable();
        Ok(folder)
    }
}

fn cannot_list(dir: &Path, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::new(ErrorKind::NotFound, "there is no such folder").path(dir);
    }
    Error::io("list the folder", dir, error)
}

/// Makes the folder of a log and those above it, and their names durable (invariant 6).
pub(crate) fn make(storage: &dyn Storage, names: &Names) -> Result<()> {
    make_for(storage, names.dir(), &names.manifest())
}

/// The same for one of these folders; `manifest` lends its name.
fn make_for(storage: &dyn Storage, dir: &Path, manifest: &Path) -> Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".")),
        parent => parent,
    };
    let found = match storage.list(dir) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("open the folder", dir, error)),
    };
    let Some(parent) = parent else {
        let missing = || Error::new(ErrorKind::NotFound, "there is no such folder").path(dir);
        return found.map(drop).ok_or_else(missing);
    };
    let Some(entries) = found else {
        make_for(storage, parent, manifest)?;
        match storage.create_dir(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make the folder", dir, error));
            }
            _ => {}
        }
        return sync(storage, parent);
    };
    // A manifest is made only once the folder's own name is durable. That of another log here was perhaps copied.
    if entries.iter().any(|entry| Some(&*entry.name) == manifest.file_name()) {
        return Ok(());
    }
    // It may be from a try that a crash cut off. Who may not read the folder above didn't make this one, and could not
    // sync it; asked beforehand, since a sync that fails is final.
    match storage.list(parent) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(Error::io("open the folder", parent, error)),
        Ok(_) => {}
    }
    sync(storage, parent)
}

fn sync(storage: &dyn Storage, dir: &Path) -> Result<()> {
    storage.sync_dir(dir).map_err(|error| Error::io("sync the folder", dir, error))
}
