//! Takes a run of records out of a log as they are stored.

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
/// As reading; `Unsupported` for a log that has no history to tell (a Go log that was not adopted).
pub(crate) fn collect(walk: &mut Walk, max_bytes: u64) -> Result<Option<Frames>> {
    let mut records = Vec::new();
    let mut seqs = None;
    while walk.forward()? {
        let (header, of_record, bytes) = walk.record()?;
        let len = num::size(records.len()) + num::size(bytes.len());
        if len > max_bytes && !records.is_empty() {
            break;
        }
        let body = bytes.len().saturating_sub(num::index(FOOTER_LEN));
        records.extend_from_slice(bytes.get(..body).unwrap_or_default());
        // A footer may be wrong over an entry that is proved.
        records.extend_from_slice(&footer(header.size));
        let range = seqs.get_or_insert(of_record.clone());
        range.end = of_record.end;
        walk.pass(of_record.end);
        if len >= max_bytes {
            break;
        }
    }
    let Some(seqs) = seqs else { return Ok(None) };
    let snapshot = walk.view().snapshot();
    let known = History { epochs: &snapshot.epochs, end: seqs.end };
    if known.epoch_of(seqs.start).is_none() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this log keeps no history yet: it is as the Go library left it",
        )
        .advice("open it for writing once, or adopt it with: walden adopt"));
    }
    let epochs = snapshot.epochs.iter().filter(|epoch| epoch.first_seq < seqs.end);
    let epochs = epochs.copied().collect();
    Ok(Some(Frames { log_id: snapshot.log_id, seqs, epochs, records: Bytes::from(records) }))
}
