//! A log's cursors, by its files alone.

use super::Target;
use super::survey::Known;
use crate::cursors::file::{self, Found};
use crate::cursors::slot::{MAX_CURSORS, PAIR_LEN, Pair};
use crate::cursors::{Seen, seen};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Manifest;
use crate::num;
use crate::storage::{Access, read_full};

/// A cursor as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorReport {
    /// Its name; empty where it cannot be read.
    pub name: String,
    /// The seq id that comes next; 0 where it cannot be read.
    pub position: u64,
    /// From which seq id on retention keeps entries for it; `None` where it has expired.
    pub keeps_from: Option<u64>,
    /// Why its position is none any more: `Expired`, `Removed`, `Truncated`; `Corrupt` where it cannot be read.
    pub problem: Option<ErrorKind>,
    /// What is wrong where it cannot be read.
    pub what: Option<String>,
}

/// The cursors of a log, by name, then those that cannot be read. Changes nothing; works beside a writer, which may
/// have got further than what it wrote.
///
/// # Errors
/// `Corrupt` where manifest or cursors cannot be read at all; `NotFound` where there is no log; `Io`.
pub fn cursors(target: &Target) -> Result<Vec<CursorReport>> {
    let (known, _) = super::survey::read_known(target)?;
    match &known {
        Known::Found(found) => of_manifest(target, &found.manifest),
        Known::Unsound(error) | Known::Stranger(error) => Err(error.clone()),
        // A log of the Go library has none.
        Known::Missing(_) => Ok(Vec::new()),
    }
}

pub(super) fn of_manifest(target: &Target, manifest: &Manifest) -> Result<Vec<CursorReport>> {
    let Some(found) = read(target, manifest.log_id)? else { return Ok(Vec::new()) };
    let mut reports: Vec<CursorReport> = found
        .pairs
        .iter()
        .filter_map(|pair| match pair {
            Pair::Free(_) => None,
            Pair::Cursor { slot, .. } => {
                let Seen { name, position, keeps_from, problem } =
                    seen(slot, manifest.first_seq, &manifest.epochs);
                Some(CursorReport { name, position, keeps_from, problem, what: None })
            }
            Pair::Unreadable(what) => Some(CursorReport {
                name: String::new(),
                position: 0,
                keeps_from: Some(manifest.first_seq),
                problem: Some(ErrorKind::Corrupt),
                what: Some(what.clone()),
            }),
        })
        .collect();
    reports.sort_by(|a, b| (a.what.is_some(), &a.name).cmp(&(b.what.is_some(), &b.name)));
    Ok(reports)
}

/// Beside a writer a slot may be read while it is written, and the other one a moment later: then once more.
fn read(target: &Target, log_id: u128) -> Result<Option<Found>> {
    let find = || file::find(&*target.storage, &target.names, log_id, Access::Read);
    let found = find()?;
    let unreadable = |pair: &Pair| matches!(pair, Pair::Unreadable(_));
    match &found {
        Some(Found { pairs, .. }) if pairs.iter().any(unreadable) => find(),
        _ => Ok(found),
    }
}

/// The bytes of the cursors' file, for a copy; empty where there is none.
pub(super) fn bytes(target: &Target, log_id: u128) -> Result<Vec<u8>> {
    // Read as cursors first: what is too long is refused.
    let Some(Found { file, .. }) = read(target, log_id)? else { return Ok(Vec::new()) };
    let path = target.names.cursors();
    let io = |error| Error::io("read the cursors", &path, error);
    let len = file.len().map_err(io)?.min(num::size(MAX_CURSORS) * PAIR_LEN);
    let mut bytes = vec![0; num::index(len)];
    let got = read_full(&*file, &mut bytes, 0).map_err(io)?;
    bytes.truncate(got);
    Ok(bytes)
}
