//! The peers that are linked into this program.

use std::path::Path;

use super::{Facts, chunked, commit, journal, nano, okay, raft, walrus};
use crate::figures::{Figures, Result};
use crate::store::Store;
use crate::subject::Peer;
use crate::work::clock::Repeat;

pub(super) const ALL: [Peer; 7] = [
    Peer::RaftEngine,
    Peer::Walrus,
    Peer::Okaywal,
    Peer::NanoWal,
    Peer::Commitlog,
    Peer::ChunkedWal,
    Peer::Fjall,
];

pub(super) fn open(dir: &Path, peer: Peer, durable: bool) -> Result<Box<dyn Store>> {
    Ok(match peer {
        Peer::RaftEngine => Box::new(raft::RaftEngine::open(dir, durable)?),
        Peer::Walrus => Box::new(walrus::Walrus::open(dir, durable)?),
        Peer::Okaywal => Box::new(okay::Okaywal::open(dir)?),
        Peer::NanoWal => Box::new(nano::NanoWal::open(dir, durable)?),
        Peer::Commitlog => Box::new(commit::Commitlog::open(dir)?),
        Peer::ChunkedWal => Box::new(chunked::Chunked::open(dir, durable)?),
        Peer::Fjall => Box::new(journal::Fjall::open(dir, durable)?),
        Peer::Go | Peer::RocksDb => return Err(format!("{} is not linked in", peer.name()).into()),
    })
}

pub(super) fn read(
    dir: &Path,
    peer: Peer,
    seconds: f64,
    records: u64,
    payload: usize,
) -> Result<Figures> {
    let mut repeat = Repeat::new(seconds);
    match peer {
        Peer::RaftEngine => raft::read(dir, records, payload, &mut repeat)?,
        Peer::Commitlog => commit::read(dir, records, payload, &mut repeat)?,
        Peer::Okaywal => okay::read(dir, records, payload, &mut repeat)?,
        _ => return Err(format!("{} is not read", peer.name()).into()),
    }
    if repeat.last() != records {
        return Err(format!("{} of {records} records read", repeat.last()).into());
    }
    Ok(repeat.figures(payload))
}

pub(super) fn facts(peer: Peer) -> Option<Facts> {
    Some(match peer {
        Peer::RaftEngine => raft::facts(),
        Peer::Walrus => walrus::facts(),
        Peer::Okaywal => okay::facts(),
        Peer::NanoWal => nano::facts(),
        Peer::Commitlog => commit::facts(),
        Peer::ChunkedWal => chunked::facts(),
        Peer::Fjall => journal::facts(),
        Peer::Go | Peer::RocksDb => return None,
    })
}
