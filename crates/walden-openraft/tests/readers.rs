//! Readers of replications that outlive what they replicate: those of a leader that was deposed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::time::Duration;

use common::{Types, entry, log_id};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{Entry, RaftLogReader, Vote};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use walden::Config;
use walden_openraft::{LogReader, LogStore};

type Found = Vec<Entry<Types>>;

/// A leader of term 1 with the entries 0 to 19.
async fn leader() -> (TempDir, LogStore<Types>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store: LogStore<Types> = LogStore::open(dir.path(), Config::durable()).await.unwrap();
    store.save_vote(&Vote::new(9, 1)).await.unwrap();
    store.blocking_append((0..20).map(|index| entry(1, index, "e"))).await.unwrap();
    (dir, store)
}

/// Has the entries from 12 on replaced by those of another leader.
async fn depose(store: &mut LogStore<Types>) {
    store.truncate(log_id(1, 12)).await.unwrap();
    store.blocking_append((12..20).map(|index| entry(2, index, "e"))).await.unwrap();
}

async fn read(reader: &mut LogReader, start: u64) -> Found {
    RaftLogReader::<Types>::limited_get_log_entries(reader, start, 20).await.unwrap()
}

/// A replication that reads on, and is given nothing as yet: neither entries nor the leave to ask again at once.
async fn waits(mut reader: LogReader, start: u64) -> JoinHandle<Found> {
    let mut reading = tokio::spawn(async move { read(&mut reader, start).await });
    let given = timeout(Duration::from_millis(100), &mut reading).await;
    assert!(given.is_err(), "{given:?}");
    reading
}

#[tokio::test]
async fn a_deposed_leader_replicates_nothing_of_the_next_ones_log() {
    let (_dir, mut store) = leader().await;
    let mut before = store.get_log_reader().await;
    let another = store.get_log_reader().await;
    assert_eq!(read(&mut before, 16).await[0], entry(1, 16, "e"));
    depose(&mut store).await;
    // 16 is of term 2 now, and does not follow 15 of term 1, which the follower has.
    let reading = waits(before, 16).await;
    // Nor do those that are of term 1 all the same: who asks cannot tell.
    let reading_early = waits(another.clone(), 3).await;

    // The leader once more: openraft has let go of the replications before.
    let mut after = store.get_log_reader().await;
    assert_eq!(reading.await.unwrap(), []);
    assert_eq!(reading_early.await.unwrap(), []);
    assert_eq!(read(&mut another.clone(), 16).await, []);
    let found = read(&mut after, 11).await;
    assert_eq!(found[..2], [entry(1, 11, "e"), entry(2, 12, "e")]);
    assert_eq!(found.len(), 9);
}

#[tokio::test]
async fn a_log_that_a_snapshot_replaced_is_not_replicated() {
    let (_dir, mut store) = leader().await;
    let before = store.get_log_reader().await;
    // Behind the end: the log begins anew, at 31.
    store.purge(log_id(2, 30)).await.unwrap();
    let reading = waits(before, 16).await;
    store.close().await.unwrap();
    assert_eq!(reading.await.unwrap(), []);
}

#[tokio::test]
async fn the_rest_of_what_was_purged_is_not_taken_for_the_whole() {
    let (_dir, mut store) = leader().await;
    let mut before = store.get_log_reader().await;
    store.purge(log_id(1, 17)).await.unwrap();
    assert_eq!(store.limited_get_log_entries(16, 20).await.unwrap(), []);
    // A replication that needs none of it goes on.
    assert_eq!(read(&mut before, 18).await.len(), 2);
    assert_eq!(read(&mut before, 20).await, []);
    let reading = waits(before, 16).await;
    let _after = store.get_log_reader().await;
    assert_eq!(reading.await.unwrap(), []);
}
