//! A node: log, state machine, network and server, put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};
use tokio::net::TcpListener;
use walden_openraft::LogStore;

use crate::Failure;
use crate::machine::Machine;
use crate::memory::MemoryLog;
use crate::network::Network;
use crate::server::{Served, router};
use crate::types::{Raft, Types};

/// What a node is started with.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct Options {
    /// Its number in the cluster
    #[arg(long)]
    pub id: u64,
    /// Its folder: the log is in `log`, the last snapshot in `snapshot`
    #[arg(long)]
    pub dir: PathBuf,
    /// Where it listens, and where others find it
    #[arg(long)]
    pub listen: SocketAddr,
    /// Entries after which a snapshot is made, and the log cut in front
    #[arg(long, default_value_t = 5000)]
    pub snapshot_every: u64,
    /// Keep the log in memory: for figures only, it loses everything
    #[arg(long)]
    pub in_memory: bool,
    /// End when standard input does: with the process that started it
    #[arg(long)]
    pub with_parent: bool,
}

/// Milliseconds. A follower that hears nothing for so long stands for election.
const ELECTION: (u64, u64) = (600, 1200);
/// Also what a follower has to answer within, disk included.
const HEARTBEAT: u64 = 200;

/// Runs a node until it is told to end, or can't go on.
///
/// # Errors
/// What keeps it from starting, or from going on: a disk that failed, for one.
pub async fn run(options: Options) -> Result<(), Failure> {
    let config = Config {
        cluster_name: "raft-kv".to_owned(),
        heartbeat_interval: HEARTBEAT,
        election_timeout_min: ELECTION.0,
        election_timeout_max: ELECTION.1,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_every),
        max_in_snapshot_log_to_keep: options.snapshot_every / 5,
        // A node that is far behind is given a snapshot; one that was away for a moment, entries.
        replication_lag_threshold: options.snapshot_every.saturating_mul(2),
        ..Default::default()
    };
    let config = Arc::new(config.validate()?);
    std::fs::create_dir_all(&options.dir)?;
    let listener = TcpListener::bind(options.listen).await?;
    let machine = Machine::open(&options.dir)?;
    let network = Network::default();
    let (id, map) = (options.id, machine.clone());
    let (raft, store) = if options.in_memory {
        (Raft::new(id, config, network, MemoryLog::default(), machine).await?, None)
    } else {
        let log = walden::Config::durable();
        let store: LogStore<Types> = LogStore::open(options.dir.join("log"), log).await?;
        let snapshots = machine.clone();
        let store = store.purging_what_is_kept(move |upto| snapshots.clone().kept_up_to(upto));
        (Raft::new(id, config, network, store.clone(), machine).await?, Some(store))
    };
    anstream::println!("node {id} listens on {}", listener.local_addr()?);

    let app = router(Served { raft: raft.clone(), machine: map, id });
    let serving = axum::serve(listener, app).into_future();
    let ended: Result<(), Failure> = tokio::select! {
        served = serving => served.map_err(Failure::from),
        stopped = stopped(&raft) => Err(stopped),
        () = asked_to_end(options.with_parent) => Ok(()),
    };
    // What is replicated is on disk; the rest is to close in order.
    raft.shutdown().await?;
    if let Some(store) = store {
        store.close().await?;
    }
    ended
}

/// Resolves when Raft cannot go on, with the cause.
async fn stopped(raft: &Raft) -> Failure {
    let mut metrics = raft.metrics();
    loop {
        if let Err(cause) = &metrics.borrow_and_update().running_state {
            return cause.clone().into();
        }
        if metrics.changed().await.is_err() {
            return "Raft has ended".into();
        }
    }
}

async fn asked_to_end(with_parent: bool) {
    use tokio::io::AsyncReadExt as _;

    let input_ends = async {
        let mut input = tokio::io::stdin();
        let mut byte = [0];
        while with_parent && input.read(&mut byte).await.is_ok_and(|count| count > 0) {}
        if !with_parent {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = input_ends => {}
    }
}
