//! Stepping back.
//!
//! Footers are not followed: one flipped bit can make one lead to a record that a payload embeds. What stands before is
//! learnt by walking forward, from a place that the index proves, and remembered.
//!
//! Kernels read ahead of who goes forwards. Who goes backwards asks for what comes next.

use std::collections::VecDeque;

use super::cursor::Held;
use super::walk::Walk;
use crate::error::Result;
use crate::num;
use crate::storage::File;

/// How many passed records are remembered, for reading backwards where there is no index.
const MOST: usize = 4096;

/// So many bytes before the place that reading backwards has come to, the kernel is to have in memory, or on its way there.
const AHEAD: u64 = 512 << 10;

/// Where a block of records is longer, two of those, but no more than this: long records are read forwards in any case.
const MOST_AHEAD: u64 = 4 << 20;

/// Bytes that are asked for at once. Linux silently cuts off what is above a device's limit, by default this.
const PIECE: u64 = 128 << 10;

/// What lies before the record at hand.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Records of the current segment that were passed on the way to one wanted: offset and seq id, in order.
    passed: VecDeque<(u64, u64)>,
    /// Where the trail ended the last time, in which segment.
    ended: Option<(u64, u64)>,
    /// How far that was from the time before.
    step: u64,
    /// What lies from here to there was asked for, or read.
    asked: u64,
    /// So many bytes are asked for ahead: more, the longer it goes on.
    ahead: u64,
}

impl Trail {
    /// Another segment, or another place in it, is read.
    pub(super) fn forget(&mut self) {
        self.passed.clear();
    }

    /// Remembers a record that is about to be passed.
    #[inline]
    fn pass(&mut self, held: Held) {
        if self.passed.len() >= MOST {
            self.passed.pop_front();
        } else if self.passed.is_empty() {
            // As many as a place that the index gives is away at most: grown once, not by doubling.
            self.passed.reserve(num::index(crate::segment::EVERY));
        }
        self.passed.push_back((held.offset, held.seq()));
    }

    /// Nothing is remembered of what lies before `offset` of a segment. If reading goes backwards on and on, asks for it.
    fn ends_at(&mut self, offset: u64, ordinal: u64, file: &dyn File) {
        let ended = self.ended.replace((ordinal, offset));
        let step = match ended {
            Some((segment, ended)) if segment == ordinal => ended.saturating_sub(offset),
            _ => 0,
        };
        let most = self.step.saturating_mul(2).clamp(AHEAD, MOST_AHEAD);
        let goes_on = (1..=most).contains(&step);
        self.step = step;
        if !goes_on {
            (self.asked, self.ahead) = (offset, 0);
            return;
        }
        self.ahead = (self.ahead * 2).clamp(PIECE, most);
        self.asked = self.asked.min(offset);
        while self.asked > 0 && offset - self.asked < self.ahead {
            let from = self.asked.saturating_sub(PIECE);
            file.will_read(from, self.asked - from);
            self.asked = from;
        }
    }
}

impl Walk {
    /// Holds the record with entry `target`, which ends at `end` of the current segment, or is the last one before
    /// it.
    #[inline]
    pub(super) fn step_back(&mut self, end: u64, target: u64) -> Result<()> {
        if end > 0
            && let Some((offset, seq)) = self.trail.passed.pop_back()
            && let Some(held) = self.take(offset, Some(seq))?
            && held.end() == end
            && held.contains(target)
        {
            return Ok(());
        }
        if let Some(cursor) = &self.cursor {
            self.trail.ends_at(end, cursor.segment.ordinal, cursor.source.file());
        }
        self.locate(target)
    }

    /// Remembers the record at hand, which is about to be passed.
    #[inline]
    pub(super) fn remember(&mut self, held: Held) {
        self.trail.pass(held);
    }
}

#[cfg(test)]
mod tests;
