//! What a call of the disk may hold (12): appends wait for nothing but a write and the naming of a segment made ready.

use std::path::Path;

use walden::{SyncStrategy, Wal};

use super::run::Run;
use super::violation::{Checked, Rule, broken};
use crate::world::Call;
use crate::{OpKind, SimDisk};

/// Looks at each call that the log makes of its disk.
pub(super) fn watch(wal: &Wal, disk: &SimDisk, strategy: SyncStrategy) {
    let held = wal.locks_held();
    disk.watch(move |call| {
        let held = held();
        let allowed = held.iter().all(|lock| may(call, lock, strategy));
        (!allowed).then(|| format!("{call}, with {held:?} held"))
    });
}

/// Whether a call may be made with a lock held.
fn may(call: &Call, lock: &str, strategy: SyncStrategy) -> bool {
    let named =
        |end: &str| call.path.extension().is_some_and(|it| it == Path::new(end).as_os_str());
    // Whoever writes or appends may find that the log moves on to the next segment.
    let moves_on = call.op == OpKind::Rename && named("next");
    let writes = call.op == OpKind::Write && named("wal");
    match lock {
        // What must reach the kernel before the append returns is written at once.
        "append" => moves_on || (writes && strategy == SyncStrategy::OsCache),
        "write" => moves_on || writes,
        _ => true,
    }
}

impl Run {
    /// No call was in the way of an append.
    pub(super) fn check_way(&self) -> Checked {
        self.disk.seen().map_or(Ok(()), |seen| broken(Rule::Way, seen))
    }
}
