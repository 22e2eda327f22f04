//! From facts to a decision or to the error that says why there is none. Changes nothing.

use super::scan::Scan;
use super::verdict::{Facts, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, Place};
use crate::segment::Names;

/// `Verdict::GoOn` or `Verdict::CutTail`.
///
/// # Errors
/// `Corrupt`, `TornTail` or `Unsupported`, for the other verdicts.
pub(super) fn judge(
    scan: &Scan,
    zone: Option<Place>,
    manifest: &Manifest,
    strict: bool,
    names: &Names,
) -> Result<Verdict> {
    let facts = Facts {
        marked: zone.is_some(),
        damaged_before: scan.damage.is_some(),
        stop: scan.stop,
        later: scan.later,
        rest: scan.rest,
        below_lowest: scan.next_seq < manifest.lowest_next,
        strict,
    };
    match facts.verdict() {
        verdict @ (Verdict::GoOn | Verdict::CutTail) => Ok(verdict),
        Verdict::Damage if facts.below_lowest && scan.damage.is_none() => {
            Err(Error::corrupt("entries that were durable are missing at the end of the log")
                .path(names.dir())
                .seqs(scan.next_seq, manifest.lowest_next - 1))
        }
        refused => Err(refusal(refused, scan)),
    }
}

fn refusal(verdict: Verdict, scan: &Scan) -> Error {
    let Some(at) = scan.damage.as_ref().or(scan.stopped_at.as_ref()) else {
        return Error::corrupt("the log is damaged");
    };
    let error = match verdict {
        Verdict::RefuseNewer => Error::new(ErrorKind::Unsupported, at.what.clone())
            .advice("nothing was changed; use a newer walden"),
        Verdict::RefuseTorn => Error::new(
            ErrorKind::TornTail,
            format!("a torn tail, which RecoveryMode::Strict does not cut: {}", at.what),
        ),
        _ => return at.error(),
    };
    error.path(&at.path).offset_at(at.offset).seq_at(at.expected)
}
