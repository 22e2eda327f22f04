//! What may come of a call that fails.

use super::left::Begin;
use super::watch::{Call, Of};
use super::{Case, Errno, Said};

/// Something that came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nobody was told, and all that was promised holds: it was tried again, or was not needed.
    Unnoticed,
    /// A call said so, with the kind of the error, and the log went on.
    Told,
    /// Opening said so.
    NotOpened,
    /// Closing said so, and the log is none the worse: it was not final.
    NotClosed,
    /// The log takes no more changes.
    Final,
    /// Likewise, and it was `truncate_back` or `reset` that made it so.
    FinalInCut,
}

/// The outcome, if it is one that this case may have.
///
/// A victim that met something wrong in any case (a panic, an acknowledgement after a failed sync, an entry that
/// cannot be read, a call after the failure was told) has said so already, and never comes here.
pub(super) fn judge(case: Case, nth: u64, said: &Said) -> Result<String, String> {
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
    let allowed = allowed(case)?;
    let mut fates = Vec::new();
    for word in outcome.replace(", and cut", " and cut").split(", ") {
        fates.push(fate(word, case.errno).ok_or_else(|| format!("{word} is another failure"))?);
    }
    let may = |fate: &Fate| {
        allowed.contains(fate) || *fate == Fate::FinalInCut && allowed.contains(&Fate::Final)
    };
    if !fates.iter().all(may) {
        return Err(format!("{outcome} is not what should come of it, but {allowed:?}"));
    }
    if case.for_good && nth == 1 && must_be_told(case) && fates == [Fate::Unnoticed] {
        return Err(format!("{outcome}, and it failed each time from the first on"));
    }
    Ok(outcome.to_owned())
}

/// What a word of the victim's means. `None`: an error of another kind than what was struck gives.
fn fate(word: &str, errno: Errno) -> Option<Fate> {
    let (kind, told) = match errno {
        Errno::Eio => ("(Io)", "reported (Io)"),
        Errno::Enospc => ("(OutOfSpace)", "refused (OutOfSpace)"),
    };
    Some(match word {
        "not noticed" => Fate::Unnoticed,
        "not opened (Poisoned)" | "not closed (Poisoned)" => Fate::Final,
        "poisoned in truncate_back" | "poisoned in reset" => Fate::FinalInCut,
        word if word == told => Fate::Told,
        word if word.starts_with("poisoned in ") => Fate::Final,
        word if word.strip_prefix("not opened ") == Some(kind) => Fate::NotOpened,
        word if word.strip_prefix("not closed ") == Some(kind) => Fate::NotClosed,
        _ => return None,
    })
}

/// What `docs/guarantees.md` lets come of it; the numbers are its own.
fn allowed(case: Case) -> Result<&'static [Fate], String> {
    use Fate::{Final, FinalInCut, NotClosed, NotOpened, Told, Unnoticed};
    let full = case.errno == Errno::Enospc;
    Ok(match (case.call, case.of) {
        // A failed sync is final, whatever it says (7).
        (Call::Fsync | Call::Fdatasync, _) => &[Final],
        // An index is a cache: it is missed by nobody.
        (Call::Pwrite | Call::Create | Call::Open, Of::Index) => &[Unnoticed],
        // Who holds the log is a note for people, and for a log without a manifest; the lock is the kernel's.
        (Call::Pwrite | Call::Ftruncate, Of::Lock) => &[Unnoticed],
        (Call::Pwrite | Call::Pwritev | Call::Ftruncate | Call::Rename, _) if !full => &[Final],
        // Opening that cuts, or finishes a cut, goes on where that finds no room, and tries again later.
        (Call::Pwrite, Of::Manifest) if case.begin != Begin::New => {
            &[Unnoticed, Told, Final, NotOpened]
        }
        _ if matches!(case.call, Call::Pwrite | Call::Pwritev | Call::Rename) => {
            full_write(case.of)?
        }
        // Space is cut from a segment as it is sealed (tried again), from the last one at the end of all, from what a
        // torn tail was in, and from what a cut keeps: that one is behind its commit point, and half a cut is no log
        // to go on with.
        (Call::Ftruncate, Of::Segment) => &[Unnoticed, Told, NotClosed, NotOpened, FinalInCut],
        // The append gets the error and nothing happened; ahead of any need nobody is told, and it is tried again.
        (Call::Fallocate, Of::Segment | Of::Next) => &[Unnoticed, Told],
        // As with space, but for the new segment behind a cut that opening finishes: where there is no room for it,
        // it waits; else the log cannot be opened.
        (Call::Create, Of::Next) if full => &[Unnoticed, Told],
        (Call::Create, Of::Next) => &[Unnoticed, Told, NotOpened],
        // A torn tail that finds no room to be put aside stays, and appends are told (the table of faults).
        (Call::Create | Call::Mkdir | Call::Unlink, Of::Quarantine) if full => &[Unnoticed, Told],
        (Call::Create | Call::Mkdir | Call::Unlink, Of::Quarantine) => &[NotOpened],
        // A log is not half made.
        (Call::Create, Of::Segment | Of::NewManifest | Of::Lock)
        | (Call::Mkdir, Of::Folder | Of::Parent)
        | (Call::Open, Of::Manifest)
        | (Call::Unlink, Of::NewManifest) => &[NotOpened],
        // Listed by opening and by cuts before their commit point; and as what waits for room is tried again.
        (Call::Open, Of::Folder) if full => &[Unnoticed, Told, NotOpened],
        (Call::Open, Of::Folder) => &[Told, NotOpened],
        // Opened to be synced: where that cannot be, it is a failed sync. Quarantined bytes are counted, too, which
        // nobody needs.
        (Call::Open, Of::Parent) => &[NotOpened, Final],
        (Call::Open, Of::Quarantine) => &[Unnoticed, Final],
        // Retention may not go past what cursors need, and these cannot be looked for.
        (Call::Open, Of::Cursors) => &[Told],
        // By readers, who are told, and by whoever needs a look; a cut that cannot open what it removes and keeps is
        // half a cut.
        (Call::Open, Of::Segment) => &[Unnoticed, Told, NotOpened, FinalInCut],
        // What is in front of the log already is removed later; what is behind a cut's commit point is half a cut.
        (Call::Unlink, Of::Segment | Of::Index) => &[Unnoticed, Told, NotOpened, FinalInCut],
        // By opening, by cuts before their commit point and before their new segment, which waits and is tried again,
        // and at the end of all.
        (Call::Unlink, Of::Next) => &[Unnoticed, Told, NotOpened, NotClosed],
        // Mapping files is a way of writing them: where one cannot be mapped, it is written.
        (Call::Mmap, _) => &[Unnoticed],
        (call, of) => return Err(format!("nobody foresaw that {call:?} of {of:?} fails")),
    })
}

/// A write, or a rename, that finds no room (8). None but the manifest's is final.
fn full_write(of: Of) -> Result<&'static [Fate], String> {
    use Fate::{Final, NotClosed, NotOpened, Told, Unnoticed};
    Ok(match of {
        // The bytes stay in memory and are tried again, new appends are refused; opening, which writes again what it
        // verified, changes nothing then.
        Of::Segment => &[Unnoticed, Told, NotOpened, NotClosed],
        // A part of a generation may be there, which is what opening would go by, and the log would not. Where opening
        // writes it, nobody goes by anything yet.
        Of::Manifest => &[Final, NotOpened],
        // The mark before stands; only closing needs this very one.
        Of::Mark => &[Unnoticed, Told, NotClosed],
        // The surviving part of a batch, before anything is cut; a name that an append, or a cut, waits for.
        Of::Next | Of::Quarantine => &[Unnoticed, Told],
        Of::NewManifest => &[NotOpened],
        of => return Err(format!("nobody foresaw that there is no room for {of:?}")),
    })
}

/// Whether somebody must be told where it fails from the first call on: all appends depend on it.
fn must_be_told(case: Case) -> bool {
    match case.call {
        Call::Fallocate => true,
        Call::Pwrite | Call::Pwritev => case.of == Of::Segment,
        Call::Create | Call::Rename => case.of == Of::Next,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Files, Strategy};

    fn outcome(call: Call, of: Of, errno: Errno, failed: u64, outcome: &str) -> bool {
        let case = Case::new((call, of), Begin::New, Strategy::Always, Files::Os);
        let said = Said { failed, outcome: outcome.to_owned(), ..Said::default() };
        judge(Case { errno, ..case }, 2, &said).is_ok()
    }

    #[test]
    fn what_is_wrong_is_told() {
        use Errno::{Eio, Enospc};
        for (call, of, errno, said, fine) in [
            (Call::Fsync, Of::Segment, Eio, "poisoned in append", true),
            (Call::Fsync, Of::Segment, Enospc, "refused (OutOfSpace)", false),
            (Call::Fdatasync, Of::Manifest, Eio, "not noticed", false),
            (Call::Pwrite, Of::Manifest, Enospc, "poisoned in sync", true),
            (Call::Pwrite, Of::Segment, Enospc, "poisoned in append", false),
            (Call::Pwritev, Of::Segment, Enospc, "poisoned in append", false),
            (Call::Pwrite, Of::Segment, Enospc, "not opened (Poisoned)", false),
            (Call::Pwrite, Of::Segment, Enospc, "refused (OutOfSpace)", true),
            (Call::Pwrite, Of::Segment, Enospc, "refused (OutOfSpace), reported (Io)", false),
            (Call::Pwrite, Of::Mark, Enospc, "poisoned in append", false),
            (Call::Pwrite, Of::Segment, Eio, "not opened (Poisoned)", true),
            (Call::Pwrite, Of::Segment, Eio, "not noticed", false),
            (Call::Pwrite, Of::Index, Eio, "poisoned in append", false),
            (Call::Pwritev, Of::Segment, Eio, "reported (Io)", false),
            (Call::Ftruncate, Of::Segment, Enospc, "poisoned in truncate_back", true),
            (Call::Ftruncate, Of::Segment, Enospc, "poisoned in append", false),
            (Call::Unlink, Of::Segment, Enospc, "poisoned in truncate_front", false),
            (Call::Unlink, Of::Next, Eio, "not closed (Io)", true),
            (Call::Fallocate, Of::Next, Eio, "poisoned in append", false),
            (Call::Fallocate, Of::Next, Eio, "refused (OutOfSpace)", false),
            (Call::Open, Of::Segment, Eio, "poisoned in append", false),
            (Call::Open, Of::Index, Eio, "reported (Io)", false),
            (Call::Mmap, Of::Segment, Eio, "poisoned in append", false),
            (Call::Write, Of::Segment, Eio, "not noticed", false),
        ] {
            let told = format!("{call:?} of {of:?}, {errno:?}: {said}");
            assert_eq!(outcome(call, of, errno, 1, said), fine, "{told}");
            assert!(!outcome(call, of, errno, 0, said), "{told}");
            assert!(outcome(call, of, errno, 0, "no call failed"), "{told}");
        }
    }

    #[test]
    fn what_never_works_is_told() {
        let case = Case::new((Call::Fallocate, Of::Next), Begin::New, Strategy::Always, Files::Os);
        let said = Said { failed: 9, outcome: String::from("not noticed"), ..Said::default() };
        assert!(judge(Case { for_good: true, ..case }, 1, &said).is_err());
        assert!(judge(Case { for_good: true, ..case }, 9, &said).is_ok());
        assert!(judge(case, 1, &said).is_ok());
    }
}
