//! A subject: one store doing one kind of work, small enough to hand to a child process as text.

use serde::{Deserialize, Serialize};

use crate::baseline::OVERHEAD;

/// When an append returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Strategy {
    Background,
    OsCache,
    Always,
}

/// How Walden's records come into the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Engine {
    Os,
    Mmap,
}

/// Walden's settings, where they differ from what its constructors give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Walden {
    pub(crate) strategy: Strategy,
    pub(crate) engine: Engine,
    pub(crate) segment_mib: Option<u64>,
    pub(crate) retain_mib: Option<u64>,
}

impl Walden {
    pub(crate) const fn new(strategy: Strategy, engine: Engine) -> Self {
        Self { strategy, engine, segment_mib: None, retain_mib: None }
    }

    pub(crate) const fn segments(mut self, mib: u64) -> Self {
        self.segment_mib = Some(mib);
        self
    }

    pub(crate) const fn retain(mut self, mib: u64) -> Self {
        self.retain_mib = Some(mib);
        self
    }
}

/// The bare loops: the least that a log of this format could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bare {
    /// One `write` for each append.
    Write,
    /// One `write` and one `fdatasync` for each append.
    WriteSync,
    /// `pwrite` into space filled with zeros before, and `fdatasync`.
    Prewritten,
    /// A mutex around a buffer of 64 KiB.
    Buffered,
    /// A mutex around a `write`.
    Mutex,
    /// Copy and checksum into a mapping whose pages are there already.
    Mapping,
    /// The simplest group commit, on a growing file.
    Group,
    /// The simplest group commit, in space filled with zeros before.
    GroupPrewritten,
    /// `write` of the payload alone.
    Blocks,
    /// The same past the page cache (`O_DIRECT`): what the disk takes.
    Direct,
    /// As `Direct`, into files of 64 MiB, of which those that are more than 8 GiB behind are removed.
    Rotating,
}

/// The peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Peer {
    RaftEngine,
    Walrus,
    Okaywal,
    NanoWal,
    Commitlog,
    ChunkedWal,
    Fjall,
    Go,
    RocksDb,
}

impl Peer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RaftEngine => "raft-engine",
            Self::Walrus => "walrus",
            Self::Okaywal => "okaywal",
            Self::NanoWal => "nano-wal",
            Self::Commitlog => "commitlog",
            Self::ChunkedWal => "chunked-wal",
            Self::Fjall => "fjall",
            Self::Go => "hungpdn/wal (Go)",
            Self::RocksDb => "RocksDB",
        }
    }
}

/// What appends go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Store {
    Walden(Walden),
    Bare(Bare),
    Peer { peer: Peer, durable: bool },
}

impl Store {
    /// Whether each append waits for a disk: then looking at the clock each time costs nothing.
    pub(crate) const fn waits(&self) -> bool {
        match self {
            Self::Walden(walden) => matches!(walden.strategy, Strategy::Always),
            Self::Bare(bare) => matches!(
                bare,
                Bare::WriteSync | Bare::Prewritten | Bare::Group | Bare::GroupPrewritten
            ),
            Self::Peer { durable, .. } => *durable,
        }
    }
}

/// Which way a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    Next,
    Range,
    Backward,
}

/// A closed log that is made once and used in every round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Fixture {
    pub(crate) records: u64,
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    pub(crate) segment_mib: u64,
    /// It is written to and killed in each round, so no other work may share it.
    pub(crate) killed: bool,
}

impl Fixture {
    pub(crate) const fn of(records: u64, payload: usize) -> Self {
        Self { records, payload, batch: 1, segment_mib: 64, killed: false }
    }

    /// Records that take 1 KiB each, `mib` MiB of them.
    pub(crate) const fn sized(mib: u64, segment_mib: u64, killed: bool) -> Self {
        Self { records: mib << 10, payload: 996, batch: 1, segment_mib, killed }
    }

    pub(crate) fn folder(&self) -> String {
        let Self { records, payload, batch, segment_mib, killed } = self;
        let killed = if *killed { "-killed" } else { "" };
        format!("{records}x{payload}-{batch}-{segment_mib}{killed}")
    }
}

/// What is done, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// As many appends as fit; at most `most` entries if that is not 0. A closed loop.
    Append { store: Store, threads: usize, payload: usize, batch: usize, most: u64 },
    /// One thread with `depth` tickets in flight.
    Tickets { depth: usize, payload: usize },
    /// Appends at fixed moments; latency counts from the intended moment.
    Paced { store: Store, rate: u32, payload: usize },
    /// Appends against the disk's own rate: all is durable at the end, the longest pause is kept.
    Sustained { store: Store, payload: usize, batch: usize },
    /// Walden reads a fixture from one end to the other, again and again.
    Read { fixture: Fixture, way: Way, cold: bool },
    /// A bare reader of the same records: 256 KiB a `pread`, every checksum verified.
    BareRead { records: u64, payload: usize, cold: bool },
    /// Copies and checksums as many bytes, from one buffer to another.
    CopyAndSum { payload: usize },
    /// A peer reads what it wrote.
    PeerRead { peer: Peer, records: u64, payload: usize },
    /// `get` of random seq ids.
    Get { fixture: Fixture },
    /// `seek` of random seq ids, and reading one entry.
    Seek { fixture: Fixture },
    /// Opening, after a clean close or after appending 32 MiB and `kill -9`.
    Open { fixture: Fixture },
    /// One thread appends at fixed moments, another follows.
    Follow { rate: u32, engine: Engine },
    /// One thread hands a moment to another that sleeps.
    HandOver { rate: u32 },
    /// The same by way of a file, which the one writes to and the other reads.
    HandOverByFile { rate: u32 },
    /// A follower of a log to which nothing is appended.
    Idle,
}

impl Subject {
    pub(crate) const fn fixture(&self) -> Option<Fixture> {
        match self {
            Self::Read { fixture, .. }
            | Self::Get { fixture }
            | Self::Seek { fixture }
            | Self::Open { fixture } => Some(*fixture),
            _ => None,
        }
    }

    /// Bytes of the page cache that it fills, where that is bounded: of the first so many MiB.
    pub(crate) const fn fills(&self) -> u64 {
        match self {
            Self::Append { payload, most, .. } => *most * (*payload + OVERHEAD) as u64,
            _ => 0,
        }
    }

    pub(crate) const fn peer(&self) -> Option<Peer> {
        match self {
            Self::Append { store: Store::Peer { peer, .. }, .. }
            | Self::Paced { store: Store::Peer { peer, .. }, .. }
            | Self::Sustained { store: Store::Peer { peer, .. }, .. }
            | Self::PeerRead { peer, .. } => Some(*peer),
            _ => None,
        }
    }
}
