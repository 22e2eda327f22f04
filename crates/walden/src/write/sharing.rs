//! How two threads that append all the time share the append lock.
//!
//! std's mutex is given to whoever comes first. On two processors that is the other thread, append by append: each finds
//! the memory that appends change in the other's cache, and has mostly gone to sleep by then, so that both call the kernel
//! for a wake-up as often as for a write. So who finds the lock held, and not for the first time in a while, lets the other
//! go on for some appends before it takes its turn: both are through sooner, and wait no longer.
//!
//! Where more come that does not help, since all but one sleep anyway, and is soon left out.

use std::time::Duration;

use super::appender::Appender;
use crate::log::Log;
use crate::sync::{AtomicU64, AtomicUsize, MutexGuard, Ordering};

/// When to look whether the one with the lock still appends. If it does not, there is nothing to wait for. An append takes
/// up to 2 microseconds while what it changes comes over from the other's cache.
const LOOKS: [Duration; 3] =
    [Duration::from_micros(4), Duration::from_micros(10), Duration::from_micros(20)];

/// Pauses of the processor after which to look in any case: some 100 microseconds, where one takes 25 ns. A clock may stand
/// still.
const MOST_PAUSES: usize = 4000;

/// Who waits so soon after another did appends all the time, as that one does. Longer than the longest wait, and shorter than
/// what lies between two that meet by chance.
const SOON: Duration = Duration::from_micros(100);

/// For so many waits after one with a crowd, nobody lets others go on, nor is counted.
const CROWDED: usize = 1000;

/// Who waits for the append lock to append.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    // All decide of speed alone: `cost::waiting::two_that_append_all_the_time_take_turns`; under shuttle `appends`.
    waiting: AtomicUsize,
    crowded: AtomicUsize,
    /// When somebody last began to wait (`Clock::elapsed`, in nanoseconds).
    waited: AtomicU64,
}

impl Sharing {
    /// Whether there was a crowd not long ago.
    fn is_crowded(&self) -> bool {
        let left = self.crowded.load(Ordering::Relaxed);
        if left > 0 {
            self.crowded.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// Somebody begins to wait; `true` if it should let others go on first.
    fn come(&self, now: Duration) -> bool {
        let others = self.waiting.fetch_add(1, Ordering::Relaxed);
        if others > 1 {
            self.crowded.store(CROWDED, Ordering::Relaxed);
        }
        let waited = Duration::from_nanos(self.waited.load(Ordering::Relaxed));
        others == 0 && now.saturating_sub(waited) < SOON
    }

    /// It has the lock, and began to wait for it then.
    fn go(&self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.waited.store(nanos, Ordering::Relaxed);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_alone(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 1
    }
}

impl Log {
    /// The append lock, for an append.
    #[inline(always)]
    pub(super) fn lock_to_append(&self) -> MutexGuard<'_, Appender> {
        self.appender.try_lock().unwrap_or_else(|| self.wait_to_append())
    }

    #[cold]
    #[inline(never)]
    fn wait_to_append(&self) -> MutexGuard<'_, Appender> {
        if self.sharing.is_crowded() {
            return self.appender.lock();
        }
        let now = self.clock.elapsed();
        if self.sharing.come(now) {
            self.let_others_go_on(now);
        }
        let appender = self.appender.lock();
        self.sharing.go(now);
        appender
    }

    /// Waits while others append, for a while.
    fn let_others_go_on(&self, begun: Duration) {
        let appends = || self.counters.appends.load(Ordering::Relaxed);
        let mut before = appends();
        for look in LOOKS {
            self.pause_until(begun.saturating_add(look));
            let now = appends();
            if now == before || !self.sharing.is_alone() {
                return;
            }
            before = now;
        }
    }

    fn pause_until(&self, then: Duration) {
        /// Reading a clock takes as long as one or two.
        const PAUSES: usize = 16;
        for _ in 0..MOST_PAUSES / PAUSES {
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
            if self.clock.elapsed() >= then {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wait that begins, and one that ended, so many microseconds from the beginning.
    fn at(micros: u64) -> Duration {
        Duration::from_micros(1_000_000 + micros)
    }

    #[test]
    fn who_waits_again_and_again_lets_others_go_on() {
        let sharing = Sharing::default();
        assert!(!sharing.come(at(0)), "by chance");
        sharing.go(at(0));
        for n in 0..1000 {
            assert!(sharing.come(at(25 * n)) && sharing.is_alone());
            // The one that has just got the lock is not counted out yet: no crowd.
            assert!(!sharing.come(at(25 * n)) && !sharing.is_alone());
            sharing.go(at(25 * n));
            sharing.go(at(25 * n));
        }
        assert!(!sharing.come(at(30_000)), "one of them has stopped");
    }

    #[test]
    fn in_a_crowd_nobody_does() {
        let sharing = Sharing::default();
        sharing.come(at(0));
        sharing.go(at(0));
        assert!(!sharing.is_crowded() && sharing.come(at(1)));
        assert!(!sharing.come(at(1)) && !sharing.is_crowded());
        assert!(!sharing.come(at(1)));
        (0..3).for_each(|_| sharing.go(at(1)));
        assert!((0..CROWDED).all(|_| sharing.is_crowded()), "for a while");
        assert!(!sharing.is_crowded() && sharing.come(at(2)), "and not for ever");
    }
}
