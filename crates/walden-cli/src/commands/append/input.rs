//! The input, read ahead on a thread of its own: a sync and the reading of what comes next overlap.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::framing::{BadInput, Framing, Records};
use crate::signal;

/// Records that are appended together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
}

impl Chunk {
    /// However small its records are: memory must not grow with the input.
    fn is_full(&self) -> bool {
        self.cost() >= CHUNK_MOST
    }

    /// What it takes in memory.
    fn cost(&self) -> usize {
        self.bytes.len() + self.ends.len() * RECORD_COST
    }

    pub(super) fn records(&self) -> Vec<&[u8]> {
        let mut begin = 0;
        let mut records = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            records.push(self.bytes.get(begin..*end).unwrap_or_default());
            begin = *end;
        }
        records
    }
}

/// What the input thread tells.
#[derive(Debug)]
pub(super) enum Item {
    Chunk(Chunk),
    End,
    Bad(BadInput),
    Interrupted,
}

/// Enough for a sync to be worth its time.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_RECORDS: usize = 4096;
/// A chunk ends here even if its last batch is not full.
const CHUNK_MOST: usize = 256 << 20;
/// What a record takes besides its bytes: where it ends, and a slice of it.
const RECORD_COST: usize = 24;

/// Chunks that wait while others are synced. One of a pipe is small: the pipe holds no more.
const CHUNKS_WAITING: usize = 4;
/// What they may take together; a larger one waits alone.
const WAITING_COST: usize = 4 * CHUNK_BYTES;

/// What was read and not taken yet. Its lock is never held while anybody waits for input or disk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Chunk>,
    cost: usize,
    /// How the input ended.
    end: Option<Item>,
    interrupted: bool,
    /// Nobody takes any more.
    closed: bool,
}

impl Waiting {
    fn has_room(&self, cost: usize) -> bool {
        self.chunks.is_empty()
            || (self.chunks.len() < CHUNKS_WAITING && self.cost + cost <= WAITING_COST)
    }

    fn next(&mut self) -> Option<Item> {
        if let Some(chunk) = self.chunks.pop_front() {
            self.cost -= chunk.cost();
            return Some(Item::Chunk(chunk));
        }
        if self.interrupted { Some(Item::Interrupted) } else { self.end.take() }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a chunk behind the others, once there is room. False where it is wanted no more.
    fn put(&self, chunk: Chunk) -> bool {
        let cost = chunk.cost();
        let full = |waiting: &mut Waiting| {
            !(waiting.has_room(cost) || waiting.interrupted || waiting.closed)
        };
        let waited = self.changed.wait_while(self.lock(), full);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.interrupted || waiting.closed {
            return false;
        }
        waiting.cost += cost;
        waiting.chunks.push_back(chunk);
        self.changed.notify_all();
        true
    }

    fn finish(&self, end: Item) {
        self.lock().end = Some(end);
        self.changed.notify_all();
    }

    /// What was read already is still taken, and nothing after it.
    fn interrupt(&self) {
        self.lock().interrupted = true;
        self.changed.notify_all();
    }
}

/// What takes from the queue. Once it is dropped, the input thread goes no further.
#[derive(Debug)]
pub(super) struct Input(Arc<Queue>);

impl Input {
    /// What comes next, once it is there.
    pub(super) fn next(&self) -> Item {
        let mut waiting = self.0.lock();
        loop {
            if let Some(item) = waiting.next() {
                self.0.changed.notify_all();
                return item;
            }
            waiting = self.0.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is there already.
    pub(super) fn next_if_there(&self) -> Option<Item> {
        let item = self.0.lock().next();
        self.0.changed.notify_all();
        item
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// Begins to read; Ctrl-C is noticed while the input is silent, too.
pub(super) fn input(framing: Framing, batch: usize) -> Input {
    let queue = Arc::new(Queue::default());
    let told = Arc::clone(&queue);
    // It must not wait for the disk: the next Ctrl-C would have to.
    signal::on_interrupt(move || told.interrupt());
    let reads = Arc::clone(&queue);
    thread::spawn(move || {
        let ended = Ended(&reads);
        let mut records = Records::new(io::stdin(), framing);
        match read(&mut records, batch, &reads) {
            Ok(()) => ended.0.finish(Item::End),
            Err(bad) => ended.0.finish(Item::Bad(bad)),
        }
    });
    Input(queue)
}

/// Whoever waits for the input is told, too, where its thread dies.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let died = io::Error::other("the thread that reads it died");
            self.0.finish(Item::Bad(BadInput::Io(died)));
        }
    }
}

fn read(records: &mut Records<io::Stdin>, batch: usize, queue: &Queue) -> Result<(), BadInput> {
    loop {
        let mut chunk = Chunk::default();
        let outcome = gather(records, batch, &mut chunk);
        // What came before a bad record is appended all the same.
        if !chunk.ends.is_empty() && !queue.put(chunk) {
            return Ok(());
        }
        if !outcome? {
            return Ok(());
        }
    }
}

/// Fills a chunk with whole batches: until it is worth a sync or more would have to be waited for. False
/// at the input's end.
fn gather(
    records: &mut Records<io::Stdin>,
    batch: usize,
    chunk: &mut Chunk,
) -> Result<bool, BadInput> {
    loop {
        if !records.next_into(&mut chunk.bytes)? {
            return Ok(false);
        }
        chunk.ends.push(chunk.bytes.len());
        let worth = chunk.ends.len() >= CHUNK_RECORDS || chunk.bytes.len() >= CHUNK_BYTES;
        let whole = chunk.ends.len().is_multiple_of(batch);
        if (whole && (worth || records.is_dry())) || chunk.is_full() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_full_of_bytes_or_of_records() {
        let records = |count| Chunk { bytes: Vec::new(), ends: vec![0; count] };
        assert!(!records(CHUNK_MOST / RECORD_COST - 1).is_full());
        assert!(records(CHUNK_MOST / RECORD_COST + 1).is_full());
        let bytes = |count| Chunk { bytes: vec![0; count], ends: vec![count] };
        assert!(!bytes(CHUNK_MOST - 2 * RECORD_COST).is_full());
        assert!(bytes(CHUNK_MOST).is_full());
    }

    fn of(bytes: usize) -> Chunk {
        Chunk { bytes: vec![0; bytes], ends: vec![bytes] }
    }

    #[test]
    fn what_waits_is_bounded_by_its_bytes() {
        let mut waiting = Waiting::default();
        assert!(waiting.has_room(2 * CHUNK_MOST), "alone, anything waits");
        for _ in 0..2 {
            waiting.cost += of(CHUNK_BYTES).cost();
            waiting.chunks.push_back(of(CHUNK_BYTES));
        }
        assert!(waiting.has_room(CHUNK_BYTES));
        assert!(!waiting.has_room(2 * CHUNK_BYTES));
        assert!(matches!(waiting.next(), Some(Item::Chunk(_))));
        assert!(waiting.has_room(2 * CHUNK_BYTES));
    }

    /// As while the disk stalls: nobody takes, the queue is full, and whoever reads waits for room.
    #[test]
    fn an_interrupt_never_waits() {
        let queue = Arc::new(Queue::default());
        assert!(queue.put(of(CHUNK_MOST)));
        let full = Arc::clone(&queue);
        let puts = thread::spawn(move || full.put(of(7)));
        queue.interrupt();
        queue.interrupt();
        assert!(!puts.join().unwrap());
        let input = Input(queue);
        assert!(matches!(input.next(), Item::Chunk(_)), "what was read is appended");
        assert!(matches!(input.next(), Item::Interrupted));
        assert!(matches!(input.next_if_there(), Some(Item::Interrupted)));
    }

    #[test]
    fn an_input_that_nobody_takes_ends() {
        let queue = Arc::new(Queue::default());
        assert!(queue.put(of(CHUNK_MOST)));
        drop(Input(Arc::clone(&queue)));
        assert!(!queue.put(of(7)));
    }
}
