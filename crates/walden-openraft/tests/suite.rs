//! openraft's own tests of a storage, all of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{StateMachine, Types};
use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use walden::Config;
use walden_openraft::LogStore;

struct Builder;

impl StoreBuilder<Types, LogStore<Types>, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore<Types>, StateMachine), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        // Segments so small that they rotate within each test.
        let config = Config::durable().mode(walden::Mode::Debug).segment_size(256);
        let store = LogStore::open(dir.path().join("log"), config).await?;
        Ok((dir, store, StateMachine::default()))
    }
}

#[test]
fn openrafts_suite() {
    Suite::test_all(Builder).unwrap();
}
