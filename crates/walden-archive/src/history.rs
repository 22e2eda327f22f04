//! Which stretch of history each entry belongs to, and where two histories part.

/// Epochs, as (first seq id, id) in order, of entries that end before `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History<'a> {
    pub(crate) epochs: &'a [(u64, u128)],
    pub(crate) end: u64,
}

impl History<'_> {
    /// The epoch of an entry; `None` where that is not known, or there is no such entry.
    pub(crate) fn epoch_of(&self, seq: u64) -> Option<u128> {
        let before = self.epochs.iter().rev().find(|(first, _)| *first <= seq);
        before.filter(|_| seq < self.end).map(|(_, id)| *id)
    }

    fn end_of(&self, id: u128) -> Option<u64> {
        let at = self.epochs.iter().position(|(_, known)| *known == id)?;
        let next = self.epochs.get(at + 1).map_or(self.end, |(first, _)| *first);
        Some(next.min(self.end))
    }

    /// The first seq id from which on entries of `self` are not known to be those of `other`; below it they are.
    /// An id stands for one unforked run of entries, so the newest one that both have tells. `None`: they have none
    /// in common.
    pub(crate) fn parts_from(&self, other: &Self) -> Option<u64> {
        let common = self.epochs.iter().rev().map(|(_, id)| *id);
        common.filter_map(|id| Some(self.end_of(id)?.min(other.end_of(id)?))).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_two_part() {
        let mine = History { epochs: &[(1, 10), (50, 11)], end: 80 };
        let parts = |epochs: &[(u64, u128)], end| mine.parts_from(&History { epochs, end });
        assert_eq!(parts(&[(1, 10), (50, 11)], 100), Some(80), "it goes on");
        assert_eq!(parts(&[(1, 10), (50, 11)], 70), Some(70), "it is behind");
        assert_eq!(parts(&[(1, 10), (60, 12)], 100), Some(50), "it went on with 10");
        assert_eq!(parts(&[(1, 10), (40, 12)], 100), Some(40), "it was cut");
        assert_eq!(parts(&[(1, 99)], 100), None, "another log");
        assert_eq!((mine.epoch_of(49), mine.epoch_of(79)), (Some(10), Some(11)));
        assert_eq!((mine.epoch_of(80), mine.epoch_of(0)), (None, None));
    }
}
