//! The figures of a run, as they are kept.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::case::{Bound, Case, Want};
use crate::figures::{Figures, Result};
use crate::machine::Machine;
use crate::peers::Facts;
use crate::stats::Spread;

/// Raised when an older report step could not read it any more.
const SCHEMA: u32 = 1;

/// How it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) sizes: String,
    pub(crate) only: String,
}

/// A case and what each of its entries gave in each round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) case: Case,
    /// By entry, then by round; `None` where it failed.
    pub(crate) figures: Vec<Vec<Option<Figures>>>,
    /// What failed, in words.
    pub(crate) failures: Vec<String>,
}

/// All of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    schema: u32,
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) peers: Vec<Facts>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Results {
    pub(crate) const fn new(machine: Machine, settings: Settings, peers: Vec<Facts>) -> Self {
        Self { schema: SCHEMA, machine, settings, peers, outcomes: Vec::new() }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let results: Self =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        if results.schema != SCHEMA {
            return Err(format!("{}: schema {}", path.display(), results.schema).into());
        }
        Ok(results)
    }

    /// Whole or not at all: a run that is broken off leaves what was there.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let unfinished = path.with_extension("json.new");
        std::fs::write(&unfinished, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(std::fs::rename(unfinished, path)?)
    }
}

impl Outcome {
    pub(crate) fn new(case: Case) -> Self {
        let figures = vec![Vec::new(); case.entries.len()];
        Self { case, figures, failures: Vec::new() }
    }

    fn of_entry(&self, entry: usize, figure: &str) -> impl Iterator<Item = Option<f64>> {
        let rounds = self.figures.get(entry).map(Vec::as_slice).unwrap_or_default();
        rounds.iter().map(move |round| round.as_ref()?.get(figure).copied())
    }

    /// A figure of an entry over the rounds.
    pub(crate) fn spread(&self, entry: usize, figure: &str) -> Option<Spread> {
        Spread::of(self.of_entry(entry, figure).flatten())
    }

    /// How two entries compare, round by round: only figures of one round stand beside each other.
    pub(crate) fn ratio(&self, mine: usize, beside: usize, figure: &str) -> Option<Spread> {
        self.compare(mine, beside, figure, |mine, beside| mine / beside)
    }

    fn compare(
        &self,
        mine: usize,
        beside: usize,
        figure: &str,
        how: fn(f64, f64) -> f64,
    ) -> Option<Spread> {
        let pairs = self.of_entry(mine, figure).zip(self.of_entry(beside, figure));
        Spread::of(pairs.filter_map(|(mine, beside)| Some(how(mine?, beside?))))
    }

    /// What a demand is about: the ratio, the difference, or the figure itself.
    pub(crate) fn measured(&self, want: &Want) -> Option<Spread> {
        match want.bound {
            Bound::Times(_) | Bound::WithinTimes(_) | Bound::Shown => {
                self.ratio(want.mine, want.beside, &want.figure)
            }
            Bound::WithinMore(_) => {
                self.compare(want.mine, want.beside, &want.figure, |mine, beside| mine - beside)
            }
            Bound::AtMost(_) => self.spread(want.mine, &want.figure),
        }
    }

    /// Whether a demand holds by its median; `None` where nothing is demanded or nothing was measured.
    pub(crate) fn holds(&self, want: &Want) -> Option<bool> {
        let median = self.measured(want)?.median;
        let alone = match want.bound {
            Bound::Times(least) => median >= least,
            Bound::WithinTimes(most) | Bound::WithinMore(most) | Bound::AtMost(most) => {
                median <= most
            }
            Bound::Shown => return None,
        };
        Some(alone)
    }

    /// Whether a demand is met: it holds, or another does of which one is enough.
    pub(crate) fn met(&self, want: &Want) -> Option<bool> {
        let alone = self.holds(want)?;
        let others = self.case.wants.iter().filter(|other| other.either);
        let instead = || others.filter_map(|other| self.holds(other)).any(|holds| holds);
        Some(alone || (want.either && instead()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::Section;
    use crate::figures::{RATE, one};
    use crate::subject::Subject;

    /// Two entries, three rounds; the other of them failed once.
    pub(crate) fn sample() -> Results {
        let case = Case::new(Section::Demands, "a case, 128 B")
            .entry("Walden", Subject::Idle)
            .beside("a loop", Subject::HandOver { rate: 1 }, Bound::Times(1.5))
            .or_another()
            .want("p50_us", 0, 1, Bound::WithinMore(5.0))
            .want(RATE, 0, 1, Bound::Times(1.0))
            .or_another()
            .at("threads-kernel", 8.0);
        let mut outcome = Outcome::new(case);
        let round = |rate: f64, p50: f64| {
            let mut figures = one(RATE, rate);
            figures.insert("p50_us".to_owned(), p50);
            Some(figures)
        };
        outcome.figures = vec![
            vec![round(130.0, 9.0), round(260.0, 8.0), round(99.0, 30.0)],
            vec![round(100.0, 3.0), round(200.0, 3.0), None],
        ];
        outcome.failures.push("a loop: it broke".to_owned());
        let settings =
            Settings { rounds: 3, seconds: 1.0, sizes: "usual".to_owned(), only: String::new() };
        let mut results = Results::new(Machine::default(), settings, Vec::new());
        results.outcomes.push(outcome);
        results
    }

    #[test]
    fn only_figures_of_one_round_are_compared() {
        let results = sample();
        let outcome = &results.outcomes[0];
        let ratio = outcome.ratio(0, 1, RATE).unwrap();
        assert_eq!(ratio, Spread { least: 1.3, median: 1.3, most: 1.3 });
        assert_eq!(outcome.spread(0, RATE).unwrap().median, 130.0);
        assert_eq!(outcome.ratio(0, 1, "not there"), None);
    }

    #[test]
    fn one_of_several_demands_can_be_enough() {
        let results = sample();
        let outcome = &results.outcomes[0];
        let [times, more, other] = outcome.case.wants.as_slice() else { panic!("three demands") };
        assert_eq!((outcome.holds(times), outcome.met(times)), (Some(false), Some(true)));
        assert_eq!((outcome.holds(more), outcome.met(more)), (Some(false), Some(false)));
        assert_eq!(outcome.measured(more).unwrap().median, 5.5);
        assert_eq!(outcome.met(other), Some(true));
        let shown = Want { bound: Bound::Shown, ..other.clone() };
        assert_eq!(outcome.met(&shown), None);
    }

    #[test]
    fn results_survive_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        let results = sample();
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        let newer =
            std::fs::read_to_string(&path).unwrap().replace("\"schema\": 1", "\"schema\": 2");
        std::fs::write(&path, newer).unwrap();
        assert!(Results::read(&path).unwrap_err().to_string().contains("schema 2"));
        assert!(Results::read(&dir.path().join("gone")).unwrap_err().to_string().contains("gone"));
    }
}
