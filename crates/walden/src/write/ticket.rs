//! A ticket: the promise that something appended becomes durable, in whichever way one likes to wait.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Result;
use crate::log::Log;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::watermark::{Level, Parker, Wake, refuse_in_callback};

/// What `submit` gives at once: the seq ids of what was appended, and the wait for its durability.
///
/// A ticket means *durable*, whatever the log's strategy. It can be waited for by a thread
/// ([`wait`](Self::wait), [`wait_timeout`](Self::wait_timeout)), awaited in any async runtime or none,
/// or told by a callback ([`on_complete`](Self::on_complete)). Dropping it cancels nothing.
///
/// An error means that it will never become durable under these seq ids: `Truncated` where it was cut,
/// `Poisoned` with the cause where the log failed (it may be found after reopening), `Closed`.
#[must_use = "a ticket that is not waited for says nothing about durability"]
pub struct Ticket {
    log: Arc<Log>,
    seqs: Range<u64>,
    era: u64,
    /// Registration of the task that polled last; 0 for none. Under shuttle: `tickets::each_way_of_waiting`.
    registered: AtomicU64,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("seqs", &self.seqs)
            .field("era", &self.era)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    pub(crate) fn new(log: Arc<Log>, seqs: Range<u64>, era: u64) -> Self {
        Self { log, seqs, era, registered: AtomicU64::new(0) }
    }

    /// The seq ids of what was appended; empty for an empty batch.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        self.seqs.clone()
    }

    /// Whether the outcome is known, and which.
    fn outcome(&self) -> Option<Result<Range<u64>>> {
        if self.seqs.is_empty() {
            return Some(Ok(self.seqs()));
        }
        let reached = self.log.watermark.reached(Level::Durable, self.seqs.end, self.era)?;
        Some(reached.map(|()| self.seqs()))
    }

    /// Blocks until it is durable, syncing for all who wait if nobody does.
    ///
    /// # Errors
    /// Where it never will be; see [`Ticket`]. `OutOfSpace` where bytes could not be written yet: waiting
    /// again tries again.
    pub fn wait(&self) -> Result<Range<u64>> {
        if !self.seqs.is_empty() {
            self.log.wait_durable(self.seqs.end, self.era)?;
        }
        Ok(self.seqs())
    }

    /// Blocks for at most `timeout`; `None` if the outcome is not known by then. The syncing is left to
    /// the log's thread, so that a slow disk cannot hold the caller longer.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Range<u64>>> {
        let begun = self.log.clock.elapsed();
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome.map(Some);
            }
            let left = timeout.saturating_sub(self.log.clock.elapsed().saturating_sub(begun));
            if left.is_zero() {
                return Ok(None);
            }
            refuse_in_callback()?;
            let parker = Arc::new(Parker::default());
            let wake = Wake::Thread(Arc::clone(&parker));
            let target = self.seqs.end;
            let id = self.log.watermark.ask(target, self.era, wake);
            if let Some(id) = id {
                self.log.signal.kick_sync();
                parker.park_timeout(left);
                self.log.watermark.cancel(id);
            }
        }
    }

    /// Calls `callback` once with the outcome: at once if it is known, else on the thread that makes it
    /// known. The callback must not block: others wait behind it. What would wait for the log in it (an append
    /// in `Always`, a sync, a cut at either end, retention, closing, a submit that finds no segment ready) is refused
    /// as `Busy`. A panic in it goes no further.
    pub fn on_complete(self, callback: impl FnOnce(Result<Range<u64>>) + Send + 'static) {
        if let Some(outcome) = self.outcome() {
            callback(outcome);
            return;
        }
        self.call_later(Box::new(callback));
    }

    fn call_later(self, callback: Box<dyn FnOnce(Result<Range<u64>>) + Send>) {
        let (log, target, era) = (Arc::clone(&self.log), self.seqs.end, self.era);
        // The registration fires once, but perhaps early (a failure elsewhere, a cut further back).
        let slot = Mutex::new(Some((self, callback)));
        let wake = Wake::Call(Box::new(move || {
            let Some((ticket, callback)) = slot.lock().take() else { return };
            match ticket.outcome() {
                Some(outcome) => callback(outcome),
                None => ticket.call_later(callback),
            }
        }));
        if log.watermark.ask(target, era, wake).is_some() {
            log.signal.kick_sync();
        }
    }

    fn unregister(&self) {
        match self.registered.swap(0, Ordering::AcqRel) {
            0 => {}
            id => self.log.watermark.cancel(id),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl Future for Ticket {
    type Output = Result<Range<u64>>;

    /// Never syncs on the polling thread: the log's sync thread leads for tasks.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = self.get_mut();
        if let Some(outcome) = ticket.outcome() {
            return Poll::Ready(outcome);
        }
        ticket.unregister();
        let wake = Wake::Task(context.waker().clone());
        let log = &ticket.log;
        if let Some(id) = log.watermark.ask(ticket.seqs.end, ticket.era, wake) {
            ticket.registered.store(id, Ordering::Release);
            log.signal.kick_sync();
        }
        match ticket.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

/// Resolves once another submit would be let through.
pub(crate) struct Ready {
    log: Arc<Log>,
    registered: u64,
}

impl Ready {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self { log, registered: 0 }
    }

    fn outcome(&self) -> Option<Result<()>> {
        if let Err(error) = self.log.check() {
            return Some(Err(error));
        }
        (self.log.in_flight() < self.log.settings.max_in_flight).then_some(Ok(()))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.log.watermark.cancel(self.registered);
    }
}

impl Future for Ready {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ready = self.get_mut();
        if let Some(outcome) = ready.outcome() {
            return Poll::Ready(outcome);
        }
        let mark = &ready.log.watermark;
        mark.cancel(ready.registered);
        // Any progress of what is durable frees bytes.
        let (next, era) = (mark.durable().saturating_add(1), mark.era());
        let wake = Wake::Task(context.waker().clone());
        if let Some(id) = mark.ask(next, era, wake) {
            ready.registered = id;
            ready.log.signal.kick_sync();
        }
        match ready.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}
