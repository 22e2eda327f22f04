//! Looks at a log again and again, from outside.

mod check;
mod history;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use walden::offline::{Outline, Target, outline};
use walden::{Error, ErrorKind, LogReader, Result, SegmentInfo};

pub use self::check::{Check, Checked};
use self::history::History;
pub use self::history::Sample;

/// Listing the segments of a long log opens many files: it is done for a twentieth of the time at most.
const REST: u32 = 20;
/// A failed look that took less is done again at the next one, which is a second later as a rule.
const QUICK: Duration = Duration::from_millis(50);

/// What was seen of a log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Seen {
    /// When it was looked at.
    pub at: SystemTime,
    /// Why it cannot be read now. What else is told here is then of the last time it could.
    pub problem: Option<Error>,
    /// The seq id of the first entry; `next_seq` where there is none.
    pub first_seq: u64,
    /// The seq id after the last entry.
    pub next_seq: u64,
    /// The last seq id that is known to be durable.
    pub durable_seq: u64,
    /// The live segments, or why they could not be listed.
    pub segments: std::result::Result<Arc<[SegmentInfo]>, Error>,
    /// Manifest, lock, cursors, quarantine, free space.
    pub outline: Option<Arc<Outline>>,
    /// How long the look took.
    pub took: Duration,
}

impl Seen {
    /// Bytes of records in all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.as_ref().map_or(0, |all| all.iter().map(|segment| segment.bytes).sum())
    }

    /// As [`bytes`](Self::bytes), where that is known: the log could be read, and its segments listed.
    #[must_use]
    pub fn known_bytes(&self) -> Option<u64> {
        (self.problem.is_none() && self.segments.is_ok()).then(|| self.bytes())
    }

    /// How many entries there are.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.next_seq.saturating_sub(self.first_seq)
    }

    /// How many entries are not known to be durable.
    #[must_use]
    pub fn in_doubt(&self) -> u64 {
        self.next_seq.saturating_sub(self.durable_seq.saturating_add(1).max(self.first_seq))
    }
}

/// A log that is looked at. Clones share what was seen.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    prefix: String,
    target: Target,
    log: Mutex<Option<LogReader>>,
    /// When the slow parts were looked at last, and how long that took. Held by the one who looks.
    slow: Mutex<Option<(Instant, Duration)>>,
    seen: Mutex<Arc<Seen>>,
    history: Mutex<History>,
    check: check::State,
}

/// Looking, until this is dropped.
#[derive(Debug)]
pub struct Looking {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks at the log with this prefix for the first time. A log that is damaged, so that it cannot be read, is
    /// looked at all the same.
    ///
    /// # Errors
    /// `NotFound` where there is no log; `InvalidInput` for a prefix that is none.
    pub fn open(dir: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        Self::begin(dir.as_ref(), prefix, true)
    }

    /// As [`open`](Self::open), but for the list of segments, which takes longer the more there are: it is empty until
    /// the first [`look`](Self::look), which makes the first sample, too.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_unlisted(dir: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        Self::begin(dir.as_ref(), prefix, false)
    }

    fn begin(dir: &Path, prefix: &str, list: bool) -> Result<Self> {
        let seen = Seen {
            at: SystemTime::now(),
            problem: None,
            first_seq: 0,
            next_seq: 0,
            durable_seq: 0,
            segments: Ok(Arc::from([])),
            outline: None,
            took: Duration::ZERO,
        };
        let watch = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            prefix: prefix.to_owned(),
            target: Target::on_disk(dir, prefix),
            log: Mutex::default(),
            slow: Mutex::default(),
            seen: Mutex::new(Arc::new(seen)),
            history: Mutex::default(),
            check: check::State::default(),
        }));
        let seen = watch.look_once(list);
        match &seen.problem {
            Some(problem)
                if matches!(problem.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) =>
            {
                Err(problem.clone())
            }
            _ => Ok(watch),
        }
    }

    /// The log's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// What the names of its files begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// What was seen last.
    #[must_use]
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&lock(&self.0.seen))
    }

    /// What was seen in the last minutes, the oldest first.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        lock(&self.0.history).samples()
    }

    /// The log, to read in it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn log(&self) -> Result<LogReader> {
        let mut log = lock(&self.0.log);
        if let Some(log) = &*log {
            return Ok(log.clone());
        }
        let opened = LogReader::open_prefix(&self.0.dir, &self.0.prefix)?;
        Ok(log.insert(opened).clone())
    }

    /// The last check of the whole log, and how far a running one is.
    #[must_use]
    pub fn check(&self) -> Check {
        self.0.check.get()
    }

    /// Begins to read and check the whole log on a thread; false where that is being done already.
    pub fn start_check(&self) -> bool {
        self.0.check.start(self.0.target.clone())
    }

    /// Looks at the log now.
    pub fn look(&self) -> Arc<Seen> {
        self.look_once(true)
    }

    fn look_once(&self, list: bool) -> Arc<Seen> {
        let mut slow = lock(&self.0.slow);
        let begun = Instant::now();
        let mut seen = Seen { at: SystemTime::now(), problem: None, ..(*self.seen()).clone() };
        if let Err(error) = self.look_at(&mut slow, &mut seen, list) {
            // The next look opens the log anew: another one may have taken its place.
            *lock(&self.0.log) = None;
            seen.problem = Some(error);
        }
        seen.took = begun.elapsed();
        if list {
            // Without it, all segments would seem to have come with the next look.
            lock(&self.0.history).add(&seen, begun);
        }
        let seen = Arc::new(seen);
        *lock(&self.0.seen) = Arc::clone(&seen);
        seen
    }

    fn look_at(
        &self,
        slow: &mut Option<(Instant, Duration)>,
        seen: &mut Seen,
        list: bool,
    ) -> Result<()> {
        let begun = Instant::now();
        let due = slow.is_none_or(|(last, took)| last.elapsed() >= took * REST);
        let slowly = slow.is_some_and(|(_, took)| took >= QUICK);
        if !due
            && slowly
            && let Some(problem) = &self.seen().problem
        {
            // Opening it anew may take as long as listing it.
            return Err(problem.clone());
        }
        let looked = self.look_inside(seen, due, list);
        if due && (list || looked.is_err()) {
            *slow = Some((begun, begun.elapsed()));
        }
        looked
    }

    fn look_inside(&self, seen: &mut Seen, due: bool, list: bool) -> Result<()> {
        let log = self.log();
        if due {
            // Of a damaged log, too.
            seen.outline = Some(Arc::new(outline(&self.0.target)?));
        }
        let log = log?;
        log.refresh()?;
        (seen.first_seq, seen.next_seq) = (log.first_seq(), log.next_seq());
        seen.durable_seq = log.durable_seq();
        if due && list {
            seen.segments = log.segments().map(Arc::from);
        }
        Ok(())
    }

    /// Looks at the log every so often, on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn keep_looking(&self, every: Duration) -> std::io::Result<Looking> {
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let (watch, flag) = (self.clone(), Arc::clone(&ended));
        let look = move || {
            let (ended, bell) = &*flag;
            let mut guard = lock(ended);
            while !*guard {
                let waited = bell.wait_timeout(guard, every);
                guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                if !*guard {
                    drop(guard);
                    watch.look();
                    guard = lock(ended);
                }
            }
        };
        let thread = std::thread::Builder::new().name("walden-look".into()).spawn(look)?;
        Ok(Looking { ended, thread: Some(thread) })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        *lock(&self.ended.0) = true;
        self.ended.1.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What a thread that panicked left is as good as before: nothing here is changed in several steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
