//! The stores that Walden is compared with, each at the setting whose guarantee matches.
//!
//! Those written in Rust are compiled in with the feature `peers`. The Go library and RocksDB are programs of their own:
//! RocksDB's crate would build another RocksDB than the one that people run.

#[cfg(feature = "peers")]
mod chunked;
#[cfg(feature = "peers")]
mod commit;
#[cfg(feature = "peers")]
mod compiled;
#[cfg(feature = "peers")]
mod journal;
#[cfg(feature = "peers")]
mod nano;
#[cfg(feature = "peers")]
mod okay;
mod programs;
#[cfg(feature = "peers")]
mod raft;
#[cfg(feature = "peers")]
mod walrus;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Result};
use crate::store::Store;
use crate::subject::Peer;
use crate::work::append::{Load, as_fast_as_possible};

/// What a peer promises, and where its source says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Handed to the kernel when an append returns: how.
    pub(crate) kernel: Option<String>,
    /// Durable when an append returns: how.
    pub(crate) durable: Option<String>,
    pub(crate) checksum: String,
    /// What it gives less of, or more.
    pub(crate) notes: String,
}

/// Whether a peer can be asked for this.
pub(crate) const fn offers(peer: Peer, durable: bool) -> bool {
    match peer {
        Peer::Okaywal => durable,
        Peer::Commitlog => !durable,
        _ => true,
    }
}

/// Whether what a peer hands out was checked against a checksum.
pub(crate) const fn has_checksums(peer: Peer) -> bool {
    !matches!(peer, Peer::NanoWal)
}

/// The peers that can be measured: those that were compiled in, and those whose programs are named.
pub(crate) fn at_hand() -> Vec<Peer> {
    compiled::ALL.into_iter().chain(programs::at_hand()).collect()
}

/// Whether a peer measures itself: then it can do no more than what its program does.
pub(crate) const fn measures_itself(peer: Peer) -> bool {
    programs::is_one(peer)
}

/// Opens a peer in `dir`.
pub(crate) fn open(dir: &Path, peer: Peer, durable: bool) -> Result<Box<dyn Store>> {
    compiled::open(&dir.join("peer"), peer, durable)
}

/// Has a peer append as fast as it can.
pub(crate) fn append(
    dir: &Path,
    peer: Peer,
    durable: bool,
    load: &Load,
    seconds: f64,
) -> Result<Figures> {
    if measures_itself(peer) {
        return programs::append(&dir.join("peer"), peer, durable, load, seconds);
    }
    as_fast_as_possible(&*open(dir, peer, durable)?, load, seconds)
}

/// Has a peer write `records` records and reads them back, again and again.
pub(crate) fn read(
    dir: &Path,
    peer: Peer,
    seconds: f64,
    records: u64,
    payload: usize,
) -> Result<Figures> {
    let dir = dir.join("peer");
    if measures_itself(peer) {
        return programs::read(&dir, peer, seconds, records, payload);
    }
    compiled::read(&dir, peer, seconds, records, payload)
}

/// What is known of those at hand.
pub(crate) fn facts() -> Vec<Facts> {
    let facts = |peer| compiled::facts(peer).or_else(|| programs::facts(peer));
    at_hand().into_iter().filter_map(facts).collect()
}

/// There is none.
#[cfg(not(feature = "peers"))]
mod compiled {
    use super::*;

    pub(super) const ALL: [Peer; 0] = [];

    pub(super) fn open(_: &Path, peer: Peer, _: bool) -> Result<Box<dyn Store>> {
        Err(absent(peer))
    }

    pub(super) fn read(_: &Path, peer: Peer, _: f64, _: u64, _: usize) -> Result<Figures> {
        Err(absent(peer))
    }

    pub(super) const fn facts(_: Peer) -> Option<Facts> {
        None
    }

    fn absent(peer: Peer) -> crate::figures::Failure {
        format!("{}: built without the feature `peers`", peer.name()).into()
    }
}

#[cfg(all(test, feature = "peers"))]
mod tests {
    use super::*;
    use crate::baseline::noise;

    /// walrus is told its folder by the environment, so it is opened in child processes only.
    fn opened_here() -> impl Iterator<Item = Peer> {
        compiled::ALL.into_iter().filter(|peer| *peer != Peer::Walrus)
    }

    #[test]
    fn every_peer_takes_appends_and_batches() {
        for peer in opened_here() {
            for durable in [false, true] {
                if !offers(peer, durable) {
                    continue;
                }
                let dir = tempfile::tempdir().unwrap();
                let store = open(dir.path(), peer, durable).unwrap();
                let mut worker = store.worker().unwrap();
                let payload = noise(128);
                for _ in 0..10 {
                    worker.append(&payload).unwrap();
                }
                worker.append_batch(&vec![payload.as_slice(); 64]).unwrap();
                drop(worker);
                drop(store);
            }
        }
    }

    #[test]
    fn peers_read_back_what_they_wrote() {
        for peer in [Peer::RaftEngine, Peer::Commitlog, Peer::Okaywal] {
            let dir = tempfile::tempdir().unwrap();
            read(dir.path(), peer, 0.0, 1000, 128).unwrap();
        }
    }

    #[test]
    fn facts_say_what_is_offered() {
        let facts = facts();
        assert!(facts.len() >= compiled::ALL.len());
        for (peer, facts) in at_hand().into_iter().zip(facts) {
            assert_eq!(facts.name, peer.name());
            assert_eq!(facts.kernel.is_some(), offers(peer, false), "{}", facts.name);
            assert_eq!(facts.durable.is_some(), offers(peer, true), "{}", facts.name);
        }
    }
}
