//! Histories against a plain model on the simulated disk, cut off at any call, by a power cut or a kill.
//!
//! Every run prints its seed on failure; `WALDEN_SEED=n` runs that one alone, `WALDEN_SEEDS=n` more of them.
#![expect(
    clippy::big_endian_bytes,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]
#![expect(clippy::print_stderr, reason = "a failure prints its history")]

mod enumerated;
mod harness;
mod histories;
mod model;
mod raw;
