//! What may come of a call that fails.

use super::{Call, Case, Errno, Said};

/// The outcome, if it is one that this case may have.
///
/// A victim that met something wrong in any case (a panic, an acknowledgement after a failed sync, an entry that
/// cannot be read) has said so already, and never comes here.
pub(super) fn judge(case: Case, said: &Said) -> Result<String, String> {
    let outcome = said.outcome.as_str();
    if said.failed == 0 {
        // A run in which this call was not made: the threads took turns in another order.
        let fine = outcome == "no call failed";
        return if fine {
            Ok(outcome.to_owned())
        } else {
            Err(format!("{outcome}, and no call failed"))
        };
    }
    let poisoned = outcome == "poisoned" || outcome.ends_with("(Poisoned)");
    let fine = match (case.call, case.errno) {
        // A failed sync is final, whatever it says.
        (Call::Fsync | Call::Fdatasync, _) => poisoned,
        // A folder that cannot be opened cannot be synced; and behind its commit point a cut must be finished.
        // So must the writing of a manifest, of which a part may be there (`docs/design.md`); and it is a `pwrite`.
        (Call::Open | Call::Ftruncate | Call::Unlink | Call::Pwrite, Errno::Enospc) => true,
        // No room is not final.
        (_, Errno::Enospc) => !poisoned,
        // A failed write is final.
        (
            Call::Write | Call::Pwrite | Call::Pwritev | Call::Ftruncate | Call::Rename,
            Errno::Eio,
        ) => poisoned || outcome == "not noticed",
        // Mapping files is a way of writing them: where one cannot be mapped, it is written.
        (Call::Mmap, Errno::Eio) => outcome == "not noticed",
        (Call::Fallocate | Call::Open | Call::Unlink, Errno::Eio) => true,
    };
    if fine {
        Ok(outcome.to_owned())
    } else {
        Err(format!("{outcome} is not what should come of it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Files, Strategy};

    #[test]
    fn what_is_wrong_is_told() {
        for (call, errno, failed, outcome, fine) in [
            (Call::Fsync, Errno::Eio, 1, "poisoned", true),
            (Call::Fsync, Errno::Enospc, 1, "refused (OutOfSpace)", false),
            (Call::Fdatasync, Errno::Eio, 1, "not noticed", false),
            (Call::Pwrite, Errno::Enospc, 1, "poisoned", true),
            (Call::Pwritev, Errno::Enospc, 1, "poisoned", false),
            (Call::Pwrite, Errno::Enospc, 2, "refused (OutOfSpace)", true),
            (Call::Pwrite, Errno::Eio, 1, "not opened (Poisoned)", true),
            (Call::Pwritev, Errno::Eio, 1, "reported (Io)", false),
            (Call::Mmap, Errno::Eio, 1, "poisoned", false),
            (Call::Open, Errno::Eio, 0, "no call failed", true),
            (Call::Open, Errno::Eio, 0, "poisoned", false),
        ] {
            let (strategy, engine) = (Strategy::Always, Files::Os);
            let case = Case { call, errno, strategy, engine, for_good: false };
            let said = Said { calls: 9, failed, outcome: outcome.to_owned() };
            assert_eq!(judge(case, &said).is_ok(), fine, "{call:?}, {errno:?}: {outcome}");
        }
    }
}
