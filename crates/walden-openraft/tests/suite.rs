//! openraft's own tests of a storage, all of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{StateMachine, Types};
use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use walden::{Config, Wal};
use walden_openraft::{LogStore, RaftLog};

struct Builder;

impl StoreBuilder<Types, LogStore<Types>, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore<Types>, StateMachine), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        // Segments so small that they rotate within each test.
        let config = Config::durable().mode(walden::Mode::Debug).segment_size(256);
        let path = dir.path().join("log");
        // Its logs begin with index 1.
        let open = || Ok(RaftLog::open(Wal::open(path, config)?)?.beginning_anywhere());
        let store = LogStore::open_with(open).await?;
        Ok((dir, store, StateMachine::default()))
    }
}

#[test]
fn openrafts_suite() {
    Suite::test_all(Builder).unwrap();
}
