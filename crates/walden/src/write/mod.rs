//! The only writer. A record flows through three stages, each with a lock of its own:
//!
//! 1. the [`appender`] gives it a seq id and encodes it into a buffer (the append lock: short);
//! 2. [`flush`] hands buffers to the kernel, in order (the write lock);
//! 3. [`group_commit`] syncs them for all who wait (leadership).
//!
//! Under `OsCache`, and for large records, [`through`] takes the first two as one.
//!
//! Two threads that append all the time take the append lock by turns ([`sharing`]).
//!
//! [`next`] makes segments ready, [`open`] is the list of segments that are not sealed yet, [`pace`] slows appends
//! down before they would have to stop.
//!
//! Where a payload is to be compressed, that comes before all of them, with no lock held ([`compress`]); and before that,
//! where single appends are to share records, they gather ([`pack`]).
//!
//! Order of locks, where more than one is held: leadership, maintenance, preparing, write, append.

pub(crate) mod appender;
pub(crate) mod compress;
pub(crate) mod flush;
pub(crate) mod group_commit;
pub(crate) mod next;
pub(crate) mod open;
pub(crate) mod pace;
pub(crate) mod pack;
pub(crate) mod sharing;
pub(crate) mod submit;
mod through;
pub(crate) mod ticket;
