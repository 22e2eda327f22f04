//! How far the log has come: `durable ≤ written ≤ appended`, each the seq id that comes next.
//!
//! Raising is an atomic store, and a look at whether anybody waits. Those who wait (threads, tasks,
//! callbacks) are registered under a lock, woken outside it.
//!
//! A cut (`truncate_back`, `reset`) lowers all three and begins a new *era*: a number that counts the
//! cuts of this opening. A position is only meaningful together with the era it was taken in.

mod crowd;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::time::Duration;

use self::crowd::{Crowd, Crowds, Gathered};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{self, Arc, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering};

/// Which of the watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The kernel has it: readers may see it.
    Written,
    /// It survives a power cut.
    Durable,
}

/// A thread's place to sleep.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    condvar: Condvar,
}

impl Parker {
    /// Sleeps until woken; a wake-up that came before is not lost.
    pub(crate) fn park(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            woken = sync::wait(&self.condvar, woken);
        }
        *woken = false;
    }

    /// As [`park`](Self::park), for at most `timeout`.
    pub(crate) fn park_timeout(&self, timeout: Duration) {
        let mut woken = self.woken.lock();
        if !*woken {
            woken = sync::wait_timeout(&self.condvar, woken, timeout);
        }
        *woken = false;
    }

    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.condvar.notify_one();
    }
}

/// Who is to be told.
pub(crate) enum Wake {
    Thread(Arc<Parker>),
    Task(Waker),
    Call(Box<dyn FnOnce() + Send>),
}

impl Wake {
    fn fire(self) {
        match self {
            Self::Thread(parker) => parker.wake(),
            Self::Task(waker) => run_foreign(move || waker.wake()),
            Self::Call(call) => run_foreign(call),
        }
    }
}

/// Runs what is not ours. Its panic must not go on through us: others wait to be woken behind it.
fn run_foreign(call: impl FnOnce()) {
    let nested = IN_CALLBACK.with(|inside| inside.replace(true));
    drop(catch_unwind(AssertUnwindSafe(call)));
    IN_CALLBACK.with(|inside| inside.set(nested));
}

sync::thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is running someone's callback, perhaps while it leads a sync: it must not wait for
/// the log then.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.with(Cell::get)
}

/// Refuses what would wait for the log within a callback: what it waited for may be the very call that
/// runs the callback.
pub(crate) fn refuse_in_callback() -> Result<()> {
    if in_callback() {
        return Err(Error::new(ErrorKind::Busy, "this would wait for the log within a callback")
            .advice("do it on another thread"));
    }
    Ok(())
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread(_) => "Thread",
            Self::Task(_) => "Task",
            Self::Call(_) => "Call",
        })
    }
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    level: Level,
    target: u64,
    /// Wants a sync to be led for it; a follower only waits for what comes.
    asks: bool,
    wake: Wake,
}

#[derive(Debug, Default)]
struct State {
    /// For each cut that still matters: the era it began, and the first seq id it cut. Both rise.
    cuts: Vec<(u64, u64)>,
    failed: Option<Error>,
    closed: bool,
    waiters: Vec<Waiter>,
    /// Threads that lead a sync when they are woken and nobody else does.
    crowds: Crowds,
    last_id: u64,
}

impl State {
    fn waiting(&self) -> usize {
        self.waiters.len() + self.crowds.members()
    }
}

/// Those who need wait no longer, to be told outside the lock.
#[derive(Debug, Default)]
struct Reached {
    waiters: Vec<Waiter>,
    crowds: Vec<Gathered>,
}

impl Reached {
    fn fire(self) {
        self.crowds.iter().for_each(Gathered::wake);
        self.waiters.into_iter().for_each(|waiter| waiter.wake.fire());
    }
}

/// The three watermarks and those who wait for them.
#[derive(Debug)]
pub(crate) struct Watermark {
    // All under loom, and under shuttle with the log around them (`appends`, `cuts`, `tickets`, `waiting`).
    /// `loom_the_watermarks_keep_their_order`, as the next two.
    appended: AtomicU64,
    /// `loom_who_waits_for_written_is_woken`.
    written: AtomicU64,
    /// `loom_two_raise_durable`, `loom_who_waits_for_durable_is_woken`.
    durable: AtomicU64,
    /// `loom_what_was_cut_is_not_reached`.
    era: AtomicU64,
    /// `loom_who_waits_is_told_of_an_end`.
    waiting: AtomicUsize,
    /// Members of crowds that were woken since the last time somebody asked. Decides of speed alone, of whether `gather` looks:
    /// with threads, `extremes::the_last_seq_ids_are_given_to_many_threads`.
    freed: AtomicUsize,
    state: Mutex<State>,
}

impl Watermark {
    /// All that is before `next_seq` is durable.
    pub(crate) fn new(next_seq: u64) -> Self {
        Self {
            appended: AtomicU64::new(next_seq),
            written: AtomicU64::new(next_seq),
            durable: AtomicU64::new(next_seq),
            era: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
            state: Mutex::new(State::default()),
        }
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::SeqCst)
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    pub(crate) fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    fn get(&self, level: Level) -> u64 {
        match level {
            Level::Written => self.written(),
            Level::Durable => self.durable(),
        }
    }

    /// Called under the append lock. Nobody waits for `appended`, so no order with `waiting` is needed.
    pub(crate) fn raise_appended(&self, next_seq: u64) {
        debug_assert!(next_seq >= self.appended(), "appended rises");
        self.appended.store(next_seq, Ordering::Release);
    }

    /// Called by the one who may write; [`tell_written`](Self::tell_written) has to follow.
    pub(crate) fn raise_written(&self, next_seq: u64) {
        debug_assert!(next_seq >= self.written(), "written rises");
        assert!(next_seq <= self.appended(), "written ≤ appended");
        self.written.store(next_seq, Ordering::SeqCst);
    }

    /// Wakes those who waited for what [`raise_written`](Self::raise_written) raised: apart from it, so that
    /// nobody is woken under a lock that it is wanted for. Callbacks, which may want the write lock, are none of them:
    /// they wait for durability.
    #[inline(always)]
    pub(crate) fn tell_written(&self) {
        self.wake_reached(Level::Written);
    }

    /// Called by the leader of a group commit, and by who seals: both hold back cuts. [`hand_over`](Self::hand_over)
    /// has to follow, as it does when the leader goes: somebody called to lead may have got what he waits for by this.
    pub(crate) fn raise_durable(&self, next_seq: u64) {
        assert!(next_seq <= self.written(), "durable ≤ written");
        if self.durable.fetch_max(next_seq, Ordering::SeqCst) < next_seq {
            self.wake_reached(Level::Durable);
        }
    }

    // Why no waiter is missed: a waiter counts itself in `waiting` and then looks at the watermark; a
    // raiser stores the watermark and then looks at `waiting`. With sequentially consistent order one of
    // the two sees the other.
    #[inline(always)]
    fn wake_reached(&self, level: Level) {
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.fire_reached(level);
        }
    }

    fn fire_reached(&self, level: Level) {
        let reached = |waiter: &Waiter| waiter.level == level && self.get(level) >= waiter.target;
        self.take(|state| Reached {
            waiters: state.waiters.extract_if(.., |waiter| reached(waiter)).collect(),
            crowds: match level {
                Level::Written => Vec::new(),
                Level::Durable => state.crowds.take_served(self.durable()),
            },
        })
        .fire();
    }

    fn fire_all(&self) {
        self.take(|state| Reached {
            waiters: std::mem::take(&mut state.waiters),
            crowds: state.crowds.take_all(),
        })
        .fire();
    }

    fn take(&self, take: impl FnOnce(&mut State) -> Reached) -> Reached {
        let mut state = self.state.lock();
        let taken = take(&mut state);
        self.waiting.store(state.waiting(), Ordering::SeqCst);
        drop(state);
        let threads = taken.crowds.iter().map(Gathered::members).sum();
        self.freed.fetch_add(threads, Ordering::Relaxed);
        taken
    }

    /// How many threads of crowds were woken since the last call.
    pub(crate) fn take_freed(&self) -> usize {
        self.freed.swap(0, Ordering::Relaxed)
    }

    /// Whether all before `target` of era `era` has reached `level`.
    ///
    /// `None`: not yet. `Err`: it never will: cut (`Truncated`), the log failed, or was closed.
    pub(crate) fn reached(&self, level: Level, target: u64, era: u64) -> Option<Result<()>> {
        // The era is looked at on both sides: a cut begins a new one before it lowers the marks.
        if self.era() == era && self.get(level) >= target && self.era() == era {
            return Some(Ok(()));
        }
        let state = self.state.lock();
        if let Some(at) = cut_since(&state.cuts, era).filter(|at| *at < target) {
            return Some(Err(truncated(at)));
        }
        if self.get(level) >= target {
            return Some(Ok(()));
        }
        if let Some(cause) = &state.failed {
            return Some(Err(cause.clone()));
        }
        state.closed.then(|| Err(Error::closed()))
    }

    /// Why no mark rises any more.
    pub(crate) fn over(&self) -> Option<Error> {
        let state = self.state.lock();
        state.failed.clone().or_else(|| state.closed.then(Error::closed))
    }

    /// The first seq id that was cut since `era`.
    pub(crate) fn cut_since(&self, era: u64) -> Option<u64> {
        if self.era() == era {
            return None;
        }
        cut_since(&self.state.lock().cuts, era)
    }

    /// Registers someone to be told once `level` reaches `target`, or anything ends the waiting: a
    /// cut, a failure, the log's closing. Returns a number to cancel by; `None` if there is no need to wait.
    pub(crate) fn register(&self, level: Level, target: u64, era: u64, wake: Wake) -> Option<u64> {
        self.enter(level, target, era, false, wake)
    }

    /// As [`register`](Self::register), for someone who wants a sync to be led where nobody leads one.
    pub(crate) fn ask(&self, target: u64, era: u64, wake: Wake) -> Option<u64> {
        self.enter(Level::Durable, target, era, true, wake)
    }

    fn enter(&self, level: Level, target: u64, era: u64, asks: bool, wake: Wake) -> Option<u64> {
        let mut state = self.state.lock();
        if state.failed.is_some() || state.closed || self.era() != era {
            drop(state);
            wake.fire();
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        state.waiters.push(Waiter { id, level, target, asks, wake });
        self.waiting.store(state.waiting(), Ordering::SeqCst);
        drop(state);
        if self.get(level) >= target {
            self.wake_reached(level);
            return None;
        }
        Some(id)
    }

    /// Takes a registration back.
    pub(crate) fn cancel(&self, id: u64) {
        let mut state = self.state.lock();
        let at = state.waiters.iter().position(|waiter| waiter.id == id);
        let gone = at.map(|at| state.waiters.swap_remove(at));
        self.waiting.store(state.waiting(), Ordering::SeqCst);
        // Dropping a waker can drop a task, and with it a ticket that comes here too: not under the lock.
        drop(state);
        drop(gone);
    }

    /// Someone who asked for durability while nobody leads: a thread of a crowd is woken to lead; `true` if only
    /// others asked, so that the sync thread has to. Followers ask for nothing: woken to lead, one would
    /// let those who did wait for ever.
    ///
    /// A crowd that somebody joined just as he was served may not be told of it, and he goes without leading: the rest of it is
    /// woken here, to look again.
    pub(crate) fn hand_over(&self) -> bool {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let durable = self.durable();
        let asks = |waiter: &Waiter| waiter.asks && waiter.target > durable;
        let (mut next, mut others) = (None, false);
        self.take(|state| {
            let crowds = state.crowds.take_served(durable);
            next = state.crowds.first();
            others = next.is_none() && state.waiters.iter().any(asks);
            Reached { waiters: Vec::new(), crowds }
        })
        .fire();
        next.inspect(|crowd| crowd.call_one());
        others
    }

    /// Sleeps until there may be something to look at: all before `target` of era `era` is durable, anything else ended the
    /// waiting, or this thread is [called to lead](Self::hand_over). Does not sleep where `led` says that nobody leads.
    pub(crate) fn sleep(&self, target: u64, era: u64, led: impl FnOnce() -> bool) {
        let mut state = self.state.lock();
        let served = self.durable() >= target;
        if served || state.failed.is_some() || state.closed || self.era() != era {
            return;
        }
        let crowd = state.crowds.join(target);
        self.waiting.store(state.waiting(), Ordering::SeqCst);
        drop(state);
        if self.durable() < target && led() && crowd.sleep() {
            return;
        }
        self.leave(&crowd);
    }

    fn leave(&self, crowd: &Arc<Crowd>) {
        let mut state = self.state.lock();
        state.crowds.leave(crowd);
        self.waiting.store(state.waiting(), Ordering::SeqCst);
    }

    /// A sync begins that makes all before `next_seq` durable. Decides of speed alone: of who is woken with whom.
    pub(crate) fn begin_sync(&self, next_seq: u64) {
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.state.lock().crowds.close(next_seq);
        }
    }

    /// Begins a new era: entries from `first_cut` on are gone, and `next_seq` (that, but after a reset) comes
    /// next. Everything before it is durable. Nobody is told yet, since other locks may be held: that is
    /// [`tell_cut`](Self::tell_cut).
    pub(crate) fn cut(&self, first_cut: u64, next_seq: u64) {
        let mut state = self.state.lock();
        let era = self.era() + 1;
        state.cuts.retain(|(_, at)| *at < first_cut);
        state.cuts.push((era, first_cut));
        self.era.store(era, Ordering::SeqCst);
        self.durable.store(next_seq, Ordering::SeqCst);
        self.written.store(next_seq, Ordering::SeqCst);
        self.appended.store(next_seq, Ordering::SeqCst);
    }

    /// Wakes all who wait: what they wait for may have been cut.
    pub(crate) fn tell_cut(&self) {
        self.fire_all();
    }

    /// The log failed: whoever waits gets the cause, unless what it waits for is reached.
    pub(crate) fn fail(&self, cause: &Error) {
        self.state.lock().failed.get_or_insert_with(|| cause.clone());
        self.fire_all();
    }

    /// The log was closed.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.fire_all();
    }

    /// How many wait.
    pub(crate) fn waiters(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

fn cut_since(cuts: &[(u64, u64)], era: u64) -> Option<u64> {
    cuts.iter().find(|(began, _)| *began > era).map(|(_, at)| *at)
}

/// The error for what was cut from `at` on.
pub(crate) fn truncated(at: u64) -> Error {
    Error::new(ErrorKind::Truncated, "the log was cut here, and what followed is another history")
        .seq_at(at)
}

#[cfg(all(test, walden_model = "loom"))]
mod loom_tests;

#[cfg(test)]
mod tests;
