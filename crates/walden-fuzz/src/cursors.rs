//! The cursors' file, whatever lies in it: what is asked of the log, and what must hold.

use walden::offline;
use walden::{CursorInfo, RecoveryMode, Retention, Start, Wal};

use crate::ask;
use crate::logs::{self, CURSORS, Made};

/// Every entry is found whatever the file holds; and of a cursor that can be read, the place is one that it had.
///
/// Where a checksum was `forged`, it may be any place.
pub(crate) fn ask(made: &Made, forged: bool) {
    let reported = offline::cursors(&ask::target(&made.disk));
    let log = logs::open(&made.disk, RecoveryMode::Strict).unwrap();
    let listed = log.cursors().unwrap();
    // What is not there at all is not listed; what is, is one of those that were made, not further than it came.
    for cursor in listed.iter().filter(|cursor| !cursor.name.is_empty() && !forged) {
        let made = CURSORS.iter().find(|(name, ..)| *name == cursor.name);
        let (_, from, to) = made.unwrap_or_else(|| panic!("nobody made {cursor:?}"));
        assert!((*from..=*to).contains(&cursor.position), "{cursor:?} was never there");
        assert!(cursor.problem.is_none(), "{cursor:?}");
    }
    // Of forged ones two may have the same name, of which the log lists one.
    if let Ok(reported) = reported
        && !forged
    {
        let names = |at: usize| listed.get(at).map(|cursor| (&cursor.name, cursor.position));
        for (at, report) in reported.iter().filter(|report| report.what.is_none()).enumerate() {
            assert_eq!(Some((&report.name, report.position)), names(at), "by the file alone");
        }
    }
    retention(&log, &listed);
    let sound: Vec<_> = listed.iter().filter(|c| !c.name.is_empty() && !forged).collect();
    goes_on(made, &log, &sound);
}

/// Retention leaves what a cursor needs, and removes nothing where one cannot be read.
fn retention(log: &Wal, listed: &[CursorInfo]) {
    let unreadable = listed.iter().any(|cursor| cursor.name.is_empty());
    let removed = log.retain(&Retention::keep_all().max_segments(1));
    // Where a sound cursor keeps everything, the other one is in nobody's way.
    assert!(unreadable || removed.is_ok(), "{removed:?}");
    let needed = listed.iter().filter(|cursor| cursor.problem.is_none()).map(|c| c.position);
    let needed = needed.min().unwrap_or(u64::MAX);
    assert!(log.first_seq() <= needed, "retention went past a cursor");
    assert!(!unreadable || log.first_seq() == 1, "removed: {removed:?}");
}

/// The log and each cursor that can be had go on from where they were, also after another opening.
fn goes_on(made: &Made, log: &Wal, sound: &[&CursorInfo]) {
    let next = log.next_seq();
    assert_eq!(log.append(b"goes on").unwrap(), next);
    for cursor in sound {
        let owner = log.cursor(&cursor.name, Start::End).unwrap();
        assert_eq!(owner.position(), cursor.position);
        let mut reader = owner.reader().unwrap();
        let next_entry = reader.read_next().unwrap().map(|entry| entry.seq);
        assert_eq!(next_entry, Some(cursor.position), "it begins where it stands");
        owner.commit(next).unwrap();
    }
    log.close().unwrap();
    let again = logs::open(&made.disk, RecoveryMode::Strict).unwrap();
    for (seq, payload) in made.entries.iter().filter(|(seq, _)| *seq >= again.first_seq()) {
        assert_eq!(again.get(*seq).unwrap().unwrap().payload, *payload, "seq id {seq}");
    }
    for cursor in sound {
        let owner = again.cursor(&cursor.name, Start::First).unwrap();
        assert_eq!(owner.position(), next + 1, "what it committed");
        owner.remove().unwrap();
    }
    again.remove_unreadable_cursors().ok();
    again.close().unwrap();
}
