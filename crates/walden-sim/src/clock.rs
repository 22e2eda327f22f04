//! Time and ids that a test decides.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use walden::storage::Clock;

use crate::Rng;
use crate::sync::Mutex;

/// A clock that stands still until it is told to go on, and random ids from a seed.
///
/// Clones are handles of the same clock.
#[derive(Debug, Clone)]
pub struct SimClock(Arc<Mutex<Time>>);

#[derive(Debug)]
struct Time {
    now: SystemTime,
    elapsed: Duration,
    ids: Rng,
}

impl SimClock {
    /// A clock that shows 1,700,000,000 seconds after the Unix epoch, with the ids of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Time {
            now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            elapsed: Duration::ZERO,
            ids: Rng::new(seed),
        })))
    }

    /// Lets time pass: the time of day and the time since the start.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        time.elapsed = time.elapsed.saturating_add(by);
        time.now = time.now.checked_add(by).unwrap_or(time.now);
    }

    /// Sets the time of day, back or forth, as an administrator would. The time since the start stays.
    pub fn set_now(&self, now: SystemTime) {
        self.time().now = now;
    }

    /// Sets the time of day this much forth, or back.
    pub(crate) fn jump(&self, seconds: i64) {
        let mut time = self.time();
        let by = Duration::from_secs(seconds.unsigned_abs());
        let then = if seconds < 0 { time.now.checked_sub(by) } else { time.now.checked_add(by) };
        time.now = then.unwrap_or(time.now);
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn now(&self) -> SystemTime {
        self.time().now
    }

    fn elapsed(&self) -> Duration {
        self.time().elapsed
    }

    fn random_id(&self) -> io::Result<u128> {
        let ids = &mut self.time().ids;
        Ok(u128::from(ids.next_u64()) << 64 | u128::from(ids.next_u64()))
    }
}
