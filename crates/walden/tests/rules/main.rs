//! Each crash history that the design's rules answer, as a test that names its rule.
//!
//! A test's comment gives section and words of the design that it holds the library to. `docs/mutations.md` says of
//! each safeguard which of these turned red when it was taken away.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::big_endian_bytes,
    reason = "a test fails by panicking; the format is the Go library's"
)]
#![expect(clippy::mem_forget, reason = "a crash drops nothing: closing would tidy up")]

#[macro_use]
#[path = "../forward/mod.rs"]
mod forward;

mod assumptions;
#[cfg(feature = "lz4")]
mod compress;
mod cursors;
mod cuts;
#[cfg(feature = "zstd")]
mod dictionaries;
mod epochs;
mod full;
mod go;
mod golden;
mod index;
mod manifest;
mod marks;
mod readers;
mod retention;
mod rotation;
mod support;
mod sync_fails;
mod tails;
mod threads;
