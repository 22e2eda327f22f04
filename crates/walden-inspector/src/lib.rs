//! Looks into a Walden log from outside: read-only, without a lock, beside its writer.
//!
//! [`Watch`] looks at a log again and again, and remembers the last minutes. [`serve`] shows what it sees, and the
//! records, over HTTP: metrics for Prometheus, a JSON API, and a page for a browser. The command `walden serve` is
//! this; what is offered, and how it is guarded, is told in `docs/inspector.md`.
//!
//! Everything a log holds is hostile input here, and so is everything that comes over the network.

#![forbid(unsafe_code)]

#[cfg(feature = "serve")]
pub mod serve;
mod watch;

pub use watch::{Check, Checked, Looking, Sample, Seen, Watch};
