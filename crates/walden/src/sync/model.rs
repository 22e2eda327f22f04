//! A model checker's: every lock, wait and atomic step is a point where it may let another thread go on.
//!
//! `Arc` stays std's: the model checkers' cannot hold a `dyn`. So does `OnceLock`: its uses (the
//! latch's cause, the manifest's latch) are set and read without waiting, and are no points of that kind.

use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

#[cfg(walden_model = "loom")]
use loom as chosen;
#[cfg(walden_model = "shuttle")]
use shuttle as chosen;

pub(crate) use self::chosen::sync::Condvar;
#[cfg(walden_model = "shuttle")]
pub(crate) use self::chosen::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use self::chosen::thread::yield_now;
#[cfg(walden_model = "shuttle")]
pub(crate) use self::chosen::thread_local;
#[cfg(walden_model = "loom")]
pub(crate) use self::fenced::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use std::sync::atomic::Ordering;

/// loom's macro, which does not know `const`.
#[cfg(walden_model = "loom")]
macro_rules! loom_local {
    (static $name:ident: $value:ty = const { $init:expr };) => {
        loom::thread_local! { static $name: $value = $init; }
    };
}
#[cfg(walden_model = "loom")]
pub(crate) use loom_local as thread_local;

/// A mutex whose guard is had without a `Result`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(chosen::sync::Mutex<T>);

/// A guard that knows its mutex, so that it can let go and take it again.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T>(&'a Mutex<T>, chosen::sync::MutexGuard<'a, T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(chosen::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self, self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lock, if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(self, guard)),
            Err(TryLockError::Poisoned(guard)) => Some(MutexGuard(self, guard.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Here, threads have it in every order anyway.
    pub(crate) fn lock_between(&self) -> MutexGuard<'_, T> {
        self.lock()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.1
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.1
    }
}

/// Waits on `condvar`, until it is told: a wake-up that never comes is found as a deadlock.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    let MutexGuard(mutex, guard) = guard;
    MutexGuard(mutex, condvar.wait(guard).unwrap_or_else(PoisonError::into_inner))
}

/// Others go on, and the time is over.
pub(crate) fn wait_timeout<'a, T>(
    _: &Condvar,
    guard: MutexGuard<'a, T>,
    _: Duration,
) -> MutexGuard<'a, T> {
    let MutexGuard(mutex, guard) = guard;
    drop(guard);
    chosen::thread::yield_now();
    mutex.lock()
}

/// Starts a thread of the model's.
pub(crate) fn spawn(_: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    drop(chosen::thread::spawn(run));
    Ok(())
}

/// loom takes a sequentially consistent access for an acquiring and releasing one, and would find what cannot
/// happen. A fence on either side says what is meant, and only where it is meant.
#[cfg(walden_model = "loom")]
#[allow(dead_code, reason = "made alike for all three")]
mod fenced {
    use loom::sync::atomic;
    use std::sync::atomic::Ordering;

    fn fenced<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
        let fence = || {
            if order == Ordering::SeqCst {
                atomic::fence(Ordering::SeqCst);
            }
        };
        fence();
        let result = access();
        fence();
        result
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(atomic::$name::new(value))
                }
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    fenced(order, || self.0.load(order))
                }
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    fenced(order, || self.0.store(value, order));
                }
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    fenced(order, || self.0.swap(value, order))
                }
                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    let exchange = || self.0.compare_exchange(current, new, success, failure);
                    fenced(success, exchange)
                }
            }
        };
    }

    macro_rules! counting {
        ($name:ident, $value:ty) => {
            impl $name {
                pub(crate) fn fetch_add(&self, by: $value, order: Ordering) -> $value {
                    fenced(order, || self.0.fetch_add(by, order))
                }
                pub(crate) fn fetch_sub(&self, by: $value, order: Ordering) -> $value {
                    fenced(order, || self.0.fetch_sub(by, order))
                }
                pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    fenced(order, || self.0.fetch_max(value, order))
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    atomic!(AtomicU64, u64);
    atomic!(AtomicUsize, usize);
    counting!(AtomicU64, u64);
    counting!(AtomicUsize, usize);
}
