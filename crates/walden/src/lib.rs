//! Walden: an embeddable write-ahead log.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

mod config;
mod error;
mod num;
pub mod storage;
mod sync;

pub use config::{BatchFormat, Config, Maintenance, Mode, RecoveryMode, Retention, SyncStrategy};
pub use error::{Error, ErrorKind, Result};
