//! A small message queue for tokio over one Walden log: an example of tickets, followers and cursors.
//!
//! Producers publish from any number of tasks: one sync serves all that wait. Each consumer is a cursor: it gets
//! every message from where it stopped, may acknowledge them in any order, and goes on after a crash behind the
//! last message before which all were acknowledged. Messages that all consumers are done with are removed by
//! retention.
//!
//! Delivery is *at least once*: a commit is on disk within `sync_interval`, so that messages acknowledged just
//! before a crash come again.
//!
//! What blocks is short: a publication that finds the segment full may wait for a file to be made; reading is as
//! fast as the page cache. A service that cannot have that at all uses `spawn_blocking`.

#![forbid(unsafe_code)]

mod acks;

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_core::Stream;
use walden::{Config, Cursor, ErrorKind, Event, Follower, Result, Retention, Start, Wal};

use crate::acks::Acks;

/// Bytes of messages that are kept though all consumers are done with them.
const KEEP: u64 = 4 << 20;

/// A queue. Clones share it.
#[derive(Debug, Clone)]
pub struct Broker {
    wal: Wal,
}

impl Broker {
    /// Opens the queue in `dir`, or makes it.
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let config = Config::durable()
            .segment_size(1 << 20)
            .retention(Retention::keep_all().max_bytes(KEEP));
        Ok(Self { wal: Wal::open(dir, config)? })
    }

    /// Publishes a message: durable once this resolves. Its number is the seq id.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub async fn publish(&self, message: impl AsRef<[u8]>) -> Result<u64> {
        let ticket = loop {
            match self.wal.try_submit(&message) {
                Err(error) if error.kind() == ErrorKind::Busy => self.wal.ready().await?,
                other => break other?,
            }
        };
        Ok(ticket.await?.start)
    }

    /// The consumer with this name, from where it stopped; a new one begins with the first message that there is.
    ///
    /// # Errors
    /// `Locked` while there is one of this name already; as [`Wal::cursor`].
    pub fn consumer(&self, name: &str) -> Result<Consumer> {
        let cursor = self.wal.cursor(name, Start::First)?;
        let messages = cursor.follow()?;
        let next = cursor.position();
        let acks = Arc::new(Shared { cursor, acks: Mutex::new(Acks::from(next)) });
        Ok(Consumer { messages, acks })
    }

    /// The number that the next message gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.wal.next_seq()
    }

    /// Closes the queue: everything published and acknowledged is on disk.
    ///
    /// # Errors
    /// As [`Wal::close`].
    pub fn close(&self) -> Result<()> {
        self.wal.close()
    }
}

/// Gives messages in order.
#[derive(Debug)]
pub struct Consumer {
    messages: Follower,
    acks: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cursor: Cursor,
    acks: Mutex<Acks>,
}

impl Consumer {
    /// The number of the message before which all are acknowledged.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.acks.cursor.position()
    }

    /// The next message, as soon as it is durable; `None` once the queue is closed.
    ///
    /// # Errors
    /// As reading; `Truncated` where somebody cut the log.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        let next = poll_fn(|context| Pin::new(&mut self.messages).poll_next(context)).await;
        match next.transpose()? {
            None => Ok(None),
            Some(Event::Entry(entry)) => Ok(Some(Message {
                seq: entry.seq,
                payload: entry.payload.to_vec(),
                acks: Arc::clone(&self.acks),
            })),
            // A queue is never cut at its end; who does so has to move the cursor, too.
            Some(_) => self.acks.cursor.check().map(|()| None),
        }
    }
}

/// A message, to be acknowledged when it is done with.
#[derive(Debug)]
pub struct Message {
    /// Its number.
    pub seq: u64,
    /// What was published.
    pub payload: Vec<u8>,
    acks: Arc<Shared>,
}

impl Message {
    /// It is done with: it doesn't come again, once all before it are, too, and that is on disk.
    ///
    /// # Errors
    /// As [`Cursor::commit`].
    pub fn ack(self) -> Result<()> {
        // The lock is held over the commit, so that positions are committed in their order.
        let mut acks = self.acks.acks.lock().unwrap_or_else(PoisonError::into_inner);
        acks.done(self.seq).map_or(Ok(()), |last| self.acks.cursor.commit(last))
    }
}
