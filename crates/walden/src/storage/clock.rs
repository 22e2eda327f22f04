//! Time and chance, handed in so that a simulation can decide both.

use std::fmt;
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// Where a log takes the time and random ids from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day, for append times and reports. May jump.
    fn now(&self) -> SystemTime;

    /// As [`now`](Self::now), in microseconds since 1970 and perhaps some milliseconds old: what each append
    /// asks for, so speed is worth that.
    fn now_coarse_micros(&self) -> u64 {
        micros(self.now())
    }

    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;

    /// 128 bits that no other log, process or opening gets.
    ///
    /// # Errors
    /// Where the source of randomness is unavailable.
    fn random_id(&self) -> io::Result<u128>;
}

/// A moment in microseconds since 1970; 0 before that.
pub(crate) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The machine's clocks and randomness.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    #[cfg(target_os = "linux")]
    fn now_coarse_micros(&self) -> u64 {
        // The kernel's time of its last tick: a read of memory, a quarter of the cost of `now`.
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn random_id(&self) -> io::Result<u128> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(u128::from_le_bytes(bytes))
    }
}
