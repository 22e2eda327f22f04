//! A consumer with a cursor, and what that may be found at: a position that it committed, at or behind the last
//! one that is on disk for certain, in the history that it was committed in.

use walden::{CursorInfo, ErrorKind, Start, Wal};

use super::model::Model;
use super::run::{Done, Stop, must};
use super::violation::{Checked, Rule, broken, hold};

const NAME: &str = "consumer";

/// A position, and the entry before it, as long as the model had that.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stood {
    position: u64,
    before: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    No,
    /// What makes it did not return.
    HalfMade,
    /// What removes it did not return: it is there until the log is opened again.
    HalfRemoved,
    /// Opening could not read it.
    Blind,
    Yes,
}

/// What is known of the consumer.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    there: There,
    /// Where it stood since it was known to be on disk, in order; it stands at the last.
    stood: Vec<Stood>,
}

/// What the log must say of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Good,
    Problem,
    /// The model has no entry to tell by.
    Either,
}

impl Stood {
    fn at(position: u64, model: &Model) -> Self {
        let before = position.checked_sub(1).and_then(|seq| model.payload(seq));
        Self { position, before: before.map(<[u8]>::to_vec) }
    }

    fn expected(&self, model: &Model) -> Expected {
        let Some(before) = &self.before else { return Expected::Either };
        if self.position < model.first || self.position > model.next() {
            return Expected::Problem;
        }
        match model.payload(self.position - 1) {
            Some(now) if now == before => Expected::Good,
            Some(_) => Expected::Problem,
            // It was cut in front, or all was and this is where the log went on.
            None => Expected::Either,
        }
    }
}

impl Consumer {
    pub(crate) const fn new() -> Self {
        Self { there: There::No, stood: Vec::new() }
    }

    /// Whether nothing can be asked of its cursor, nor of retention, until the log is opened again.
    pub(crate) fn is_blind(&self) -> bool {
        self.there == There::Blind
    }

    /// What was committed is on disk. Half made, it may be where any try would have put it.
    pub(crate) fn kept(&mut self) {
        if !matches!(self.there, There::Yes | There::HalfRemoved) {
            return;
        }
        let behind = self.stood.len().saturating_sub(1);
        self.stood.drain(..behind);
    }

    /// Commits as far as `to`, or what is durable; where the position is none any more, or `anyway`, goes there.
    pub(crate) fn consume(&mut self, wal: &Wal, model: &Model, to: u64, anyway: bool) -> Done {
        let known = self.there;
        if self.is_blind() {
            return Ok(());
        }
        if matches!(known, There::No | There::HalfMade) {
            self.there = There::HalfMade;
            self.stood.push(Stood::at(model.first, model));
        }
        let cursor = wal.cursor(NAME, Start::First)?;
        let position = cursor.position();
        let stood = self.stood.iter().rev().find(|stood| stood.position == position).cloned();
        let last = self.stood.last().is_some_and(|stood| stood.position == position);
        let sane = stood.is_some() && (last || known == There::HalfMade);
        hold(Rule::Loss, sane, || format!("the cursor is at {position}, not {:?}", self.stood))?;
        self.there = There::Yes;
        let check = cursor.check().map_err(|error| error.kind());
        if let Some(stood) = stood {
            judge(&stood, check.as_ref().err().copied(), model)?;
            // It is where an earlier try made it, and not where one made anew would be.
            if !last {
                self.stood.push(stood);
            }
        }
        let to = to.clamp(model.first, wal.durable_seq() + 1);
        if check.is_err() || anyway {
            cursor.seek(to)?;
            self.stood.push(Stood::at(to, model));
            return Ok(());
        }
        let ahead = cursor.commit(wal.durable_seq() + 1).err().map(|error| error.kind());
        hold(Rule::Order, ahead == Some(ErrorKind::BeyondEnd), || {
            format!("committed what is not durable: {ahead:?}")
        })?;
        if to > position {
            cursor.commit(to - 1)?;
            self.stood.push(Stood::at(to, model));
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, wal: &Wal) -> Done {
        let known = self.there;
        if known == There::No || self.is_blind() {
            return Ok(());
        }
        if known == There::Yes {
            self.there = There::HalfRemoved;
        }
        let removed = wal.remove_cursor(NAME)?;
        hold(Rule::Loss, removed || known == There::HalfMade, || "the cursor is gone".to_owned())?;
        *self = Self::new();
        Ok(())
    }

    /// Retention made `first` the first seq id.
    pub(crate) fn check_retention(&self, before: u64, first: u64, model: &Model) -> Checked {
        let Some(stood) = self.stood.last().filter(|_| self.there == There::Yes) else {
            return Ok(());
        };
        let needed = stood.expected(model) == Expected::Good;
        hold(Rule::Loss, !needed || first <= stood.position.max(before), || {
            format!("retention went to {first}, past the cursor at {}", stood.position)
        })
    }

    /// The log was opened, after whatever happened to it; the model is what was found of the entries.
    pub(crate) fn found(&mut self, wal: &Wal, model: &Model, faulty: bool) -> Checked {
        let listed = wal.cursors();
        if faulty && (listed.is_err() || wal.stats().cursors_unreadable > 0) {
            self.there = There::Blind;
            return Ok(());
        }
        let list = must(listed.map_err(Stop::from), "listing cursors")?;
        let Some(info) = list.first() else {
            let lost = || format!("a cursor is lost, which stood at {:?}", self.stood);
            hold(Rule::Loss, self.there != There::Yes, lost)?;
            *self = Self::new();
            return Ok(());
        };
        let CursorInfo { name, position, problem, .. } = info;
        hold(Rule::Damage, name == NAME && list.len() == 1, || format!("cursors: {list:?}"))?;
        hold(Rule::Ghost, self.there != There::No, || format!("a removed cursor: {info:?}"))?;
        let stood: Vec<Stood> =
            self.stood.iter().filter(|stood| stood.position == *position).cloned().collect();
        let problem = problem.as_ref().map(walden::Error::kind);
        // It may have stood there twice, in two histories.
        let judged = stood.iter().map(|stood| judge(stood, problem, model).map(|()| stood));
        let mut why = broken(Rule::Loss, format!("set to {position}, of {:?}", self.stood));
        for one in judged {
            match one {
                Ok(stood) => {
                    (self.there, self.stood) = (There::Yes, vec![stood.clone()]);
                    return Ok(());
                }
                Err(violation) => why = Err(violation),
            }
        }
        why
    }
}

fn judge(stood: &Stood, problem: Option<ErrorKind>, model: &Model) -> Checked {
    let expected = stood.expected(model);
    let known = [ErrorKind::Truncated, ErrorKind::Removed];
    let right = match expected {
        Expected::Good => problem.is_none(),
        Expected::Problem => problem.is_some_and(|kind| known.contains(&kind)),
        Expected::Either => problem.is_none_or(|kind| known.contains(&kind)),
    };
    hold(Rule::History, right, || {
        format!("a cursor at {}: {problem:?}, and it is {expected:?}", stood.position)
    })
}
