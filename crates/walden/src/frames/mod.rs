//! A run of records as they are stored, with the history that they belong to: what one log gives another.
//!
//! On the wire, integers little-endian but for the records themselves, which are as in a segment:
//!
//! ```text
//! "WALDENFR" | version u32 | CRC32C u32 of all that follows | log id u128 | first seq id u64
//!   | seq id behind the last u64 | epochs u32 | 0 u32 | bytes of records u64
//!   | per epoch: first seq id u64, id u128 | records
//! ```

mod entries;
mod history;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};

pub(crate) use self::history::History;
use crate::dictionaries::alone::Dictionary;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Epoch, MAX_EPOCHS};
use crate::num;
use crate::record::{Decoded, Record, decode, dictionary_of, encode};

const MAGIC: [u8; 8] = *b"WALDENFR";
const VERSION: u32 = 1;
/// Bytes before those under the checksum.
const CLEAR_LEN: usize = 16;
/// Bytes before the epochs.
const HEAD_LEN: usize = CLEAR_LEN + 16 + 8 + 8 + 4 + 4 + 8;
const EPOCH_LEN: usize = 24;

/// A run of records as one log stores them, for another to append.
///
/// Nothing is compressed or encoded again on the way; who takes them proves what is compressed. Each record carries its
/// checksum; the history (the epochs of the log it comes from) tells the receiver whether it is a continuation of what
/// it has. Batches are whole. Cloning is cheap.
///
/// [`Wal::frames`](crate::Wal::frames) and [`LogReader::frames`](crate::LogReader::frames) make them,
/// [`Wal::append_frames`](crate::Wal::append_frames) takes them, [`to_bytes`](Self::to_bytes) and
/// [`from_bytes`](Self::from_bytes) carry them over a network.
#[derive(Clone, PartialEq, Eq)]
pub struct Frames {
    pub(crate) log_id: u128,
    pub(crate) seqs: Range<u64>,
    /// Those with entries before the end of `seqs`, in order, none of them empty.
    pub(crate) epochs: Vec<Epoch>,
    /// Proved, and without a gap.
    pub(crate) records: Bytes,
}

impl Frames {
    /// The seq ids of the entries. Never empty.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        self.seqs.clone()
    }

    /// The id of the log that they come from.
    #[must_use]
    pub const fn log_id(&self) -> u128 {
        self.log_id
    }

    /// The history of the log up to the last entry: of each epoch its first seq id and its id. Two logs whose
    /// entry has the same epoch hold the same entries before it, too.
    #[must_use]
    pub fn epochs(&self) -> Vec<(u64, u128)> {
        self.epochs.iter().map(|epoch| (epoch.first_seq, epoch.id)).collect()
    }

    /// The same, with what is known elsewhere of the history before the first epoch here: a log whose front was cut
    /// forgets it, and a copy that has what comes before these frames then cannot tell whether they continue it.
    /// Each epoch by its first seq id and its id, in order, as [`epochs`](Self::epochs) gives them. Those that do not
    /// lie before the first one here are left out, and the oldest where there are more than a log keeps.
    ///
    /// It is for the caller to know that it is this log's history: nothing here can prove it.
    #[must_use]
    pub fn with_older_epochs(mut self, older: &[(u64, u128)]) -> Self {
        let known = self.epochs.first().copied();
        let before = |epoch: &Epoch| known.is_some_and(|known| epoch.first_seq < known.first_seq);
        let older = older.iter().map(|(first_seq, id)| Epoch { first_seq: *first_seq, id: *id });
        let mut epochs: Vec<Epoch> = older.take_while(before).collect();
        // Where the two meet within one epoch, it begins where it began first.
        let known =
            self.epochs.iter().filter(|epoch| epochs.last().is_none_or(|last| last.id != epoch.id));
        let known: Vec<Epoch> = known.copied().collect();
        epochs.extend(known);
        epochs.drain(..epochs.len().saturating_sub(MAX_EPOCHS));
        self.epochs = epochs;
        self
    }

    /// The ids of the dictionaries that records are compressed with.
    #[must_use]
    pub fn dictionaries(&self) -> BTreeSet<u32> {
        let records = self.records();
        records.filter_map(|(record, _)| dictionary_of(&record.header, record.stored)).collect()
    }

    /// The entries, each as it was appended. A compressed record that holds more than `max_content` bytes is `TooLarge`,
    /// one that is compressed with a dictionary `MissingDictionary`: [`entries_with`](Self::entries_with) reads it.
    pub fn entries(&self, max_content: u64) -> impl Iterator<Item = Result<Entry>> + Send + use<> {
        entries::Entries::new(self.clone(), max_content, none)
    }

    /// As [`entries`](Self::entries), of records that are compressed with a dictionary, too: at each of them
    /// `dictionary` is asked for the one with this id. `None`, or one of another id, is `MissingDictionary`. Where
    /// Zstandard is not compiled in, none is asked for.
    pub fn entries_with<E, F>(
        &self,
        max_content: u64,
        dictionary: F,
    ) -> impl Iterator<Item = std::result::Result<Entry, E>> + use<E, F>
    where
        E: From<Error>,
        F: FnMut(u32) -> std::result::Result<Option<Dictionary>, E>,
    {
        entries::Entries::new(self.clone(), max_content, dictionary)
    }

    /// The records that hold entries of `seqs`, batches whole; `None` where there are none.
    #[must_use]
    pub fn within(&self, seqs: Range<u64>) -> Option<Self> {
        let (mut at, mut found) = (0, None);
        for (record, bytes) in self.records() {
            let of_record = record.seq()..record.next_seq();
            if of_record.start < seqs.end && seqs.start < of_record.end {
                let (run, bounds) = found.get_or_insert((of_record.clone(), at..at));
                run.end = of_record.end;
                bounds.end = at + bytes.len();
            }
            at += bytes.len();
        }
        let (run, bounds) = found?;
        let epochs =
            self.epochs.iter().filter(|epoch| epoch.first_seq < run.end).copied().collect();
        Some(Self { log_id: self.log_id, seqs: run, epochs, records: self.records.slice(bounds) })
    }

    /// The entries from `seq` on: whole records as they are, but of a batch that `seq` lies in, what is left of it,
    /// each entry as a record of its own. `None` where there are none.
    ///
    /// # Errors
    /// As [`entries`](Self::entries), where a batch must be looked into.
    pub fn starting_at(&self, seq: u64, max_content: u64) -> Result<Option<Self>> {
        self.starting_at_with(seq, max_content, none)
    }

    /// As [`starting_at`](Self::starting_at), where the batch may be compressed with a dictionary.
    ///
    /// # Errors
    /// As [`entries_with`](Self::entries_with), where a batch must be looked into.
    pub fn starting_at_with<E, F>(
        &self,
        seq: u64,
        max_content: u64,
        dictionary: F,
    ) -> std::result::Result<Option<Self>, E>
    where
        E: From<Error>,
        F: FnMut(u32) -> std::result::Result<Option<Dictionary>, E>,
    {
        let Some(mut part) = self.within(seq..self.seqs.end) else { return Ok(None) };
        if part.seqs.start >= seq {
            return Ok(Some(part));
        }
        let batch = part.records().next().map(|(record, bytes)| (record.next_seq(), bytes.len()));
        let (end, len) = batch.unwrap_or_default();
        let mut records = Vec::new();
        for entry in part.entries_with(max_content, dictionary) {
            let entry = entry?;
            if entry.seq >= end {
                break;
            }
            if entry.seq >= seq {
                encode(&mut records, entry.seq, &[&entry.payload]);
            }
        }
        records.extend_from_slice(part.records.get(len..).unwrap_or_default());
        part.seqs.start = seq;
        part.records = Bytes::from(records);
        Ok(Some(part))
    }

    /// How many bytes the records take, as stored.
    #[must_use]
    pub fn len(&self) -> u64 {
        num::size(self.records.len())
    }

    /// Never: there is at least one entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = HEAD_LEN + self.epochs.len() * EPOCH_LEN + self.records.len();
        let mut out = Vec::with_capacity(len);
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(0);
        out.put_u128_le(self.log_id);
        out.put_u64_le(self.seqs.start);
        out.put_u64_le(self.seqs.end);
        out.put_u32_le(u32::try_from(self.epochs.len()).unwrap_or(u32::MAX));
        out.put_u32_le(0);
        out.put_u64_le(num::size(self.records.len()));
        for epoch in &self.epochs {
            out.put_u64_le(epoch.first_seq);
            out.put_u128_le(epoch.id);
        }
        out.put_slice(&self.records);
        let crc = crc32c::crc32c(out.get(CLEAR_LEN..).unwrap_or_default());
        if let Some(place) = out.get_mut(12..CLEAR_LEN) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        out
    }

    /// What was sent. All of it is proved: the whole by its checksum, each record by its own, that seq ids
    /// follow each other and batches are sound, but for what is in compressed ones. The records share the memory
    /// of `bytes`.
    ///
    /// # Errors
    /// `Corrupt` with the offset where it is not what was sent; `Unsupported` for a newer version.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        let mut head = bytes.get(..HEAD_LEN).ok_or_else(|| unsound("too short", bytes.len()))?;
        if !head.starts_with(&MAGIC) {
            return Err(unsound("they do not begin as frames do", 0));
        }
        head.advance(MAGIC.len());
        let version = head.get_u32_le();
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("frames have version {version}, this is for {VERSION}"),
            )
            .advice("use a newer walden"));
        }
        if head.get_u32_le() != crc32c::crc32c(bytes.get(CLEAR_LEN..).unwrap_or_default()) {
            return Err(unsound("their checksum does not match", 12));
        }
        let log_id = head.get_u128_le();
        let seqs = head.get_u64_le()..head.get_u64_le();
        let count = num::index(u64::from(head.get_u32_le()));
        let zero = head.get_u32_le();
        let len = head.get_u64_le();
        if zero != 0 || count == 0 || count > MAX_EPOCHS || seqs.is_empty() || seqs.start == 0 {
            return Err(unsound("their head makes no sense", CLEAR_LEN));
        }
        let records_at = HEAD_LEN + count * EPOCH_LEN;
        if bytes.len().checked_sub(records_at).map(num::size) != Some(len) {
            return Err(unsound("their length does not fit", CLEAR_LEN));
        }
        let mut list = bytes.get(HEAD_LEN..records_at).unwrap_or_default();
        let mut epochs: Vec<Epoch> = Vec::with_capacity(count);
        while list.has_remaining() {
            let epoch = Epoch { first_seq: list.get_u64_le(), id: list.get_u128_le() };
            let in_order = epochs.last().is_none_or(|last| last.first_seq < epoch.first_seq);
            if !in_order || epoch.first_seq >= seqs.end {
                return Err(unsound("their epochs are out of order", HEAD_LEN));
            }
            epochs.push(epoch);
        }
        if epochs.first().is_none_or(|first| first.first_seq > seqs.start) {
            return Err(unsound("their first entry has no epoch", HEAD_LEN));
        }
        let frames = Self { log_id, seqs, epochs, records: bytes.slice(records_at..) };
        frames.prove(records_at)?;
        Ok(frames)
    }

    fn prove(&self, records_at: usize) -> Result<()> {
        let (mut at, mut next) = (0, self.seqs.start);
        while let Some(rest) = self.records.get(at..).filter(|rest| !rest.is_empty()) {
            match decode(rest) {
                Decoded::Record(record) if record.seq() == next && record.footer_ok => {
                    at += num::index(record.len());
                    next = record.next_seq();
                    // A history goes on in another one between two records.
                    let within = record.seq() + 1..next;
                    if self.epochs.iter().any(|epoch| within.contains(&epoch.first_seq)) {
                        return Err(unsound("an epoch begins inside a batch", records_at + at));
                    }
                }
                Decoded::Bad(fault) => return Err(unsound(&fault.to_string(), records_at + at)),
                _ => return Err(unsound("a record is out of order", records_at + at)),
            }
        }
        if next != self.seqs.end {
            return Err(unsound("a record is missing", records_at + at));
        }
        Ok(())
    }

    /// The records, each with its bytes.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Record<'_>, &[u8])> {
        let mut rest: &[u8] = &self.records;
        std::iter::from_fn(move || {
            let Decoded::Record(record) = decode(rest) else { return None };
            let (bytes, behind) = rest.split_at_checked(num::index(record.len()))?;
            rest = behind;
            Some((record, bytes))
        })
    }
}

/// Frames carry no dictionary: where one is needed, that is said.
fn none(_id: u32) -> Result<Option<Dictionary>> {
    Ok(None)
}

fn unsound(what: &str, offset: usize) -> Error {
    Error::corrupt(format!("frames are not what was sent: {what}"))
        .offset_at(num::size(offset))
        .advice("have them sent again; nothing was appended")
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("log_id", &format_args!("{:032x}", self.log_id))
            .field("seqs", &self.seqs)
            .field("bytes", &self.records.len())
            .finish_non_exhaustive()
    }
}
