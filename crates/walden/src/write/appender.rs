//! Gives seq ids and encodes records: what happens under the append lock.
//!
//! No file is created, synced or written here, and nothing is compressed. Rotation renames a file that was
//! made ready. Where that one is missing, or four segments are open, the caller waits outside the lock.

use std::collections::VecDeque;

use super::open::{Extent, OpenSegment};
use super::pace::Pace;
use crate::error::{Error, ErrorKind};
use crate::num;
use crate::record::{self, Compressed};
use crate::storage::File;
use crate::sync::Arc;

/// Encoded records that wait to be written: contiguous bytes of one segment.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) open: Arc<OpenSegment>,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// The seq id after the last record.
    pub(crate) next_seq: u64,
    /// Seq id of the first record.
    pub(crate) first_seq: u64,
}

impl Chunk {
    /// A chunk that begins with the record at `slot`.
    pub(crate) fn new(open: Arc<OpenSegment>, slot: Slot, bytes: Vec<u8>) -> Self {
        let Slot { seq, next_seq, offset, .. } = slot;
        Self { open, offset, bytes, next_seq, first_seq: seq }
    }
}

/// A record's seq ids, and its place in the active segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) seq: u64,
    pub(crate) next_seq: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Slot {
    /// How far its segment has come with it.
    pub(crate) fn end(&self) -> Extent {
        Extent { end: self.offset + self.len, next_seq: self.next_seq }
    }
}

/// A segment's file made ready, under its `.next` name.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) ordinal: u64,
    pub(crate) file: Arc<dyn File>,
    /// Bytes that are allocated; `None`: the filesystem cannot, so writes may meet a full disk.
    pub(crate) allocated: Option<u64>,
}

/// What is to be appended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// One entry, in parts.
    Single(&'a [&'a [u8]]),
    /// Several entries in one record.
    Packed(&'a [&'a [u8]]),
    /// One entry or several, made smaller. Behind a reference, so that moving the others costs no more.
    Compressed(&'a Compressed<'a>),
    /// A record as another log stored it, with the seq id that comes next.
    Stored(&'a [u8]),
}

impl Content<'_> {
    /// Appends the record to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, seq: u64) {
        match self {
            Self::Single(parts) => record::encode(out, seq, parts),
            Self::Packed(entries) => record::encode_packed(out, seq, entries),
            Self::Compressed(payload) => record::encode_stored(out, seq, payload),
            Self::Stored(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Entries (of a stored record: one, for the caller to know better), and bytes of the whole record.
    pub(crate) fn measure(&self) -> (u64, u64) {
        match self {
            Self::Single(parts) => {
                (1, record::OVERHEAD + parts.iter().map(|part| num::size(part.len())).sum::<u64>())
            }
            Self::Packed(entries) => {
                let bytes = entries.iter().map(|entry| num::size(entry.len())).sum();
                let count = num::size(entries.len());
                let body = record::packed_body_len(count, bytes).unwrap_or(u64::MAX / 2);
                (count, record::OVERHEAD + body)
            }
            Self::Compressed(payload) => {
                (payload.count, record::OVERHEAD + num::size(payload.stored.len()))
            }
            Self::Stored(bytes) => (1, num::size(bytes.len())),
        }
    }
}

/// Whether appends are taken.
#[derive(Debug)]
pub(crate) enum State {
    Running,
    /// A cut is under way: appends wait.
    Cutting,
    /// Recovery could not finish for want of room; it is tried again at each append.
    Pending,
    Closed,
}

/// What must happen, outside the append lock, before a record fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A segment made ready to rotate into.
    Next,
    /// One of the four open segments must be sealed.
    Seal,
    /// Space in the active segment, up to this many bytes from its start.
    Grow(u64),
    /// A pause, so that the disk keeps up.
    Pause,
    /// Another batch of separate records, or frames, are being appended.
    Turn,
    /// An epoch of its own, where what was appended last is another log's history.
    OwnEpoch,
    /// A cut to end.
    Cut,
    /// Recovery to be finished.
    Pending,
}

/// Where records go. Behind the append lock.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) state: State,
    pub(crate) next_seq: u64,
    /// `None` only while `Pending`, or during a cut.
    pub(crate) active: Option<Arc<OpenSegment>>,
    /// End of what was encoded for the active segment.
    pub(crate) offset: u64,
    pub(crate) allocated: Option<u64>,
    pub(crate) ready: Option<Ready>,
    /// How many segments are open, the active one included.
    pub(crate) open_count: usize,
    pub(crate) pace: Pace,
    /// Chunks of segments that the log has moved on from, oldest first.
    full: VecDeque<Chunk>,
    current: Option<Chunk>,
    spare: Option<Vec<u8>>,
    /// Where records are encoded that are written at once.
    pub(super) scratch: Vec<u8>,
    /// From this seq id on the active segment's index wants an entry.
    index_due: u64,
    /// Bytes in the chunks.
    pub(crate) buffered: u64,
    /// A batch of separate records, or frames, are in the middle of their appends.
    pub(crate) turn: bool,
    /// The epoch is another log's: entries of our own must not be taken for its.
    pub(crate) adopted: bool,
}

impl Appender {
    pub(crate) fn new(
        active: Option<Arc<OpenSegment>>,
        extent: Extent,
        allocated: Option<u64>,
    ) -> Self {
        Self {
            state: if active.is_some() { State::Running } else { State::Pending },
            next_seq: extent.next_seq,
            open_count: usize::from(active.is_some()),
            pace: Pace::default(),
            active,
            offset: extent.end,
            allocated,
            ready: None,
            full: VecDeque::new(),
            current: None,
            spare: None,
            scratch: Vec::new(),
            index_due: 0,
            buffered: 0,
            turn: false,
            adopted: false,
        }
    }

    /// What must happen before a record of `len` bytes can be encoded. `None`: nothing, or a rotation.
    #[inline(always)]
    pub(crate) fn need(&self, len: u64, segment_size: u64, own_turn: bool) -> Option<Need> {
        match self.state {
            State::Cutting => return Some(Need::Cut),
            State::Pending => return Some(Need::Pending),
            State::Running | State::Closed => {}
        }
        if self.turn && !own_turn {
            return Some(Need::Turn);
        }
        if self.adopted && !own_turn {
            return Some(Need::OwnEpoch);
        }
        if self.must_rotate(len, segment_size) {
            return if self.is_crowded() {
                Some(Need::Seal)
            } else if self.ready.is_none() {
                Some(Need::Next)
            } else {
                None
            };
        }
        let end = self.offset + len;
        if self.allocated.is_some_and(|allocated| allocated < end) {
            return Some(Need::Grow(end));
        }
        self.pace.holds(self.offset).then_some(Need::Pause)
    }

    /// Whether no other segment can be begun until one is sealed.
    pub(crate) fn is_crowded(&self) -> bool {
        self.open_count >= crate::recover::MAX_OPEN
    }

    /// A record goes into a new segment if it would make this one larger than the limit, as in the Go
    /// library; an empty segment takes any record.
    pub(crate) fn must_rotate(&self, len: u64, segment_size: u64) -> bool {
        self.offset > 0 && self.offset + len > segment_size
    }

    /// Moves on to `open`, the segment that was ready.
    pub(crate) fn move_on(&mut self, open: Arc<OpenSegment>, allocated: Option<u64>) {
        if let Some(old) = self.active.replace(open) {
            old.complete_at(Extent { end: self.offset, next_seq: self.next_seq });
        }
        self.full.extend(self.current.take());
        self.index_due = 0;
        self.offset = 0;
        self.allocated = allocated;
        self.open_count += 1;
    }

    /// Gives the next seq ids, and the place in the active segment, to a record of `count` entries and `len`
    /// bytes, which the caller encodes: into a chunk, or straight into the file. Everything it needs is
    /// there.
    ///
    /// # Errors
    /// `Closed` is the caller's to check; here only that there is an active segment and seq ids are left.
    // Whatever else is compiled in: the compiler's own choice came and went with features that have no part in it.
    #[inline(always)]
    pub(crate) fn take_slot(&mut self, count: u64, len: u64, micros: u64) -> Result<Slot, Error> {
        let (seq, offset) = (self.next_seq, self.offset);
        let Some(next_seq) = seq.checked_add(count) else {
            return Err(no_seq_ids(seq));
        };
        let Some(open) = &self.active else { return Err(Error::closed()) };
        if next_seq > self.index_due {
            self.index_due = open.segment.building(|index| match index {
                Some(index) => {
                    index.add(offset, seq, next_seq, micros);
                    index.due()
                }
                None => u64::MAX,
            });
        }
        open.segment.note_append(micros);
        self.offset += len;
        self.next_seq = next_seq;
        Ok(Slot { seq, next_seq, offset, len })
    }

    /// Encodes a record into the buffer that is written next.
    ///
    /// # Errors
    /// As [`take_slot`](Self::take_slot).
    pub(crate) fn encode(
        &mut self,
        content: &Content<'_>,
        (count, len): (u64, u64),
        micros: u64,
    ) -> Result<Slot, Error> {
        let slot = self.take_slot(count, len, micros)?;
        let Some(open) = &self.active else { return Err(Error::closed()) };
        let spare = &mut self.spare;
        let chunk = self.current.get_or_insert_with(|| {
            Chunk::new(Arc::clone(open), slot, spare.take().unwrap_or_default())
        });
        content.encode(&mut chunk.bytes, slot.seq);
        chunk.next_seq = slot.next_seq;
        self.buffered += len;
        Ok(slot)
    }

    /// Gives the chunks to the write stage, which gives an emptied buffer for them.
    pub(crate) fn take_chunks(&mut self, into: &mut VecDeque<Chunk>, spare: &mut Option<Vec<u8>>) {
        if self.buffered > 0 {
            into.extend(self.full.drain(..));
            into.extend(self.current.take());
            self.buffered = 0;
        }
        if self.spare.is_none() {
            self.spare = spare.take();
        }
    }

    /// Takes in a record that could not be written at once: it waits like one that was encoded to wait.
    pub(crate) fn keep(&mut self, chunk: Chunk, len: u64) {
        self.full.push_back(chunk);
        self.buffered += len;
    }

    /// Tells the active segment that all of it is written: records written at once don't, one by one.
    pub(crate) fn all_is_written(&self) {
        if let Some(active) = &self.active {
            active.wrote(Extent { end: self.offset, next_seq: self.next_seq });
        }
    }

    /// Begins anew behind a cut: in `open`, with `extent` as its content.
    pub(crate) fn begin(&mut self, open: Arc<OpenSegment>, extent: Extent, allocated: Option<u64>) {
        // Closing may have begun meanwhile, and waits for this: it must not be undone.
        if !matches!(self.state, State::Closed) {
            self.state = State::Running;
        }
        self.active = Some(open);
        self.open_count = 1;
        self.pace.begin(0, false);
        self.offset = extent.end;
        self.next_seq = extent.next_seq;
        self.allocated = allocated;
        self.ready = None;
        self.full.clear();
        self.current = None;
        self.buffered = 0;
        self.index_due = 0;
        // A cut begins an epoch of its own.
        self.adopted = false;
    }
}

pub(super) fn no_seq_ids(next: u64) -> Error {
    Error::new(ErrorKind::OutOfRange, "no seq ids are left").seq_at(next)
}
