use super::*;
use crate::error::ErrorKind;
use crate::read::testing::{Dice, Fake, edit, payload};

fn seqs(entries: Entries) -> Vec<u64> {
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.payload, payload(entry.seq));
            entry.seq
        })
        .collect()
}

#[test]
fn bounds() {
    let fake = Fake::filled(50, 10);
    fake.truncate_front(5);
    let view = fake.view();
    let kind = |result: Result<Entries>| result.unwrap_err().kind();
    assert_eq!(seqs(range(&view, &(..)).unwrap()), (5..=50).collect::<Vec<_>>());
    assert_eq!(seqs(range(&view, &(7..9)).unwrap()), [7, 8]);
    assert_eq!(seqs(range(&view, &(7..=9)).unwrap()), [7, 8, 9]);
    assert_eq!(seqs(range(&view, &(49..1000)).unwrap()), [49, 50]);
    assert_eq!(seqs(range(&view, &(49..=u64::MAX)).unwrap()), [49, 50]);
    assert_eq!(seqs(range(&view, &(51..)).unwrap()), [] as [u64; 0]);
    assert_eq!(seqs(range(&view, &(..3)).unwrap()), [] as [u64; 0]);
    let backward = (Bound::Included(9), Bound::Excluded(7));
    assert_eq!(seqs(range(&view, &backward).unwrap()), [] as [u64; 0]);
    let behind = (Bound::Excluded(4), Bound::Unbounded);
    assert_eq!(seqs(range(&view, &behind).unwrap()).first(), Some(&5));
    assert_eq!(kind(range(&view, &(4..))), ErrorKind::Removed);
    assert_eq!(kind(range(&view, &(52..))), ErrorKind::BeyondEnd);
    let past = (Bound::Excluded(u64::MAX), Bound::Unbounded);
    assert_eq!(kind(range(&view, &past)), ErrorKind::BeyondEnd);
}

#[test]
fn one_entry() {
    let fake = Fake::filled(50, 10);
    fake.truncate_front(5);
    let view = fake.view();
    assert_eq!(get(&view, 17).unwrap().unwrap().payload, payload(17));
    assert!(get(&view, 51).unwrap().is_none());
    assert!(get(&view, u64::MAX).unwrap().is_none());
    assert!(get(&view, 4).unwrap_err().is_removed());
    fake.change(|list| list.losses.push((20, 22)));
    assert_eq!(get(&view, 21).unwrap_err().kind(), ErrorKind::Lost);
}

#[test]
fn both_ends_meet_without_overlap() {
    let fake = Fake::filled(200, 23);
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let (start, end) = (1 + dice.below(100), 100 + dice.below(102));
        let mut entries = range(&fake.view(), &(start..end)).unwrap();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let left = usize::try_from(end - start).unwrap() - front.len() - back.len();
            assert_eq!(entries.size_hint().1, Some(left), "seed {seed}");
            let (next, list) = if dice.below(2) == 0 {
                (entries.next(), &mut front)
            } else {
                (entries.next_back(), &mut back)
            };
            let Some(entry) = next else { break };
            let entry = entry.unwrap();
            assert_eq!(entry.payload, payload(entry.seq), "seed {seed}");
            list.push(entry.seq);
        }
        assert!(entries.next().is_none() && entries.next_back().is_none());
        back.reverse();
        front.extend(back);
        assert_eq!(front, (start..end).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn kept_entries_stay_what_they_were() {
    let fake = Fake::filled(3000, 500);
    let entries: Vec<Entry> = range(&fake.view(), &(..)).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 3000);
    assert!(entries.iter().all(|entry| entry.payload == payload(entry.seq)));
}

#[test]
fn an_error_is_the_end() {
    let fake = Fake::filled(50, 10);
    edit(&fake.path(2), |bytes| bytes[30] ^= 1);
    let mut entries = range(&fake.view(), &(..)).unwrap();
    let read = entries.by_ref().take_while(Result::is_ok).count();
    assert_eq!(read, 20);
    assert!(entries.next().is_none() && entries.next_back().is_none());
}

#[test]
fn the_end_is_fixed_and_history_is_one() {
    let fake = Fake::filled(50, 10);
    let mut entries = range(&fake.view(), &(25..)).unwrap();
    let mut back = range(&fake.view(), &(25..)).unwrap();
    fake.append();
    entries.next().unwrap().unwrap();
    assert_eq!(back.next_back().unwrap().unwrap().seq, 50);
    fake.cut(31);
    (0..30).for_each(|_| _ = fake.append());
    for seq in 26..=30 {
        assert_eq!(entries.next().unwrap().unwrap().seq, seq);
    }
    let error = entries.next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Truncated, Some(31)));
    assert!(entries.next().is_none());
    assert!(back.next_back().unwrap().unwrap_err().is_truncated());
}
