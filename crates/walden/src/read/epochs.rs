//! What was cut between two looks at a log, told by its epochs.

use crate::manifest::Epoch;

/// The first seq id whose entry belongs to another history in `new` than in `old`; `None` if all entries of
/// `old` may still be there.
///
/// In between, epochs may have been appended (by opening the log, which cuts what was lost in a crash),
/// replaced (by cuts, and where they had no entries), dropped in front with their entries, and merged
/// there: under the id of the newer one, with the first seq id of the older.
pub(super) fn cut_between(old: &[Epoch], new: &[Epoch]) -> Option<u64> {
    let oldest = new.first()?;
    let Some(at) = old.iter().position(|epoch| epoch.id == oldest.id) else {
        // Nothing of what was known is left.
        return Some(oldest.first_seq);
    };
    let mut old = old.get(at + 1..).unwrap_or_default().iter();
    let mut new = new.get(1..).unwrap_or_default().iter();
    loop {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => return Some(a.first_seq.min(b.first_seq)),
            (Some(epoch), None) | (None, Some(epoch)) => return Some(epoch.first_seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(list: &[(u64, u128)]) -> Vec<Epoch> {
        list.iter().map(|(first_seq, id)| Epoch { first_seq: *first_seq, id: *id }).collect()
    }

    #[test]
    fn each_way_a_list_changes() {
        let old = epochs(&[(1, 10), (50, 11), (90, 12)]);
        let cut = |new: &[(u64, u128)]| cut_between(&old, &epochs(new));
        assert_eq!(cut(&[(1, 10), (50, 11), (90, 12)]), None);
        assert_eq!(cut(&[(50, 11), (90, 12)]), None, "dropped in front");
        assert_eq!(cut(&[(1, 11), (90, 12)]), None, "merged in front");
        assert_eq!(cut(&[(1, 12)]), None, "merged down to one");
        assert_eq!(cut(&[(1, 10), (50, 11), (90, 12), (120, 13)]), Some(120), "opened again");
        assert_eq!(cut(&[(1, 10), (50, 11), (90, 13)]), Some(90), "one without entries replaced");
        assert_eq!(cut(&[(1, 10), (50, 11), (70, 13)]), Some(70), "cut in the second");
        assert_eq!(cut(&[(1, 10), (20, 13), (60, 14)]), Some(20), "cut in the first");
        assert_eq!(cut(&[(7, 99)]), Some(7), "nothing known is left");
    }
}
