//! The manifest: the one truth about which segments live, how far the log is sealed, and which stretch
//! of history each seq id belongs to.
//!
//! One file of six blocks of 4 KiB: two copies of the even generation (blocks 0 and 2), two of the odd
//! (1 and 3), and two mark slots (4 and 5). It is written in place, never renamed or grown once made,
//! so that it works on a full disk.

mod codec;
mod file;
mod mark;

use std::collections::BTreeMap;

pub(crate) use self::codec::{BLOCK_LEN, MAGIC, VERSION};
pub(crate) use self::file::{FILE_LEN, Found, ManifestFile, find};
pub(crate) use self::mark::{MARK_LEN, MARK_MAGIC, Mark};
use crate::error::{Error, ErrorKind, Result};

/// The most epochs, losses and bytes of metadata that fit a block.
pub(crate) const MAX_EPOCHS: usize = 64;
pub(crate) const MAX_LOSSES: usize = 32;
pub(crate) const MAX_META: usize = 1400;

/// One unforked stretch of history: from `first_seq` on, entries belong to `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) first_seq: u64,
    pub(crate) id: u128,
}

/// A place in the log's files: where the record with seq id `next_seq` begins, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) ordinal: u64,
    pub(crate) offset: u64,
    pub(crate) next_seq: u64,
}

/// A cut that was committed and may not be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The segment that keeps something, and how many bytes of it; `None` if the log becomes empty.
    pub(crate) kept: Option<(u64, u64)>,
    /// Every segment with an ordinal in `dead_from..dead_to` is to go.
    pub(crate) dead_from: u64,
    pub(crate) dead_to: u64,
    /// The first seq id that is cut; 0 for a cut that empties the log.
    pub(crate) first_cut: u64,
    /// Length of the new active segment's prepared content, where the cut went through a batch.
    pub(crate) prepared: Option<u64>,
}

/// What one generation of the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) log_id: u128,
    pub(crate) generation: u64,
    /// In order of `first_seq`, never empty.
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) first_seq: u64,
    pub(crate) first_ordinal: u64,
    /// Everything before this place is sealed; segments from this ordinal on are open.
    pub(crate) open_from: u64,
    pub(crate) open_seq: u64,
    pub(crate) sealed_count: u64,
    pub(crate) active: u64,
    pub(crate) next_ordinal: u64,
    /// The log's next seq id never is below this.
    pub(crate) lowest_next: u64,
    /// How far the log was durable at the last opening or cut; `None` until an opening has finished.
    pub(crate) base: Option<Place>,
    pub(crate) cut: Option<Cut>,
    /// Accepted losses: inclusive ranges of seq ids, in order.
    pub(crate) losses: Vec<(u64, u64)>,
    pub(crate) meta: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Manifest {
    /// The epoch of what is appended now.
    pub(crate) fn epoch(&self) -> u128 {
        self.epochs.last().map_or(0, |epoch| epoch.id)
    }

    /// Begins a new epoch at `first_seq`: epochs without entries are replaced, and the oldest two merged
    /// (under the newer id) where there would be too many.
    pub(crate) fn begin_epoch(&mut self, first_seq: u64, id: u128) {
        self.epochs.retain(|epoch| epoch.first_seq < first_seq);
        if self.epochs.len() >= MAX_EPOCHS {
            let oldest = self.epochs.remove(0);
            if let Some(epoch) = self.epochs.first_mut() {
                epoch.first_seq = oldest.first_seq;
            }
        }
        self.epochs.push(Epoch { first_seq, id });
    }

    /// Goes on in epoch `id` from `first_seq` on: the one that the entries before belong to, or another one.
    pub(crate) fn continue_epoch(&mut self, first_seq: u64, id: u128) {
        self.epochs.retain(|epoch| epoch.first_seq < first_seq);
        if self.epochs.last().is_none_or(|last| last.id != id) {
            self.begin_epoch(first_seq, id);
        }
    }

    /// Drops epochs, and losses, of which no entry is left below `first_seq`.
    pub(crate) fn drop_before(&mut self, first_seq: u64) {
        while self.epochs.get(1).is_some_and(|second| second.first_seq <= first_seq) {
            self.epochs.remove(0);
        }
        self.losses.retain(|(_, last)| *last >= first_seq);
    }

    /// The bytes that `meta` would take.
    pub(crate) fn meta_len(&self) -> usize {
        self.meta.iter().map(|(key, value)| key.len() + value.len() + 4).sum()
    }

    /// # Errors
    /// `TooLarge` where something would not fit a block; nothing was written.
    pub(crate) fn check_limits(&self) -> Result<()> {
        if self.meta_len() > MAX_META {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("metadata takes {} bytes of at most {MAX_META}", self.meta_len()),
            ));
        }
        if self.losses.len() > MAX_LOSSES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("more than {MAX_LOSSES} accepted losses: use `walden salvage`"),
            ));
        }
        Ok(())
    }

    /// Where the doubt zone begins as far as the manifest alone can tell.
    pub(crate) fn open_place(&self) -> Place {
        Place { ordinal: self.open_from, offset: 0, next_seq: self.open_seq }
    }
}
