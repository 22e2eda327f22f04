//! Walden: an embeddable write-ahead log.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod config;
mod error;
mod keeper;
mod manifest;
mod num;
mod record;
mod recover;
mod segment;
mod snapshot;
pub mod storage;
mod sync;
mod trim;
mod watermark;

pub use config::{BatchFormat, Config, Maintenance, Mode, RecoveryMode, Retention, SyncStrategy};
pub use error::{Error, ErrorKind, Result};
pub use recover::{CutTail, Origin, Recovery};
