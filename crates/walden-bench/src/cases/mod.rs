//! What is measured: the demands row by row, and sweeps for the plots.

mod demands;
mod sweeps;

use crate::case::{Bound, Case};
use crate::peers;
use crate::subject::{Bare, Engine, Peer, Store, Strategy, Subject, Walden};

/// How large things are.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    /// Entries that are read from end to end.
    pub(crate) read: u64,
    /// Two numbers of entries between which a seek must not differ, and those between.
    pub(crate) seek: Vec<u64>,
    /// Two sizes in MiB between which an opening must not differ, and those between.
    pub(crate) open: Vec<u64>,
    /// Numbers of threads, for the plots.
    pub(crate) threads: &'static [usize],
    /// Sizes of payloads, for the plots.
    pub(crate) payloads: &'static [usize],
    /// How much counts as the beginning of a mapped log.
    pub(crate) first_mib: u64,
    /// The longest that a case may take instead of what was asked for.
    pub(crate) longest: f64,
    /// Only what is demanded.
    pub(crate) demands_only: bool,
}

impl Sizes {
    /// For tests: small enough for a build without optimisation.
    pub(crate) fn tiny() -> Self {
        Self {
            read: 5000,
            seek: vec![100, 10_000],
            open: vec![1, 4],
            threads: &[1, 8],
            payloads: &[128, 64 << 10],
            first_mib: 4,
            longest: 0.02,
            demands_only: false,
        }
    }

    /// About a minute in all.
    pub(crate) fn quick() -> Self {
        Self {
            read: 200_000,
            seek: vec![10_000, 1_000_000],
            open: vec![1, 256],
            threads: &[],
            payloads: &[],
            first_mib: 256,
            longest: 1.0,
            demands_only: true,
        }
    }

    pub(crate) fn usual() -> Self {
        Self {
            read: 1_000_000,
            seek: vec![10_000, 100_000, 1_000_000, 10_000_000],
            open: vec![1, 64, 1024],
            threads: &[1, 2, 8, 64],
            payloads: &[16, 128, 1 << 10, 64 << 10, 1 << 20],
            first_mib: 1024,
            longest: f64::INFINITY,
            demands_only: false,
        }
    }

    /// Takes some 60 GiB of disk at a time.
    pub(crate) fn large() -> Self {
        let mut sizes = Self::usual();
        sizes.seek.push(100_000_000);
        sizes.open.push(16 << 10);
        sizes
    }
}

/// All cases, in the order of the report.
pub(crate) fn cases(sizes: &Sizes) -> Vec<Case> {
    let mut cases = demands::cases(sizes);
    if !sizes.demands_only {
        cases.extend(sweeps::cases(sizes));
    }
    for case in &mut cases {
        case.seconds = case.seconds.map(|seconds| seconds.min(sizes.longest));
    }
    cases
}

/// Appends, without an end.
const fn append(store: Store, threads: usize, payload: usize, batch: usize) -> Subject {
    Subject::Append { store, threads, payload, batch, most: 0 }
}

const fn ours(strategy: Strategy, engine: Engine) -> Store {
    Store::Walden(Walden::new(strategy, engine))
}

const fn bare(bare: Bare) -> Store {
    Store::Bare(bare)
}

/// The peers that give the guarantee.
fn peers_of(durable: bool) -> impl Iterator<Item = Peer> {
    peers::at_hand().into_iter().filter(move |peer| peers::offers(*peer, durable))
}

/// Sets the peers beside Walden: those with checksums it must be ahead of, if it must at all.
fn with_peers(mut case: Case, durable: bool, load: (usize, usize, usize), ahead: bool) -> Case {
    let (threads, payload, batch) = load;
    for peer in peers_of(durable) {
        let must = ahead && peers::has_checksums(peer);
        let bound = if must { Bound::Times(1.0) } else { Bound::Shown };
        let subject = append(Store::Peer { peer, durable }, threads, payload, batch);
        case = case.beside(peer.name(), subject, bound);
    }
    case
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::case::Section;

    #[test]
    fn names_are_told_apart_and_demands_point_at_entries() {
        for sizes in [Sizes::tiny(), Sizes::quick(), Sizes::usual(), Sizes::large()] {
            let cases = cases(&sizes);
            let names: BTreeSet<_> = cases.iter().map(|case| (case.section, &case.name)).collect();
            assert_eq!(names.len(), cases.len());
            for case in &cases {
                let labels: BTreeSet<_> = case.entries.iter().map(|entry| &entry.label).collect();
                assert_eq!(labels.len(), case.entries.len(), "{}", case.name);
                for want in &case.wants {
                    assert!(want.mine.max(want.beside) < case.entries.len(), "{}", case.name);
                }
            }
        }
    }

    #[test]
    fn every_demand_has_a_bound() {
        for case in cases(&Sizes::usual()) {
            if case.section == Section::Demands {
                let bounds = case.wants.iter().filter(|want| want.bound != Bound::Shown);
                assert!(bounds.count() > 0, "{}", case.name);
            }
        }
    }

    #[test]
    fn a_quick_run_has_all_demands() {
        let demands = |sizes: &Sizes| {
            let mut names: Vec<_> = cases(sizes).into_iter().map(|case| case.name).collect();
            names.retain(|name| !name.contains("MiB") && !name.contains("GiB"));
            names
        };
        let (quick, usual) = (demands(&Sizes::quick()), demands(&Sizes::usual()));
        assert_eq!(quick.as_slice(), usual.get(..quick.len()).unwrap());
        assert!(cases(&Sizes::quick()).iter().all(|case| case.seconds.is_none_or(|s| s <= 1.0)));
    }
}
