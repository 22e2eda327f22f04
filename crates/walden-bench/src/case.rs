//! A case: subjects measured in turn, and what is wanted of the first beside the others.

use serde::{Deserialize, Serialize};

use crate::figures::RATE;
use crate::subject::Subject;

/// Where a case stands in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Section {
    /// What is demanded, row by row.
    Demands,
    /// Beside peers, where nothing is demanded.
    Peers,
    /// Over the number of threads.
    Threads,
    /// Over the size of payloads.
    Payloads,
    /// Reading in every way.
    Reading,
    /// Latencies at a fixed rate.
    Latencies,
    /// Over the size of the log.
    Opening,
    /// Over the number of records.
    Seeking,
    Memory,
}

/// One of those that are measured in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its name in tables, and of its line in plots.
    pub(crate) label: String,
    pub(crate) subject: Subject,
}

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Bound {
    /// At least so many times the other's.
    Times(f64),
    /// At most so many times the other's.
    WithinTimes(f64),
    /// At most so much more than the other's.
    WithinMore(f64),
    /// At most so much, whatever the others do.
    AtMost(f64),
    /// Nothing: the ratio is shown.
    Shown,
}

/// One demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Want {
    pub(crate) figure: String,
    /// Of which entry.
    pub(crate) mine: usize,
    /// Beside which entry.
    pub(crate) beside: usize,
    pub(crate) bound: Bound,
    /// It is enough if one of those marked so holds.
    pub(crate) either: bool,
}

/// What is measured together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) section: Section,
    pub(crate) name: String,
    /// The figure that counts.
    pub(crate) figure: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) wants: Vec<Want>,
    /// Which plot it is a point of, and where on its x axis.
    pub(crate) point: Option<(String, f64)>,
    /// Instead of what was asked for.
    pub(crate) seconds: Option<f64>,
    /// Instead of what was asked for.
    pub(crate) rounds: Option<usize>,
}

impl Case {
    pub(crate) fn new(section: Section, name: impl Into<String>) -> Self {
        Self {
            section,
            name: name.into(),
            figure: RATE.to_owned(),
            entries: Vec::new(),
            wants: Vec::new(),
            point: None,
            seconds: None,
            rounds: None,
        }
    }

    /// Adds one to be measured.
    pub(crate) fn entry(mut self, label: impl Into<String>, subject: Subject) -> Self {
        self.entries.push(Entry { label: label.into(), subject });
        self
    }

    /// Adds one, and what the first is to be beside it in the figure that counts.
    pub(crate) fn beside(self, label: impl Into<String>, subject: Subject, bound: Bound) -> Self {
        let beside = self.entries.len();
        let figure = self.figure.clone();
        self.entry(label, subject).want(&figure, 0, beside, bound)
    }

    pub(crate) fn want(mut self, figure: &str, mine: usize, beside: usize, bound: Bound) -> Self {
        let figure = figure.to_owned();
        self.wants.push(Want { figure, mine, beside, bound, either: false });
        self
    }

    /// Marks the last demand as one of several of which one is enough.
    pub(crate) fn or_another(mut self) -> Self {
        if let Some(want) = self.wants.last_mut() {
            want.either = true;
        }
        self
    }

    pub(crate) fn figure(mut self, figure: &str) -> Self {
        figure.clone_into(&mut self.figure);
        self
    }

    pub(crate) fn at(mut self, plot: &str, x: f64) -> Self {
        self.point = Some((plot.to_owned(), x));
        self
    }

    pub(crate) const fn lasting(mut self, seconds: f64, rounds: usize) -> Self {
        self.seconds = Some(seconds);
        self.rounds = Some(rounds);
        self
    }
}
