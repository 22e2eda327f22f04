//! Calls of the storage, and bytes written for each byte appended: exact, on a disk that is simulated.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use walden::{Config, Maintenance, SyncStrategy, Wal};
use walden_sim::{SimClock, SimDisk};

use super::counted::{CountingStorage, Counts};
use super::{PAYLOAD, RECORD, figures};

const FIGURES: &str = "storage.txt";
const APPENDS: u64 = 10_000;
const ROUNDS: u64 = 10;
const BATCH: usize = 64;

const HEAD: &str = "\
# What the storage is asked for by 10,000 entries of 128 bytes in segments of 256 KiB, up to and including a sync
# at the end; the log's upkeep runs after every 1,000. `by` is the payload's bytes that each byte written stands against.
# Written anew by: WALDEN_BLESS=1 cargo test -p walden --test cost
";

/// What appending asks of the storage once the log is under way.
fn counts(config: Config, batched: bool) -> Counts {
    let clock = SimClock::new(1);
    let storage = CountingStorage::new(Arc::new(SimDisk::with_clock(clock.clone())));
    let config = config.segment_size(256 << 10).maintenance(Maintenance::Manual);
    let wal = Wal::open_with(Path::new("/log"), config, Arc::new(storage.clone()), Arc::new(clock));
    let wal = wal.unwrap();
    wal.tick().unwrap();
    storage.take();
    for _ in 0..ROUNDS {
        if batched {
            for first in (0..APPENDS / ROUNDS).step_by(BATCH) {
                let entries = (APPENDS / ROUNDS - first).min(BATCH as u64);
                wal.append_batch((0..entries).map(|_| [7; PAYLOAD])).unwrap();
            }
        } else {
            for _ in 0..APPENDS / ROUNDS {
                wal.append([7; PAYLOAD]).unwrap();
            }
        }
        wal.tick().unwrap();
    }
    wal.sync().unwrap();
    assert_eq!(wal.stats().entries, APPENDS);
    storage.take()
}

pub(crate) fn of(counts: &Counts, kind: &str, call: &'static str) -> (u64, u64) {
    counts.get(&(kind.to_owned(), call)).copied().unwrap_or_default()
}

/// The counts as they are kept: a line each.
fn told(name: &str, counts: &Counts) -> String {
    let mut text = format!("\n{name}\n");
    for ((kind, call), (times, bytes)) in counts {
        write!(text, "  {kind:<10} {call:<18} {times:>6}").unwrap();
        if *bytes > 0 {
            let hundredths = bytes * 100 / (APPENDS * PAYLOAD as u64);
            write!(text, " {bytes:>9} bytes, by {}.{:02}", hundredths / 100, hundredths % 100)
                .unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_storage_is_asked_for_no_more_than_before() {
    let mut text = String::from(HEAD);
    for (name, config) in [
        ("Background", Config::background()),
        ("OsCache", Config::os_cache()),
        ("Always", Config::durable()),
    ] {
        text += &told(name, &counts(config.clone(), false));
        text += &told(&format!("{name}, batches of 64"), &counts(config, true));
    }
    if figures::blessing() {
        return figures::keep(FIGURES, &text);
    }
    let kept = figures::kept(FIGURES);
    assert!(
        text == kept,
        "other calls than {FIGURES} says. If that is meant: \
         WALDEN_BLESS=1 cargo test -p walden --test cost\n--- now\n{text}\n--- before\n{kept}"
    );
}

/// What no figure may be blessed into: records are written once, syncs are only made for durability.
#[test]
fn records_are_written_once() {
    for config in [Config::background(), Config::os_cache(), Config::durable()] {
        let (writes, bytes) = of(&counts(config.clone(), false), ".wal", "write");
        assert_eq!(bytes, APPENDS * RECORD, "{config:?}");
        assert!(writes <= APPENDS, "{config:?}");
    }
}

#[test]
fn a_sync_serves_its_append_and_nothing_else() {
    for strategy in [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always] {
        let counts = counts(Config::durable().sync_strategy(strategy), false);
        let (syncs, _) = of(&counts, ".wal", "sync");
        let (rotations, _) = of(&counts, ".next", "rename");
        // At a rotation the segment is synced as it is sealed; at the end once more.
        let most = rotations + 1 + if strategy == SyncStrategy::Always { APPENDS } else { 0 };
        assert!(syncs <= most, "{strategy:?}: {syncs} syncs, {rotations} rotations");
    }
}
