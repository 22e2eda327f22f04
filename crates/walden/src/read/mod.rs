//! Reading: entries in order, in either direction, from anywhere, beside a writer.
//!
//! * `walk`: a position, and stepping from record to record, `backward` too; with `cursor` (the record at hand),
//!   `unpacked` (what it holds, if it is compressed), `locate` (where a seq id lies) and `fault` (what to say where something is wrong)
//! * `reader`, `range`, `follower`: what users hold; with `time` (seeking by append time)
//! * `read_only`: a log that another process may be writing; with `foreign` (what is known of it), `survey`
//!   (which segments live), `tail` (where it ends), `epochs` (what was cut)
//!
//! Nothing here writes, and nothing takes the append lock.

mod backward;
mod collect;
mod cursor;
#[cfg(feature = "digest")]
mod digest;
mod epochs;
mod fault;
mod follower;
mod foreign;
mod locate;
mod range;
mod read_only;
mod reader;
mod survey;
mod tail;
#[cfg(test)]
mod testing;
mod ticker;
mod time;
mod unpacked;
mod walk;

pub use self::follower::{Event, Follower};
pub use self::range::Entries;
pub use self::read_only::{LogReader, logs_in};
pub use self::reader::Reader;

pub(crate) use self::collect::frames;
#[cfg(feature = "digest")]
pub use self::digest::Digest;
#[cfg(feature = "digest")]
pub(crate) use self::digest::digest;
pub(crate) use self::range::{get, range};
pub(crate) use self::time::append_times;
pub(crate) use self::walk::Walk;
