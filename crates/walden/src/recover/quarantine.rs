//! Keeps aside what recovery is about to cut: bytes that may once have been acknowledged.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::scan::Scan;
use crate::error::{Error, Result};
use crate::num;
use crate::segment::Names;
use crate::segment::source::first_nonzero;
use crate::storage::{File, FileKind, Storage, read_full, write_full};

const PIECE: u64 = 256 << 10;

/// Copies everything behind the last sound record of each scanned segment that is not only zeros, and
/// makes the copies durable. Returns their paths.
///
/// # Errors
/// `OutOfSpace` where there is no room: nothing was cut then. What was copied stays.
pub(crate) fn keep_tails(
    storage: &dyn Storage,
    names: &Names,
    scan: &Scan,
    generation: u64,
) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for scanned in &scan.segments {
        let from = &scanned.from;
        let nonzero = first_nonzero(&*from.file, scanned.end, from.len)
            .map_err(|error| Error::io("read", &from.path, error))?;
        if nonzero.is_none() {
            continue;
        }
        make_folder(storage, names)?;
        let name = format!(
            "{}-{:04}-at-{}-gen-{generation}.torn",
            names.prefix(),
            from.ordinal,
            scanned.end
        );
        let path = names.quarantine().join(&name);
        copy(storage, names, &*from.file, (scanned.end, from.len), &path)?;
        kept.push(path);
    }
    Ok(kept)
}

/// Copies a whole file under `name`, and makes the copy durable. Returns its path.
///
/// # Errors
/// `OutOfSpace`, `Io`.
pub(crate) fn keep_file(
    storage: &dyn Storage,
    names: &Names,
    path: &std::path::Path,
    name: &str,
) -> Result<PathBuf> {
    let io = |error| Error::io("read", path, error);
    let file = storage.open(path, crate::storage::Access::Read).map_err(io)?;
    let len = file.len().map_err(io)?;
    make_folder(storage, names)?;
    let kept = names.quarantine().join(name);
    copy(storage, names, &*file, (0, len), &kept)?;
    Ok(kept)
}

fn make_folder(storage: &dyn Storage, names: &Names) -> Result<()> {
    let dir = names.quarantine();
    match storage.create_dir(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("make the quarantine folder", &dir, error));
        }
        _ => {}
    }
    // One that was there, too: it may be from a run that was killed before this.
    storage.sync_dir(names.dir()).map_err(|error| Error::io("sync the folder", names.dir(), error))
}

fn copy(
    storage: &dyn Storage,
    names: &Names,
    file: &dyn File,
    (from, to): (u64, u64),
    path: &std::path::Path,
) -> Result<()> {
    let tmp = path.with_extension("tmp");
    let result = write_copy(storage, file, (from, to), &tmp)
        .and_then(|()| storage.rename(&tmp, path))
        .map_err(|error| Error::io("keep the tail in quarantine", path, error));
    if result.is_err() {
        // Half a copy is of no use, and its room is wanted.
        drop(storage.remove(&tmp));
    }
    result?;
    let dir = names.quarantine();
    storage.sync_dir(&dir).map_err(|error| Error::io("sync the folder", &dir, error))
}

fn write_copy(
    storage: &dyn Storage,
    file: &dyn File,
    (from, to): (u64, u64),
    tmp: &std::path::Path,
) -> std::io::Result<()> {
    match storage.remove(tmp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let copy = storage.create(tmp)?;
    let mut piece = vec![0; num::index(PIECE.min(to - from))];
    let mut at = from;
    while at < to {
        let want = num::index((to - at).min(num::size(piece.len())));
        let Some(part) = piece.get_mut(..want) else { break };
        let got = read_full(file, part, at)?;
        if got == 0 {
            break;
        }
        write_full(&*copy, part.get(..got).unwrap_or_default(), at - from)?;
        at += num::size(got);
    }
    copy.sync_all()
}

/// Removes the oldest copies while all together hold more than `limit` bytes; those in `keep` stay. And what is left of
/// copies that a crash cut off: nobody else makes one now.
/// Failures are of no consequence: it is tried again at the next cut.
pub(crate) fn limit(storage: &dyn Storage, names: &Names, keep: &[PathBuf], limit: u64) {
    let dir = names.quarantine();
    let Ok(entries) = storage.list(&dir) else { return };
    for entry in &entries {
        let half = Path::new(&entry.name).extension().is_some_and(|ending| ending == "tmp");
        if half && entry.kind == FileKind::File {
            drop(storage.remove(&dir.join(&entry.name)));
        }
    }
    let mut files: Vec<(std::time::SystemTime, OsString, u64)> = entries
        .into_iter()
        .filter(|entry| entry.kind == FileKind::File)
        .filter(|entry| entry.name.to_string_lossy().ends_with(".torn"))
        .filter_map(|entry| {
            let file = storage.open(&dir.join(&entry.name), crate::storage::Access::Read).ok()?;
            Some((file.modified().ok()?, entry.name, file.len().ok()?))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, _, len)| len).sum();
    for (_, name, len) in files {
        let path = dir.join(name);
        if total <= limit {
            break;
        }
        if !keep.contains(&path) && storage.remove(&path).is_ok() {
            total -= len;
        }
    }
}
