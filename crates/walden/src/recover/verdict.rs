//! What to do about what the scan found: a pure decision table, tested over every combination.

/// Why the scan's reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stop {
    /// At the end of the last open segment, or at zeros that reach to it.
    End,
    /// At bytes that are no sound record, or one out of sequence.
    Invalid,
    /// At a record whose checksum is sound and whose content is not: never a torn write.
    Malformed,
    /// At a sound record of a newer version.
    Newer,
}

/// Whether sound records stand behind the place where reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Later {
    /// There is a mark, so nobody had to look.
    NotLooked,
    No,
    /// One was found, or so many false ones that the budget was spent.
    Yes,
}

/// What the scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    /// A mark or a base mark says from where on bytes are in doubt.
    pub(crate) marked: bool,
    /// Bytes before the doubt zone are not sound.
    pub(crate) damaged_before: bool,
    pub(crate) stop: Stop,
    pub(crate) later: Later,
    /// Something other than zeros stands behind the last sound record.
    pub(crate) rest: bool,
    /// The recovered next seq id is below the lowest that the manifest allows.
    pub(crate) below_lowest: bool,
    /// `RecoveryMode::Strict`.
    pub(crate) strict: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// Go on behind the last sound record, in the same file.
    GoOn,
    /// Keep the tail aside, end the file at the last sound record, begin a new one.
    CutTail,
    /// Durable bytes are not what was written: change nothing.
    Damage,
    /// A torn tail that the caller doesn't want cut: change nothing.
    RefuseTorn,
    /// Written by something newer: change nothing.
    RefuseNewer,
}

impl Facts {
    pub(crate) const fn verdict(&self) -> Verdict {
        if self.damaged_before || self.below_lowest {
            return Verdict::Damage;
        }
        match (self.stop, self.later) {
            (Stop::Malformed, _) => Verdict::Damage,
            (Stop::Newer, _) => Verdict::RefuseNewer,
            (Stop::Invalid, Later::Yes) if !self.marked => Verdict::Damage,
            (Stop::End | Stop::Invalid, _) => match (self.rest, self.strict) {
                (false, _) => Verdict::GoOn,
                (true, true) => Verdict::RefuseTorn,
                (true, false) => Verdict::CutTail,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Facts> {
        let bools = [false, true];
        bools.into_iter().flat_map(move |marked| {
            bools.into_iter().flat_map(move |damaged_before| {
                [Stop::End, Stop::Invalid, Stop::Malformed, Stop::Newer].into_iter().flat_map(
                    move |stop| {
                        [Later::NotLooked, Later::No, Later::Yes].into_iter().flat_map(
                            move |later| {
                                bools.into_iter().flat_map(move |rest| {
                                    bools.into_iter().flat_map(move |below_lowest| {
                                        bools.into_iter().map(move |strict| Facts {
                                            marked,
                                            damaged_before,
                                            stop,
                                            later,
                                            rest,
                                            below_lowest,
                                            strict,
                                        })
                                    })
                                })
                            },
                        )
                    },
                )
            })
        })
    }

    /// The table as rows; each combination must match exactly one, and be decided as it says.
    #[test]
    fn every_combination_matches_one_row() {
        type Row = (&'static str, fn(&Facts) -> bool, Verdict);
        let rows: [Row; 8] = [
            ("damage before the zone", |f| f.damaged_before || f.below_lowest, Verdict::Damage),
            (
                "malformed under a sound checksum",
                |f| ok(f) && f.stop == Stop::Malformed,
                Verdict::Damage,
            ),
            ("newer", |f| ok(f) && f.stop == Stop::Newer, Verdict::RefuseNewer),
            (
                "no mark, and records behind",
                |f| ok(f) && f.stop == Stop::Invalid && !f.marked && f.later == Later::Yes,
                Verdict::Damage,
            ),
            ("zeros to the end", |f| torn(f) && !f.rest, Verdict::GoOn),
            ("torn, strict", |f| torn(f) && f.rest && f.strict, Verdict::RefuseTorn),
            ("torn", |f| torn(f) && f.rest && !f.strict, Verdict::CutTail),
            ("never", |_| false, Verdict::GoOn),
        ];
        fn ok(f: &Facts) -> bool {
            !f.damaged_before && !f.below_lowest
        }
        fn torn(f: &Facts) -> bool {
            ok(f)
                && match f.stop {
                    Stop::End => true,
                    Stop::Invalid => f.marked || f.later != Later::Yes,
                    _ => false,
                }
        }
        let mut count = 0;
        for facts in all() {
            count += 1;
            let matching: Vec<_> = rows.iter().filter(|(_, row, _)| row(&facts)).collect();
            assert_eq!(matching.len(), 1, "{facts:?}: {matching:?}");
            assert_eq!(facts.verdict(), matching[0].2, "{facts:?}: {}", matching[0].0);
        }
        assert_eq!(count, 2 * 2 * 4 * 3 * 2 * 2 * 2);
    }

    /// Damage never leads to deletion, and a mark is never guessed against (invariant 9).
    #[test]
    fn nothing_is_cut_where_something_durable_may_be() {
        for facts in all().filter(|facts| facts.verdict() == Verdict::CutTail) {
            assert!(!facts.damaged_before && !facts.below_lowest && !facts.strict);
            assert!(facts.marked || facts.later != Later::Yes || facts.stop == Stop::End);
        }
    }
}
