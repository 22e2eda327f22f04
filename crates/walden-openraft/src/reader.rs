//! Reading beside the store, and who must not read on: a replication of a leader that was deposed.
//!
//! openraft 0.9 gives each replication a reader when a node becomes the leader, and drops the replications only when it
//! becomes the leader once more. Until then those of a deposed leader go on with what they were sending. By then the
//! log may have another leader's entries under the same indexes:
//!
//! ```text
//! replication, as the leader of term 1      the store, as a follower in term 2
//! ------------------------------------      ----------------------------------
//! has sent up to 15, of term 1
//!                                           truncates from 12 on, appends 12 to 20 of term 2
//! reads from 16 on: of term 2
//! sends those as what follows (1, 15)
//! ```
//!
//! A follower that has 15 of term 1 would append them behind it, and have a log that no leader ever had. So a reader
//! knows how often entries had been taken back when it was made, and compares after it has read: what was read before
//! the first of these cuts is of the log that it was made for.
//!
//! What such a replication is told: nothing, ever, until the node has new readers. An error would stop the node, to
//! which nothing happened but that it was deposed. An empty answer makes openraft send a heartbeat and ask again 10 ms
//! later, for ever; and each heartbeat holds up the election in which its follower would take part.

use std::fmt;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::{
    ErrorSubject, ErrorVerb, OptionalSend, RaftLogId, RaftLogReader, RaftTypeConfig, StorageError,
};
use tokio::sync::watch;
use walden::Wal;

use crate::error::Error;
use crate::log::RaftLog;
use crate::read;
use crate::recent::Recent;

/// Bytes of entries in one answer to a replication.
pub(crate) const REPLICATED: usize = 4 << 20;

type Found<C> =
    Result<Vec<<C as RaftTypeConfig>::Entry>, StorageError<<C as RaftTypeConfig>::NodeId>>;

/// How often entries were taken back, under whose indexes others may come: `tests::a_cut_is_counted_on_both_sides`,
/// and in use `readers::a_deposed_leader_replicates_nothing_of_the_next_ones_log`. A count is compared, nothing is read
/// by it: that who has read what came behind a cut finds it counted, the log's own locks see to, which both passed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewrites(Arc<AtomicU64>);

impl Rewrites {
    /// Counts before, for who sees what comes after the cut, and behind it, for who began while it was under way.
    pub(crate) fn while_cutting<T>(&self, cut: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::AcqRel);
        let done = cut();
        self.0.fetch_add(1, Ordering::AcqRel);
        done
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Where entries are read from: those appended last from memory, others on a thread that may block.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) wal: Wal,
    recent: Arc<Recent>,
    rewrites: Rewrites,
}

impl Source {
    pub(crate) fn of<C: RaftTypeConfig>(log: &RaftLog<C>) -> Self {
        Self { wal: log.wal().clone(), recent: log.recent(), rewrites: log.rewrites() }
    }

    pub(crate) fn rewrites(&self) -> u64 {
        self.rewrites.count()
    }

    pub(crate) async fn read<C: RaftTypeConfig>(
        &self,
        range: Range<u64>,
        limit: usize,
    ) -> Found<C> {
        let failed = |error: Error| error.of(ErrorSubject::Logs, ErrorVerb::Read);
        let stored = match self.recent.get(&range, limit) {
            Some(recent) => recent,
            None => {
                let wal = self.wal.clone();
                let reading =
                    tokio::task::spawn_blocking(move || read::stored(&wal, &range, limit));
                reading.await.map_err(|_| failed(Error::Stopped))?.map_err(failed)?
            }
        };
        read::all_decoded::<C>(&stored).map_err(failed)
    }
}

/// Reads entries beside the store, for a replication.
///
/// `limited_get_log_entries`, which replications read with, gives entries of the log as it was when the reader was
/// made, and from the asked index on. Where that is not possible any more, since entries were taken back or purged,
/// it waits: until the store gives out readers again or is closed, and gives nothing then.
///
/// `try_get_log_entries` gives what is there now.
#[derive(Debug, Clone)]
pub struct LogReader {
    source: Source,
    /// How often entries had been taken back when it was made.
    made: u64,
    /// The same of the newest reader.
    newest: watch::Receiver<u64>,
}

impl LogReader {
    pub(crate) fn new(source: Source, newest: &watch::Sender<u64>) -> Self {
        let made = source.rewrites();
        newest.send_replace(made);
        Self { source, made, newest: newest.subscribe() }
    }

    /// Resolves when openraft has let go of the replications before.
    async fn replaced(&mut self) {
        // A store that is gone gives out no reader any more: an error is as good.
        drop(self.newest.wait_for(|newest| *newest != self.made).await);
    }

    /// The same where nothing was taken back: the reader that comes may be of the same log.
    async fn followed(&mut self) {
        self.newest.mark_unchanged();
        drop(self.newest.changed().await);
    }
}

impl<C: RaftTypeConfig> RaftLogReader<C> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Found<C> {
        self.source.read::<C>(read::indexes(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Found<C> {
        let found = self.source.read::<C>(start..end, REPLICATED).await;
        // Only now, and before an error: it may come of the cut.
        if self.source.rewrites() != self.made {
            self.replaced().await;
            return Ok(Vec::new());
        }
        let found = found?;
        // A leader purges nothing that a replication needs.
        let purged = match found.first() {
            Some(first) => first.get_log_id().index != start,
            None => start < end && start.saturating_add(1) < self.source.wal.first_seq(),
        };
        if purged {
            self.followed().await;
            return Ok(Vec::new());
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::Rewrites;

    /// A reader made before a cut, or while it is under way, is of another log than what comes behind it.
    #[test]
    fn a_cut_is_counted_on_both_sides() {
        let rewrites = Rewrites::default();
        let before = rewrites.count();
        let under_way = rewrites.while_cutting(|| rewrites.count());
        let behind = rewrites.count();
        assert!(before < under_way && under_way < behind, "{before}, {under_way}, {behind}");
    }
}
