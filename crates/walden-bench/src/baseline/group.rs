//! The simplest group commit: who finds nobody syncing writes and syncs for all that came by then.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::encode;
use super::files::fill;
use crate::figures::Result;
use crate::store::{Store, Worker};

/// Where the space is filled with zeros, it begins again after so many bytes.
const SPACE: u64 = 20 << 20;

pub(super) struct Group {
    state: Mutex<State>,
    changed: Condvar,
    file: File,
    wraps: bool,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    at: u64,
    appended: u64,
    durable: u64,
    syncing: bool,
    failed: bool,
}

impl Group {
    pub(super) fn create(path: &Path, prewritten: bool) -> Result<Self> {
        let file = File::create(path)?;
        if prewritten {
            fill(&file, SPACE)?;
        }
        let (state, changed) = (Mutex::default(), Condvar::new());
        Ok(Self { state, changed, file, wraps: prewritten })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and syncs what has come, without the lock meanwhile.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.syncing = true;
        let mut chunk = std::mem::take(&mut state.spare);
        std::mem::swap(&mut state.buffer, &mut chunk);
        let target = state.appended;
        let len = chunk.len() as u64;
        if self.wraps && state.at + len > SPACE {
            state.at = 0;
        }
        let at = state.at;
        state.at += len;
        drop(state);
        let done = self.file.write_all_at(&chunk, at).and_then(|()| self.file.sync_data());
        chunk.clear();
        state = self.state();
        state.spare = chunk;
        state.syncing = false;
        match done {
            Ok(()) => state.durable = target,
            Err(_) => state.failed = true,
        }
        self.changed.notify_all();
        state
    }
}

impl Store for Group {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(GroupWorker(self)))
    }
}

struct GroupWorker<'a>(&'a Group);

impl Worker for GroupWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        let mut state = self.0.state();
        for entry in entries {
            state.appended += 1;
            let seq = state.appended;
            encode(&mut state.buffer, seq, entry);
        }
        let mine = state.appended;
        while state.durable < mine {
            if state.failed {
                return Err("a sync of the bare group commit failed".into());
            }
            state = if state.syncing {
                self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.0.lead(state)
            };
        }
        Ok(())
    }
}
