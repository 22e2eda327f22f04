//! Walden: an embeddable write-ahead log.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod close;
mod config;
mod error;
mod keeper;
mod log;
mod maintain;
mod manifest;
mod num;
pub mod offline;
mod record;
mod recover;
mod segment;
mod segments;
mod snapshot;
mod stats;
pub mod storage;
mod sync;
mod trim;
mod wal;
mod watermark;
mod write;

pub use config::{BatchFormat, Config, Maintenance, Mode, RecoveryMode, Retention, SyncStrategy};
pub use error::{Error, ErrorKind, Result};
pub use recover::{CutTail, Origin, Recovery};
pub use segments::SegmentInfo;
pub use stats::Stats;
pub use wal::Wal;
pub use write::ticket::Ticket;
