//! Folders that somebody or something has been at: every length, every bit, every file missing, swapped,
//! doubled, stale or another's; sizes beyond all memory; payloads that look like records.
//!
//! What must come out is said exactly, by where the byte lies, not merely that nothing panics. A refusal
//! changes no byte but the lock file's, names what it is about, and ends in what to do next.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::big_endian_bytes,
    reason = "a test fails by panicking; the format is the Go library's"
)]

mod child;
mod doubt;
mod ends;
#[path = "../engine/mod.rs"]
mod engine;
mod flags;
mod flips;
#[cfg(unix)]
mod foreign;
mod forged;
mod index;
mod logs;
mod manifest;
mod record;
mod segments;
mod sizes;
mod stale;
mod truncated;

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
