//! Log storage for [`openraft`] 0.9 on [`walden`]: entries, vote, committed and purged log id of a Raft node, in one log.
//!
//! [`LogStore`] is what a node is given: openraft's [`RaftLogStorage`](openraft::storage::RaftLogStorage). It has a
//! thread of its own for the disk, so that no thread of the runtime waits for one. [`RaftLog`] is what that thread
//! works on, without threads: for programs that have their own, and for tests on a simulated disk.
//!
//! ```
//! use std::io::Cursor;
//! use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
//! use openraft::{BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, TokioRuntime, Vote};
//! use walden_openraft::LogStore;
//!
//! openraft::declare_raft_types!(
//!     pub Types: D = String, R = (), NodeId = u64, Node = BasicNode, Entry = Entry<Types>,
//!         SnapshotData = Cursor<Vec<u8>>, AsyncRuntime = TokioRuntime
//! );
//!
//! # async fn work() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("raft-log");
//! let mut store: LogStore<Types> = LogStore::open(&dir, walden::Config::durable()).await?;
//! // let raft = openraft::Raft::new(id, config, network, store, state_machine).await?;
//! // What it does then, among other things:
//! store.save_vote(&Vote::new_committed(1, 7)).await?;
//! let log_id = LogId::new(CommittedLeaderId::new(1, 7), 0);
//! let entry = Entry { log_id, payload: EntryPayload::Normal("set x 1".to_owned()) };
//! store.blocking_append([entry]).await?; // durable when this returns
//! assert_eq!(store.get_log_state().await?.last_log_id, Some(log_id));
//! store.close().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(work()).unwrap();
//! ```
//!
//! # What is promised
//!
//! - **An append is acknowledged when it is durable**, in the order of appends; so are a vote, a purge, a commit. None
//!   of them is lost after that, by a crash or by a power cut.
//! - **A vote never goes back**, and is never older than the entries: it is durable before anything behind it is
//!   appended. A folder in which it is missing, or in which entries are missing that were purged by nobody, or that are
//!   known to be committed, is refused when it is opened: such a node could vote twice in a term.
//! - **What was truncated or purged never comes back.** The purged log id is durable before anything is cut, and a crash
//!   in between is finished when the log is opened. A [`LogReader`] from before gives nothing of what came after.
//! - **A failed sync is final.** What waits gets the cause, and nothing is acknowledged any more; openraft stops the
//!   node. So does a full disk: the error says so, nothing is lost, and the node goes on where it was, once there is
//!   room and it is started again.
//!
//! # How it is stored
//!
//! The entry with index `i` has the seq id `i + 1`: openraft counts from 0, Walden from 1. This holds for good: after a
//! purge behind the last entry (a snapshot was installed) the log goes on at the index that follows. The entries of one
//! append are one record, up to 1 MiB, and are there as a whole after a crash, or not at all.
//!
//! Entries and log ids are MessagePack with field names, behind a byte that tells the format: fields with defaults can be
//! added to an application's types, and old entries still be read, which a format that goes by position cannot do.
//! The vote, the purged and the committed log id are the log's metadata (`raft.vote`, `raft.purged`, `raft.committed`):
//! a change is durable and atomic. They have room for 1,400 bytes together, so a node's id is short, or a number.
//!
//! The committed log id is durable when it is saved, too, since openraft 0.9 reads by it after a start; see
//! [`RaftLog::committed_every`].
//!
//! # What it needs
//!
//! - A folder for each node, and [`Config::durable`](walden::Config::durable), without [retention](walden::Retention): only
//!   Raft knows what may go.
//! - A runtime of tokio around it, for reads that are not in memory (`spawn_blocking`).
//! - openraft without its feature `singlethreaded`.

#![forbid(unsafe_code)]

mod codec;
mod error;
mod flushes;
mod log;
mod read;
mod reader;
mod recent;
mod store;

pub use error::{Error, Result};
pub use log::RaftLog;
pub use reader::LogReader;
pub use store::LogStore;
