//! Walden: an embeddable write-ahead log.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

mod config;
mod error;
mod manifest;
mod num;
mod record;
mod segment;
mod snapshot;
pub mod storage;
mod sync;
mod watermark;

pub use config::{BatchFormat, Config, Maintenance, Mode, RecoveryMode, Retention, SyncStrategy};
pub use error::{Error, ErrorKind, Result};
