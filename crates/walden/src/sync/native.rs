//! std's.
#![expect(clippy::disallowed_types, reason = "the one place that may use std's mutex")]

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Condvar, MutexGuard};
use std::sync::{PoisonError, TryLockError};
pub(crate) use std::thread::yield_now;
pub(crate) use std::thread_local;
use std::time::Duration;

/// Some 100 microseconds, on a processor that waits for 25 ns at each.
const LOOKS: u32 = 4_000;

/// A mutex whose guard is had without a `Result`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if nobody has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// As [`lock`](Self::lock), for what is done once in a segment beside appends that have the lock nearly all the time.
    /// Who sleeps until it is free finds it taken again, since std's mutex is given to whoever comes first; and each append
    /// pays for waking him. Looking again and again finds the moment in between.
    pub(crate) fn lock_between(&self) -> MutexGuard<'_, T> {
        for _ in 0..LOOKS {
            match self.try_lock() {
                Some(guard) => return guard,
                None => std::hint::spin_loop(),
            }
        }
        self.lock()
    }

    /// Whether somebody has it now.
    pub(crate) fn is_held(&self) -> bool {
        self.try_lock().is_none()
    }
}

/// Waits on `condvar`; as with every condition variable, spurious wake-ups happen.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar` for at most `timeout`.
pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    match condvar.wait_timeout(guard, timeout) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}

/// Starts a thread.
///
/// # Errors
/// Where the system has none to give.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}
