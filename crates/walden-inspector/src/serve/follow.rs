//! The log as it grows, as server-sent events.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Instant, sleep, timeout};
use walden::{Entry, Event, Follower, LogReader, Result};

use super::browse::{Glimpse, within};
use super::reply::{Reply, stream};
use super::routes::{Shared, reading};
use super::{facts, limits};

/// Pieces that wait for a client.
const WAITING: usize = 4;

/// One who follows.
#[derive(Debug)]
struct Follow {
    log: LogReader,
    follower: Follower,
    preview: usize,
}

/// What there is to tell after one beat.
#[derive(Debug, Default)]
struct News {
    text: String,
    /// Nothing can come any more.
    ended: bool,
}

/// Tells of each entry from `from` on (of those to come, where it is none), until the client goes.
pub(super) fn follow(
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    log: LogReader,
    from: Option<u64>,
    preview: usize,
) -> Result<Reply> {
    let (follower, ..) = within(&log, from, |at| log.follow(at))?;
    let (sender, receiver) = channel(WAITING);
    tokio::spawn(run(shared, permit, Follow { log, follower, preview }, sender));
    Ok(stream(receiver))
}

async fn run(
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    mut follow: Follow,
    sender: Sender<Bytes>,
) {
    let mut told = Instant::now();
    let mut text = greeting(&follow.follower);
    loop {
        if !text.is_empty() {
            match timeout(limits::PATIENCE, sender.send(text.into())).await {
                Ok(Ok(())) => told = Instant::now(),
                _ => break,
            }
        }
        sleep(limits::BEAT).await;
        if sender.is_closed() {
            break;
        }
        let beat = reading(&shared, move || {
            let news = follow.beat();
            (follow, news)
        });
        let Ok((back, news)) = beat.await else { break };
        follow = back;
        text = news.text;
        if news.ended {
            // Whether it arrives is the client's affair.
            drop(timeout(limits::PATIENCE, sender.send(text.into())).await);
            break;
        }
        if text.is_empty() && told.elapsed() >= limits::SILENCE {
            text = ": nothing new\n\n".to_owned();
        }
    }
    drop(permit);
}

/// A client that loses the connection before the first entry goes on where it began, by this id, and not at the end.
fn greeting(follower: &Follower) -> String {
    let before = follower.position().saturating_sub(1);
    format!("retry: 2000\nid: {before}\n\n")
}

impl Follow {
    fn beat(&mut self) -> News {
        let mut news = News::default();
        if let Err(error) = self.collect(&mut news) {
            news.tell("problem", None, &facts::problem(&error));
            news.ended = true;
        }
        news
    }

    fn collect(&mut self, news: &mut News) -> Result<()> {
        let mut entries: Vec<Value> = Vec::new();
        let (mut last, mut bytes) = (None, 0_usize);
        while entries.len() < limits::BEAT_ENTRIES && bytes < limits::BEAT_BYTES {
            match self.follower.try_next() {
                Ok(Some(Event::Entry(entry))) => {
                    last = Some(entry.seq);
                    bytes = bytes.saturating_add(entry.payload.len());
                    entries.push(facts::entry(&glimpse(&entry, self.preview)));
                }
                Ok(Some(Event::Truncated { at })) => {
                    news.entries(&mut entries, last, &self.log);
                    news.tell("truncated", None, &json!({ "at": facts::seq(at) }));
                }
                Ok(_) => break,
                Err(error) => {
                    // What came before is told before it.
                    news.entries(&mut entries, last, &self.log);
                    return Err(error);
                }
            }
        }
        news.entries(&mut entries, last, &self.log);
        self.skip(news)
    }

    /// Leaves entries out where there are more than anybody could read.
    fn skip(&mut self, news: &mut News) -> Result<()> {
        let (at, end) = (self.follower.position(), self.log.next_seq());
        if end.saturating_sub(at) <= limits::BEHIND {
            return Ok(());
        }
        let near = u64::try_from(limits::BEAT_ENTRIES).unwrap_or(u64::MAX);
        let to = end.saturating_sub(near).max(self.log.first_seq());
        if to > at {
            self.follower = self.log.follow(to)?;
            news.tell("skipped", None, &json!({ "from": facts::seq(at), "to": facts::seq(to) }));
        }
        Ok(())
    }
}

impl News {
    fn entries(&mut self, entries: &mut Vec<Value>, last: Option<u64>, log: &LogReader) {
        if !entries.is_empty() {
            let entries = std::mem::take(entries);
            let (next, durable) = (facts::seq(log.next_seq()), facts::seq(log.durable_seq()));
            let news = json!({ "entries": entries, "next_seq": next, "durable_seq": durable });
            self.tell("entries", last, &news);
        }
    }

    /// JSON has no line break of its own, so that nothing in an entry can end an event.
    fn tell(&mut self, event: &str, id: Option<u64>, data: &Value) {
        if let Some(id) = id {
            self.text.push_str(&format!("id: {id}\n"));
        }
        self.text.push_str(&format!("event: {event}\ndata: {data}\n\n"));
    }
}

fn glimpse(entry: &Entry, preview: usize) -> Glimpse {
    let bytes = entry.payload.get(..preview).unwrap_or(&entry.payload).to_vec();
    Glimpse { seq: entry.seq, len: entry.payload.len(), at: 0, bytes, found: None }
}
