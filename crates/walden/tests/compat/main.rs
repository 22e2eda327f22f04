//! Logs of the Go library `hungpdn/wal`: what it wrote opens here with every record, and what is written
//! here is, byte for byte, what it would have written.
//!
//! The logs under `tests/vectors` were made by the Go library itself, with what it read back from each;
//! its README says how. Neither a Go toolchain nor the library's source is at hand where these tests run,
//! so the way back is held against a decoder written for these tests from `docs/format.md` alone: it
//! shares no code with the library. Who has Go can run the other way round by pointing its reader at
//! a folder that `written.rs` leaves.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::big_endian_bytes,
    reason = "a test fails by panicking; the format is the Go library's"
)]

mod adopted;
mod damaged;
mod decoder;
#[path = "../engine/mod.rs"]
mod engine;
mod sound;
mod vectors;
mod written;

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
