//! A node's log without threads: what is stored where, and in which order.

use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;
use openraft::{LogId, LogState, RaftLogId, RaftTypeConfig, Vote};
use serde::Serialize;
use serde::de::DeserializeOwned;
use walden::{ErrorKind, Ticket, Wal};

use crate::codec;
use crate::error::{Error, Result};
use crate::read;
use crate::reader::Rewrites;
use crate::recent::Recent;

const VOTE: &str = "raft.vote";
const PURGED: &str = "raft.purged";
const COMMITTED: &str = "raft.committed";

/// Entries of one append are one record up to here, so that neither a record nor what a cut through it has to write
/// anew is large.
const BATCH: usize = 1 << 20;

/// Walden counts from 1, openraft from 0.
pub(crate) fn seq_of(index: u64) -> Result<u64> {
    // The last seq id is none: the one after it must exist, too.
    match index.checked_add(1).filter(|seq| *seq < u64::MAX) {
        Some(seq) => Ok(seq),
        None => Err(Error::Order(format!("index {index} is past the last that can be stored"))),
    }
}

pub(crate) const fn index_of(seq: u64) -> u64 {
    seq.saturating_sub(1)
}

/// An entry as it is stored.
#[derive(Debug)]
pub(crate) struct Encoded<C: RaftTypeConfig> {
    log_id: LogId<C::NodeId>,
    bytes: Bytes,
}

impl<C: RaftTypeConfig> Encoded<C> {
    pub(crate) fn new(entry: &C::Entry) -> Result<Self> {
        let log_id = entry.get_log_id().clone();
        let what = format!("the entry with index {}", log_id.index);
        Ok(Self { bytes: codec::encode(&what, entry)?.into(), log_id })
    }
}

/// The log of a Raft node: its entries, vote, purged and committed log id, over a [`Wal`] of its own.
///
/// Blocks where the disk has to be waited for, and has no thread; [`LogStore`](crate::LogStore) is the same for
/// openraft. Without threads at all (`Maintenance::Manual`, [`Wal::tick`]) and on a simulated disk, what is built on it
/// can be crash-tested.
pub struct RaftLog<C: RaftTypeConfig> {
    wal: Wal,
    recent: Arc<Recent>,
    rewrites: Rewrites,
    vote: Option<Vote<C::NodeId>>,
    purged: Option<LogId<C::NodeId>>,
    /// Of the last entry that is there.
    last: Option<LogId<C::NodeId>>,
    committed: Option<LogId<C::NodeId>>,
    /// The committed log id that is in the metadata.
    written: Option<LogId<C::NodeId>>,
    every: u64,
    begins_anywhere: bool,
}

impl<C: RaftTypeConfig> fmt::Debug for RaftLog<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftLog")
            .field("wal", &self.wal)
            .field("vote", &self.vote)
            .field("purged", &self.purged)
            .field("last", &self.last)
            .field("committed", &self.committed)
            .finish_non_exhaustive()
    }
}

/// Opening.
impl<C: RaftTypeConfig> RaftLog<C> {
    /// Takes a log that is used for nothing else, and finishes a purge that a crash interrupted.
    ///
    /// # Errors
    /// `Lost` where the vote or entries are missing that the node had acknowledged; `Format` where what is stored is not
    /// of this crate, or of other types; whatever reading gives.
    pub fn open(wal: Wal) -> Result<Self> {
        let committed = meta(&wal, COMMITTED, "the committed log id")?;
        let mut log = Self {
            recent: Arc::default(),
            rewrites: Rewrites::default(),
            vote: meta(&wal, VOTE, "the vote")?,
            purged: meta(&wal, PURGED, "the purged log id")?,
            last: None,
            written: committed.clone(),
            committed,
            every: 1,
            begins_anywhere: false,
            wal,
        };
        log.last = match log.wal.last_seq() {
            Some(seq) => Some(log.log_id_at(seq)?),
            None => None,
        };
        log.check()?;
        log.cut_front()?;
        Ok(log)
    }

    /// Writes the committed log id only when it came this many entries further, with each purge and at closing, rather
    /// than each time, which is a sync for each commit.
    ///
    /// For a state machine that is on disk itself, and for nothing else: openraft 0.9 makes a node that was the leader
    /// the leader again as soon as it is started, and a linearizable read then waits for no more than the committed log
    /// id that it finds. With one that is old, the read misses writes that were acknowledged before.
    #[must_use]
    pub fn committed_every(mut self, entries: u64) -> Self {
        self.every = entries.max(1);
        self
    }

    /// Lets a log of which nothing was purged begin with any index, and not with 0 only. For openraft's own test suite,
    /// which begins with 1, and for nothing else: a log that begins elsewhere is taken for one that lost its first
    /// entries when it is opened again.
    #[must_use]
    pub fn beginning_anywhere(mut self) -> Self {
        self.begins_anywhere = true;
        self
    }

    /// Refuses what a node must not go on with.
    fn check(&self) -> Result<()> {
        let lost = |what: String| Err(Error::Lost(what));
        let first = index_of(self.wal.first_seq());
        if self.last.is_some() && first > self.after_purged() {
            return lost(format!(
                "the entries with indexes {}..{first} are missing, and were not purged by Raft",
                self.after_purged()
            ));
        }
        if let Some(last) = self.state().last_log_id {
            let voted = self.vote.as_ref().map_or(0, |vote| vote.leader_id().get_term());
            let term = last.committed_leader_id().term;
            if term > voted {
                return lost(format!(
                    "the log has an entry of term {term}, and the vote is of term {voted}"
                ));
            }
        }
        let next = self.next_index();
        match &self.committed {
            Some(committed) if committed.index >= next => lost(format!(
                "entries up to index {} were committed, and the log ends before index {next}",
                committed.index
            )),
            _ => Ok(()),
        }
    }
}

/// What is there.
impl<C: RaftTypeConfig> RaftLog<C> {
    /// The purged log id, and the last one.
    #[must_use]
    pub fn state(&self) -> LogState<C> {
        LogState {
            last_purged_log_id: self.purged.clone(),
            last_log_id: self.last.clone().or_else(|| self.purged.clone()),
        }
    }

    /// The last vote saved.
    #[must_use]
    pub fn vote(&self) -> Option<Vote<C::NodeId>> {
        self.vote.clone()
    }

    /// The last committed log id that was saved; after opening, the last that was written.
    #[must_use]
    pub fn committed(&self) -> Option<LogId<C::NodeId>> {
        self.committed.clone()
    }

    /// The entries with these indexes, as far as they are there.
    ///
    /// # Errors
    /// `Format`, and as reading.
    pub fn entries(&self, indexes: impl RangeBounds<u64>) -> Result<Vec<C::Entry>> {
        let range = read::indexes(&indexes);
        read::all_decoded::<C>(&read::stored(&self.wal, &range, usize::MAX)?)
    }

    /// The log below: for its statistics, say. Who changes it through this, changes what Raft relies on.
    #[must_use]
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    pub(crate) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    pub(crate) fn rewrites(&self) -> Rewrites {
        self.rewrites.clone()
    }

    fn log_id_at(&self, seq: u64) -> Result<LogId<C::NodeId>> {
        let index = index_of(seq);
        match self.wal.get(seq)? {
            Some(entry) => Ok(read::decoded::<C>(index, &entry.payload)?.get_log_id().clone()),
            None => Err(Error::Lost(format!("there is no entry with index {index}"))),
        }
    }

    /// The first index that is not purged.
    fn after_purged(&self) -> u64 {
        self.purged.as_ref().map_or(0, |purged| purged.index.saturating_add(1))
    }

    /// The index that the next entry has.
    fn next_index(&self) -> u64 {
        let last = self.last.as_ref().map(|last| last.index.saturating_add(1));
        last.unwrap_or_else(|| self.after_purged())
    }
}

/// Changing it.
impl<C: RaftTypeConfig> RaftLog<C> {
    /// Saves the vote: durable when this returns.
    ///
    /// # Errors
    /// `Order` for one that is not greater than the one before, or equal; what the log says.
    pub fn save_vote(&mut self, vote: &Vote<C::NodeId>) -> Result<()> {
        let back = |before: &&Vote<_>| vote.partial_cmp(before).is_none_or(Ordering::is_lt);
        if let Some(before) = self.vote.as_ref().filter(back) {
            return Err(Error::Order(format!("vote {vote} would go back behind {before}")));
        }
        set_meta(&self.wal, VOTE, "the vote", vote)?;
        self.vote = Some(vote.clone());
        Ok(())
    }

    /// Notes the committed log id, and writes it down if it is time to: see [`committed_every`](Self::committed_every).
    ///
    /// # Errors
    /// `Order` for one that the log has not; what the log says.
    pub fn save_committed(&mut self, committed: Option<LogId<C::NodeId>>) -> Result<()> {
        let next_index = self.next_index();
        if let Some(missing) = committed.as_ref().filter(|log_id| log_id.index >= next_index) {
            return Err(Error::Order(format!(
                "entry {missing} cannot be committed: the log ends before index {next_index}"
            )));
        }
        self.committed = committed;
        let next = |log_id: &Option<LogId<C::NodeId>>| {
            log_id.as_ref().map_or(0, |log_id| log_id.index.saturating_add(1))
        };
        if next(&self.committed).saturating_sub(next(&self.written)) >= self.every {
            self.write_committed()?;
        }
        Ok(())
    }

    fn write_committed(&mut self) -> Result<()> {
        let Some(committed) = self.committed.clone().filter(|_| self.committed != self.written)
        else {
            return Ok(());
        };
        // Never found without the entries that it speaks of.
        if self.wal.durable_seq() < seq_of(committed.index)? {
            self.wal.sync()?;
        }
        set_meta(&self.wal, COMMITTED, "the committed log id", &committed)?;
        self.written = Some(committed);
        Ok(())
    }

    /// Appends entries. The ticket tells when they are durable: those of earlier appends are, then, too. Entries that
    /// are purged already are passed over; `None` where nothing is left.
    ///
    /// # Errors
    /// `Order` where they do not follow the last entry, or are the first and do not begin with index 0; what the log
    /// says. Of a full disk (`OutOfSpace`) it says so here, not with the ticket. A first part of them, or all, may have
    /// been appended then, and be found or not after a start.
    pub fn append<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a C::Entry>,
    ) -> Result<Option<Ticket>> {
        let encoded = entries.into_iter().map(Encoded::new).collect::<Result<_>>()?;
        self.append_encoded(encoded)
    }

    pub(crate) fn append_encoded(
        &mut self,
        mut entries: Vec<Encoded<C>>,
    ) -> Result<Option<Ticket>> {
        entries.retain(|entry| entry.log_id.index >= self.after_purged());
        let Some(first) = entries.first().map(|entry| entry.log_id.index) else { return Ok(None) };
        let begins = self.begins_anywhere && self.last.is_none() && self.purged.is_none();
        let mut next = if begins { first } else { self.next_index() };
        for entry in &entries {
            if entry.log_id.index != next {
                return Err(Error::Order(format!(
                    "entry {} would leave a hole: the next index is {next}",
                    entry.log_id
                )));
            }
            seq_of(next)?;
            next = next.saturating_add(1);
        }
        self.begin_at(seq_of(first)?)?;
        let mut ticket = None;
        for batch in batches(&entries) {
            ticket = self.submit(batch)?.or(ticket);
        }
        // Where no room can be reserved, a full disk shows only here. The ticket would wait until there is room again,
        // and openraft with it.
        self.wal.flush()?;
        Ok(ticket)
    }

    /// Has an empty log go on with `seq`.
    fn begin_at(&self, seq: u64) -> Result<()> {
        let next = self.wal.next_seq();
        if next == seq {
            return Ok(());
        }
        if !self.wal.is_empty() {
            return Err(Error::Order(format!(
                "the log has entries that Raft does not know of: its next index is {}, not {}",
                index_of(next),
                index_of(seq)
            )));
        }
        self.reset(seq)
    }

    fn reset(&self, seq: u64) -> Result<()> {
        Ok(self.rewrites.while_cutting(|| self.wal.reset(seq))?)
    }

    fn submit(&mut self, batch: &[Encoded<C>]) -> Result<Option<Ticket>> {
        let whole = self.wal.submit_batch(batch.iter().map(|entry| &entry.bytes));
        let mut ticket = match whole {
            // Not each of them need be too large.
            Err(error) if error.kind() == ErrorKind::TooLarge && batch.len() > 1 => None,
            other => Some(other?),
        };
        for entry in batch {
            let seq = seq_of(entry.log_id.index)?;
            if ticket.as_ref().is_none_or(|ticket| ticket.seqs().end <= seq) {
                ticket = Some(self.wal.submit(&entry.bytes)?);
            }
            self.recent.push(entry.log_id.index, entry.bytes.clone());
            self.last = Some(entry.log_id.clone());
        }
        Ok(ticket)
    }

    /// Removes the entries from `since` on: durable when this returns.
    ///
    /// # Errors
    /// `Order` for one that is purged; what the log says.
    pub fn truncate(&mut self, since: &LogId<C::NodeId>) -> Result<()> {
        if since.index < self.after_purged() {
            return Err(Error::Order(format!("entry {since} cannot be truncated: it was purged")));
        }
        let first = self.wal.first_seq();
        let cut = since.index.saturating_add(1).max(first);
        if cut >= self.wal.next_seq() {
            return Ok(());
        }
        let last = if cut > first { Some(self.log_id_at(cut - 1)?) } else { None };
        self.rewrites.while_cutting(|| {
            self.recent.truncate(index_of(cut));
            self.wal.truncate_back(cut - 1)
        })?;
        self.last = last;
        Ok(())
    }

    /// Removes the entries up to `upto`, of which the log may have none, or only some: durable when this returns.
    ///
    /// # Errors
    /// What the log says.
    pub fn purge(&mut self, upto: &LogId<C::NodeId>) -> Result<()> {
        seq_of(upto.index)?;
        if upto.index < self.after_purged() {
            return Ok(());
        }
        self.write_committed()?;
        // First of all: entries that are gone without it would be a hole.
        set_meta(&self.wal, PURGED, "the purged log id", upto)?;
        self.purged = Some(upto.clone());
        self.cut_front()
    }

    /// Brings the log's front to where the purged log id says that it is.
    fn cut_front(&mut self) -> Result<()> {
        let Some(purged) = &self.purged else { return Ok(()) };
        let first = seq_of(purged.index)?.saturating_add(1);
        self.recent.purge(index_of(first));
        let next = self.wal.next_seq();
        if first > next || (self.wal.is_empty() && first != next) {
            self.reset(first)?;
        } else {
            self.wal.truncate_front(first)?;
        }
        if self.wal.is_empty() {
            self.last = None;
        }
        Ok(())
    }

    /// Writes down what is not, and closes the log.
    ///
    /// # Errors
    /// What kept it from closing cleanly; it is closed all the same.
    pub fn close(&mut self) -> Result<()> {
        let noted = self.write_committed();
        self.wal.close()?;
        noted
    }
}

/// Runs of entries that fit a record.
fn batches<C: RaftTypeConfig>(entries: &[Encoded<C>]) -> impl Iterator<Item = &[Encoded<C>]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let fits = rest.iter().take_while(|entry| {
            bytes = bytes.saturating_add(entry.bytes.len());
            bytes <= BATCH
        });
        let count = fits.count().max(1);
        let (batch, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(batch)
    })
}

fn meta<T: DeserializeOwned>(wal: &Wal, key: &str, what: &str) -> Result<Option<T>> {
    wal.meta(key).map(|bytes| codec::decode(what, &bytes)).transpose()
}

fn set_meta<T: Serialize>(wal: &Wal, key: &str, what: &str, value: &T) -> Result<()> {
    let bytes = codec::encode(what, value)?;
    if wal.meta(key).as_deref() == Some(&bytes) {
        return Ok(());
    }
    Ok(wal.set_meta(key, bytes)?)
}
