//! Histories against a plain model on the simulated disk, cut off at any call, by a power cut or a kill. Model and
//! workload are `walden_sim::workload`; many more histories run by `cargo run --release -p walden-sim`.
//!
//! A failure prints its seed and the shortest history that fails so; `WALDEN_SEED=n` runs that one alone,
//! `WALDEN_SEEDS=n` more of them.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]
#![expect(clippy::print_stderr, reason = "a failure prints its history")]

mod enumerated;
mod histories;
