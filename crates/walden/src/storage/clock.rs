//! Time and chance, handed in so that a simulation can decide both.

use std::fmt;
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// Where a log takes the time and random ids from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day, for append times and reports. May jump.
    fn now(&self) -> SystemTime;

    /// As [`now`](Self::now), perhaps some milliseconds old, for callers to whom speed is worth that.
    fn now_coarse(&self) -> SystemTime {
        self.now()
    }

    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;

    /// 128 bits that no other log, process or opening gets.
    ///
    /// # Errors
    /// Where the source of randomness is unavailable.
    fn random_id(&self) -> io::Result<u128>;
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
    fn now_coarse(&self) -> SystemTime {
        // The kernel's time of its last tick: a read of memory, a quarter of the cost of `now`.
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos.min(999_999_999))
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
