//! Which of the possible disks is found after a power cut.

use crate::{Rng, SimDisk};

/// Decides each question that a power cut leaves open.
///
/// Asked only where there is a choice. For a sector, a length or the names, answer 0 is the durable
/// version, and later answers are, as far as they differ from earlier ones, later versions.
pub trait Chooser {
    /// A number below `n`; `n` is at least 2. A greater one counts as the last.
    fn choose(&mut self, n: usize) -> usize;
}

impl<F: FnMut(usize) -> usize> Chooser for F {
    fn choose(&mut self, n: usize) -> usize {
        self(n)
    }
}

/// What a sector may hold that was not synced, beside one of its versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SectorTear {
    /// Nothing else: sectors are written whole.
    #[default]
    Whole,
    /// The bytes that writes changed may be half changed, or garbage; those that all versions have in
    /// common stay.
    Changed,
    /// The sector may be all zeros or all garbage, even bytes that were durable before.
    Any,
}

/// A [`Chooser`] that can be told again: by a seed, or by the list of its answers.
#[derive(Debug, Clone)]
pub struct CrashPlan {
    script: Vec<usize>,
    rng: Option<(Rng, u64)>,
    /// Answer and number of answers there were.
    taken: Vec<(usize, usize)>,
}

impl CrashPlan {
    /// The answers of a seed. Some seeds lean to the durable version, some to the latest, so that
    /// images in which nearly all or nearly nothing was lost come up too.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let lean = rng.below(6);
        Self { rng: Some((rng, lean)), ..Self::replay([]) }
    }

    /// Loses all that was not synced.
    #[must_use]
    pub fn oldest() -> Self {
        Self::replay([])
    }

    /// Gives these answers, as [`choices`](Self::choices) tells them, then 0.
    #[must_use]
    pub fn replay(choices: impl IntoIterator<Item = usize>) -> Self {
        Self { script: choices.into_iter().collect(), rng: None, taken: Vec::new() }
    }

    /// The answers given.
    #[must_use]
    pub fn choices(&self) -> Vec<usize> {
        self.taken.iter().map(|&(choice, _)| choice).collect()
    }

    /// The next list of answers in lexicographic order, if there is one.
    fn next(mut self) -> Option<Self> {
        while let Some((choice, n)) = self.taken.pop() {
            if choice + 1 < n {
                return Some(Self::replay(self.choices().into_iter().chain([choice + 1])));
            }
        }
        None
    }
}

impl Chooser for CrashPlan {
    fn choose(&mut self, n: usize) -> usize {
        let last = n.saturating_sub(1);
        let choice = match (&mut self.rng, self.script.get(self.taken.len())) {
            (Some((rng, lean)), _) => match (*lean, rng.below(8)) {
                (0 | 1, ..=6) => 0,
                (2 | 3, ..=6) => last,
                _ => rng.index(n),
            },
            (None, Some(&choice)) => choice.min(last),
            (None, None) => 0,
        };
        self.taken.push((choice, n));
        choice
    }
}

/// Hands out every disk that may be found after a power cut now, at most `limit` of them, each once, in
/// lexicographic order of the choices (the first has lost all that was not synced). True if that was
/// all of them.
///
/// With more than 16 changes of names pending, or more than 512 outcomes of them, an image may come up
/// more than once.
pub fn enumerate_crashes(disk: &SimDisk, limit: u64, mut each: impl FnMut(SimDisk)) -> bool {
    let mut next = Some(CrashPlan::oldest());
    for _ in 0..limit {
        let Some(mut plan) = next else { return true };
        each(disk.crash(&mut plan));
        next = plan.next();
    }
    next.is_none()
}
