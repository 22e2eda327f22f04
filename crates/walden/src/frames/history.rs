//! Where two logs' histories part, told by their epochs.

use crate::manifest::Epoch;

/// Epochs of a log whose entries end before `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History<'a> {
    pub(crate) epochs: &'a [Epoch],
    pub(crate) end: u64,
}

impl History<'_> {
    /// The epoch of an entry; `None` where it is not known any more, or there is no such entry.
    pub(crate) fn epoch_of(&self, seq: u64) -> Option<u128> {
        let before = self.epochs.iter().rev().find(|epoch| epoch.first_seq <= seq);
        before.filter(|_| seq < self.end).map(|epoch| epoch.id)
    }

    /// Where the epoch of an entry began.
    pub(crate) fn begin_of(&self, seq: u64) -> Option<u64> {
        let before = self.epochs.iter().rev().find(|epoch| epoch.first_seq <= seq);
        before.map(|epoch| epoch.first_seq)
    }

    /// Each epoch with the first seq id behind it.
    fn stretches(&self) -> impl DoubleEndedIterator<Item = (Epoch, u64)> {
        self.epochs.iter().enumerate().map(|(at, epoch)| {
            let next = self.epochs.get(at + 1).map_or(self.end, |next| next.first_seq);
            (*epoch, next.min(self.end))
        })
    }

    /// The first seq id from which on entries of `self` are not known to be those of `other`: below it both
    /// are the same. An id stands for one unforked run of entries, so the newest one that both have tells.
    pub(crate) fn parts_from(&self, other: &Self) -> u64 {
        for (mine, mine_end) in self.stretches().rev() {
            for (theirs, theirs_end) in other.stretches() {
                if mine.id == theirs.id {
                    return mine_end.min(theirs_end);
                }
            }
        }
        self.epochs.first().map_or(0, |epoch| epoch.first_seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(list: &[(u64, u128)]) -> Vec<Epoch> {
        list.iter().map(|(first_seq, id)| Epoch { first_seq: *first_seq, id: *id }).collect()
    }

    #[test]
    fn each_way_two_logs_stand_to_each_other() {
        let mine = epochs(&[(1, 10), (50, 11)]);
        let mine = History { epochs: &mine, end: 80 };
        let parts = |list: &[(u64, u128)], end| {
            let theirs = epochs(list);
            mine.parts_from(&History { epochs: &theirs, end })
        };
        assert_eq!(parts(&[(1, 10), (50, 11)], 100), 80, "behind: all of it is there");
        assert_eq!(parts(&[(1, 10), (50, 11)], 70), 70, "ahead");
        assert_eq!(parts(&[(1, 10), (50, 11), (60, 12)], 100), 60, "the other was cut at 60");
        assert_eq!(parts(&[(1, 10), (40, 12)], 100), 40, "it was cut at 40");
        assert_eq!(parts(&[(1, 10), (60, 12)], 100), 50, "it went on with 10 where 11 began here");
        assert_eq!(parts(&[(30, 10), (50, 11)], 100), 80, "it dropped its beginning");
        assert_eq!(parts(&[(1, 11)], 100), 80, "it merged its beginning");
        assert_eq!(parts(&[(1, 99)], 100), 1, "another log");
        assert_eq!(mine.epoch_of(49), Some(10));
        assert_eq!(mine.epoch_of(79), Some(11));
        assert_eq!(mine.epoch_of(80), None);
    }
}
