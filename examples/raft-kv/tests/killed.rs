//! Three nodes under load; leaders, others and majorities killed by SIGKILL and started again, in a loop. No write that
//! was acknowledged is lost, and what all clients saw is linearizable.
//!
//! `WALDEN_SEED=n` chooses the same victims again (what else happens depends on the machine), `WALDEN_SECONDS=n` goes
//! on for longer.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stdout, reason = "seeds and counts are printed")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Seen;
use walden_raft_kv::cluster::{Cluster, index_of};
use walden_sim::Rng;

const CLIENTS: u64 = 8;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Kills some nodes, and starts them again a while later.
async fn strike(cluster: &mut Cluster, rng: &mut Rng) -> u64 {
    let leader = cluster.leader().await.unwrap();
    let other = 1 + (leader + rng.below(2)) % 3;
    let victims = match rng.below(6) {
        0 => vec![other],
        1 => vec![other, leader],
        _ => vec![leader],
    };
    for victim in &victims {
        cluster.kill(*victim).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200 + rng.below(1200))).await;
    for victim in &victims {
        cluster.restart(*victim).await.unwrap();
    }
    victims.len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load() {
    let seed = number("WALDEN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("WALDEN_SEED={seed}");
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_walden-raft-kv"));
    let mut cluster =
        Cluster::start(program, dir.path(), 3, &["--snapshot-every", "50"]).await.unwrap();
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = cluster.client().timeout(Duration::from_secs(1));
            tokio::spawn(Arc::clone(&seen).work(client, number, Arc::clone(&stop)))
        })
        .collect();
    let begun = Instant::now();
    let until = begun + Duration::from_secs(number("WALDEN_SECONDS").unwrap_or(8));
    let mut kills = 0;
    // A slow machine gets more time.
    while Instant::now() < until || !(seen.enough() && kills > 3) {
        assert!(begun.elapsed() < until - begun + Duration::from_secs(120), "{kills} kills");
        tokio::time::sleep(Duration::from_millis(300 + rng.below(700))).await;
        kills += strike(&mut cluster, &mut rng).await;
    }
    stop.store(1, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    seen.check(cluster.client()).await;
    let leader = cluster.leader().await.unwrap();
    let metrics = cluster.metrics(leader).await.unwrap();
    println!("{kills} kills, snapshot at {}", index_of(&metrics, "snapshot"));
    assert!(index_of(&metrics, "purged") > 0, "the log was purged");
}
