//! An embeddable write-ahead log: the part of a database, message queue or Raft node that must not lose data.
//!
//! ```
//! use walden::{Config, Wal};
//!
//! # fn main() -> walden::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path().join("log");
//! let wal = Wal::open(&dir, Config::durable())?;
//! for entry in wal.range(..)? { // replay what is there
//!     let entry = entry?;
//!     println!("{}: {:?}", entry.seq, entry.payload);
//! }
//! assert_eq!(wal.append("hello")?, 1); // durable when this returns
//! assert_eq!(wal.append_batch(["all", "or", "nothing"])?, 2..5);
//! wal.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What an append promises
//!
//! | strategy | `append` returned `Ok`: the record is | `kill -9` | power loss |
//! | --- | --- | --- | --- |
//! | [`Always`](SyncStrategy::Always), [`Config::durable`] | durable | loses nothing | loses nothing |
//! | [`OsCache`](SyncStrategy::OsCache), [`Config::os_cache`] | with the kernel | loses nothing | may lose all since the start of the last completed sync |
//! | [`Background`](SyncStrategy::Background), [`Config::background`] | in this process's memory | may lose what was not flushed (at most two buffers or one `sync_interval`) | may lose all since the start of the last completed sync |
//!
//! What remains is always a gap-free run from the first seq id, each entry as it was appended, each batch
//! whole or absent. [`Wal::durable_seq`] tells how far is safe, [`Wal::sync`] makes all before it durable, and
//! a [`Ticket`] means durable in every strategy.
//!
//! # A tour
//!
//! Appending without waiting, and being told when it is durable:
//!
//! ```
//! # use walden::{Config, Wal};
//! # fn main() -> walden::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let wal = Wal::open(dir.path(), Config::durable())?;
//! let tickets: Vec<_> = (0..100).map(|i| wal.submit(format!("event {i}"))).collect::<Result<_, _>>()?;
//! for ticket in tickets {
//!     ticket.wait()?; // or .await it, or on_complete(..): one sync serves them all
//! }
//! assert_eq!(wal.durable_seq(), 100);
//! # Ok(())
//! # }
//! ```
//!
//! Reading from anywhere, in either direction, beside the writer:
//!
//! ```
//! # use walden::{Config, Wal};
//! # fn main() -> walden::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let wal = Wal::open(dir.path(), Config::durable())?;
//! # wal.append_batch((0..10).map(|i| i.to_string()))?;
//! let newest = wal.range(..)?.next_back().transpose()?.expect("there are ten");
//! assert_eq!((newest.seq, &newest.payload[..]), (10, &b"9"[..]));
//!
//! let mut reader = wal.reader_at(4)?; // lends each entry from its buffer: nothing is copied
//! while let Some(entry) = reader.read_next()? {
//!     assert!(entry.seq >= 4);
//! }
//! assert!(wal.get(99)?.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! Shortening it: at the front once a checkpoint holds what was there, at the back where a leader says so:
//!
//! ```
//! # use walden::{Config, Wal};
//! # fn main() -> walden::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let wal = Wal::open(dir.path(), Config::durable())?;
//! # wal.append_batch((0..10).map(|i| i.to_string()))?;
//! wal.truncate_front(4)?; // 4 is the first seq id now
//! wal.truncate_back(8)?; // 8 is the last
//! assert_eq!((wal.first_seq(), wal.next_seq()), (4, 9));
//! wal.set_meta("vote", "term 7, node 2")?; // small, durable, atomic
//! # Ok(())
//! # }
//! ```
//!
//! Smaller on the disk, with the feature `lz4`, `snappy` or `zstd`: [`Config::compression`] for a log,
//! [`Wal::with_compression`] for some of what is appended; a batch is compressed as a whole, and small entries gain most
//! by a dictionary of the log's own ([`Wal::train_dictionary`]).
//!
//! Remembering how far a consumer has come, over crashes, with retention that keeps what it has not seen:
//! [`Wal::cursor`].
//!
//! What it does, and how long that takes: [`Wal::metrics`]; for Prometheus or OpenTelemetry, with the feature
//! `prometheus` or `opentelemetry`, by [`Observers`]; as spans and events, with the feature `tracing`.
//!
//! From another process, or another handle, without a lock and without disturbing anybody: [`LogReader`].
//!
//! # When something fails
//!
//! - **The disk is full**: an append is refused with [`ErrorKind::OutOfSpace`] and nothing happened; reading,
//!   truncation and retention work, and appends go on once there is room.
//! - **A sync or a write fails**: the log is poisoned with the first cause. Nothing more is acknowledged,
//!   everyone who waits learns the cause, reading goes on. Open it again once the disk is well.
//! - **The end of the log is torn** (a crash in the middle of a write): opening cuts it off, keeps a copy aside, and
//!   says so in [`Wal::recovery`].
//! - **The log is damaged** (durable bytes changed): [`ErrorKind::Corrupt`], with file, offset, seq ids, and
//!   the next command to run. Nothing is deleted or cut.
//!
//! # Where things are, in the order a record flows
//!
//! | module | what it does |
//! | --- | --- |
//! | `wal` | the handle: delegates |
//! | `write` | compresses (`compress`), gives seq ids and encodes (`appender`), writes (`flush`, `through`), syncs for all who wait (`group_commit`), makes segments ready (`next`), slows down before it would stop (`pace`) |
//! | `record` | the bytes of a record, pure |
//! | `segment` | one file, its names and its index |
//! | `watermark` | durable ≤ written ≤ appended, and those who wait |
//! | `manifest`, `keeper` | the one truth about which segments live, and the one who changes it |
//! | `recover` | opening: facts, verdict, repair |
//! | `trim` | cuts at both ends, retention |
//! | `cursors` | named positions that outlive the process, and hold retention back |
//! | `dictionaries` | what small records are compressed with, trained from the log itself |
//! | `read` | readers, ranges, followers, the read-only log |
//! | `frames`, `replicate` | stored bytes and their history, from one log to another |
//! | `stats`, `metrics`, `export`, `trace` | what is counted, measured and told, and to whom |
//! | `maintain` | what is done besides appending |
//! | `seal` | what is complete becomes durable, named so, and gets its index |
//! | [`offline`] | looking at, checking, repairing, saving and copying a log that nobody writes |
//! | [`storage`] | the operating system behind two traits |
//!
//! Linux is what is tested; the code compiles for other platforms by design.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

// With the other code that may be unsafe; it knows nothing of files.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "an instruction that not all processors have")
)]
#[path = "storage/checksum.rs"]
mod checksum;
mod close;
mod config;
mod cursors;
mod dictionaries;
mod entry;
mod error;
#[cfg(any(feature = "opentelemetry", feature = "prometheus"))]
mod export;
mod frames;
mod keeper;
mod log;
mod maintain;
mod manifest;
mod metrics;
mod num;
pub mod offline;
mod read;
mod record;
mod recover;
mod replicate;
mod seal;
mod segment;
mod segments;
mod snapshot;
mod stats;
pub mod storage;
mod sync;
mod trace;
mod trim;
mod wal;
mod watermark;
mod write;

pub use config::{
    BatchFormat, Compression, Config, Maintenance, Mode, RecoveryMode, Retention, SyncStrategy,
};
pub use cursors::{Cursor, CursorInfo, Start};
pub use dictionaries::DictionaryInfo;
pub use dictionaries::alone::Dictionary;
pub use entry::{Entry, EntryRef};
pub use error::{Error, ErrorKind, Result};
pub use frames::Frames;
pub use metrics::{Histogram, Metrics, Observer, Observers};
#[cfg(feature = "digest")]
pub use read::Digest;
pub use read::{Entries, Event, Follower, LogReader, Reader, logs_in};
pub use recover::{CutTail, Origin, Recovery};
pub use segments::SegmentInfo;
pub use stats::Stats;
pub use storage::Engine;
pub use wal::Wal;
pub use write::ticket::Ticket;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;
