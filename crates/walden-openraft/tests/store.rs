//! The store as openraft uses it: what is acknowledged, what is refused, what is found after it was closed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Types, entry, log_id};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{LogId, RaftLogId, RaftLogReader, Vote};
use walden::{Config, Wal};
use walden_openraft::{LogStore, RaftLog};
use walden_sim::{Action, CrashPlan, EIO, Fault, OpKind, SimClock, SimDisk};

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn open(dir: &Path) -> LogStore<Types> {
    LogStore::open(dir, Config::durable()).await.unwrap()
}

async fn open_on(disk: &SimDisk) -> LogStore<Types> {
    let disk = disk.clone();
    let open = move || {
        let (storage, clock) = (Arc::new(disk), Arc::new(SimClock::new(1)));
        RaftLog::open(Wal::open_with("/log", Config::durable(), storage, clock)?)
    };
    LogStore::open_with(open).await.unwrap()
}

async fn indexes(store: &mut LogStore<Types>) -> Vec<u64> {
    let entries = store.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|entry| entry.get_log_id().index).collect()
}

#[tokio::test]
async fn all_is_there_after_closing() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut store = open(dir.path()).await;
    assert_eq!(store.read_vote().await?, None);
    store.save_vote(&Vote::new(3, 7)).await?;
    store.blocking_append((0..10).map(|index| entry(2, index, format!("e{index}")))).await?;
    store.save_committed(Some(log_id(2, 6))).await?;
    store.purge(log_id(2, 3)).await?;
    store.truncate(log_id(2, 9)).await?;
    store.close().await?;
    assert!(store.save_vote(&Vote::new(4, 7)).await.is_err(), "it is closed");

    let mut store = open(dir.path()).await;
    assert_eq!(store.read_vote().await?, Some(Vote::new(3, 7)));
    assert_eq!(store.read_committed().await?, Some(log_id(2, 6)));
    let state = store.get_log_state().await?;
    assert_eq!(state.last_purged_log_id, Some(log_id(2, 3)));
    assert_eq!(state.last_log_id, Some(log_id(2, 8)));
    assert_eq!(indexes(&mut store).await, [4, 5, 6, 7, 8]);
    store.blocking_append([entry(3, 9, "new")]).await?;
    let found = store.try_get_log_entries(8..).await?;
    assert_eq!(found, [entry(2, 8, "e8"), entry(3, 9, "new")]);
    Ok(())
}

#[tokio::test]
async fn the_mapping_holds_after_a_snapshot_behind_the_end() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut store = open(dir.path()).await;
    store.save_vote(&Vote::new(5, 1)).await?;
    store.blocking_append((0..4).map(|index| entry(1, index, "old"))).await?;
    assert_eq!((store.wal().first_seq(), store.wal().next_seq()), (1, 5));
    store.purge(log_id(4, 99)).await?;
    assert!(indexes(&mut store).await.is_empty());
    assert_eq!((store.wal().first_seq(), store.wal().next_seq()), (101, 101));
    store.blocking_append([entry(5, 100, "new")]).await?;
    assert_eq!(store.wal().last_seq(), Some(101));
    store.close().await?;

    let mut store = open(dir.path()).await;
    let state = store.get_log_state().await?;
    assert_eq!(state.last_purged_log_id, Some(log_id(4, 99)));
    assert_eq!(state.last_log_id, Some(log_id(5, 100)));
    assert_eq!(store.try_get_log_entries(0..200).await?, [entry(5, 100, "new")]);
    Ok(())
}

/// A purge waits for the snapshot that stands in for the entries, and where there is none they stay.
#[tokio::test]
async fn what_is_in_no_snapshot_is_not_purged() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (tell, kept) = tokio::sync::watch::channel(Some(0));
    let is_kept = move |upto: LogId<u64>| {
        let mut kept = kept.clone();
        async move {
            let seen = kept.wait_for(|seen| seen.is_none_or(|seen| seen >= upto.index)).await;
            let reached = seen.is_ok_and(|seen| seen.is_some());
            if reached { Ok(()) } else { Err(std::io::Error::other("there is no snapshot")) }
        }
    };
    let mut store = open(dir.path()).await.purging_what_is_kept(is_kept);
    store.save_vote(&Vote::new(1, 1)).await?;
    store.blocking_append((0..6).map(|index| entry(1, index, "e"))).await?;
    store.purge(log_id(1, 0)).await?;
    let mut other = store.clone();
    let purging = tokio::spawn(async move { other.purge(log_id(1, 3)).await });
    for seen in [1, 2] {
        tell.send(Some(seen))?;
        tokio::task::yield_now().await;
        assert_eq!(indexes(&mut store).await, [1, 2, 3, 4, 5]);
        assert!(!purging.is_finished());
    }
    tell.send(Some(4))?;
    purging.await??;
    assert_eq!(indexes(&mut store).await, [4, 5]);
    tell.send(None)?;
    let refused = store.purge(log_id(1, 4)).await.unwrap_err();
    assert!(refused.to_string().contains("there is no snapshot"), "{refused}");
    assert_eq!(indexes(&mut store).await, [4, 5]);
    Ok(())
}

#[tokio::test]
async fn what_would_leave_a_hole_is_refused() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut store = open(dir.path()).await;
    store.save_vote(&Vote::new(2, 1)).await?;
    store.blocking_append([entry(1, 0, "a"), entry(1, 1, "b"), entry(1, 2, "c")]).await?;
    let text = |refused: openraft::StorageError<u64>| refused.to_string();

    let gap = text(store.blocking_append([entry(1, 4, "e")]).await.unwrap_err());
    assert!(gap.contains("the next index is 3"), "{gap}");
    let within = [entry(1, 3, "d"), entry(1, 5, "f")];
    assert!(store.blocking_append(within).await.is_err());
    let back = text(store.save_vote(&Vote::new(1, 9)).await.unwrap_err());
    assert!(back.contains("would go back"), "{back}");
    let early = text(store.save_committed(Some(log_id(1, 3))).await.unwrap_err());
    assert!(early.contains("cannot be committed"), "{early}");
    store.purge(log_id(1, 1)).await?;
    let purged = text(store.truncate(log_id(1, 1)).await.unwrap_err());
    assert!(purged.contains("it was purged"), "{purged}");
    assert!(store.blocking_append([entry(1, u64::MAX, "z")]).await.is_err());
    assert!(store.purge(log_id(1, u64::MAX)).await.is_err());

    assert_eq!(store.read_vote().await?, Some(Vote::new(2, 1)));
    assert_eq!(indexes(&mut store).await, [2]);
    store.blocking_append([entry(1, 3, "d")]).await?;
    Ok(())
}

#[tokio::test]
async fn large_appends_are_several_records_and_are_read_in_parts() -> Outcome {
    let dir = tempfile::tempdir()?;
    let config = Config::durable().max_record_size(700_000);
    let mut store = LogStore::<Types>::open(dir.path(), config).await?;
    store.save_vote(&Vote::new(1, 1)).await?;
    let large = "x".repeat(500_000);
    store.blocking_append((0..20).map(|index| entry(1, index, &*large))).await?;
    assert_eq!(store.wal().durable_seq(), 20);
    let part = store.limited_get_log_entries(3, 20).await?;
    assert!((1..17).contains(&part.len()), "{} of 17 entries", part.len());
    assert_eq!(part[0], entry(1, 3, &*large));
    assert_eq!(store.try_get_log_entries(3..20).await?.len(), 17);

    let refused = store.blocking_append([entry(1, 20, "y".repeat(800_000))]).await.unwrap_err();
    assert!(refused.to_string().contains("max_record_size"), "{refused}");
    store.blocking_append([entry(1, 20, "small")]).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_acknowledged_after_a_failed_sync() -> Outcome {
    let disk = SimDisk::new();
    let mut store = open_on(&disk).await;
    store.save_vote(&Vote::new(1, 1)).await?;
    store.blocking_append([entry(1, 0, "safe")]).await?;
    disk.add_fault(Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).nth(1));

    let failed = store.blocking_append([entry(1, 1, "lost")]).await.unwrap_err().to_string();
    assert!(failed.contains("sync"), "the cause is told: {failed}");
    assert!(disk.faults_met() > 0);
    assert!(store.blocking_append([entry(1, 2, "after")]).await.is_err());
    assert!(store.save_vote(&Vote::new(2, 1)).await.is_err());
    assert!(store.truncate(log_id(1, 1)).await.is_err());
    assert!(store.purge(log_id(1, 0)).await.is_err());

    let mut store = open_on(&disk.crash(&mut CrashPlan::oldest())).await;
    assert_eq!(store.read_vote().await?, Some(Vote::new(1, 1)));
    assert_eq!(store.try_get_log_entries(..1).await?, [entry(1, 0, "safe")]);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() -> Outcome {
    let disk = SimDisk::new();
    let mut store = open_on(&disk).await;
    store.save_vote(&Vote::new(1, 1)).await?;
    store.blocking_append([entry(1, 0, "safe")]).await?;
    disk.set_capacity(Some(disk.used()));
    let mut index = 1;
    let full = loop {
        match store.blocking_append([entry(1, index, "x".repeat(1 << 20))]).await {
            Ok(()) => index += 1,
            Err(full) => break full.to_string(),
        }
        assert!(index < 100, "the disk is full");
    };
    assert!(full.contains("space"), "{full}");
    // The vote needs no room.
    store.save_vote(&Vote::new(2, 1)).await?;
    disk.set_capacity(None);
    store.blocking_append([entry(2, index, "there is room")]).await?;
    assert_eq!(indexes(&mut store).await, (0..=index).collect::<Vec<_>>());
    Ok(())
}

/// Where no room can be reserved, entries have their seq ids before the disk turns out to be full.
#[tokio::test]
async fn a_full_disk_is_told_where_no_room_can_be_reserved() -> Outcome {
    let disk = SimDisk::new();
    disk.set_allocate_supported(false);
    let mut store = open_on(&disk).await;
    store.save_vote(&Vote::new(1, 1)).await?;
    store.blocking_append([entry(1, 0, "safe")]).await?;
    disk.set_capacity(Some(disk.used()));
    let appending = store.blocking_append([entry(1, 1, "x".repeat(1 << 20))]);
    let told = tokio::time::timeout(Duration::from_secs(10), appending).await;
    let full = told.expect("who waits for the append is told").unwrap_err().to_string();
    assert!(full.contains("space"), "{full}");
    store.save_vote(&Vote::new(2, 1)).await?;
    tokio::time::timeout(Duration::from_secs(10), store.close()).await?.ok();

    disk.set_capacity(None);
    let mut store = open_on(&disk.kill()).await;
    assert_eq!(store.read_vote().await?, Some(Vote::new(2, 1)));
    assert_eq!(store.try_get_log_entries(..1).await?, [entry(1, 0, "safe")]);
    let next = store.wal().next_seq() - 1;
    store.blocking_append([entry(2, next, "there is room")]).await?;
    Ok(())
}

/// A log that begins elsewhere would be refused when it is opened again.
#[tokio::test]
async fn the_first_entry_has_index_0() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut store = open(dir.path()).await;
    store.save_vote(&Vote::new(1, 1)).await?;
    let refused = store.blocking_append([entry(1, 1, "b")]).await.unwrap_err().to_string();
    assert!(refused.contains("the next index is 0"), "{refused}");
    store.blocking_append([entry(1, 0, "a"), entry(1, 1, "b")]).await?;
    store.close().await?;
    assert_eq!(indexes(&mut open(dir.path()).await).await, [0, 1]);
    Ok(())
}

/// A folder from which something went that Raft relies on.
#[test]
fn what_a_node_must_not_go_on_with_is_refused() {
    fn refusal(spoil: impl FnOnce(&Wal)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let open = || Wal::open(dir.path(), Config::durable()).unwrap();
        let mut log = RaftLog::<Types>::open(open()).unwrap();
        log.save_vote(&Vote::new(2, 1)).unwrap();
        let entries: Vec<_> = (0..10).map(|index| entry(2, index, "e")).collect();
        log.append(&entries).unwrap().unwrap().wait().unwrap();
        log.save_committed(Some(log_id(2, 8))).unwrap();
        log.close().unwrap();
        drop(log);

        let wal = open();
        spoil(&wal);
        wal.close().unwrap();
        drop(wal);
        RaftLog::<Types>::open(open()).map_or_else(|error| error.to_string(), |_| String::new())
    }
    let set = |key: &'static str, value: &'static [u8]| {
        move |wal: &Wal| wal.set_meta(key, value).unwrap()
    };

    assert_eq!(refusal(|_| ()), "");
    let vote = refusal(set("raft.vote", b""));
    assert!(vote.contains("the vote is of term 0") && vote.contains("must not vote"), "{vote}");
    let front = refusal(|wal| wal.truncate_front(4).unwrap());
    assert!(front.contains("indexes 0..3 are missing"), "{front}");
    let back = refusal(|wal| wal.truncate_back(8).unwrap());
    assert!(back.contains("up to index 8 were committed"), "{back}");
    let foreign = refusal(|wal| assert_eq!(wal.append("no entry").unwrap(), 11));
    assert!(foreign.contains("index 10") && foreign.contains("format"), "{foreign}");
    let garbage = refusal(set("raft.vote", b"\x01garbage"));
    assert!(garbage.contains("cannot read the vote back"), "{garbage}");
}

/// Readers beside cuts at both ends, and appends: what they get follows on itself, and is of one history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_history() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut store = open(dir.path()).await;
    store.save_vote(&Vote::new(1000, 1)).await?;
    let mut reader = store.get_log_reader().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn(async move {
        let (mut stopped, mut seen) = (stopped, 0);
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            let found: Vec<openraft::Entry<Types>> =
                RaftLogReader::<Types>::try_get_log_entries(&mut reader, 0..u64::MAX)
                    .await
                    .unwrap();
            seen += found.len();
            for pair in found.windows(2) {
                let (a, b) = (pair[0].log_id, pair[1].log_id);
                assert!(a.index + 1 == b.index && a.leader_id <= b.leader_id, "{a} before {b}");
            }
        }
        seen
    });
    let mut next = 0;
    for term in 1..60 {
        store.blocking_append((next..next + 20).map(|index| entry(term, index, "e"))).await?;
        store.truncate(log_id(term, next + 7)).await?;
        next += 7;
        if term % 5 == 0 {
            store.purge(log_id(term, next - 10)).await?;
        }
    }
    drop(stop);
    assert!(reading.await? > 0);
    Ok(())
}
