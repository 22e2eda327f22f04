//! The way past bytes that are no record: from a border that is proved, footer by footer back.
//!
//! The eight bytes before a true border are the footer of the true record there. But no checksum covers a footer:
//! one flipped bit in it can lead to a record that the payload embeds and that ends there. So what was found
//! must be outermost: no sound record around it may end where one of these ends ([`is_embedded`]). What is left
//! is a payload that embeds records, in a record whose checksum *and* footer have decayed since the loss
//! before it was accepted.

use std::collections::BTreeSet;
use std::io;

use super::index::{BLOCK, EVERY, IndexFile};
use super::{ONE_RECORD, READ_AHEAD, RecordSource, Step};
use crate::record::{HEADER_LEN, Header};
use crate::storage::File;
use crate::sync::Arc;

/// How often all the bytes in question may be proved, in the search for a record around those that were found.
const BUDGET: u64 = 16;

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
    let mut ends = BTreeSet::new();
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
        ends.insert(end);
        if record.seq() <= least {
            break;
        }
        end = offset;
    }
    let begin = reached.map_or(border, |reached| reached.offset);
    Ok(if is_embedded(source, (floor, border), begin, &ends)? { None } else { reached })
}

/// Whether a sound record (its footer may be wrong) ends at one of `ends` and begins before the record that was
/// found to end there. `begin` is where the first of those found begins; a record that begins before it and
/// ends at one of them encloses it.
///
/// # Errors
/// What reading gives.
fn is_embedded(
    source: &mut RecordSource,
    (floor, border): (u64, u64),
    begin: u64,
    ends: &BTreeSet<u64>,
) -> io::Result<bool> {
    let mut base = floor;
    let mut budget = BUDGET.saturating_mul(border - floor);
    while base < begin && !ends.is_empty() {
        let piece = source.window(base, READ_AHEAD.min(border - base), border)?;
        let got = crate::num::size(piece.len());
        let enclosing = |(at, head): (usize, &[u8])| {
            let offset = base + crate::num::size(at);
            let end = offset.checked_add(Header::parse(head)?.record_len())?;
            (offset < begin && ends.contains(&end)).then_some((offset, end))
        };
        let head = crate::num::index(HEADER_LEN);
        let found: Vec<_> = piece.windows(head).enumerate().filter_map(enclosing).collect();
        for (offset, end) in found {
            // Each may be as long as the segment: of bytes made up for that, all would never end. What is not proved
            // to be free of this is not believed.
            budget = match budget.checked_sub(end - offset) {
                Some(left) => left,
                None => return Ok(true),
            };
            if matches!(source.record_at(offset, end)?, Step::Record(_)) {
                return Ok(true);
            }
        }
        match got.saturating_sub(HEADER_LEN - 1) {
            0 => break,
            advance => base += advance,
        }
    }
    Ok(false)
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
        let first = target.saturating_sub(index.first_seq()).div_ceil(EVERY);
        let mut next = first;
        while next < index.entries() && budget > 0 {
            let i = next;
            budget = budget.saturating_sub(super::READ_AHEAD);
            let Some(entry) = index.entry(i) else {
                // None of those that are proved with it.
                next = (i / BLOCK + 1) * BLOCK;
                continue;
            };
            next = i + 1;
            let holds = index.first_seq().saturating_add(i.saturating_mul(EVERY));
            if entry.offset >= end {
                break;
            }
            if !is_border(&mut source, entry.offset, end, holds)? {
                continue;
            }
            if matches!(source.record_at(entry.offset, end)?, Step::Record(record)
                if record.seq() <= target && target < record.next_seq())
            {
                return Ok(Some(entry.offset));
            }
            let reached = back_from(&mut source, entry.offset, 0, target)?;
            if let Some(found) = reached.filter(|reached| reached.seq <= target) {
                return Ok(Some(found.offset));
            }
            // Of a border that leads nowhere, all before it was looked through for what is around.
            budget = budget.saturating_sub(entry.offset);
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
    use crate::segment::index::{Index, write_file};
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

    /// Two losses, and a block of the index between them that decayed once it was proved: the next block leads there still.
    #[test]
    fn a_block_of_the_index_that_decayed_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, index_path) = (dir.path().join("a"), dir.path().join("a.idx"));
        let file = OsStorage::new().create(&path).unwrap();
        let (mut bytes, mut at, mut index) = (Vec::new(), vec![0], Index::default());
        for seq in 1..=3 * BLOCK * EVERY {
            at.push(u64::try_from(bytes.len()).unwrap());
            index.add(at[at.len() - 1], seq, seq + 1, 0);
            encode(&mut bytes, seq, &[&b"of many sizes"[..usize::try_from(seq % 13).unwrap()]]);
        }
        let end = u64::try_from(bytes.len()).unwrap();
        for lost in [10, 5000] {
            bytes[usize::try_from(at[lost]).unwrap()] ^= 1;
        }
        write_full(&*file, &bytes, 0).unwrap();
        let mut encoded = index.encode(7, 3, end);
        write_file(&OsStorage::new(), &index_path, &encoded).unwrap();
        let index = IndexFile::open(&OsStorage::new(), &index_path, 7, 3, end, None).unwrap();
        let leads_there = || {
            let found = find_behind_loss(&file, Some(&index), end, 100).unwrap();
            found.is_some_and(|found| found > at[10] && found <= at[100])
        };
        assert!(leads_there());
        // An entry of the block with seq ids 1 to 2048.
        encoded[96 + 16 * 5] ^= 1;
        std::fs::write(&index_path, &encoded).unwrap();
        assert!(index.entry(5).is_none() && leads_there());
        assert_eq!(find_behind_loss(&file, None, end, 100).unwrap(), None, "from the end alone");
    }

    /// The last record's footer has a flipped bit and leads to a record that its payload embeds, with the seq
    /// ids that the chain wants; in the middle of a chain too.
    #[test]
    fn an_embedded_record_that_a_flipped_footer_leads_to_is_none() {
        for last in [2, 3] {
            let dir = tempfile::tempdir().unwrap();
            let file = OsStorage::new().create(&dir.path().join("a")).unwrap();
            let mut bytes = Vec::new();
            encode(&mut bytes, 1, &[b"the first"]);
            // Payload of a length that differs in one bit from that of the embedded record.
            let mut forged = Vec::new();
            encode(&mut forged, 2, &[&[7; 64]]);
            let payload_len = 64 + 128;
            let mut payload = vec![1; payload_len - (forged.len() - 8)];
            payload.extend_from_slice(&forged[..forged.len() - 8]);
            encode(&mut bytes, 2, &[&payload]);
            // The true footer says 192; with one bit flipped it says 64, the embedded record's length.
            let footer = bytes.len() - 1;
            bytes[footer] ^= 128;
            if last == 3 {
                encode(&mut bytes, 3, &[b"behind"]);
            }
            write_full(&*file, &bytes, 0).unwrap();
            let mut source = RecordSource::new(Arc::clone(&file), ONE_RECORD);
            let end = bytes.len() as u64;
            assert_eq!(back_from(&mut source, end, 0, 2).unwrap(), None, "{last}");
            assert_eq!(find_behind_loss(&file, None, end, 2).unwrap(), None, "{last}");
        }
    }

    /// Bytes in front of the border of which one in twenty begins what looks like the header of a record that ends there:
    /// each would be proved from its beginning to the border.
    #[test]
    #[expect(clippy::big_endian_bytes, reason = "the format's")]
    fn made_up_headers_do_not_keep_it_busy_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsStorage::new().create(&dir.path().join("a")).unwrap();
        let mut last = Vec::new();
        encode(&mut last, 9, &[b"the last"]);
        let len = 20 * 200_000_u64;
        let mut bytes = Vec::new();
        while u64::try_from(bytes.len()).unwrap() < len {
            let left =
                len + u64::try_from(last.len()).unwrap() - u64::try_from(bytes.len()).unwrap();
            bytes.extend_from_slice(&[0xab; 4]);
            bytes.extend_from_slice(&(left - 28).to_be_bytes());
            bytes.extend_from_slice(&5_u64.to_be_bytes());
        }
        bytes.extend_from_slice(&last);
        write_full(&*file, &bytes, 0).unwrap();
        let end = u64::try_from(bytes.len()).unwrap();
        let begun = std::time::Instant::now();
        let mut source = RecordSource::new(file, ONE_RECORD);
        assert_eq!(back_from(&mut source, end, 0, 1).unwrap(), None);
        // Without a limit: 200,000 times two megabytes.
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
