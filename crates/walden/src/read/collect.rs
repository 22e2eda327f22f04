//! Takes a run of records out of a log as they are stored.

use std::ops::Range;

use bytes::Bytes;

use super::walk::Walk;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::{Frames, History};
use crate::num;
use crate::record::{FOOTER_LEN, footer};
use crate::snapshot::View;
use crate::sync::Arc;
use crate::watermark::Level;

/// Durable records from the one with entry `from` on.
///
/// # Errors
/// `Removed`, `BeyondEnd`; as [`collect`].
pub(crate) fn frames(view: Arc<dyn View>, from: u64, max_bytes: u64) -> Result<Option<Frames>> {
    let mut walk = Walk::new(view, from);
    walk.set_level(Level::Durable);
    walk.seek(from)?;
    collect(&mut walk, max_bytes)
}

/// The records from the walk's position on, as far as they are there and fit `max_bytes`, but at least one;
/// the walk moves behind them. `None` at the end. Where the position is inside a batch, all of the batch.
///
/// # Errors
/// As reading, with the position where it was; `Unsupported` for a log that has no history to tell (a Go log that was
/// not adopted).
pub(crate) fn collect(walk: &mut Walk, max_bytes: u64) -> Result<Option<Frames>> {
    let begun = walk.position();
    loop {
        let run = match run(walk, max_bytes) {
            // Behind where it began, the log was cut: what is there now is looked for from there.
            Err(error) if error.is_truncated() && walk.position() != begun => {
                walk.pass(begun);
                continue;
            }
            other => other?,
        };
        let Some((seqs, records)) = run else { return Ok(None) };
        let snapshot = walk.view().snapshot();
        // In this order: where nothing of it was cut since it was read, as asked afterwards, the list is the one that it
        // was read under. Else it would be given out as the history that came in its place.
        if walk.view().cut_since(walk.era()).is_some_and(|at| at < seqs.end) {
            walk.pass(begun);
            continue;
        }
        let known = History { epochs: &snapshot.epochs, end: seqs.end };
        if known.epoch_of(seqs.start).is_none() {
            walk.pass(begun);
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this log keeps no history yet: it is as the Go library left it",
            )
            .advice("open it for writing once, or adopt it with: walden adopt"));
        }
        let epochs = snapshot.epochs.iter().filter(|epoch| epoch.first_seq < seqs.end);
        let epochs = epochs.copied().collect();
        let records = Bytes::from(records);
        return Ok(Some(Frames { log_id: snapshot.log_id, seqs, epochs, records }));
    }
}

/// Bytes of records, and their seq ids.
type Run = (Range<u64>, Vec<u8>);

/// # Errors
/// As reading, of the first record. What is wrong with a later one is told when that is the first; but where some of
/// them were cut, which are not to be given, the position is behind where it was.
fn run(walk: &mut Walk, max_bytes: u64) -> Result<Option<Run>> {
    let mut run: Option<Run> = None;
    loop {
        match walk.forward() {
            Ok(true) => {}
            Err(error) if run.is_none() || error.is_truncated() => return Err(error),
            Ok(false) | Err(_) => return Ok(run),
        }
        let (header, of_record, bytes) = walk.record()?;
        let (seqs, records) = run.get_or_insert_with(|| (of_record.clone(), Vec::new()));
        let len = num::size(records.len()) + num::size(bytes.len());
        if len > max_bytes && !records.is_empty() {
            return Ok(run);
        }
        let body = bytes.len().saturating_sub(num::index(FOOTER_LEN));
        records.extend_from_slice(bytes.get(..body).unwrap_or_default());
        // A footer may be wrong over an entry that is proved.
        records.extend_from_slice(&footer(header.size));
        seqs.end = of_record.end;
        walk.pass(of_record.end);
        if len >= max_bytes {
            return Ok(run);
        }
    }
}
