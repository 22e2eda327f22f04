//! A disk, a clock and chance that a test decides: what Walden, and what is built on it, is tested on.
//!
//! [`SimDisk`] is a [`Storage`](walden::storage::Storage), [`SimClock`] a
//! [`Clock`](walden::storage::Clock). Nothing here takes time, randomness or order from the machine:
//! the same calls with the same seeds give the same bytes.
//!
//! ```
//! use std::path::Path;
//! use walden::storage::Storage;
//! use walden_sim::{SimDisk, enumerate_crashes};
//!
//! # fn main() -> std::io::Result<()> {
//! let disk = SimDisk::new();
//! let file = disk.create(Path::new("/a"))?;
//! disk.sync_dir(Path::new("/"))?;
//! file.write_at(b"new", 0)?;
//!
//! let mut found = Vec::new();
//! let all = enumerate_crashes(&disk, 100, |image| found.push(image.read_file("/a").unwrap()));
//! assert!(all);
//! assert_eq!(found, [&b""[..], b"\0\0\0", b"new"]);
//! # Ok(())
//! # }
//! ```
//!
//! To crash-test what is built on Walden, run it on such a disk, cut it off at every call, and compare what it
//! finds with what it had acknowledged; [`shrink`] shortens a history that fails. The example
//! `crash_test_kvstore` does all of it. [`workload`] is how Walden itself is tested.
//!
//! # The fault model
//!
//! **Contents.** Reads see every write at once: the cache. A power cut ([`SimDisk::crash`]) leaves, for
//! each sector of 512 bytes, any of the versions it had since the last sync of its file that succeeded,
//! the durable one and the cached one among them, each sector independently of all others. So any
//! subset of unsynced writes in any order is found, and a write of more than one sector may be torn at
//! each. What becomes of a single sector is set by [`SectorTear`]: it is written whole (the default),
//! its changed bytes may be garbage, or all of it may.
//!
//! **Length.** Any of those since the last sync that succeeded, independently of the contents. Bytes
//! that never reached the disk are zeros; so is space that was allocated, and what a cut file shows
//! when it grows again. `sync_data` and `sync_all` both make contents and length durable; neither
//! makes the name so.
//!
//! **Names.** Files and folders exist apart from their names. Making, renaming and removing a name is
//! pending until `sync_dir` of its folder (for a rename between folders, of both). A power cut applies
//! any subset of the pending changes, each whole, in their order. A rename is one change: the file is
//! never found under both names, and what it replaces is there until it is. A file in a folder whose own
//! name was lost is lost. A file without a name stays readable while it is open.
//!
//! # Failed syncs
//!
//! After a failed sync of a file nothing is known of its unsynced sectors, and the kernel takes them for
//! clean: reads still see them ([`SimDisk::evict`] ends that), but later syncs succeed without making
//! them durable, unless they are written again, be it with the same bytes. A power cut leaves any of
//! their versions. The length is not forgotten so, nor are names: a later sync takes them along, but for
//! names where [`SimDisk::set_names_stick`] says otherwise.
//!
//! **Other faults** are rules ([`Fault`]): which calls, of which files, which of them in order, and what
//! happens then ([`Action`]): an error, a write in part, a short read or write, bit rot in what is read, a
//! call that takes long, the end of the world. Rules add up, and print themselves.
//!
//! **Death of the process.** [`SimDisk::kill`] keeps the cache, what is unsynced, and what failed.
//! Locks end with the file that holds them, at death and at a power cut.
//!
//! **Room.** With a capacity set, space is counted in blocks of 4 KiB. A write into blocks that the
//! file has always succeeds; others fail with `StorageFull`, after what still fitted. Allocation fails
//! whole. Removed files give their space back once closed.
//!
//! **Cutting at every step.** [`SimDisk::stop_after`] stops the world at the nth mutating call, so that
//! a test can walk through all points of a history and look at every disk ([`enumerate_crashes`]) or
//! some ([`CrashPlan::seeded`]) at each.
//!
//! **Harsher than disks are:** a journaling filesystem keeps the order of names; here a later change
//! may be found without an earlier one.
//!
//! **Not modelled:** hard and symbolic links; renaming and removing folders; permissions; mappings; a
//! sync that runs while another thread writes (each call is one step); reservations lost in a power cut
//! within the length found after it; bytes that change in a file nobody writes, but for
//! [`SimDisk::flip_bit`] and [`Action::Rot`].

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod clock;
mod content;
mod crash;
mod disk;
mod fault;
mod names;
mod num;
mod rng;
mod shrink;
mod state;
mod storage;
mod sync;
#[cfg(test)]
mod tests;
pub mod workload;
mod world;

pub use clock::SimClock;
pub use crash::{Chooser, CrashPlan, SectorTear, enumerate_crashes};
pub use disk::SimDisk;
pub use fault::{Action, EIO, ENOSPC, Fault, OpKind};
pub use rng::Rng;
pub use shrink::shrink;
pub use world::is_stopped;
