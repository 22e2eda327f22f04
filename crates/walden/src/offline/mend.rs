//! What no entry depends on is set right without a choice.

use super::Target;
use super::repair::{Repaired, keep_tails, keeper, shorten};
use super::survey::{Kind, Spot, Survey};
use crate::error::{Error, Result};
use crate::num;
use crate::record::{FOOTER_LEN, footer};
use crate::segment::{ONE_RECORD, RecordSource, Step};
use crate::storage::{Access, write_full};
use crate::sync::Arc;

/// Mends all that is mendable, under the lock.
///
/// # Errors
/// `Corrupt` where the log changed meanwhile; `OutOfSpace`; `Io`.
pub(super) fn mend(target: &Target, survey: &Survey, done: &mut Repaired) -> Result<()> {
    for spot in survey.damages() {
        match spot.kind {
            Kind::Count => count(target, survey, done)?,
            Kind::Footer => write_footer(target, spot, done)?,
            Kind::Surplus => cut_surplus(target, survey, spot, done)?,
            _ => {}
        }
    }
    Ok(())
}

/// Corrects the number of complete segments, where no entry is missing.
fn count(target: &Target, survey: &Survey, done: &mut Repaired) -> Result<()> {
    let mut keeper = keeper(target)?;
    let mut next = keeper.manifest.clone();
    next.sealed_count = num::size(survey.pieces.iter().filter(|piece| piece.sealed).count());
    keeper.commit(next)?;
    done.steps.push("corrected the number of complete segments".into());
    Ok(())
}

/// Writes the footer of a record again, as its header says, which the checksum covers.
fn write_footer(target: &Target, spot: &Spot, done: &mut Repaired) -> Result<()> {
    let io = |error| Error::io("write the footer", &spot.path, error);
    let file = target.storage.open(&spot.path, Access::ReadWrite).map_err(io)?;
    let mut source = RecordSource::new(Arc::clone(&file), ONE_RECORD);
    let end = spot.offset + spot.len;
    let Step::Record(record) = source.record_at(spot.offset, end).map_err(io)? else {
        return Err(Error::corrupt("the record changed meanwhile").path(&spot.path));
    };
    write_full(&*file, &footer(record.header.size), end - FOOTER_LEN).map_err(io)?;
    file.sync_all().map_err(io)?;
    done.steps.push(format!(
        "wrote the footer of the record at byte {} of {} again",
        spot.offset,
        spot.path.display()
    ));
    Ok(())
}

/// Cuts off bytes behind the last record of a complete segment, once a copy is on disk.
fn cut_surplus(target: &Target, survey: &Survey, spot: &Spot, done: &mut Repaired) -> Result<()> {
    let piece = survey.pieces.iter().find(|piece| piece.from.path == spot.path);
    let Some(piece) = piece else { return Ok(()) };
    let generation = survey.known.manifest().map_or(0, |manifest| manifest.generation);
    keep_tails(target, survey, &[(piece, spot.offset)], generation, done)?;
    shorten(target, piece, spot.offset)?;
    done.steps.push(format!(
        "cut {} bytes that are no entry's off {} at byte {}",
        spot.len,
        spot.path.display(),
        spot.offset
    ));
    Ok(())
}
