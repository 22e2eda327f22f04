//! A replicated key-value store: openraft over Walden, nodes as processes that talk HTTP. The README beside this says
//! how to run it.
//!
//! | module | what it does |
//! | --- | --- |
//! | `types` | what is replicated |
//! | `machine` | the map, and its snapshots on disk |
//! | `network` | what a node asks of another |
//! | `server` | what a node answers, to nodes and to clients |
//! | `node` | puts them together |
//! | `client` | a client that looks for the leader |
//! | `cluster` | nodes as child processes, for the demonstration, the figures and the tests |
//! | `memory` | a log in memory, to compare figures with |

#![forbid(unsafe_code)]

pub mod bench;
pub mod client;
pub mod cluster;
pub mod demo;
mod machine;
mod memory;
mod network;
pub mod node;
mod server;
mod types;
mod wire;

/// What ends a program of this crate.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
