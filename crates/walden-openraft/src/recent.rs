//! The last entries appended, in memory: what is replicated and applied next is read from here, without the disk.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Bytes that are kept, but for the newest entry, which always is.
const KEEP: usize = 8 << 20;

/// The newest entries, as they are stored, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Index of the first.
    first: u64,
    entries: VecDeque<Bytes>,
    bytes: usize,
}

impl Kept {
    fn next(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }

    fn pop_front(&mut self) {
        if let Some(gone) = self.entries.pop_front() {
            self.bytes = self.bytes.saturating_sub(gone.len());
            self.first = self.first.saturating_add(1);
        }
    }
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry `index` was appended.
    pub(crate) fn push(&self, index: u64, entry: Bytes) {
        let mut kept = self.lock();
        if kept.entries.is_empty() || kept.next() != index {
            *kept = Kept { first: index, ..Kept::default() };
        }
        kept.bytes = kept.bytes.saturating_add(entry.len());
        kept.entries.push_back(entry);
        while kept.bytes > KEEP && kept.entries.len() > 1 {
            kept.pop_front();
        }
    }

    /// The entries from `since` on are gone.
    pub(crate) fn truncate(&self, since: u64) {
        let mut kept = self.lock();
        while kept.next() > since {
            let Some(gone) = kept.entries.pop_back() else { return };
            kept.bytes = kept.bytes.saturating_sub(gone.len());
        }
    }

    /// The entries before `first` are gone.
    pub(crate) fn purge(&self, first: u64) {
        let mut kept = self.lock();
        while kept.first < first && !kept.entries.is_empty() {
            kept.pop_front();
        }
    }

    /// The entries in `range` as far as they are there, each with its index, if all of them are here: never some
    /// from here and some from the files, between which the log could have been cut. At most `limit` bytes, but at
    /// least one entry.
    pub(crate) fn get(&self, range: &Range<u64>, limit: usize) -> Option<Vec<(u64, Bytes)>> {
        let kept = self.lock();
        if kept.entries.is_empty() || range.start < kept.first {
            return None;
        }
        let skipped = usize::try_from(range.start - kept.first).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        for (index, entry) in (range.start..range.end).zip(kept.entries.iter().skip(skipped)) {
            bytes = bytes.saturating_add(entry.len());
            if bytes > limit && !found.is_empty() {
                break;
            }
            found.push((index, entry.clone()));
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(indexes: Range<u64>, len: usize) -> Recent {
        let recent = Recent::default();
        for index in indexes {
            recent.push(index, Bytes::from(vec![u8::try_from(index % 251).unwrap(); len]));
        }
        recent
    }

    fn indexes(recent: &Recent, range: Range<u64>, limit: usize) -> Option<Vec<u64>> {
        let found = recent.get(&range, limit)?;
        for (index, entry) in &found {
            assert_eq!(u64::from(entry[0]), index % 251);
        }
        Some(found.into_iter().map(|(index, _)| index).collect())
    }

    #[test]
    fn all_or_nothing() {
        let recent = filled(5..10, 10);
        assert_eq!(indexes(&recent, 5..7, 1000), Some(vec![5, 6]));
        assert_eq!(indexes(&recent, 8..20, 1000), Some(vec![8, 9]));
        assert_eq!(indexes(&recent, 10..20, 1000), Some(vec![]));
        assert_eq!(indexes(&recent, 4..7, 1000), None);
        assert_eq!(indexes(&recent, 5..10, 25), Some(vec![5, 6]));
        assert_eq!(indexes(&recent, 5..10, 0), Some(vec![5]));
        assert_eq!(indexes(&Recent::default(), 0..9, 1000), None);
    }

    #[test]
    fn cut_at_both_ends() {
        let recent = filled(5..10, 10);
        recent.truncate(8);
        recent.purge(6);
        assert_eq!(indexes(&recent, 6..20, 1000), Some(vec![6, 7]));
        assert_eq!(indexes(&recent, 5..20, 1000), None);
        recent.push(8, Bytes::from(vec![8; 3]));
        assert_eq!(indexes(&recent, 6..20, 1000), Some(vec![6, 7, 8]));
        // An entry that does not follow: the log was emptied, and went on elsewhere.
        recent.push(100, Bytes::from(vec![100]));
        assert_eq!(indexes(&recent, 8..200, 1000), None);
        assert_eq!(indexes(&recent, 100..200, 1000), Some(vec![100]));
        recent.truncate(0);
        assert_eq!(indexes(&recent, 100..200, 1000), None);
    }

    #[test]
    fn memory_is_bounded() {
        let recent = filled(0..40, 1 << 20);
        assert!(recent.lock().bytes <= KEEP);
        assert_eq!(indexes(&recent, 39..40, usize::MAX), Some(vec![39]));
        assert_eq!(indexes(&recent, 0..40, usize::MAX), None);
        recent.push(40, Bytes::from(vec![40; KEEP + 1]));
        assert_eq!(indexes(&recent, 40..41, usize::MAX), Some(vec![40]));
    }
}
