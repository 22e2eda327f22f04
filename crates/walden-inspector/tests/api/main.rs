//! The JSON API and the metrics over a real socket: what is asked well, badly, too slowly and by the wrong people.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod changing;
mod client;
mod endpoints;
mod guarded;
mod patient;
