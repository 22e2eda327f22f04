//! What the log has counted since it was opened: plain numbers, of this log alone.

use crate::sync::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counted while the log runs. Uncontended adds; no lock, no registry. Nothing but `bytes_appended` is
        /// decided by them, which is added to under the append lock (under shuttle: `tickets::ready_to_submit`); and by `appends`
        /// how long a thread waits for that lock.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        impl Counters {
            fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }

        /// What a log has done since it was opened, and how it stands; see
        /// [`Wal::stats`](crate::Wal::stats).
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// The seq id that comes after the last one appended.
            pub appended: u64,
            /// The seq id that comes after the last one the kernel has.
            pub written: u64,
            /// The seq id that comes after the last durable one.
            pub durable: u64,
            /// Live segments.
            pub segments: u64,
            /// Live segments that are not sealed yet.
            pub open_segments: u64,
            /// Cursors.
            pub cursors: u64,
            /// Cursors that cannot be read: while there is one, retention removes nothing.
            pub cursors_unreadable: u64,
            /// Threads, tasks and callbacks that wait for a record to be written or durable.
            pub waiters: u64,
            /// Bytes appended and not yet durable.
            pub bytes_in_flight: u64,
            /// Whether records are copied into the active segment's mapping ([`Engine::Mmap`](crate::Engine)).
            pub mapped: bool,
            /// Whether a sync or write failed and the log takes no more changes.
            pub poisoned: bool,
            /// The last of the failures that `upkeep_failures` counts, in words.
            pub last_upkeep_failure: Option<String>,
        }
    };
}

counters! {
    /// Appends, single or batch.
    appends,
    /// Entries appended.
    entries,
    /// Batches appended.
    batches,
    /// Single appends that were stored in one record with others ([`Config::pack_appends`](crate::Config::pack_appends)).
    packed,
    /// Bytes of records, headers and footers included.
    bytes_appended,
    /// Records that were stored compressed.
    compressed,
    /// Bytes that those records take.
    bytes_compressed,
    /// Bytes that they would have taken more, uncompressed.
    bytes_saved,
    /// Writes of records to a file.
    writes,
    /// Syncs of a segment that made records durable.
    syncs,
    /// Entries that those syncs made durable: by `syncs`, the records per sync.
    entries_synced,
    /// New segments begun.
    rotations,
    /// Appends that waited because the next segment was not ready.
    rotation_waits,
    /// Pauses of appends, of milliseconds, because they come faster than the disk takes them.
    pauses,
    /// Segments sealed.
    seals,
    /// Appends refused because the disk was full.
    disk_full,
    /// Cuts at the front (`truncate_front` and retention).
    front_cuts,
    /// Cuts at the back (`truncate_back` and `reset`).
    back_cuts,
    /// Segments removed by retention.
    segments_expired,
    /// Bytes of those.
    bytes_expired,
    /// Failures of what the log does by itself (retention, sealing, the next segment, periodic syncs, indexes) that
    /// did not end it: it is tried again, and a file that could not be removed goes at the next opening. Appends that
    /// depend on it get the error themselves; of the rest only this tells.
    upkeep_failures,
    /// Cursors that retention went past.
    cursors_expired,
    /// How often a reader of this log, or its upkeep, came upon damage: the same place counts each time.
    corruptions,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// As [`add`](Self::add), where a lock keeps all others from adding to it; gives the sum.
    pub(crate) fn add_alone(counter: &AtomicU64, n: u64) -> u64 {
        let sum = counter.load(Ordering::Relaxed) + n;
        counter.store(sum, Ordering::Relaxed);
        sum
    }

    pub(crate) fn read(&self) -> Stats {
        self.snapshot()
    }
}
