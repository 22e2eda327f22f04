//! The demonstration: three nodes, a write, the leader's end, and what is left.

use std::path::Path;
use std::time::Instant;

use openraft::BasicNode;

use crate::Failure;
use crate::cluster::{Cluster, get_surely, index_of, set_surely};

/// Runs it in `dir`, with nodes of `program`.
///
/// # Errors
/// What went wrong; a write that was lost, for one.
pub async fn run(program: &Path, dir: &Path) -> Result<(), Failure> {
    anstream::println!("three nodes, in {}", dir.display());
    let mut cluster = Cluster::start(program, dir, 3, &["--snapshot-every", "200"]).await?;
    let mut client = cluster.client();
    let first = cluster.leader().await?;
    anstream::println!("node {first} leads");
    set_surely(&mut client, "greeting", "hello").await?;
    anstream::println!("set greeting to hello: acknowledged");

    cluster.kill(first).await?;
    let killed = Instant::now();
    anstream::println!("kill -9 of node {first}");
    let greeting = get_surely(&mut client, "greeting").await?;
    if greeting.as_deref() != Some("hello") {
        return Err(format!("an acknowledged write was lost: greeting is {greeting:?}").into());
    }
    anstream::println!("read greeting after {:.0?}: hello", killed.elapsed());
    let second = cluster.leader().await?;
    anstream::println!("node {second} leads");

    for number in 0..1000_u32 {
        set_surely(&mut client, &format!("key-{}", number % 100), &number.to_string()).await?;
    }
    let metrics = cluster.metrics(second).await?;
    let (snapshot, purged) = (index_of(&metrics, "snapshot"), index_of(&metrics, "purged"));
    anstream::println!(
        "1,000 writes: a snapshot up to entry {snapshot}, the log cut up to {purged}"
    );

    cluster.restart(first).await?;
    cluster.applied(first, index_of(&metrics, "last_applied")).await?;
    let snapshot = index_of(&cluster.metrics(first).await?, "snapshot");
    anstream::println!(
        "node {first} is back, was sent a snapshot up to entry {snapshot}, and is level"
    );

    let addr = cluster.add(4).await?;
    client.order("/cluster/learner", &(4, BasicNode::new(addr))).await?;
    let members: Vec<u64> = (1..=4).filter(|id| *id != second).collect();
    client.order("/cluster/members", &members).await?;
    anstream::println!("node 4 joins, node {second} leaves: the members are {members:?}");
    cluster.kill(second).await?;
    for (key, wanted) in [("greeting", "hello"), ("key-99", "999")] {
        let found = get_surely(&mut client, key).await?;
        if found.as_deref() != Some(wanted) {
            return Err(format!("an acknowledged write was lost: {key} is {found:?}").into());
        }
    }
    anstream::println!(
        "node {} leads; all that was acknowledged is there",
        cluster.leader().await?
    );
    Ok(())
}
