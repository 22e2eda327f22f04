//! Makes records durable: one sync for all who wait.
//!
//! The first who needs durability leads for everybody. Those who come while a sync runs register with the
//! watermark and sleep; the leader's successor is one of them, woken when leadership is free:
//!
//! ```text
//! leader                                   waiter
//! ------                                   ------
//! free = true                              registers (counts itself in)
//! hand_over: looks at the waiters          looks whether leadership is free; sleeps if not
//! ```
//!
//! Whichever comes second sees the other's step, so that no one sleeps with nobody to lead.
//! Before a leader syncs, it waits a little for those few whom the last sync served (`gather`).
//! A leader that fails has latched the cause, which wakes all, but on a full disk: then the next one tries, and learns that.
//! One that panics frees leadership as its guard is dropped. Whoever raises `durable` hands over afterwards, since one who was
//! called to lead may have got what it waited for by that.

use std::time::Duration;

use super::open::OpenSegment;
use crate::error::Result;
use crate::log::Log;
use crate::manifest::{Mark, Place};
use crate::num;
use crate::stats::Counters;
use crate::sync::{Arc, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering, wait, yield_now};
use crate::watermark::{Level, Watermark, refuse_in_callback};

/// How long a leader waits for the next one to come, at most.
const LONGEST_GAP: Duration = Duration::from_micros(60);

/// With more threads than these a batch gathers by itself: woken together, they come together. To wait for 16 gained nothing
/// with 4 to 64.
const MOST_GATHERED: usize = 4;

/// How often a leader looks, whatever a clock says.
const MOST_LOOKS: u32 = if cfg!(walden_model) { 2 } else { 10_000 };

/// Who syncs.
#[derive(Debug, Default)]
pub(crate) struct Leadership {
    taken: Mutex<bool>,
    freed: Condvar,
    /// Those who wait for `freed`: to wake nobody is a system call too. Changed with `taken` locked.
    /// Under loom: `loom_who_waits_to_lead_is_woken`.
    waiting: AtomicUsize,
    /// How long the last sync took, in nanoseconds. Decides of speed alone, of how long `gather` looks: with threads,
    /// `extremes::the_last_seq_ids_are_given_to_many_threads`.
    took: AtomicU64,
}

/// Leadership, until dropped.
#[derive(Debug)]
pub(crate) struct Leader<'a> {
    log: &'a Log,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.log.leadership.free();
        self.log.hand_over();
    }
}

impl Leadership {
    pub(crate) fn is_taken(&self) -> bool {
        *self.taken.lock()
    }

    /// Takes it if nobody has it.
    fn try_take(&self) -> bool {
        !std::mem::replace(&mut *self.taken.lock(), true)
    }

    fn free(&self) {
        let mut taken = self.taken.lock();
        *taken = false;
        let awaited = self.waiting.load(Ordering::Relaxed) > 0;
        drop(taken);
        if awaited {
            self.freed.notify_one();
        }
    }

    /// Takes it as soon as nobody has it.
    fn take(&self) {
        let mut taken = self.taken.lock();
        while *taken {
            self.waiting.store(self.waiting.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            taken = wait(&self.freed, taken);
            self.waiting.store(self.waiting.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
        *taken = true;
    }

    /// Sleeps while someone else leads, until what is before `target` is durable, nobody leads any more, or
    /// the waiting is over for another reason.
    fn sleep(&self, watermark: &Watermark, target: u64, era: u64) {
        watermark.sleep(target, era, || self.is_taken());
    }
}

impl Log {
    fn hand_over(&self) {
        if self.watermark.hand_over() {
            self.signal.kick_sync();
        }
    }

    /// Durability rose without a leader. Who was woken to lead may have got what it waited for by that and
    /// will not lead: the next in turn is woken.
    pub(crate) fn hand_on(&self) {
        if !self.leadership.is_taken() {
            self.hand_over();
        }
    }

    /// Leadership, if nobody has it.
    fn try_lead(&self) -> Option<Leader<'_>> {
        self.leadership.try_take().then(|| Leader { log: self })
    }

    /// Waits for leadership.
    pub(crate) fn lead(&self) -> Leader<'_> {
        self.leadership.take();
        Leader { log: self }
    }

    /// Makes all that was appended before the call durable.
    ///
    /// # Errors
    /// `OutOfSpace` where bytes could not be written; `Poisoned` with the cause.
    pub(crate) fn sync(&self) -> Result<()> {
        refuse_in_callback()?;
        let (target, era) = (self.watermark.appended(), self.watermark.era());
        let leader = self.lead();
        let reached = match self.watermark.reached(Level::Durable, target, era) {
            Some(reached) => reached,
            None => self.lead_for(&leader, target, era),
        };
        // What a cut left was made durable before it, and the rest is no more.
        reached.or_else(|error| if error.is_truncated() { Ok(()) } else { Err(error) })
    }

    /// One round for `target`. It may be durable though something behind it failed.
    fn lead_for(&self, leader: &Leader<'_>, target: u64, era: u64) -> Result<()> {
        let Err(error) = self.sync_round(leader) else { return Ok(()) };
        self.watermark.reached(Level::Durable, target, era).unwrap_or(Err(error))
    }

    /// Waits until all before `target` of era `era` is durable, leading if nobody does.
    ///
    /// # Errors
    /// `Truncated` where it was cut; the cause where the log failed; `OutOfSpace`; `Closed`; `Busy` in a callback.
    pub(crate) fn wait_durable(&self, target: u64, era: u64) -> Result<()> {
        let mut slept = false;
        loop {
            if let Some(reached) = self.watermark.reached(Level::Durable, target, era) {
                return reached;
            }
            // Before leading, too: whoever runs the callback may seal, with the lock that a round can want.
            refuse_in_callback()?;
            if let Some(leader) = self.try_lead() {
                // Someone may have led between the look and the lead.
                if self.watermark.reached(Level::Durable, target, era).is_none() {
                    self.gather(slept);
                    self.lead_for(&leader, target, era)?;
                }
                continue;
            }
            self.leadership.sleep(&self.watermark, target, era);
            slept = true;
        }
    }

    /// Lets those come who were served by the last sync and are about to append again: two threads that append in
    /// turn would else each wait for the other's sync and then for their own.
    fn gather(&self, slept: bool) {
        let others = self.watermark.take_freed() + usize::from(slept);
        if others == 0 || others > MOST_GATHERED || self.signal.is_manual() {
            return;
        }
        let sync = Duration::from_nanos(self.leadership.took.load(Ordering::Relaxed));
        let (gap, most) = ((sync / 4).min(LONGEST_GAP), sync);
        let mut seen = self.watermark.appended();
        let wanted = seen.saturating_add(num::size(others));
        let begun = self.clock.elapsed();
        let mut last = begun;
        for _ in 0..MOST_LOOKS {
            yield_now();
            let (now, appended) = (self.clock.elapsed(), self.watermark.appended());
            if appended != seen {
                (seen, last) = (appended, now);
            }
            let waited = now.saturating_sub(last) > gap || now.saturating_sub(begun) > most;
            if seen >= wanted || waited {
                return;
            }
        }
    }

    /// Syncs every open segment that holds anything not durable, oldest first. Where the disk is full that
    /// is what could be written before, and it fails all the same.
    pub(crate) fn sync_round(&self, _leader: &Leader<'_>) -> Result<()> {
        let flushed = self.flush();
        if flushed.as_ref().is_err_and(|error| !error.is_out_of_space()) {
            return flushed;
        }
        // Those that are open now; one that is sealed on the way is durable.
        let newest = self.open.lock().last().map(|open| open.ordinal());
        let mut done = None;
        while let Some(open) = self.open_after(done, newest) {
            self.sync_segment(&open)?;
            done = Some(open.ordinal());
            // Records may have come to a segment after it was synced, with others behind them in the next:
            // those are not durable before these are (invariant 5). They are the next round's.
            if !open.is_wholly_synced() {
                break;
            }
        }
        flushed
    }

    /// The oldest open segment behind `done`, up to `newest`.
    fn open_after(&self, done: Option<u64>, newest: Option<u64>) -> Option<Arc<OpenSegment>> {
        let open = self.open.lock();
        let wanted = |ordinal| Some(ordinal) > done && Some(ordinal) <= newest;
        open.iter().find(|open| wanted(open.ordinal())).map(Arc::clone)
    }

    fn sync_segment(&self, open: &OpenSegment) -> Result<()> {
        let epoch = *self.epoch.lock();
        let generation = self.manifest.synced_generation();
        let extent = open.written();
        self.watermark.begin_sync(extent.next_seq);
        let ordinal = open.ordinal();
        if ordinal > self.named.load(Ordering::Acquire) {
            let mut keeper = self.keeper();
            keeper.name_active(ordinal)?;
            self.named.fetch_max(ordinal, Ordering::AcqRel);
        }
        if open.synced() < extent.end {
            let before = self.watermark.durable();
            let begun = self.clock.elapsed();
            open.sync_with(extent.end, || open.file.sync_data())
                .map_err(|error| crate::error::Error::io("sync", &open.segment.path, error))?;
            let took = self.clock.elapsed().saturating_sub(begun);
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.leadership.took.store(took, Ordering::Relaxed);
            let entries = extent.next_seq.saturating_sub(before);
            Counters::add(&self.counters.syncs, 1);
            Counters::add(&self.counters.entries_synced, entries);
            self.meters.sync_times.add(took);
            self.meters.sync_entries.add(entries);
        } else if extent.next_seq <= self.watermark.durable() {
            return Ok(());
        }
        // The latch is asked before anything counts as durable: a sync elsewhere may have failed.
        self.latch.check()?;
        let place = Place { ordinal, offset: extent.end, next_seq: extent.next_seq };
        self.bytes_durable.fetch_max(open.bytes_at(extent.end), Ordering::AcqRel);
        self.watermark.raise_durable(extent.next_seq);
        let log_id = self.log_id();
        if self.manifest.mark(Mark { log_id, epoch, generation, place, counter: 0 })? {
            // The maintenance thread may sleep until there is something to do: now there is a mark to be synced, in
            // time.
            self.signal.wake();
        }
        Ok(())
    }
}

/// Every order of a few steps, under loom.
#[cfg(all(test, walden_model = "loom"))]
mod loom_tests {
    use super::*;

    type Shared = Arc<(Watermark, Leadership)>;

    /// All before 3 is written, and somebody leads.
    fn led() -> Shared {
        let (watermark, leadership) = (Watermark::new(1), Leadership::default());
        watermark.raise_appended(3);
        watermark.raise_written(3);
        assert!(leadership.try_take());
        Arc::new((watermark, leadership))
    }

    /// The leader goes, once all before `next_seq` is durable.
    fn go((watermark, leadership): &(Watermark, Leadership), next_seq: u64) {
        watermark.begin_sync(next_seq);
        watermark.raise_durable(next_seq);
        leadership.free();
        watermark.hand_over();
    }

    /// Waits for `target` as [`Log::wait_durable`] does, leading where nobody does.
    fn waiter(shared: &Shared, target: u64) -> loom::thread::JoinHandle<()> {
        let shared = Arc::clone(shared);
        loom::thread::spawn(move || {
            let (watermark, leadership) = &*shared;
            while watermark.reached(Level::Durable, target, 0).is_none() {
                if leadership.try_take() {
                    go(&shared, 3);
                } else {
                    leadership.sleep(watermark, target, 0);
                }
            }
        })
    }

    /// A leader goes after a round that came too early for someone who comes to wait: one of the two sees the other, and no one
    /// sleeps with nobody to lead.
    #[test]
    fn loom_leadership_is_handed_over() {
        loom::model(|| {
            let shared = led();
            let waiting = waiter(&shared, 3);
            go(&shared, 2);
            waiting.join().unwrap();
            assert_eq!(shared.0.waiters(), 0);
        });
    }

    /// As that, with two who wait for different syncs: who is served by the first as he comes goes without leading, and the
    /// other is called all the same.
    #[test]
    fn loom_who_is_served_forgets_nobody() {
        loom::model(|| {
            let shared = led();
            let waiting = [2, 3].map(|target| waiter(&shared, target));
            go(&shared, 2);
            waiting.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(shared.0.waiters(), 0);
        });
    }

    /// Two who wait to lead, as `sync()` does, each get it in turn, and nobody counts as waiting when all are gone.
    #[test]
    fn loom_who_waits_to_lead_is_woken() {
        loom::model(|| {
            let leadership = Arc::new(Leadership::default());
            assert!(leadership.try_take());
            let waiting = [(); 2].map(|()| {
                let leadership = Arc::clone(&leadership);
                loom::thread::spawn(move || {
                    leadership.take();
                    leadership.free();
                })
            });
            leadership.free();
            waiting.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(!leadership.is_taken());
            assert_eq!(leadership.waiting.load(Ordering::Relaxed), 0);
        });
    }
}
