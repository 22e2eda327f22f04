//! The log for openraft: a thread of its own does what waits for the disk.

use std::fmt;
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend, RaftLogId, RaftLogReader,
    RaftTypeConfig, StorageError, Vote,
};
use tokio::sync::{oneshot, watch};
use walden::{Config, Wal};

use crate::error::{Error, Result};
use crate::flushes::Flushes;
use crate::log::{Encoded, RaftLog};
use crate::read;
use crate::reader::{LogReader, REPLICATED, Source};

/// What the thread does with the log, one after the other.
type Job<C> = Box<dyn FnOnce(&mut RaftLog<C>) + Send>;

type Refused<C> = StorageError<<C as RaftTypeConfig>::NodeId>;

/// Ready once what is to be purged is durable elsewhere.
type Kept = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type AskKept<C> = Arc<dyn Fn(LogId<<C as RaftTypeConfig>::NodeId>) -> Kept + Send + Sync>;

/// openraft's log storage; [the crate's docs](crate) say what it promises.
///
/// Clones share it. When the last one goes, the log is closed; to learn of an error then, and to know that the folder
/// can be opened again, call [`close`](Self::close).
pub struct LogStore<C: RaftTypeConfig> {
    jobs: Sender<Job<C>>,
    flushes: Arc<Flushes>,
    source: Source,
    /// What the newest reader was made of, for those before it.
    newest: watch::Sender<u64>,
    kept: Option<AskKept<C>>,
}

impl<C: RaftTypeConfig> Clone for LogStore<C> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
            flushes: Arc::clone(&self.flushes),
            source: self.source.clone(),
            newest: self.newest.clone(),
            kept: self.kept.clone(),
        }
    }
}

impl<C: RaftTypeConfig> fmt::Debug for LogStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").field("wal", &self.source.wal).finish_non_exhaustive()
    }
}

impl<C: RaftTypeConfig> LogStore<C> {
    /// Opens the log in `dir`, or makes it.
    ///
    /// # Errors
    /// As [`Wal::open`] and [`RaftLog::open`].
    pub async fn open(
        dir: impl AsRef<Path>,
        config: Config,
    ) -> std::result::Result<Self, Refused<C>> {
        let dir = dir.as_ref().to_owned();
        Self::open_with(move || RaftLog::open(Wal::open(dir, config)?)).await
    }

    /// As [`open`](Self::open), with a log that `open` opens, on the thread that works with it then.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_with(
        open: impl FnOnce() -> Result<RaftLog<C>> + Send + 'static,
    ) -> std::result::Result<Self, Refused<C>> {
        let (jobs, todo) = mpsc::channel::<Job<C>>();
        let (opened, is_open) = oneshot::channel();
        let work = move || {
            let mut log = match open() {
                Ok(log) => log,
                // Who asked may have stopped waiting.
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(Source::of(&log))).is_ok() {
                while let Ok(job) = todo.recv() {
                    job(&mut log);
                }
            }
            // Nobody is left to be told; what could not be written is as after a crash.
            drop(log.close());
        };
        let failed = |error: Error| error.of(ErrorSubject::Store, ErrorVerb::Read);
        thread::Builder::new().name("walden-raft".to_owned()).spawn(work).map_err(|error| {
            StorageError::from_io_error(ErrorSubject::Store, ErrorVerb::Read, error)
        })?;
        let source = is_open.await.map_err(|_| failed(Error::Stopped))?.map_err(failed)?;
        let newest = watch::Sender::new(source.rewrites());
        Ok(Self { jobs, flushes: Arc::default(), source, newest, kept: None })
    }

    /// Purges only what `is_kept` says is durable elsewhere: in the application's snapshot up to that log id, or a later
    /// one. For this store and its clones to come; give openraft one of those.
    ///
    /// openraft 0.9 installs a snapshot that a leader sent and purges the log up to it at the same time. A crash, or a full
    /// disk, after the purge and before the snapshot is durable leaves a node with neither, which cannot start again.
    ///
    /// `is_kept` is asked at each purge, and waited for; its error keeps the entries and stops the node. It must not wait
    /// for openraft, only for the state machine. **And it must come to an end**: where the snapshot that it waits for
    /// will not be there (it cannot be read, built, or written; who was at it panicked), it has to give an error. openraft
    /// waits for the purge, and does nothing else meanwhile: it would not even learn that installing failed, and the node
    /// would neither go on nor stop. See `examples/raft-kv`.
    #[must_use]
    pub fn purging_what_is_kept<F, W>(mut self, is_kept: F) -> Self
    where
        F: Fn(LogId<C::NodeId>) -> W + Send + Sync + 'static,
        W: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.kept = Some(Arc::new(move |upto| Box::pin(is_kept(upto))));
        self
    }

    /// Writes down what is not, and closes the log: every later call is refused.
    ///
    /// # Errors
    /// What kept it from closing cleanly; it is closed all the same.
    pub async fn close(&self) -> std::result::Result<(), Refused<C>> {
        let closed = self.run(RaftLog::close).await;
        // No reader comes any more that those would have to wait for that must not go on.
        self.newest.send_replace(u64::MAX);
        closed.map_err(|error| error.of(ErrorSubject::Store, ErrorVerb::Write))
    }

    /// The log below: for its statistics, say. Who changes it through this, changes what Raft relies on.
    #[must_use]
    pub fn wal(&self) -> &Wal {
        &self.source.wal
    }

    /// Has the thread do something, and waits for the outcome. Done to its end even if nobody waits any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut RaftLog<C>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        let job = move |log: &mut RaftLog<C>| drop(done.send(work(log)));
        self.jobs.send(Box::new(job)).map_err(|_| Error::Stopped)?;
        outcome.await.map_err(|_| Error::Stopped)?
    }
}

impl<C: RaftTypeConfig> RaftLogStorage<C> for LogStore<C> {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> std::result::Result<LogState<C>, Refused<C>> {
        let state = self.run(|log| Ok(log.state())).await;
        state.map_err(|error| error.of(ErrorSubject::Logs, ErrorVerb::Read))
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(self.source.clone(), &self.newest)
    }

    async fn save_vote(&mut self, vote: &Vote<C::NodeId>) -> std::result::Result<(), Refused<C>> {
        let vote = vote.clone();
        let saved = self.run(move |log| log.save_vote(&vote)).await;
        saved.map_err(|error| error.of(ErrorSubject::Vote, ErrorVerb::Write))
    }

    async fn read_vote(&mut self) -> std::result::Result<Option<Vote<C::NodeId>>, Refused<C>> {
        let vote = self.run(|log| Ok(log.vote())).await;
        vote.map_err(|error| error.of(ErrorSubject::Vote, ErrorVerb::Read))
    }

    async fn save_committed(
        &mut self,
        committed: Option<LogId<C::NodeId>>,
    ) -> std::result::Result<(), Refused<C>> {
        let saved = self.run(move |log| log.save_committed(committed)).await;
        saved.map_err(|error| error.of(ErrorSubject::Store, ErrorVerb::Write))
    }

    async fn read_committed(
        &mut self,
    ) -> std::result::Result<Option<LogId<C::NodeId>>, Refused<C>> {
        let committed = self.run(|log| Ok(log.committed())).await;
        committed.map_err(|error| error.of(ErrorSubject::Store, ErrorVerb::Read))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<C>,
    ) -> std::result::Result<(), Refused<C>>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let failed = |error: Error| error.of(ErrorSubject::Logs, ErrorVerb::Write);
        let encoded: Vec<Encoded<C>> = entries
            .into_iter()
            .map(|entry| Encoded::new(&entry))
            .collect::<Result<_>>()
            .map_err(failed)?;
        let flushes = Arc::clone(&self.flushes);
        let appended = self.run(move |log| {
            let ticket = log.append_encoded(encoded)?;
            flushes.push(ticket, move |outcome| flushed.log_io_completed(outcome));
            Ok(())
        });
        appended.await.map_err(failed)
    }

    async fn truncate(&mut self, since: LogId<C::NodeId>) -> std::result::Result<(), Refused<C>> {
        let subject = ErrorSubject::Log(since.clone());
        let truncated = self.run(move |log| log.truncate(&since)).await;
        truncated.map_err(|error| error.of(subject, ErrorVerb::Delete))
    }

    async fn purge(&mut self, upto: LogId<C::NodeId>) -> std::result::Result<(), Refused<C>> {
        let subject = ErrorSubject::Log(upto.clone());
        if let Some(is_kept) = &self.kept {
            is_kept(upto.clone()).await.map_err(|error| {
                StorageError::from_io_error(subject.clone(), ErrorVerb::Delete, error)
            })?;
        }
        let purged = self.run(move |log| log.purge(&upto)).await;
        purged.map_err(|error| error.of(subject, ErrorVerb::Delete))
    }
}

impl<C: RaftTypeConfig> RaftLogReader<C> for LogStore<C> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> std::result::Result<Vec<C::Entry>, Refused<C>> {
        self.source.read::<C>(read::indexes(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> std::result::Result<Vec<C::Entry>, Refused<C>> {
        let found = self.source.read::<C>(start..end, REPLICATED).await?;
        // Part of what was purged would be sent as what follows on the entry before.
        let begins = found.first().is_some_and(|entry| entry.get_log_id().index == start);
        Ok(if begins { found } else { Vec::new() })
    }
}
