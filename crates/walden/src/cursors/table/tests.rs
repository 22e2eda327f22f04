//! Where positions part from histories.

use super::*;

fn epochs(list: &[(u64, u128)]) -> Vec<Epoch> {
    list.iter().map(|(first_seq, id)| Epoch { first_seq: *first_seq, id: *id }).collect()
}

#[test]
fn where_histories_part() {
    let parted = |position, epoch, list: &[(u64, u128)]| {
        Stand { position, epoch, expired: false }.parted(&epochs(list))
    };
    let list = &[(1, 10), (50, 11), (90, 12)];
    assert_eq!(parted(30, 10, list), None);
    assert_eq!(parted(50, 10, list), None, "all of the epoch, and nothing behind it");
    assert_eq!(parted(51, 10, list), Some(50), "another history's 50 came before it");
    assert_eq!(parted(70, 11, list), None);
    assert_eq!(parted(30, 11, list), None, "moved on before 10 was merged into 11");
    assert_eq!(parted(999, 12, list), None, "where the last one ends is the log's to know");
    assert_eq!(parted(30, 99, list), Some(1), "nothing is known of it");
    assert_eq!(parted(1, NOTHING_BEFORE, list), None);
    assert_eq!(parted(2, NOTHING_BEFORE, list), Some(1), "there was nothing before 2 then");
    assert_eq!(parted(7, NOTHING_BEFORE, &[(7, 3)]), None);
}

#[test]
fn a_merged_epoch_is_followed_through_later_merges() {
    let live = Live { merged: vec![(1, 2), (2, 3), (8, 9)], ..Live::default() };
    assert_eq!([1, 2, 3, 8, 5].map(|id| live.epoch_now(id)), [3, 3, 3, 9, 5]);
}

/// What was seen to hold retention back may have come far enough by the time that it would expire.
#[test]
fn only_what_still_holds_back_expires() {
    let dir = tempfile::tempdir().unwrap();
    let names = Names::new(dir.path(), "segment");
    let cursors = Cursors::load(Arc::new(crate::storage::OsStorage::new()), &names, 7).unwrap();
    let epochs = epochs(&[(1, 10)]);
    let stand = Stand { position: 2, epoch: 10, expired: false };
    let [slow, quick] = ["slow", "quick"].map(|name| cursors.make(name, stand, 0).unwrap());
    let holds = cursors.holds(&epochs);
    assert_eq!(holds.iter().map(|hold| hold.from).collect::<Vec<_>>(), [2, 2]);
    cursors.advance(quick, 9, 10).unwrap();
    assert_eq!(cursors.expire(&holds, 9, &epochs).unwrap(), 1);
    let quick = cursors.get(quick).unwrap();
    assert!(cursors.get(slow).unwrap().stand.expired && !quick.stand.expired);
    assert_eq!(quick.saved.position, 9, "durable before what it needs no more goes");
}
