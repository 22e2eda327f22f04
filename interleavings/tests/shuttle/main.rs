//! The handle under shuttle: many orders of the steps of a few threads, chosen by seed.
//!
//! Every lock, wait, atomic step and call of the disk is a point where another thread may go on. A wake-up
//! that does not come is found as a deadlock. `WALDEN_ITERATIONS` says how many orders each test tries,
//! `WALDEN_SEED` with which seed to begin; a failure prints the schedule, and `WALDEN_SCHEDULE` runs just
//! that again.

mod appends;
mod cuts;
mod disk;
mod failures;
mod tickets;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

const ITERATIONS: usize = 400;
const SEED: u64 = 20_261_125;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")),
        Err(_) => default,
    }
}

/// Runs `history` in many orders: half of them wholly by chance, half with few changes of who goes first, which
/// finds what takes a thread to be held up for long.
fn explore(history: impl Fn() + Clone + Send + Sync + 'static) {
    if let Ok(schedule) = std::env::var("WALDEN_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(&schedule), history);
        return;
    }
    let iterations = usize::try_from(number("WALDEN_ITERATIONS", ITERATIONS as u64)).unwrap();
    let seed = number("WALDEN_SEED", SEED);
    println!("seed {seed}, {iterations} orders");
    let half = iterations.div_ceil(2);
    run(RandomScheduler::new_from_seed(seed, half), history.clone());
    run(PctScheduler::new_from_seed(seed, 3, half), history);
}

fn run(scheduler: impl Scheduler + 'static, history: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    Runner::new(scheduler, config).run(history);
}

/// A panic on purpose, without the hook that would print it.
fn panics<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<disk::OnPurpose>() => None,
        Err(panic) => resume_unwind(panic),
    }
}
