//! What the writing process tells its parent: messages of a fixed size through a pipe, each written whole, so
//! that what has arrived when the writer dies had happened.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use crate::Outcome;

/// Something that changes the log other than an append. One thread does them all, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `truncate_front` to this first seq id.
    Front(u64),
    /// `truncate_back` to this last seq id; entries appended later have numbers from `floor` on.
    Back { last: u64, floor: u64 },
    /// `reset` to this next seq id; likewise.
    Reset { next: u64, floor: u64 },
    /// `retain`: how far is only known when it is done.
    Retain,
    /// `set_meta`.
    Meta(u64),
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The log was opened, by this `first_seq` and `next_seq`.
    Opened { first: u64, next: u64 },
    /// An append returned: `count` entries from `seq` on, with numbers from `number` on.
    Acked { seq: u64, number: u64, count: u64 },
    /// All before this seq id is with the kernel.
    Flushed { next: u64 },
    /// All before this seq id is durable.
    Durable { next: u64 },
    /// A change begins.
    Begin(Change),
    /// The change that was begun is done; `first` is the log's first seq id then.
    Done { first: u64 },
    /// It was refused for want of room, with nothing done.
    Refused,
}

/// Bytes of a message.
pub(crate) const SIZE: usize = 25;

impl Event {
    pub(crate) fn encode(self) -> [u8; SIZE] {
        let (kind, a, b, c) = match self {
            Self::Opened { first, next } => (1, first, next, 0),
            Self::Acked { seq, number, count } => (2, seq, number, count),
            Self::Flushed { next } => (3, next, 0, 0),
            Self::Durable { next } => (4, next, 0, 0),
            Self::Begin(Change::Front(first)) => (5, first, 0, 0),
            Self::Begin(Change::Back { last, floor }) => (6, last, floor, 0),
            Self::Begin(Change::Reset { next, floor }) => (7, next, floor, 0),
            Self::Begin(Change::Retain) => (8, 0, 0, 0),
            Self::Begin(Change::Meta(value)) => (9, value, 0, 0),
            Self::Done { first } => (10, first, 0, 0),
            Self::Refused => (11, 0, 0, 0),
        };
        let mut bytes = [0; SIZE];
        let fields = [kind].into_iter().chain([a, b, c].into_iter().flat_map(u64::to_le_bytes));
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Outcome<Self> {
        let (&kind, rest) = bytes.split_first().ok_or("an empty message")?;
        let mut fields = rest
            .chunks_exact(8)
            .map(|field| u64::from_le_bytes(field.try_into().unwrap_or_default()));
        let mut field = || fields.next().unwrap_or_default();
        let (a, b, c) = (field(), field(), field());
        Ok(match kind {
            1 => Self::Opened { first: a, next: b },
            2 => Self::Acked { seq: a, number: b, count: c },
            3 => Self::Flushed { next: a },
            4 => Self::Durable { next: a },
            5 => Self::Begin(Change::Front(a)),
            6 => Self::Begin(Change::Back { last: a, floor: b }),
            7 => Self::Begin(Change::Reset { next: a, floor: b }),
            8 => Self::Begin(Change::Retain),
            9 => Self::Begin(Change::Meta(a)),
            10 => Self::Done { first: a },
            11 => Self::Refused,
            other => return Err(format!("a message of kind {other}").into()),
        })
    }

    /// The whole messages in what came through the pipe.
    pub(crate) fn all(bytes: &[u8]) -> Outcome<Vec<Self>> {
        bytes.as_chunks().0.iter().map(Self::decode).collect()
    }
}

/// The writing end.
#[derive(Debug, Clone)]
pub(crate) struct Teller(Arc<File>);

impl Teller {
    /// Through this process's standard output, past the library's buffer.
    pub(crate) fn stdout() -> io::Result<Self> {
        Ok(Self(Arc::new(File::from(io::stdout().as_fd().try_clone_to_owned()?))))
    }

    /// Tells. A pipe takes so little at once or not at all, also from several threads.
    pub(crate) fn tell(&self, event: Event) -> io::Result<()> {
        (&*self.0).write_all(&event.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let events = [
            Event::Opened { first: 1, next: 2 },
            Event::Acked { seq: 3, number: u64::MAX, count: 5 },
            Event::Flushed { next: 6 },
            Event::Durable { next: 7 },
            Event::Begin(Change::Front(8)),
            Event::Begin(Change::Back { last: 9, floor: 10 }),
            Event::Begin(Change::Reset { next: 11, floor: 12 }),
            Event::Begin(Change::Retain),
            Event::Begin(Change::Meta(13)),
            Event::Done { first: 14 },
            Event::Refused,
        ];
        let mut bytes: Vec<u8> = events.into_iter().flat_map(Event::encode).collect();
        bytes.push(1);
        assert_eq!(Event::all(&bytes).unwrap(), events);
        assert!(Event::all(&[0; SIZE]).is_err());
    }
}
