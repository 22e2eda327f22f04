//! The stores that Walden is compared with, each at the setting whose guarantee matches.
//!
//! They are compiled with the feature `peers`. RocksDB is not among them: its crate builds the C++ library from source
//! or takes the system's, and a figure through either would be of another build than the one that people run.

#[cfg(feature = "peers")]
mod chunked;
#[cfg(feature = "peers")]
mod commit;
#[cfg(feature = "peers")]
mod journal;
#[cfg(feature = "peers")]
mod nano;
#[cfg(feature = "peers")]
mod okay;
#[cfg(feature = "peers")]
mod raft;
#[cfg(feature = "peers")]
mod walrus;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Result};
use crate::store::Store;
use crate::subject::Peer;

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

/// The peers that were compiled in.
pub(crate) const fn compiled() -> &'static [Peer] {
    if cfg!(feature = "peers") {
        &[
            Peer::RaftEngine,
            Peer::Walrus,
            Peer::Okaywal,
            Peer::NanoWal,
            Peer::Commitlog,
            Peer::ChunkedWal,
            Peer::Fjall,
        ]
    } else {
        &[]
    }
}

/// Opens a peer in `dir`.
#[cfg(feature = "peers")]
pub(crate) fn open(dir: &Path, peer: Peer, durable: bool) -> Result<Box<dyn Store>> {
    let dir = dir.join("peer");
    Ok(match peer {
        Peer::RaftEngine => Box::new(raft::RaftEngine::open(&dir, durable)?),
        Peer::Walrus => Box::new(walrus::Walrus::open(&dir, durable)?),
        Peer::Okaywal => Box::new(okay::Okaywal::open(&dir)?),
        Peer::NanoWal => Box::new(nano::NanoWal::open(&dir, durable)?),
        Peer::Commitlog => Box::new(commit::Commitlog::open(&dir)?),
        Peer::ChunkedWal => Box::new(chunked::Chunked::open(&dir, durable)?),
        Peer::Fjall => Box::new(journal::Fjall::open(&dir, durable)?),
    })
}

/// Has a peer write `records` records and reads them back, again and again.
#[cfg(feature = "peers")]
pub(crate) fn read(
    dir: &Path,
    peer: Peer,
    seconds: f64,
    records: u64,
    payload: usize,
) -> Result<Figures> {
    let dir = dir.join("peer");
    let mut repeat = crate::work::clock::Repeat::new(seconds);
    match peer {
        Peer::RaftEngine => raft::read(&dir, records, payload, &mut repeat)?,
        Peer::Commitlog => commit::read(&dir, records, payload, &mut repeat)?,
        Peer::Okaywal => okay::read(&dir, records, payload, &mut repeat)?,
        _ => return Err(format!("{} is not read", peer.name()).into()),
    }
    if repeat.last() != records {
        return Err(format!("{} of {records} records read", repeat.last()).into());
    }
    Ok(repeat.figures(payload))
}

/// What is known of those that were compiled in.
#[cfg(feature = "peers")]
pub(crate) fn facts() -> Vec<Facts> {
    compiled()
        .iter()
        .map(|peer| match peer {
            Peer::RaftEngine => raft::facts(),
            Peer::Walrus => walrus::facts(),
            Peer::Okaywal => okay::facts(),
            Peer::NanoWal => nano::facts(),
            Peer::Commitlog => commit::facts(),
            Peer::ChunkedWal => chunked::facts(),
            Peer::Fjall => journal::facts(),
        })
        .collect()
}

#[cfg(not(feature = "peers"))]
const WITHOUT: &str = "built without the feature `peers`";

/// There is none.
#[cfg(not(feature = "peers"))]
pub(crate) fn open(_: &Path, _: Peer, _: bool) -> Result<Box<dyn Store>> {
    Err(WITHOUT.into())
}

/// There is none.
#[cfg(not(feature = "peers"))]
pub(crate) fn read(_: &Path, _: Peer, _: f64, _: u64, _: usize) -> Result<Figures> {
    Err(WITHOUT.into())
}

/// There are none.
#[cfg(not(feature = "peers"))]
pub(crate) fn facts() -> Vec<Facts> {
    Vec::new()
}

#[cfg(all(test, feature = "peers"))]
mod tests {
    use super::*;
    use crate::baseline::noise;

    /// walrus is told its folder by the environment, so it is opened in child processes only.
    fn opened_here() -> impl Iterator<Item = Peer> {
        compiled().iter().copied().filter(|peer| *peer != Peer::Walrus)
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
        assert_eq!(facts.len(), compiled().len());
        for (peer, facts) in compiled().iter().zip(facts) {
            assert_eq!(facts.name, peer.name());
            assert_eq!(facts.kernel.is_some(), offers(*peer, false), "{}", facts.name);
            assert_eq!(facts.durable.is_some(), offers(*peer, true), "{}", facts.name);
        }
    }
}
