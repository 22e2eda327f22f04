//! What a history can show to be wrong.

use std::fmt;

/// Which promise was broken. The numbers are those of `docs/guarantees.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// 1: something acknowledged is lost.
    Loss,
    /// 2: an entry is not what was appended, or of another history.
    Altered,
    /// 3: an entry is missing without an error.
    Gap,
    /// 4: what was cut, or never appended, is there.
    Ghost,
    /// 5: the watermarks are out of order, or a batch is there in part.
    Order,
    /// 7: a failed sync was not final.
    Poison,
    /// 8: a full disk was not harmless.
    Space,
    /// 9: torn was taken for damaged, or damage for torn.
    Damage,
    /// 10: a second writer was let in.
    Writer,
    /// 11: opening read far more than there is.
    Work,
    /// 12: a call that takes long under a lock that appends wait for.
    Way,
    /// 13: a position of another history was not told so.
    History,
    /// Something was refused, or failed, without a reason.
    Refused,
    /// The library panicked (11).
    Panic,
}

impl Rule {
    const fn words(self) -> &'static str {
        match self {
            Self::Loss => "acknowledged entries are lost (1)",
            Self::Altered => "an entry is altered (2)",
            Self::Gap => "an entry is missing in silence (3)",
            Self::Ghost => "what was cut is back (4)",
            Self::Order => "out of order (5)",
            Self::Poison => "a failed sync is not final (7)",
            Self::Space => "a full disk does harm (8)",
            Self::Damage => "torn and damaged are mistaken for each other (9)",
            Self::Writer => "a second writer is let in (10)",
            Self::Work => "work beyond a small multiple of what is stored (11)",
            Self::Way => "in the way of an append (12)",
            Self::History => "a position in another history is not told so (13)",
            Self::Refused => "refused without a reason",
            Self::Panic => "a panic (11)",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A promise that a history broke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
    /// What was done, and what the log said to it, up to there; the disk's last calls at the end.
    pub trace: Vec<String>,
}

impl Violation {
    pub(crate) fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into(), trace: Vec::new() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl std::error::Error for Violation {}

/// What checks give.
pub(crate) type Checked<T = ()> = Result<T, Violation>;

pub(crate) fn broken<T>(rule: Rule, what: impl Into<String>) -> Checked<T> {
    Err(Violation::new(rule, what))
}

/// A check.
pub(crate) fn hold(rule: Rule, holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { broken(rule, what()) }
}
