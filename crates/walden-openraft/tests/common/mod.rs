//! Types of a small Raft application, and its state machine in memory.

#![allow(dead_code, reason = "each test uses some of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use openraft::storage::RaftStateMachine;
use openraft::{
    BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, OptionalSend, RaftLogId,
    RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StoredMembership, TokioRuntime,
};

openraft::declare_raft_types!(
    pub(crate) Types: D = String, R = (), NodeId = u64, Node = BasicNode, Entry = Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>, AsyncRuntime = TokioRuntime
);

pub(crate) fn log_id(term: u64, index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(term, 0), index)
}

pub(crate) fn entry(term: u64, index: u64, data: impl Into<String>) -> Entry<Types> {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(data.into()) }
}

/// Applies nothing but log ids and memberships.
#[derive(Debug, Default, Clone)]
pub(crate) struct StateMachine(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    snapshots: u64,
    snapshot: Option<SnapshotMeta<u64, BasicNode>>,
}

impl State {
    fn current(&self) -> Option<Snapshot<Types>> {
        let meta = self.snapshot.clone()?;
        Some(Snapshot { meta, snapshot: Box::default() })
    }
}

impl RaftSnapshotBuilder<Types> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        let mut state = self.0.lock().unwrap();
        state.snapshots += 1;
        state.snapshot = Some(SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
            snapshot_id: state.snapshots.to_string(),
        });
        Ok(state.current().unwrap())
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        let state = self.0.lock().unwrap();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.0.lock().unwrap();
        let apply = |entry: Entry<Types>| {
            state.applied = Some(*entry.get_log_id());
            if let EntryPayload::Membership(membership) = entry.payload {
                state.membership = StoredMembership::new(state.applied, membership);
            }
        };
        Ok(entries.into_iter().map(apply).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        _snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        let mut state = self.0.lock().unwrap();
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        Ok(self.0.lock().unwrap().current())
    }
}
