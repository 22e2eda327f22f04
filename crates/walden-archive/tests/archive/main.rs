//! Shipping, restoring and all that can go wrong in between, with a bucket in memory that fails as it is told.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod crashes;
mod dictionaries;
mod faulty;
mod fencing;
mod histories;
mod hostile;
mod keeping;
#[cfg(feature = "fs")]
mod local;
mod reading;
mod restoring;
mod shipping;
mod support;
