//! A reader of another process: what it is told of cuts, of another's repairs and of damage, and what it goes on to.

use walden::{SyncStrategy, Wal};

use crate::support::{Lab, payloads, read_only};

/// Takes to the copy what it lacks of the source, up to `last`; each record has 80 bytes.
fn ship(source: &Wal, copy: &Wal, last: u64) {
    let next = copy.next_seq();
    let frames = source.frames(next, (last + 1 - next) * 80).unwrap().unwrap();
    assert_eq!(copy.append_frames(&frames).unwrap(), next..last + 1);
}

fn source_and_copy(strategy: SyncStrategy) -> (Wal, Lab) {
    let wal = Lab::new(SyncStrategy::Always, 1 << 20).open();
    Lab::append(&wal, 1..=12);
    (wal, Lab::new(strategy, 1 << 20))
}

/// Section 5, "the doubt zone starts at the latest of …; a mark at or before `sealed_through` is merely stale": a copy takes
/// up the history again that it was cut out of, with the mark of what was cut still there.
#[test]
fn a_mark_from_before_a_cut_in_a_history_taken_up_again() {
    for last in [7, 12] {
        let (source, lab) = source_and_copy(SyncStrategy::OsCache);
        let copy = lab.open();
        ship(&source, &copy, 8);
        copy.truncate_back(5).unwrap();
        ship(&source, &copy, last);
        let log = lab.reader();
        assert_eq!(log.durable_seq(), 5, "up to {last}");
        assert_eq!(read_only(&log), (1, payloads(1..=last)));
        copy.sync().unwrap();
        log.refresh().unwrap();
        assert_eq!(log.durable_seq(), last);
    }
}
