//! The synchronisation primitives of the crate, in one place, so that a model checker can take their place
//! (`interleavings/` does that).
//!
//! A lock is never left poisoned: no user code runs under one (payloads and iterators are evaluated
//! before), so a panic under a lock is a bug of ours, and the state behind it is still the last one
//! that was complete.

#[cfg(walden_model)]
mod model;
#[cfg(not(walden_model))]
mod native;

pub(crate) use std::sync::{Arc, OnceLock, Weak};

#[cfg(walden_model)]
pub(crate) use self::model::*;
#[cfg(not(walden_model))]
pub(crate) use self::native::*;
