//! The way past bytes that are no record: from a border that is proved, footer by footer back.
//!
//! The eight bytes before a true border are the footer of the true record there, and a record forged inside a
//! payload would have to end on the same footer, thus have the same length, with less room before it. That
//! holds as long as the footer is as it was written: no checksum covers it, and one flipped bit in it can lead to a
//! record that the payload embeds and that ends there. So readers go this way only behind a loss that was
//! accepted, where nothing before the border is left to walk forward from.

use std::io;

use super::index::{EVERY, IndexFile};
use super::{ONE_RECORD, RecordSource, Step};
use crate::storage::File;
use crate::sync::Arc;

/// Sound records that lead back from a border without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Where the first of them begins.
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    /// The seq id that follows at the border.
    pub(crate) next_seq: u64,
}

/// Walks back from `border`, over records that begin at or behind `floor` and whose seq ids are `least` or
/// above; stops at the record that holds `least`.
///
/// # Errors
/// What reading gives.
pub(crate) fn back_from(
    source: &mut RecordSource,
    border: u64,
    floor: u64,
    least: u64,
) -> io::Result<Option<Reached>> {
    let mut reached: Option<Reached> = None;
    let mut end = border;
    while end > floor {
        let (offset, step) = source.record_before(end)?;
        let Step::Record(record) = step else { break };
        let follows = reached.is_none_or(|later| record.next_seq() == later.seq);
        if !follows || !record.footer_ok || offset < floor || record.next_seq() <= least {
            break;
        }
        let next_seq = reached.map_or(record.next_seq(), |first| first.next_seq);
        reached = Some(Reached { offset, seq: record.seq(), next_seq });
        if record.seq() <= least {
            break;
        }
        end = offset;
    }
    Ok(reached)
}

/// Whether entry `i` of an index points to the record that holds its seq id: then that record begins at a
/// border.
///
/// # Errors
/// What reading gives.
pub(crate) fn is_border(
    source: &mut RecordSource,
    offset: u64,
    end: u64,
    holds: u64,
) -> io::Result<bool> {
    Ok(match source.record_at(offset, end)? {
        Step::Record(record) => {
            record.footer_ok && record.seq() <= holds && holds < record.next_seq()
        }
        _ => false,
    })
}

/// Where the record with entry `target` begins, in a segment of which something before `target` was given
/// up: from the next border behind it (an index entry, the end of the segment) back. `None`: nothing
/// proved leads there.
///
/// # Errors
/// What reading gives.
pub(crate) fn find_behind_loss(
    file: &Arc<dyn File>,
    index: Option<&IndexFile>,
    end: u64,
    target: u64,
) -> io::Result<Option<u64>> {
    let mut source = RecordSource::new(Arc::clone(file), ONE_RECORD);
    let mut budget = end.saturating_mul(4);
    if let Some(index) = index {
        let first = target.saturating_sub(index.first_seq).div_ceil(EVERY);
        for i in first..index.entries {
            let Some(entry) = index.entry(i) else { break };
            let holds = index.first_seq.saturating_add(i.saturating_mul(EVERY));
            if budget == 0 || entry.offset >= end {
                break;
            }
            budget = budget.saturating_sub(super::READ_AHEAD);
            if !is_border(&mut source, entry.offset, end, holds)? {
                continue;
            }
            if matches!(source.record_at(entry.offset, end)?, Step::Record(record)
                if record.seq() <= target && target < record.next_seq())
            {
                return Ok(Some(entry.offset));
            }
            if let Some(found) = back_to(&mut source, entry.offset, target)? {
                return Ok(Some(found));
            }
        }
    }
    back_to(&mut source, end, target)
}

fn back_to(source: &mut RecordSource, border: u64, target: u64) -> io::Result<Option<u64>> {
    let reached = back_from(source, border, 0, target)?;
    Ok(reached.filter(|reached| reached.seq <= target).map(|reached| reached.offset))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::record::encode;
    use crate::storage::{OsStorage, Storage, write_full};

    #[test]
    fn walks_back_over_what_is_sound_and_not_into_a_payload() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = OsStorage::new().create(Path::new(&path)).unwrap();
        let mut forged = Vec::new();
        encode(&mut forged, 3, &[b"forged"]);
        let mut bytes = Vec::new();
        let mut at = Vec::new();
        for seq in 1..=5_u64 {
            at.push(u64::try_from(bytes.len()).unwrap());
            encode(&mut bytes, seq, &[if seq == 2 { &forged } else { b"fine" }]);
        }
        bytes[usize::try_from(at[1]).unwrap()] ^= 1;
        write_full(&*file, &bytes, 0).unwrap();
        let end = u64::try_from(bytes.len()).unwrap();
        assert_eq!(find_behind_loss(&file, None, end, 3).unwrap(), Some(at[2]));
        assert_eq!(find_behind_loss(&file, None, end, 2).unwrap(), None);
        let mut source = RecordSource::new(file, ONE_RECORD);
        let all = back_from(&mut source, end, 0, 1).unwrap();
        assert_eq!(all, Some(Reached { offset: at[2], seq: 3, next_seq: 6 }));
    }
}
