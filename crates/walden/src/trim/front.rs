//! `truncate_front`: raises the first seq id and removes what lies wholly before it.

use crate::error::Result;
use crate::keeper::Keeper;
use crate::segment::Segment;
use crate::sync::Arc;

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
    /// could not be removed before, so that the files of a log have no gap whatever fails.
    ///
    /// # Errors
    /// `Io`: what is left is removed by the next call, or when the log is opened.
    pub(crate) fn remove_front(&mut self, dead: Vec<Arc<Segment>>) -> Result<()> {
        self.unremoved.extend(dead);
        while let Some(segment) = self.unremoved.front() {
            self.remove_if_there(&segment.path)?;
            self.remove_if_there(segment.index_path())?;
            // Behind that: a reader of an older snapshot may have opened it meanwhile, and its space would stay taken.
            segment.forget_file();
            self.unremoved.pop_front();
        }
        Ok(())
    }
}
