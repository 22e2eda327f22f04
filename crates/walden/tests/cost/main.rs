//! What an append and a read cost, counted and not timed: a regression shows on any machine, however busy.
//!
//! - `heap`: allocations (none, once a log is under way).
//! - `storage`: calls of the storage and bytes given to it, of each strategy, against `storage.txt`.
//! - `ahead`: what is done before it is needed, or not at all.
//! - `waiting`: how often followers that have all there is wake up.
//! - `calls`: system calls of the real thing, by strace.
//! - `instructions`: by callgrind, against `instructions.txt`; compiled in release builds only
//!   (`cargo test --release -p walden --test cost`).
//!
//! Which lock is held at which call is seen from inside: `src/wal/locks.rs`.
//!
//! `WALDEN_BLESS=1` with the commands above writes the two files anew: the change of the figures belongs
//! into the commit that causes it.
#![cfg(unix)]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![expect(clippy::print_stdout, reason = "a test that skips says so")]

mod ahead;
mod calls;
mod child;
mod counted;
mod figures;
mod heap;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(debug_assertions)))]
mod instructions;
mod storage;
#[cfg(target_os = "linux")]
mod waiting;

use walden::{Config, Engine, SyncStrategy};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// Bytes of each payload, and of its record.
const PAYLOAD: usize = 128;
const RECORD: u64 = 128 + 28;

/// What is measured: each way into the log's files.
const WAYS: [Way; 4] = [
    Way { name: "Background", strategy: SyncStrategy::Background, engine: Engine::Os },
    Way { name: "OsCache", strategy: SyncStrategy::OsCache, engine: Engine::Os },
    Way { name: "OsCache+mmap", strategy: SyncStrategy::OsCache, engine: Engine::Mmap },
    Way { name: "Always", strategy: SyncStrategy::Always, engine: Engine::Os },
];

#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    strategy: SyncStrategy,
    engine: Engine,
}

impl Way {
    fn named(name: &str) -> Self {
        WAYS.into_iter().find(|way| way.name == name).expect("one of the ways")
    }

    /// The preset of the strategy; nothing periodic falls into the time that a test takes.
    fn config(self) -> Config {
        let preset = match self.strategy {
            SyncStrategy::Background => Config::background(),
            SyncStrategy::OsCache => Config::os_cache(),
            _ => Config::durable(),
        };
        preset.engine(self.engine).sync_interval(std::time::Duration::from_secs(3600))
    }
}

fn skipped(reason: &str) {
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}
