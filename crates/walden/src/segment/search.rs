//! Looks for sound records where nothing leads to them: candidates, to be counted or taken as a sign of
//! damage, never handed out. A payload may hold a forged one.

use std::io;

use super::READ_AHEAD;
use crate::num;
use crate::record::{HEADER_LEN, Header, OVERHEAD};
use crate::storage::{File, read_full};

/// What the next step of a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    /// Something that may be a record: length, footer and checksum fit, and so does the seq id.
    Candidate { offset: u64, header: Header },
    /// There is none up to the end.
    Nothing,
    /// So many false ones that the work allowed is done.
    Spent,
}

/// A search through one file. All in all it reads and computes at most four times the file's length.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    file: &'a dyn File,
    /// Where what is missing begins, and its seq id.
    from: u64,
    expected: u64,
    end: u64,
    budget: u64,
}

impl<'a> Search<'a> {
    /// Looks in `from..end` for records behind a missing one with seq id `expected`.
    pub(crate) fn new(file: &'a dyn File, from: u64, end: u64, expected: u64) -> Self {
        let budget = end.saturating_mul(4).max(READ_AHEAD);
        Self { file, from, expected, end, budget }
    }

    /// The first candidate at or behind `base`.
    ///
    /// # Errors
    /// What reading gives.
    pub(crate) fn next(&mut self, mut base: u64) -> io::Result<Hit> {
        let end = self.end;
        let mut window = vec![0; num::index(READ_AHEAD.min(end.saturating_sub(base)))];
        while base + HEADER_LEN <= end {
            let want = num::index((end - base).min(num::size(window.len())));
            let Some(piece) = window.get_mut(..want) else { break };
            let got = read_full(self.file, piece, base)?;
            let piece = piece.get(..got).unwrap_or_default();
            for (at, head) in piece.windows(num::index(HEADER_LEN)).enumerate() {
                let offset = base + num::size(at);
                let Some(header) = Header::parse(head) else { continue };
                if !self.is_plausible(&header, offset) {
                    continue;
                }
                let cost = header.record_len();
                if cost > self.budget {
                    return Ok(Hit::Spent);
                }
                self.budget -= cost;
                if proves(self.file, offset, &header)? {
                    return Ok(Hit::Candidate { offset, header });
                }
            }
            let advance = num::size(got).saturating_sub(HEADER_LEN - 1);
            if advance == 0 {
                break;
            }
            base += advance;
        }
        Ok(Hit::Nothing)
    }

    /// How many candidates there are at or behind `from`; fewer where the work allowed is done before.
    ///
    /// # Errors
    /// What reading gives.
    pub(crate) fn count(&mut self, from: u64) -> io::Result<u64> {
        let mut count = 0;
        let mut at = from;
        while let Hit::Candidate { offset, header } = self.next(at)? {
            count += 1;
            at = offset + header.record_len();
            // Most stand back to back: no window is read for them.
            while let Some(len) = self.candidate_at(at)? {
                count += 1;
                at += len;
            }
            self.budget = self.budget.saturating_sub(READ_AHEAD);
        }
        Ok(count)
    }

    fn candidate_at(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let mut head = [0; 20];
        if offset + HEADER_LEN > self.end || read_full(self.file, &mut head, offset)? != head.len()
        {
            return Ok(None);
        }
        let Some(header) = Header::parse(&head) else { return Ok(None) };
        let len = header.record_len();
        if !self.is_plausible(&header, offset) || len > self.budget {
            return Ok(None);
        }
        self.budget -= len;
        Ok(proves(self.file, offset, &header)?.then_some(len))
    }

    fn is_plausible(&self, header: &Header, offset: u64) -> bool {
        let distance = offset + OVERHEAD - self.from.min(offset);
        !header.is_unwritten()
            && header.record_len() <= self.end - offset
            && header.seq > self.expected
            && header.seq - self.expected <= distance / OVERHEAD + 1
            && !header.has_unknown_flags()
    }
}

/// Checks footer and checksum without believing the length enough to allocate by it.
fn proves(file: &dyn File, offset: u64, header: &Header) -> io::Result<bool> {
    let mut footer = [0; 8];
    let len = header.record_len();
    if read_full(file, &mut footer, offset + len - 8)? != 8
        || crate::record::read_footer(&footer) != Some(header.size)
    {
        return Ok(false);
    }
    let mut at = offset + 4;
    let covered_end = offset + len - 8;
    let mut crc = 0;
    let mut piece = vec![0; num::index(READ_AHEAD.min(len))];
    while at < covered_end {
        let want = num::index((covered_end - at).min(num::size(piece.len())));
        let Some(part) = piece.get_mut(..want) else { break };
        if read_full(file, part, at)? != part.len() {
            return Ok(false);
        }
        crc = crc32c::crc32c_append(crc, part);
        at += num::size(part.len());
    }
    Ok(crc == header.crc)
}
