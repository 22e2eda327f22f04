//! Three hosts: network namespaces on a bridge, one of them with a small disk. Under load, hosts are cut off and joined
//! again, pairs of them lose sight of each other, one way or both, a disk is full, nodes are killed. What clients saw is
//! linearizable, and no write that was acknowledged is lost.
//!
//! Runs in network and mount namespaces of its own (`unshare`, as root), so that nothing is left of it; skipped where
//! that is not permitted. `WALDEN_SEED=n` chooses the same faults again, `WALDEN_SECONDS=n` goes on for longer.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stdout, reason = "seeds and counts are printed")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Seen;
use walden_raft_kv::cluster::{Cluster, Host};
use walden_sim::Rng;

const INSIDE: &str = "WALDEN_RAFT_KV_HOSTS";
const CLIENTS: u64 = 8;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs a command line; whether it went well.
fn tried(line: &str) -> bool {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output();
    output.is_ok_and(|output| output.status.success())
}

fn done(line: &str) {
    assert!(tried(line), "{line}");
}

fn namespace(id: u64) -> String {
    format!("walden-raft-{id}")
}

fn address(id: u64) -> String {
    format!("10.87.0.{id}")
}

/// A bridge here, a namespace for each host, and a small disk for the last.
fn hosts(dir: &Path) -> BTreeMap<u64, Host> {
    done("mkdir -p /run/netns");
    done("mount -t tmpfs none /run/netns");
    done("ip link set lo up");
    done("ip link add walden-br type bridge");
    done(&format!("ip addr add {}/24 dev walden-br", address(254)));
    done("ip link set walden-br up");
    let mut hosts = BTreeMap::new();
    for id in 1..=3 {
        let name = namespace(id);
        done(&format!("ip netns add {name}"));
        done(&format!("ip link add port{id} type veth peer name eth0 netns {name}"));
        done(&format!("ip link set port{id} master walden-br"));
        done(&format!("ip link set port{id} up"));
        done(&format!("ip -n {name} addr add {}/24 dev eth0", address(id)));
        done(&format!("ip -n {name} link set eth0 up"));
        done(&format!("ip -n {name} link set lo up"));
        let folder = dir.join(id.to_string());
        std::fs::create_dir(&folder).unwrap();
        let addr = format!("{}:7100", address(id)).parse().unwrap();
        hosts.insert(id, Host::new(addr, folder).in_namespace(&name));
    }
    done(&format!("mount -t tmpfs -o size=64m none {}", dir.join("3").display()));
    hosts
}

/// Two hosts lose sight of each other; or, one way, only answers are lost.
fn part(from: u64, to: u64, apart: bool) {
    let what = if apart { "add" } else { "del" };
    done(&format!("ip -n {} route {what} blackhole {}/32", namespace(from), address(to)));
}

fn plug(id: u64, how: &str) {
    done(&format!("ip link set port{id} {how}"));
}

async fn fill_the_disk(cluster: &mut Cluster, folder: &Path) {
    let filler: PathBuf = folder.join("filler");
    // Fails once there is no room: that is the purpose.
    drop(std::fs::write(&filler, vec![1_u8; 64 << 20]));
    let status = cluster.ended(3).await.unwrap();
    assert_eq!(status.code(), Some(1), "a node without room says so, and ends");
    std::fs::remove_file(&filler).unwrap();
    cluster.restart(3).await.unwrap();
}

async fn fault(cluster: &mut Cluster, rng: &mut Rng, which: u64, dir: &Path) -> &'static str {
    let leader = cluster.leader().await.unwrap();
    let other = 1 + (leader + rng.below(2)) % 3;
    let time = Duration::from_millis(500 + rng.below(1500));
    match which {
        0 => {
            plug(leader, "down");
            tokio::time::sleep(time).await;
            plug(leader, "up");
            "the leader's host is cut off"
        }
        1 => {
            part(leader, other, true);
            part(other, leader, true);
            tokio::time::sleep(time).await;
            part(leader, other, false);
            part(other, leader, false);
            "the leader and another lose sight of each other"
        }
        2 => {
            part(other, leader, true);
            tokio::time::sleep(time).await;
            part(other, leader, false);
            "one hears the leader, and cannot answer"
        }
        3 => {
            plug(other, "down");
            cluster.kill(leader).await.unwrap();
            tokio::time::sleep(time).await;
            cluster.restart(leader).await.unwrap();
            plug(other, "up");
            "the leader is killed while another is cut off"
        }
        _ => {
            fill_the_disk(cluster, &dir.join("3")).await;
            "the third host's disk is full"
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_under_load() {
    if std::env::var_os(INSIDE).is_none() {
        return in_namespaces_of_its_own();
    }
    let seed = number("WALDEN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("WALDEN_SEED={seed}");
    let mut rng = Rng::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_walden-raft-kv"));
    let hosts = hosts(dir.path());
    let mut cluster =
        Cluster::start_on(program, dir.path(), hosts, &["--snapshot-every", "50"]).await.unwrap();
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = cluster.client().timeout(Duration::from_secs(1));
            tokio::spawn(Arc::clone(&seen).work(client, number, Arc::clone(&stop)))
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(number("WALDEN_SECONDS").unwrap_or(10));
    // Bounded, and a slow machine gets more time.
    for round in 0..1_000_000 {
        // Each once, then by chance.
        let which = if round < 5 { round } else { rng.below(5) };
        println!("{}", fault(&mut cluster, &mut rng, which, dir.path()).await);
        tokio::time::sleep(Duration::from_millis(300 + rng.below(700))).await;
        if round >= 4 && Instant::now() > until && (seen.enough() || round > 30) {
            break;
        }
    }
    stop.store(1, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    seen.check(cluster.client()).await;
    drop(cluster);
    done(&format!("umount -l {}", dir.path().join("3").display()));
}

/// Runs this test again where it may do as it likes with the network.
fn in_namespaces_of_its_own() {
    let probe = "mount -t tmpfs none /mnt && ip link add walden-br type bridge && ip netns list";
    let output =
        Command::new("unshare").args(["--net", "--mount", "--", "sh", "-c", probe]).output();
    if !output.is_ok_and(|output| output.status.success()) {
        let reason = "no namespaces of the network can be made here: that needs root, and `ip` and `unshare`";
        let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
        assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
        println!("skipped: {reason}");
        return;
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "cut_off_under_load", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
