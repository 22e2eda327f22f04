//! A check of the whole log, on a thread: at most one at a time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use walden::offline::{Target, Verification, verify};

use super::lock;

/// What a check of the whole log found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checked {
    /// When it was done.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What it found, or why it could not be done.
    pub found: Result<Arc<Verification>, String>,
}

/// The last check, and how far a running one is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Check {
    /// Bytes read and bytes to read, while one runs.
    pub running: Option<(u64, u64)>,
    /// The last one.
    pub last: Option<Checked>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State(Arc<Mutex<Check>>);

impl State {
    pub(super) fn get(&self) -> Check {
        lock(&self.0).clone()
    }

    pub(super) fn start(&self, target: Target) -> bool {
        let mut check = lock(&self.0);
        if check.running.is_some() {
            return false;
        }
        check.running = Some((0, 0));
        let state = self.clone();
        let run = move || state.run(&target);
        if let Err(error) = std::thread::Builder::new().name("walden-check".into()).spawn(run) {
            check.running = None;
            drop(check);
            self.done(Instant::now(), Err(format!("cannot start a thread: {error}")));
        }
        true
    }

    fn run(&self, target: &Target) {
        let begun = Instant::now();
        let found = verify(target, &mut |progress| {
            lock(&self.0).running = Some((progress.done, progress.total));
        });
        self.done(begun, found.map(Arc::new).map_err(|error| error.to_string()));
    }

    fn done(&self, begun: Instant, found: Result<Arc<Verification>, String>) {
        let checked = Checked { at: SystemTime::now(), took: begun.elapsed(), found };
        *lock(&self.0) = Check { running: None, last: Some(checked) };
    }
}
