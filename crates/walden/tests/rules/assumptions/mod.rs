//! What `docs/guarantees.md` assumes of the disk, the kernel and the machine, each broken by a storage or a clock that
//! does one thing otherwise than it should.

mod lies;
mod mappings;
mod random;
mod removed;
mod short;
mod space;

use std::path::Path;
use std::sync::Arc;

use walden::storage::{Clock, Storage};
use walden::{Result, Wal};

use crate::support::{DIR, Lab};

/// The lab's log, over another storage than its disk.
fn open_over(lab: &Lab, storage: impl Storage + 'static) -> Result<Wal> {
    Wal::open_with(DIR, lab.config.clone(), Arc::new(storage), Arc::new(lab.clock.clone()))
}

/// The same by another clock.
fn open_by(lab: &Lab, clock: impl Clock + 'static) -> Result<Wal> {
    Wal::open_with(DIR, lab.config.clone(), Arc::new(lab.disk.clone()), Arc::new(clock))
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wal" || ending == "next")
}

/// What became of a log: its entries are the first of `all`, unaltered, or it is called damaged, by opening or by who
/// reads it, after the first of `all`. How many there are, if there is no damage.
fn opened_or_damaged(opened: &Result<Wal>, all: &[Vec<u8>]) -> Option<usize> {
    let damage = |error: &walden::Error| assert!(error.is_corruption(), "{error}");
    let wal = opened.as_ref().inspect_err(|error| damage(error)).ok()?;
    assert_eq!(wal.first_seq(), 1);
    let mut seen = 0;
    for (entry, expected) in wal.range(..).unwrap().zip(all) {
        let entry = entry.inspect_err(damage).ok()?;
        assert_eq!(entry.payload, expected[..], "seq id {}: not as it was appended", entry.seq);
        seen += 1;
    }
    assert_eq!(seen + 1, wal.next_seq(), "an end in silence, or more than was appended");
    usize::try_from(seen).ok()
}
