//! Shipping on a thread of its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::archiver::{Archiver, Shipped};
use crate::error::{Error, ErrorKind, Result};

/// How shipping stands.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Status {
    /// The seq id that follows the last entry that is safe in the archive.
    pub archived: u64,
    /// Rounds that did what they should.
    pub rounds: u64,
    /// Rounds that failed, one after the other, until now.
    pub failed: u64,
    /// When the last round succeeded.
    pub last_success: Option<SystemTime>,
    /// What went wrong in the last round.
    pub error: Option<Error>,
    /// No round follows: it was stopped, or the error is one that stays.
    pub ended: bool,
}

/// An archiver at work on a thread of its own. Dropping it ends the thread once the objects under way are in the
/// archive, however much is left: what is left is for the next archiver, and held back in the log where that is held.
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Archiver>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    status: Status,
    stop: bool,
    /// A round is wanted now.
    now: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archiver {
    /// Ships every `interval`, on a thread of its own, until it is stopped. After a failure that may pass it goes
    /// on; after one that stays (another archiver took over, say) it ends, which [`Background::status`] tells.
    ///
    /// # Errors
    /// `Store` where no thread could be made.
    pub fn spawn(self, interval: Duration) -> Result<Background> {
        let shared = Arc::new(Shared::default());
        shared.lock().status.archived = self.archived();
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("walden-archiver".into())
            .spawn(move || work(self, &own, interval))
            .map_err(|error| {
                Error::new(ErrorKind::Store, format!("no thread for the archiver: {error}"))
            })?;
        Ok(Background { shared, thread: Some(thread) })
    }
}

fn work(mut archiver: Archiver, shared: &Shared, interval: Duration) -> Archiver {
    loop {
        // After each generation: what waits for it goes on, and who wants to stop does not wait for the rest.
        let outcome = archiver.ship_while(&mut |archived, _| {
            let mut state = shared.lock();
            state.status.archived = archived;
            shared.changed.notify_all();
            !state.stop
        });
        let mut state = shared.lock();
        note(&mut state.status, &outcome, archiver.archived());
        shared.changed.notify_all();
        if state.stop || state.status.ended {
            state.status.ended = true;
            return archiver;
        }
        let waiting = |state: &mut State| !state.stop && !state.now;
        let waited = shared.changed.wait_timeout_while(state, interval, waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.now = false;
    }
}

fn note(status: &mut Status, outcome: &Result<Shipped>, archived: u64) {
    status.archived = archived;
    status.error = outcome.as_ref().err().cloned();
    match outcome {
        Ok(_) => {
            status.rounds += 1;
            status.failed = 0;
            status.last_success = Some(SystemTime::now());
        }
        Err(error) => {
            status.failed += 1;
            status.ended = error.is_final();
        }
    }
}

impl Background {
    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.lock().status.clone()
    }

    /// Begins a round now, if none is under way, instead of waiting for the interval.
    pub fn wake(&self) {
        self.shared.lock().now = true;
        self.shared.changed.notify_all();
    }

    /// Waits until what comes before `seq` is safe in the archive, at most `timeout`.
    ///
    /// # Errors
    /// What ended shipping; `Store` after `timeout`, with what went wrong last.
    pub fn wait_for(&self, seq: u64, timeout: Duration) -> Result<()> {
        self.wake();
        let waiting = |state: &mut State| state.status.archived < seq && !state.status.ended;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), timeout, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.status.archived >= seq {
            return Ok(());
        }
        Err(state.status.error.clone().unwrap_or_else(|| {
            let what = format!("archived up to before {} only", state.status.archived);
            Error::new(ErrorKind::Store, what).seq_at(seq)
        }))
    }

    /// Ships once more what is there, ends the thread, and gives the archiver back. That may take as long as the
    /// backlog does: [`stop_now`](Self::stop_now) leaves it.
    ///
    /// # Errors
    /// What went wrong in the last round.
    pub fn stop(self) -> Result<Archiver> {
        let mut archiver = self.stop_now()?;
        archiver.ship(&mut |_| {})?;
        Ok(archiver)
    }

    /// Ends the thread once the objects under way are in the archive, and gives the archiver back: it goes on from there,
    /// if it is used again.
    ///
    /// # Errors
    /// `Store` where the thread ended early.
    pub fn stop_now(mut self) -> Result<Archiver> {
        let archiver = self.end();
        archiver.ok_or_else(|| Error::new(ErrorKind::Store, "the archiver's thread ended early"))
    }

    fn end(&mut self) -> Option<Archiver> {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.end());
    }
}
