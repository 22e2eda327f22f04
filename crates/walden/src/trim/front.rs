//! `truncate_front`: raises the first seq id and removes what lies wholly before it.

use crate::error::Result;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::stats::Counters;
use crate::sync::{Arc, Ordering};

impl Keeper {
    /// Makes `first_seq` the first seq id. `sealed` are the sealed segments, oldest first, with the seq id
    /// that follows each: those that end at or before `first_seq` are dead and returned, to be removed once
    /// readers know. All before it is durable.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) fn raise_first(
        &mut self,
        first_seq: u64,
        sealed: &[(Arc<Segment>, u64)],
    ) -> Result<Vec<Arc<Segment>>> {
        let dead: Vec<Arc<Segment>> = sealed
            .iter()
            .take_while(|(_, next)| *next <= first_seq)
            .map(|(segment, _)| Arc::clone(segment))
            .collect();
        let mut next = self.manifest.clone();
        next.first_seq = first_seq;
        next.lowest_next = next.lowest_next.max(first_seq);
        if let Some(last) = dead.last() {
            next.first_ordinal = last.ordinal + 1;
            next.sealed_count = next.sealed_count.saturating_sub(crate::num::size(dead.len()));
        }
        next.drop_before(first_seq);
        self.commit(next)?;
        Ok(dead)
    }

    /// Removes the files of segments that are no more in the manifest, nor in what readers see: first those that
    /// could not be removed before. One that still cannot be does not keep the space of the others.
    ///
    /// # Errors
    /// `Io`, the first: what is left is tried again by the next call, and removed when the log is opened.
    pub(crate) fn remove_front(&mut self, dead: Vec<Arc<Segment>>) -> Result<()> {
        let mut result = Ok(());
        for segment in std::mem::take(&mut self.unremoved).into_iter().chain(dead) {
            let removed = self
                .remove_if_there(&segment.path)
                .and_then(|_| self.remove_if_there(segment.index_path()));
            // Behind that: a reader of an older snapshot may have opened it meanwhile, and its space would stay taken.
            segment.forget_file();
            if let Err(error) = removed {
                self.unremoved.push(segment);
                result = result.and(Err(error));
            }
        }
        result
    }
}

impl Log {
    /// Makes `first` the first seq id, for readers too. Gives the segments that are dead, whose files are to be removed
    /// after that: who reads in a file that is gone must find that it was removed.
    ///
    /// # Errors
    /// The log has failed.
    pub(super) fn raise_first(
        &self,
        keeper: &mut Keeper,
        first: u64,
        sealed: &[(Arc<Segment>, u64)],
    ) -> Result<Vec<Arc<Segment>>> {
        let dead = keeper.raise_first(first, sealed)?;
        let first_ordinal = keeper.manifest.first_ordinal;
        self.change_snapshot(|next| {
            next.first_seq = first;
            next.epochs.clone_from(&keeper.manifest.epochs);
            next.segments.retain(|segment| segment.ordinal >= first_ordinal);
            next.losses.retain(|(_, last)| *last >= first);
        });
        Counters::add(&self.counters.front_cuts, 1);
        Ok(dead)
    }

    /// Removes the files of segments that are gone, the maintenance lock held.
    ///
    /// # Errors
    /// `Io`: what is left is tried again.
    pub(super) fn remove_front(&self, keeper: &mut Keeper, dead: Vec<Arc<Segment>>) -> Result<()> {
        let result = keeper.remove_front(dead);
        self.left_over.store(!keeper.unremoved.is_empty(), Ordering::Release);
        result
    }

    /// Tries again what could not be removed. Without it nobody waits for the lock.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn remove_left_over(&self) -> Result<()> {
        if !self.left_over.load(Ordering::Acquire) {
            return Ok(());
        }
        self.remove_front(&mut self.keeper(), Vec::new())
    }
}

/// The sealed segments, each with the seq id that follows it.
pub(super) fn ends(snapshot: &Snapshot, open_seq: u64) -> Result<Vec<(Arc<Segment>, u64)>> {
    let mut next = open_seq;
    let mut out = Vec::with_capacity(snapshot.segments.len());
    for (at, segment) in snapshot.segments.iter().enumerate().rev() {
        if segment.is_sealed() {
            out.push((Arc::clone(segment), next));
        }
        // Of one that is not sealed here, too: the manifest may have it sealed, where a tail waits to be cut. Not of the
        // oldest: nothing ends there, and its beginning may be unsound that was removed.
        if at > 0 {
            next = segment.first_seq()?.unwrap_or(next);
        }
    }
    out.reverse();
    Ok(out)
}
