//! `Follower`: what is in the log, and then what comes, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::collect::collect;
use super::ticker::Ticker;
use super::walk::Walk;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::Frames;
use crate::snapshot::View;
use crate::storage::{Clock, SystemClock};
use crate::sync::Arc;
use crate::watermark::{Level, Parker, Wake, Watermark};

/// How long to wait before a log that cannot tell of news is asked again: at first, and at most.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(200);

/// What happens in a log that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The next entry.
    Entry(Entry),
    /// The next entries, as they are stored ([`Follower::in_frames`]).
    Frames(Frames),
    /// Entries from `at` on that were given before were cut; what follows begins at `at` again, or, after a
    /// `reset`, wherever the log goes on.
    Truncated {
        /// The first seq id that was cut.
        at: u64,
    },
}

/// Gives each entry once, in order, and waits for those to come.
///
/// By threads ([`next_blocking`](Self::next_blocking), [`next_timeout`](Self::next_timeout)), without waiting
/// ([`try_next`](Self::try_next)), or as a [`Stream`]. Waiting costs nothing while nothing is appended: the
/// writer wakes those who wait. A log opened by [`LogReader`](crate::LogReader) has no such writer: it is
/// asked again after 1 ms, then less and less often, down to every 200 ms.
///
/// The stream ends when the log is closed and all was given, and after an error. Polling it reads files, as
/// reading does; over a `LogReader`, the first poll that finds nothing starts a thread for waking, which ends
/// with the follower.
#[derive(Debug)]
pub struct Follower {
    walk: Walk,
    parker: Arc<Parker>,
    clock: SystemClock,
    /// The number by which a task's registration is taken back.
    registered: Option<u64>,
    pause: Duration,
    ticker: Option<Ticker>,
    ended: bool,
    /// Gives frames of at most so many bytes instead of entries.
    frames_of: Option<u64>,
}

impl Follower {
    pub(crate) fn new(view: Arc<dyn View>, from: u64) -> Result<Self> {
        let mut walk = Walk::new(view, from);
        walk.seek(from)?;
        Ok(Self {
            walk,
            parker: Arc::default(),
            clock: SystemClock::default(),
            registered: None,
            pause: SHORTEST,
            ticker: None,
            ended: false,
            frames_of: None,
        })
    }

    /// Gives entries only once they are durable: what survives a power cut here may be told elsewhere.
    #[must_use]
    pub fn durable_only(mut self) -> Self {
        self.walk.set_level(Level::Durable);
        self
    }

    /// Gives records as they are stored, as many at once as are there and fit `max_bytes`, but at least one: for a
    /// copy of the log elsewhere, by [`Wal::append_frames`](crate::Wal::append_frames). Only once they are durable.
    #[must_use]
    pub fn in_frames(mut self, max_bytes: u64) -> Self {
        self.frames_of = Some(max_bytes);
        self.durable_only()
    }

    /// The seq id of the next entry.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.walk.position()
    }

    /// What comes next, waited for as long as it takes.
    ///
    /// # Errors
    /// `Closed` once the log is closed and all was given; what made the log fail, once nothing can come any
    /// more; what [`Reader::read_next`](crate::Reader::read_next) gives. Where it stays is where it was.
    pub fn next_blocking(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.advance()? {
                return Ok(event);
            }
            self.wait(None);
        }
    }

    /// What comes next if it is there.
    ///
    /// # Errors
    /// As [`next_blocking`](Self::next_blocking).
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        self.advance()
    }

    /// What comes next, waited for at most `timeout`.
    ///
    /// # Errors
    /// As [`next_blocking`](Self::next_blocking).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>> {
        let begun = self.clock.elapsed();
        loop {
            if let Some(event) = self.advance()? {
                return Ok(Some(event));
            }
            let waited = self.clock.elapsed().saturating_sub(begun);
            let Some(left) = timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            self.wait(Some(left));
        }
    }

    /// The next event; `None` if it is to be waited for.
    fn advance(&mut self) -> Result<Option<Event>> {
        let mut event = self.step()?;
        if event.is_none() {
            self.walk.view().refresh()?;
            event = self.step()?;
        }
        if event.is_some() {
            self.pause = SHORTEST;
            return Ok(event);
        }
        let reached = self.walk.view().watermark().and_then(|watermark| match self.target() {
            Some(target) => watermark.reached(self.walk.level(), target, self.walk.era()),
            None => watermark.over().map(Err),
        });
        match reached {
            Some(Err(error)) if !error.is_truncated() => {
                // The end may have come with a last entry, after it was looked for.
                self.step()?.map_or(Err(error), |event| Ok(Some(event)))
            }
            _ => Ok(None),
        }
    }

    fn step(&mut self) -> Result<Option<Event>> {
        if let Some(at) = self.walk.follow_cut() {
            return Ok(Some(Event::Truncated { at }));
        }
        match self.take() {
            Ok(event) => Ok(event),
            Err(error) if error.is_truncated() => {
                let at = self.walk.follow_cut();
                at.map_or(Err(error), |at| Ok(Some(Event::Truncated { at })))
            }
            Err(error) => Err(error),
        }
    }

    fn take(&mut self) -> Result<Option<Event>> {
        if let Some(max_bytes) = self.frames_of {
            return Ok(collect(&mut self.walk, max_bytes)?.map(Event::Frames));
        }
        if !self.walk.forward()? {
            return Ok(None);
        }
        let seq = self.walk.position();
        let payload = self.walk.share(seq, seq.saturating_add(1))?;
        Ok(Some(Event::Entry(Entry::new(seq, payload))))
    }

    /// What a mark must rise to for there to be something new; `None` behind the last seq id that there can be.
    fn target(&self) -> Option<u64> {
        self.walk.position().checked_add(1)
    }

    /// The marks that tell of what comes, and what they must rise to. `None`: it is to be looked for again and again,
    /// in another process's log, and where only a cut, a failure or the closing can come.
    fn told_by(&self) -> Option<(&Watermark, u64)> {
        self.walk.view().watermark().zip(self.target())
    }

    /// Sleeps until there may be something new.
    fn wait(&mut self, timeout: Option<Duration>) {
        let (level, era) = (self.walk.level(), self.walk.era());
        let Some((watermark, target)) = self.told_by() else {
            self.parker.park_timeout(timeout.map_or(self.pause, |left| left.min(self.pause)));
            self.pause = (self.pause * 2).min(LONGEST);
            return;
        };
        let wake = Wake::Thread(Arc::clone(&self.parker));
        if let Some(id) = watermark.register(level, target, era, wake) {
            match timeout {
                Some(left) => self.parker.park_timeout(left),
                None => self.parker.park(),
            }
            watermark.cancel(id);
        }
    }

    /// Has the task woken once there may be something new; false if there may be already.
    fn wake_later(&mut self, context: &Context<'_>) -> Result<bool> {
        let (level, era) = (self.walk.level(), self.walk.era());
        let waker = context.waker().clone();
        if let Some((watermark, target)) = self.told_by() {
            self.registered = watermark.register(level, target, era, Wake::Task(waker));
            return Ok(self.registered.is_some());
        }
        let ticker = match self.ticker.take() {
            Some(ticker) => ticker,
            None => Ticker::start().map_err(|error| {
                Error::new(ErrorKind::Io, format!("cannot start a thread to wake by: {error}"))
            })?,
        };
        self.ticker.insert(ticker).wake_after(self.pause, waker);
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(true)
    }

    fn unregister(&mut self) {
        if let (Some(id), Some(watermark)) = (self.registered.take(), self.walk.view().watermark())
        {
            watermark.cancel(id);
        }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<Event>> {
        loop {
            self.unregister();
            if let Some(event) = self.advance()? {
                return Poll::Ready(Ok(event));
            }
            if self.wake_later(context)? {
                return Poll::Pending;
            }
        }
    }
}

impl Stream for Follower {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.poll(context).map(|next| match next {
            Ok(event) => Some(Ok(event)),
            Err(error) => {
                self.ended = true;
                (!error.is_closed()).then_some(Err(error))
            }
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.unregister();
    }
}

#[cfg(test)]
mod tests;
