//! Logs of each strategy, and the work that is measured on them.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use walden::{Config, Engine, Wal};

use super::disk::no_memory;
use super::figures::{Recorder, Timed, Until};
use crate::exit::Failure;

/// Tickets of one thread that are in flight together.
pub(super) const TICKETS: usize = 64;

/// What is appended, and where.
#[derive(Debug)]
pub(super) struct Work {
    /// Where each log is made, and removed again.
    pub(super) dir: PathBuf,
    pub(super) payload: Vec<u8>,
    pub(super) threads: u64,
    /// The most bytes that are appended to a log.
    pub(super) most_bytes: u64,
}

pub(super) fn durable() -> Config {
    Config::durable()
}

impl Work {
    /// Segments of the size that the presets have, if there is room for that.
    fn segment_size(&self) -> u64 {
        (self.most_bytes / 4).min(64 << 20)
    }

    pub(super) fn os_cache(&self) -> Config {
        Config::os_cache().segment_size(self.segment_size())
    }

    pub(super) fn background(&self) -> Config {
        Config::background().segment_size(self.segment_size())
    }

    /// One thread.
    ///
    /// # Errors
    /// What the log gives.
    pub(super) fn alone(&self, config: Config, until: &Until) -> Result<Timed, Failure> {
        self.on_a_log(config, |wal| Ok(self.append(wal, self.most_entries(), until)?.figures()))
    }

    /// One thread, records copied into mapped files. `None` where they cannot be.
    ///
    /// # Errors
    /// What the log gives.
    pub(super) fn mapped(&self, until: &Until) -> Result<Option<Timed>, Failure> {
        self.on_a_log(self.os_cache().engine(Engine::Mmap), |wal| {
            if !wal.stats().mapped {
                return Ok(None);
            }
            Ok(Some(self.append(wal, self.most_entries(), until)?.figures()))
        })
    }

    /// Several threads.
    ///
    /// # Errors
    /// What the log gives.
    pub(super) fn together(&self, config: Config, until: &Until) -> Result<Timed, Failure> {
        self.on_a_log(config, |wal| {
            let most = (self.most_entries() / self.threads).max(1);
            let recorders: Vec<Result<Recorder, Failure>> = thread::scope(|scope| {
                let begin = |_| scope.spawn(|| self.append(wal, most, until));
                let threads: Vec<_> = (0..self.threads).map(begin).collect();
                let ended = threads.into_iter().map(|thread| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                });
                ended.collect()
            });
            let mut all = Recorder::begin().ok_or_else(no_memory)?;
            for recorder in recorders {
                all.join(&recorder?);
            }
            Ok(all.figures())
        })
    }

    /// One thread that waits for the oldest of its entries only: from `submit` until it is durable.
    ///
    /// # Errors
    /// What the log gives.
    pub(super) fn tickets(&self, config: Config, until: &Until) -> Result<Timed, Failure> {
        self.on_a_log(config, |wal| {
            let mut recorder = Recorder::begin().ok_or_else(no_memory)?;
            let mut flying = VecDeque::with_capacity(TICKETS);
            loop {
                while flying.len() < TICKETS {
                    flying.push_back((Instant::now(), wal.submit(&self.payload)?));
                }
                let Some((begun, ticket)) = flying.pop_front() else { break };
                ticket.wait()?;
                let now = recorder.done_since(begun);
                if until.is_over(now) || recorder.count() >= self.most_entries() {
                    break;
                }
            }
            Ok(recorder.figures())
        })
    }

    fn most_entries(&self) -> u64 {
        let record = u64::try_from(self.payload.len()).unwrap_or(u64::MAX).saturating_add(28);
        (self.most_bytes / record).max(1)
    }

    fn append(&self, wal: &Wal, most: u64, until: &Until) -> Result<Recorder, Failure> {
        let mut recorder = Recorder::begin().ok_or_else(no_memory)?;
        loop {
            wal.append(&self.payload)?;
            let now = recorder.done();
            if until.is_over(now) || recorder.count() >= most {
                return Ok(recorder);
            }
        }
    }

    fn on_a_log<T>(
        &self,
        config: Config,
        measure: impl FnOnce(&Wal) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let wal = Wal::open(&self.dir, config)?;
        let measured = measure(&wal)?;
        wal.close()?;
        drop(wal);
        fs::remove_dir_all(&self.dir)
            .map_err(|error| Failure::io("remove a log", &error).path(&self.dir))?;
        Ok(measured)
    }
}
