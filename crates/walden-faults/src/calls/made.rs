//! Which calls the library makes, and on what. One that it ceases to make would not be struck any more, and all that is
//! said of its failures would be true of nothing; one that it begins to make has nobody to judge it.

use std::collections::BTreeMap;

use super::left::Begin;
use super::watch::{Call, Of, Place};
use crate::setup::Files;

/// In which runs a call is made, as far as the log goes by what it finds and how it is set.
#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    /// As a log is made.
    New,
    /// As a torn tail is put aside.
    Torn,
    /// Where files are mapped.
    Mapped,
}

/// All there are. A plain `write`, which goes by the descriptor's position, is not among them, nor is any other way to
/// change a file.
const MADE: &[(Call, &[(Of, When)])] = &[
    (
        Call::Pwrite,
        &[
            (Of::Segment, When::Always),
            // What survives of a batch that is cut.
            (Of::Next, When::Always),
            (Of::Index, When::Always),
            (Of::Manifest, When::Always),
            (Of::Mark, When::Always),
            (Of::Lock, When::Always),
            (Of::NewManifest, When::New),
            (Of::Quarantine, When::Torn),
        ],
    ),
    (Call::Pwritev, &[(Of::Segment, When::Always)]),
    (
        Call::Fsync,
        &[
            (Of::Segment, When::Always),
            (Of::Next, When::Always),
            (Of::Folder, When::Always),
            (Of::NewManifest, When::New),
            (Of::Parent, When::New),
            (Of::Quarantine, When::Torn),
        ],
    ),
    (Call::Fdatasync, &[(Of::Segment, When::Always), (Of::Manifest, When::Always)]),
    (Call::Fallocate, &[(Of::Segment, When::Always), (Of::Next, When::Always)]),
    (Call::Ftruncate, &[(Of::Segment, When::Always), (Of::Lock, When::Always)]),
    (
        Call::Rename,
        &[(Of::Next, When::Always), (Of::NewManifest, When::New), (Of::Quarantine, When::Torn)],
    ),
    (
        Call::Open,
        &[
            (Of::Segment, When::Always),
            (Of::Index, When::Always),
            (Of::Manifest, When::Always),
            (Of::Folder, When::Always),
            (Of::Cursors, When::Always),
            (Of::Parent, When::New),
            (Of::Quarantine, When::Torn),
        ],
    ),
    (
        Call::Create,
        &[
            (Of::Next, When::Always),
            (Of::Index, When::Always),
            (Of::Lock, When::Always),
            (Of::Segment, When::New),
            (Of::NewManifest, When::New),
            (Of::Quarantine, When::Torn),
        ],
    ),
    (
        Call::Mkdir,
        &[(Of::Folder, When::New), (Of::Parent, When::New), (Of::Quarantine, When::Torn)],
    ),
    (
        Call::Unlink,
        &[
            (Of::Segment, When::Always),
            (Of::Next, When::Always),
            (Of::Index, When::Always),
            (Of::NewManifest, When::New),
            (Of::Quarantine, When::Torn),
        ],
    ),
    (Call::Mmap, &[(Of::Segment, When::Mapped), (Of::Next, When::Mapped)]),
];

/// What is wrong with the calls of a run in which none failed.
pub(super) fn check(begin: Begin, engine: Files, calls: &BTreeMap<Place, u64>) -> Vec<String> {
    let rows = MADE.iter().flat_map(|(call, on)| on.iter().map(|(of, when)| ((*call, *of), *when)));
    let expected: Vec<Place> = rows
        .filter(|(_, when)| match when {
            When::Always => true,
            When::New => begin == Begin::New,
            When::Torn => begin == Begin::Torn,
            When::Mapped => engine == Files::Mmap,
        })
        .map(|(place, _)| place)
        .collect();
    let never = expected
        .iter()
        .filter(|place| calls.get(place).is_none_or(|count| *count == 0))
        .map(|place| format!("{place:?} is not called any more: nothing is known of its failures"));
    let unforeseen = calls
        .iter()
        .filter(|(place, _)| !expected.contains(place))
        .map(|(place, count)| format!("{place:?} is called, {count} times, and nobody foresaw it"));
    never.chain(unforeseen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(begin: Begin, engine: Files) -> BTreeMap<Place, u64> {
        let mut calls = BTreeMap::new();
        for (call, on) in MADE {
            for (of, _) in *on {
                calls.insert((*call, *of), 1);
            }
        }
        for why in check(begin, engine, &calls) {
            assert!(why.contains("nobody foresaw"), "{why}");
        }
        calls
    }

    #[test]
    fn a_call_that_is_gone_or_new_is_told() {
        let mut calls = all(Begin::Torn, Files::Mmap);
        calls.retain(|(call, of), _| {
            !matches!(of, Of::NewManifest | Of::Parent)
                && !matches!((call, of), (Call::Create, Of::Segment) | (Call::Mkdir, Of::Folder))
        });
        assert_eq!(check(Begin::Torn, Files::Mmap, &calls), Vec::<String>::new());
        assert_eq!(check(Begin::Torn, Files::Os, &calls).len(), 2);
        calls.remove(&(Call::Fdatasync, Of::Segment));
        assert!(check(Begin::Torn, Files::Mmap, &calls)[0].contains("not called any more"));
        calls.insert((Call::Fdatasync, Of::Segment), 0);
        assert_eq!(check(Begin::Torn, Files::Mmap, &calls).len(), 1);
        calls.insert((Call::Fdatasync, Of::Segment), 9);
        calls.insert((Call::Write, Of::Segment), 1);
        assert!(check(Begin::Torn, Files::Mmap, &calls)[0].contains("nobody foresaw"));
    }
}
