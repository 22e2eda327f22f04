//! Reading by each way there is; all must agree.

use std::path::Path;
use std::sync::Arc;

use walden::{Error, ErrorKind, LogReader, Wal};

use super::model::Model;
use super::run::Done;
use super::violation::{Checked, Rule, broken, hold};
use super::{DIR, raw};
use crate::SimDisk;
use crate::num::size;

/// All payloads: as the library reads them, forwards and backwards, and, where a disk is given, as they lie in
/// its files, read without the library's help.
pub(crate) fn all(wal: &Wal, disk: Option<&SimDisk>) -> Done<(u64, Vec<Vec<u8>>)> {
    let first = wal.first_seq();
    let mut forwards = Vec::new();
    for (entry, seq) in wal.range(..)?.zip(first..) {
        let entry = entry?;
        hold(Rule::Gap, entry.seq == seq, || format!("read {} for {seq}", entry.seq))?;
        forwards.push(entry.payload.to_vec());
    }
    let (end, next) = (first + size(forwards.len()), wal.next_seq());
    hold(Rule::Gap, end == next, || format!("reading ends before {end}, not {next}"))?;
    let mut backwards = Vec::new();
    for entry in wal.range(..)?.rev() {
        backwards.push(entry?.payload.to_vec());
    }
    backwards.reverse();
    hold(Rule::Altered, forwards == backwards, || "backwards".to_owned())?;
    if let Some(disk) = disk {
        let files = raw::entries(disk, Path::new(DIR), first)?;
        hold(Rule::Altered, forwards == files, || "the files say otherwise".to_owned())?;
    }
    Ok((first, forwards))
}

/// Reads around a seq id in both directions, and looks for what is not there.
pub(crate) fn around(wal: &Wal, model: &Model, at: u64, lacking: bool) -> Done {
    // Bytes that wait for room cannot be read yet.
    let end = |wal: &Wal| if lacking { wal.stats().written } else { model.next() };
    let (first, next) = (model.first, model.next());
    if at > end(wal) {
        return Ok(());
    }
    let mut reader = wal.reader_at(at)?;
    for seq in at..next.min(at + 5) {
        if seq >= end(wal) {
            break;
        }
        let entry = reader.read_next()?.map(|entry| (entry.seq, entry.payload.to_vec()));
        same(model, seq, entry)?;
    }
    reader.seek(at)?;
    for seq in (first.max(at.saturating_sub(5))..at).rev() {
        let entry = reader.read_prev()?.map(|entry| (entry.seq, entry.payload.to_vec()));
        same(model, seq, entry)?;
    }
    for seq in [at, end(wal).saturating_sub(1)] {
        if !(first..end(wal)).contains(&seq) {
            continue;
        }
        same(model, seq, wal.get(seq)?.map(|entry| (entry.seq, entry.payload.to_vec())))?;
    }
    if end(wal) < next {
        return Ok(());
    }
    hold(Rule::Gap, wal.get(next)?.is_none(), || "get(next_seq) gave an entry".to_owned())?;
    refused(wal.reader_at(next + 1).err(), ErrorKind::BeyondEnd)?;
    refused(wal.range(next + 1..).err(), ErrorKind::BeyondEnd)?;
    refused(wal.follow(next + 1).err(), ErrorKind::BeyondEnd)?;
    if first > 1 {
        refused(wal.get(first - 1).err(), ErrorKind::Removed)?;
        refused(wal.reader_at(first - 1).err(), ErrorKind::Removed)?;
        refused(wal.range(first - 1..).err(), ErrorKind::Removed)?;
    }
    Ok(())
}

fn refused(error: Option<Error>, kind: ErrorKind) -> Done {
    match error {
        Some(error) if error.kind() == kind => Ok(()),
        // The disk's, perhaps; who called knows.
        Some(error) => Err(error.into()),
        None => Ok(broken(Rule::Gap, format!("no {kind:?}"))?),
    }
}

/// What another process sees: all that the kernel has, and of that no more than is durable for durable.
pub(crate) fn beside(wal: &Wal, model: &Model, disk: &SimDisk) -> Done {
    let reader = LogReader::open_with(DIR, "segment", Arc::new(disk.clone()))?;
    let (first, next) = (reader.first_seq(), reader.next_seq());
    let sees = first == model.first && (model.written..=model.next()).contains(&next);
    hold(Rule::Gap, sees, || {
        format!("a reader beside sees {first}..{next} of {}..{}", model.first, model.next())
    })?;
    let durable = reader.durable_seq();
    hold(Rule::Order, durable <= wal.durable_seq(), || {
        format!("a reader beside takes {durable} for durable, of {}", wal.durable_seq())
    })?;
    let mut end = first;
    for entry in reader.range(..)? {
        let entry = entry?;
        same(model, end, Some((entry.seq, entry.payload.to_vec())))?;
        end += 1;
    }
    Ok(hold(Rule::Gap, end == next, || format!("a reader beside ends before {end}, not {next}"))?)
}

/// An entry that was read is the model's.
pub(crate) fn same(model: &Model, seq: u64, found: Option<(u64, Vec<u8>)>) -> Checked {
    let Some((found_seq, payload)) = found else {
        return broken(Rule::Gap, format!("{seq} is not there"));
    };
    hold(Rule::Gap, found_seq == seq, || format!("read {found_seq} for {seq}"))?;
    hold(Rule::Altered, model.payload(seq) == Some(&payload[..]), || format!("{seq} is altered"))
}
