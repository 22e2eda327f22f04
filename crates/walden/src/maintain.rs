//! What must be done besides appending: making the next segment, sealing, periodic syncs, retention, missing
//! indexes. One loop, run by the log's thread or, step by step, by [`Wal::tick`](crate::Wal::tick).

use std::time::Duration;

use crate::config::{Maintenance, SyncStrategy};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::stats::Counters;
use crate::sync::{
    self, Arc, AtomicBool, AtomicU64, Condvar, Mutex, Ordering, Weak, wait, wait_timeout,
};
use crate::trace;

/// What a thread of its own does where the maintenance thread is not to be waited for.
#[derive(Debug, Clone, Copy)]
enum Job {
    /// Leads syncs, for those who must not.
    Sync,
    /// Makes the next segment ready while others are sealed.
    Prepare,
    /// Keeps space ahead of appends warm.
    Warm,
}

impl Job {
    const fn thread(self) -> &'static str {
        match self {
            Self::Sync => "walden-sync",
            Self::Prepare => "walden-prepare",
            Self::Warm => "walden-warm",
        }
    }

    /// How long the thread stays without work: while many segments are sealed in a row, for the second.
    const fn patience(self) -> Duration {
        match self {
            Self::Sync => Duration::from_secs(1),
            Self::Prepare | Self::Warm => Duration::from_secs(8),
        }
    }
}

#[derive(Debug, Default)]
struct JobState {
    wanted: bool,
    /// It has a thread.
    running: bool,
}

#[derive(Debug, Default)]
struct Flags {
    work: bool,
    stop: bool,
    sync: JobState,
    prepare: JobState,
    warm: JobState,
}

impl Flags {
    const fn job(&mut self, job: Job) -> &mut JobState {
        match job {
            Job::Sync => &mut self.sync,
            Job::Prepare => &mut self.prepare,
            Job::Warm => &mut self.warm,
        }
    }
}

/// How the threads of a log are told that there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    flags: Mutex<Flags>,
    maintenance: Condvar,
    sync: Condvar,
    prepare: Condvar,
    warm: Condvar,
    /// Set by `start` alone, before opening hands out the log, whether by wish or since no thread could be started. So
    /// nobody sees it change, and it needs no order. Nearly all of `rules` runs with it, all of `stress` without.
    manual: AtomicBool,
    /// Decides of speed alone: `stress::all_of_it_over_mapped_files`.
    warm_at: AtomicU64,
    /// Set while something waits for the next periodic sync. Under loom: `loom_no_append_is_forgotten`; under
    /// shuttle: `waiting::the_periodic_sync_sees_...`.
    dirty: AtomicBool,
    /// When the last periodic work was done (`Clock::elapsed`, in nanoseconds).
    last: Mutex<Duration>,
    /// Held during a round of maintenance, so that closing can wait for its end.
    running: Mutex<()>,
    /// Starts a thread where one is needed.
    starter: Mutex<Option<Weak<Log>>>,
    /// How often sealing found no room, and what it said the last time.
    refused: Mutex<(u64, Option<Error>)>,
    /// What kept upkeep from being done the last time.
    failure: Mutex<Option<Error>>,
}

impl Signal {
    pub(crate) fn is_manual(&self) -> bool {
        self.manual.load(Ordering::Relaxed)
    }

    /// Wakes the maintenance thread.
    pub(crate) fn wake(&self) {
        self.flags.lock().work = true;
        self.maintenance.notify_one();
    }

    /// How often sealing has found no room so far.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.lock().0
    }

    /// The error, where sealing has found no room since there were `before` refusals.
    pub(crate) fn refused_since(&self, before: u64) -> Option<Error> {
        let refused = self.refused.lock();
        (refused.0 > before).then(|| refused.1.clone()).flatten()
    }

    /// What kept upkeep from being done the last time, if anything did.
    pub(crate) fn last_failure(&self) -> Option<Error> {
        self.failure.lock().clone()
    }

    /// Something was appended that nobody waits for: the periodic sync has to see to it.
    #[inline(always)]
    pub(crate) fn note_dirty(&self) {
        if !self.dirty.load(Ordering::SeqCst) && !self.dirty.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Whether anything was noted; what is noted from now on is for the next time.
    ///
    /// An append raises `appended` under the append lock and then looks at the flag. With the lock taken here in
    /// between, either that append comes before and is synced with what follows, or it finds the flag down.
    fn take_dirty<T>(&self, append_lock: &Mutex<T>) -> bool {
        let dirty = self.dirty.swap(false, Ordering::SeqCst);
        drop(append_lock.lock_between());
        dirty
    }

    /// Asks the sync thread to lead, for those who cannot: tasks and callbacks.
    pub(crate) fn kick_sync(&self) {
        self.kick(Job::Sync);
    }

    /// From which offset in the active segment on an append asks for more warm space. Under the append lock, as is
    /// [`came_to`](Self::came_to).
    pub(crate) fn warm_at(&self, offset: u64) {
        self.warm_at.store(offset, Ordering::Relaxed);
    }

    /// A record begins at `offset` in the active segment.
    #[inline]
    pub(crate) fn came_to(&self, offset: u64) {
        if offset >= self.warm_at.load(Ordering::Relaxed) {
            self.ask_for_warm_space();
        }
    }

    /// Has the thread for it go on; if there is none, the maintenance thread starts one: not here, under a lock.
    #[cold]
    fn ask_for_warm_space(&self) {
        self.warm_at(u64::MAX);
        let mut flags = self.flags.lock();
        flags.warm.wanted = true;
        let running = flags.warm.running;
        drop(flags);
        if running {
            self.warm.notify_one();
        } else {
            self.wake();
        }
    }

    /// A segment was begun: the maintenance thread seals the one before it, and meanwhile another thread, if it
    /// runs, makes the next one. Under the append lock: no thread is started.
    pub(crate) fn rotated(&self) {
        self.flags.lock().prepare.wanted = true;
        self.prepare.notify_one();
        self.wake();
    }

    fn take(&self, job: Job) -> bool {
        std::mem::take(&mut self.flags.lock().job(job).wanted)
    }

    /// Has a thread of its own do this; one is started if none runs.
    fn kick(&self, job: Job) {
        let start = {
            let mut flags = self.flags.lock();
            let stop = flags.stop || self.is_manual();
            let state = flags.job(job);
            state.wanted = true;
            !stop && !std::mem::replace(&mut state.running, true)
        };
        if start {
            let log = self.starter.lock().clone();
            let started = log.is_some_and(|log| {
                sync::spawn(job.thread(), move || helper_loop(&log, job)).is_ok()
            });
            if !started {
                // Tried again at the next kick.
                self.flags.lock().job(job).running = false;
            }
        }
        self.condvar(job).notify_one();
    }

    const fn condvar(&self, job: Job) -> &Condvar {
        match job {
            Job::Sync => &self.sync,
            Job::Prepare => &self.prepare,
            Job::Warm => &self.warm,
        }
    }

    /// Waits until the job is to be done. False: the thread is to end.
    fn next_turn(&self, job: Job) -> bool {
        let mut flags = self.flags.lock();
        if !flags.job(job).wanted && !flags.stop {
            flags = wait_timeout(self.condvar(job), flags, job.patience());
        }
        if !flags.job(job).wanted {
            // Ends when idle, so that a log whose handles are gone can go.
            flags.job(job).running = false;
            return false;
        }
        flags.job(job).wanted = false;
        !flags.stop
    }

    /// Ends the threads; what they were doing is done when this returns.
    pub(crate) fn stop(&self) {
        self.flags.lock().stop = true;
        self.maintenance.notify_all();
        self.sync.notify_all();
        self.prepare.notify_all();
        self.warm.notify_all();
        drop(self.running.lock());
    }
}

/// Starts what the log needs besides its callers.
///
/// # Errors
/// `Io` where the system has no thread to give: nobody would sync for tickets that are awaited, or now and then.
pub(crate) fn start(log: &Arc<Log>) -> Result<()> {
    if log.settings.maintenance == Maintenance::Manual {
        log.signal.manual.store(true, Ordering::Relaxed);
        return Ok(());
    }
    *log.signal.starter.lock() = Some(Arc::downgrade(log));
    let weak = Arc::downgrade(log);
    sync::spawn("walden-maintain", move || maintenance_loop(&weak)).map_err(|error| {
        // What closing does is done by the caller.
        log.signal.manual.store(true, Ordering::Relaxed);
        Error::io("start the log's own thread", log.names.dir(), error)
            .advice("let the process have more threads, or use `Maintenance::Manual` and `tick`")
    })?;
    log.signal.wake();
    Ok(())
}

/// The thread holds the log weakly: dropping the last handle closes it, whatever the thread is doing.
fn maintenance_loop(weak: &Weak<Log>) {
    loop {
        let Some(log) = weak.upgrade() else { return };
        if log.signal.flags.lock().stop {
            return;
        }
        let mut round = Round { log: &log, ended: false };
        // A failure is latched and told to whoever waits, or it is noted; the next round tries again.
        drop(log.maintain());
        round.ended = true;
        drop(round);
        if !log.idle() {
            return;
        }
    }
}

/// A round of the log's thread. If a panic ends it, nobody makes room any more: the log has failed, and who
/// waits must learn of it.
struct Round<'a> {
    log: &'a Log,
    ended: bool,
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let cause = crate::Error::new(crate::ErrorKind::Io, "the log's own thread panicked");
        self.log.latch.fail(&cause.path(self.log.names.dir()));
        // The lock is taken so that nobody is between looking and waiting.
        drop(self.log.appender.lock_between());
        self.log.room.notify_all();
    }
}

/// A thread that is there while it is needed.
fn helper_loop(weak: &Weak<Log>, job: Job) {
    loop {
        let Some(log) = weak.upgrade() else { return };
        if !log.signal.next_turn(job) {
            return;
        }
        match job {
            Job::Sync => {
                if log.noted(log.sync()).is_err() {
                    // A full disk: those who wait go on waiting, without a thread that spins for them.
                    let flags = log.signal.flags.lock();
                    drop(wait_timeout(&log.signal.sync, flags, Duration::from_millis(50)));
                }
            }
            Job::Prepare => {
                // Who waits for it tries itself, and learns what keeps it from being made.
                drop(log.noted(log.prepare()));
            }
            Job::Warm => log.warm(),
        }
    }
}

impl Log {
    /// Sleeps until there is something to do. False: the log is being closed.
    fn idle(&self) -> bool {
        let due = self.until_due();
        let mut flags = self.signal.flags.lock();
        if !flags.work && !flags.stop {
            flags = match due {
                Some(due) => wait_timeout(&self.signal.maintenance, flags, due),
                None => wait(&self.signal.maintenance, flags),
            };
        }
        flags.work = false;
        !flags.stop
    }

    /// How long until the next periodic work; `None`: there is none.
    fn until_due(&self) -> Option<Duration> {
        let periodic = self.signal.dirty.load(Ordering::Acquire)
            || self.manifest.mark_lags()
            || self.cursors.is_dirty()
            || !self.settings.retention.keeps_all();
        if !periodic || self.latch.cause().is_some() {
            return None;
        }
        let since = self.clock.elapsed().saturating_sub(*self.signal.last.lock());
        Some(self.settings.sync_interval.saturating_sub(since))
    }

    /// Takes note of what kept upkeep from being done, where nobody may be there to be told. That the log has
    /// failed, or was closed, is told to everybody.
    pub(crate) fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && !error.is_poisoned()
            && !error.is_closed()
        {
            Counters::add(&self.counters.upkeep_failures, 1);
            self.count_damage(error);
            trace::upkeep_failed(self.names.dir(), error);
            *self.signal.failure.lock() = Some(error.clone());
        }
        result
    }

    /// One round of all that is to do now.
    ///
    /// # Errors
    /// The first failure; the rest is done all the same where it can be.
    pub(crate) fn maintain(&self) -> Result<()> {
        let _running = self.signal.running.lock();
        if self.signal.flags.lock().stop {
            return Ok(());
        }
        if let Err(cause) = self.latch.check() {
            // Who looked just before it failed may be about to wait: under the lock nobody is in between.
            drop(self.appender.lock_between());
            self.room.notify_all();
            return Err(cause);
        }
        let prepared = self.noted(self.prepare());
        self.see_to_warm_space();
        let kicked = self.signal.is_manual() && self.signal.take(Job::Sync);
        let synced = if kicked { self.noted(self.sync()) } else { Ok(()) };
        if !self.signal.is_manual() && self.open.lock().len() > 1 {
            // Sealing takes its time.
            self.signal.kick(Job::Prepare);
        }
        let sealed = self.noted(self.seal_complete());
        if let Err(error) = &sealed {
            // Appends that wait for a seal would wait for as long as the disk is full, or the file says no.
            let mut refused = self.signal.refused.lock();
            *refused = (refused.0 + 1, Some(error.clone()));
            drop(refused);
            drop(self.appender.lock_between());
            self.room.notify_all();
        }
        let periodic = if self.until_due().is_some_and(|due| due.is_zero()) {
            *self.signal.last.lock() = self.clock.elapsed();
            self.periodic()
        } else {
            Ok(())
        };
        prepared.and(synced).and(sealed).and(periodic)
    }

    /// Somebody asked for warm space: with a thread that is there for it, it is seen to already.
    fn see_to_warm_space(&self) {
        if !self.signal.flags.lock().warm.wanted {
            return;
        }
        if !self.signal.is_manual() {
            self.signal.kick(Job::Warm);
        } else if self.signal.take(Job::Warm) {
            self.warm();
        }
    }

    fn periodic(&self) -> Result<()> {
        let dirty = self.signal.take_dirty(&self.appender);
        // In `Always` only a ticket that nobody waits for leaves something to do.
        let needed = dirty || self.settings.strategy != SyncStrategy::Always;
        // With sealing behind, what it does next is the sync that is due, and makes room besides: a round over all
        // open segments would keep appends waiting for that.
        let behind = self.open.lock().len() > 1 && !self.signal.is_manual();
        let synced = self.noted(match (needed, behind) {
            (true, false) => self.sync(),
            (true, true) => self.flush(),
            (false, _) => Ok(()),
        });
        if synced.is_err() || (needed && behind) {
            self.signal.dirty.store(true, Ordering::Release);
        }
        if self.manifest.mark_lags() {
            let keeper = self.keeper();
            self.noted(keeper.file.sync())?;
        }
        let persisted = self.noted(self.cursors.persist());
        let retained = match self.settings.retention.keeps_all() {
            true => Ok(0),
            false => self.noted(self.retain(&self.settings.retention)),
        };
        self.rebuild_one_index();
        synced.and(persisted).and(retained.map(drop))
    }
}

/// Every order of a few steps, under loom.
#[cfg(all(test, walden_model = "loom"))]
mod loom_tests {
    use super::*;
    use crate::watermark::Watermark;

    /// An append that nobody waits for is synced by the round that takes the flag, or raises it for the next one.
    #[test]
    fn loom_no_append_is_forgotten() {
        loom::model(|| {
            let shared = Arc::new((Signal::default(), Watermark::new(1), Mutex::new(())));
            let appending = loom::thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (signal, watermark, append_lock) = &*shared;
                    for next in 2..=3 {
                        let guard = append_lock.lock();
                        watermark.raise_appended(next);
                        drop(guard);
                        signal.note_dirty();
                    }
                }
            });
            let (signal, watermark, append_lock) = &*shared;
            let mut synced = 1;
            if signal.take_dirty(append_lock) {
                synced = watermark.appended();
            }
            appending.join().unwrap();
            if signal.take_dirty(append_lock) {
                synced = watermark.appended();
            }
            assert_eq!(synced, 3);
        });
    }
}
