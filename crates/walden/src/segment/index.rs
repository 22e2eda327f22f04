//! The sparse index of a segment: where every [`EVERY`]th entry lies, and when it was appended.
//!
//! A pure cache. The file is bound to log id, ordinal and length of its segment; any disagreement means
//! that it is ignored and made again. Entry `i` is the offset of the record that *holds* seq id
//! `first + i·EVERY`, found by arithmetic, so that seeking costs the same in any log. What it points to
//! is checked before use.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::num;
pub(crate) use crate::storage::micros;
use crate::storage::{Access, File, Storage, read_full, write_full};
use crate::sync::Arc;

/// Seq ids per entry.
pub(crate) const EVERY: u64 = 32;

pub(crate) const MAGIC: [u8; 8] = *b"WALDNIDX";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_LEN: usize = 96;
const ENTRY_LEN: u64 = 16;
/// Times are the segment file's own, since the append times were lost.
const TIMES_FROM_FILE: u32 = 1;
/// Entries are missing at the end: what is added later would stand in the wrong place.
const CUT_SHORT: u32 = 2;

/// The most entries for records up to `offset`: many more than plain records and batches need, and no more
/// bytes than the segment has, with some room. How many entries a compressed batch holds is not proved.
const fn most_entries(offset: u64) -> u64 {
    offset / ENTRY_LEN + (1 << 16)
}

/// Where a record lies and when it was appended (microseconds since 1970).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) offset: u64,
    pub(crate) micros: u64,
}

/// Where to begin looking for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Where a record begins that is not behind it.
    pub(crate) offset: u64,
    /// Bytes from there to its end, if all records in between are of a size; `None`: not known.
    pub(crate) about: Option<u64>,
}

impl Hint {
    /// Entry `place` of the [`EVERY`] that begin at `offset`; the next ones begin at `next`.
    fn new(offset: u64, place: u64, next: Option<u64>) -> Self {
        let block = next.and_then(|next| next.checked_sub(offset));
        let about = block.and_then(|len| len.checked_mul(place + 1)).map(|len| len.div_ceil(EVERY));
        Self { offset, about }
    }
}

/// An index being built, in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// First seq id of the segment; 0 while it has none.
    pub(crate) first_seq: u64,
    pub(crate) entries: Vec<IndexEntry>,
    /// No entry was appended later, and none of those in `entries` has a later time.
    pub(crate) last_micros: u64,
    pub(crate) times_from_file: bool,
    /// Nothing is added any more, since a record claims to hold too much.
    pub(crate) cut_short: bool,
}

impl Index {
    /// The seq id from which on the next entry is wanted; 0 in an empty index.
    pub(crate) fn due(&self) -> u64 {
        match (self.first_seq, self.cut_short) {
            (0, _) => 0,
            (_, true) => u64::MAX,
            (first, false) => {
                first.saturating_add(num::size(self.entries.len()).saturating_mul(EVERY))
            }
        }
    }

    /// Takes note of a record at `offset` that holds seq ids `seq..next_seq`.
    pub(crate) fn add(&mut self, offset: u64, seq: u64, next_seq: u64, micros: u64) {
        if self.first_seq == 0 {
            self.first_seq = seq;
        }
        // A clock that jumps back must not make the times unordered.
        self.last_micros = self.last_micros.max(micros);
        let missing = next_seq.saturating_sub(self.due()).div_ceil(EVERY);
        self.cut_short |= num::size(self.entries.len()) + missing > most_entries(offset);
        while !self.cut_short && self.due() < next_seq {
            self.entries.push(IndexEntry { offset, micros: self.last_micros });
        }
    }

    /// Forgets everything at or behind `offset`, where `next_seq` is the seq id that comes there now.
    pub(crate) fn cut(&mut self, next_seq: u64) {
        if next_seq <= self.first_seq {
            *self = Self { times_from_file: self.times_from_file, ..Self::default() };
            return;
        }
        let keep = (next_seq - self.first_seq).div_ceil(EVERY);
        self.entries.truncate(num::index(keep));
    }

    /// The entry that holds `seq`, or the last one before it.
    pub(crate) fn before(&self, seq: u64) -> Option<Hint> {
        let place = seq.checked_sub(self.first_seq)?;
        let at = num::index(place / EVERY).min(self.entries.len().checked_sub(1)?);
        let next = self.entries.get(at + 1).map(|entry| entry.offset);
        Some(Hint::new(self.entries.get(at)?.offset, place % EVERY, next))
    }

    /// The index as a file's bytes.
    pub(crate) fn encode(&self, log_id: u128, ordinal: u64, segment_len: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.entries.len() * num::index(ENTRY_LEN));
        for entry in &self.entries {
            body.extend_from_slice(&entry.offset.to_le_bytes());
            body.extend_from_slice(&entry.micros.to_le_bytes());
        }
        let flags = if self.times_from_file { TIMES_FROM_FILE } else { 0 }
            | if self.cut_short { CUT_SHORT } else { 0 };
        let mut out = Vec::with_capacity(HEADER_LEN + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&log_id.to_le_bytes());
        for value in [
            ordinal,
            segment_len,
            self.first_seq,
            num::size(self.entries.len()),
            EVERY,
            self.last_micros,
        ] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        out.resize(HEADER_LEN - 4, 0);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&body);
        out
    }
}

const _: () = assert!(HEADER_LEN == 8 + 4 + 4 + 16 + 6 * 8 + 4 + 8 + 4);

/// An index file that was proved and fits its segment.
#[derive(Debug)]
pub(crate) struct IndexFile {
    file: Arc<dyn File>,
    pub(crate) times_from_file: bool,
    cut_short: bool,
    proof: Proof,
}

/// What the header says, and what is known of entries that were read once and fit their checksum.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    of: Whose,
    last_micros: u64,
    crc: u32,
    entries: u64,
    even: Option<Even>,
    /// The checksum of each [`BLOCK`] of them, so that one that is read again is proved again: it could lead into a
    /// payload, to what looks like the record that is looked for.
    blocks: Arc<[u32]>,
}

/// The segment that an index leads through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whose {
    log_id: u128,
    len: u64,
    first_seq: u64,
}

/// Entries of an index that are read and proved together, later.
pub(crate) const BLOCK: u64 = 64;
const BLOCK_LEN: usize = 1024;
const _: () = assert!(BLOCK_LEN as u64 == BLOCK * ENTRY_LEN);

/// Entries that lie equally far apart, as they do where all records are of a size: they need no reading again.
#[derive(Debug, Clone, Copy)]
struct Even {
    first: u64,
    apart: u64,
}

impl Even {
    fn at(self, i: u64) -> Option<u64> {
        self.apart.checked_mul(i)?.checked_add(self.first)
    }

    /// What is known with entry `i` if this was before it.
    fn with(before: Option<Self>, i: u64, offset: u64) -> Option<Self> {
        match (i, before) {
            (0, _) => Some(Self { first: offset, apart: 0 }),
            (1, Some(Self { first, .. })) => {
                offset.checked_sub(first).map(|apart| Self { first, apart })
            }
            (_, before) => before.filter(|even| even.at(i) == Some(offset)),
        }
    }
}

impl Proof {
    /// Whether what the index says is computed: its file is not needed for that.
    pub(crate) const fn is_even(&self) -> bool {
        self.even.is_some()
    }

    /// Whether it is of an index of this log, and of a segment that is as long.
    pub(crate) fn is_of(&self, log_id: u128, segment_len: u64) -> bool {
        (self.of.log_id, self.of.len) == (log_id, segment_len)
    }

    /// Bytes.
    pub(crate) const fn segment_len(&self) -> u64 {
        self.of.len
    }

    pub(crate) const fn last_micros(&self) -> u64 {
        self.last_micros
    }

    /// As [`IndexFile::before`], where that is computed.
    pub(crate) fn before(&self, seq: u64) -> Option<Hint> {
        let even = self.even?;
        let (place, at) = self.place(seq)?;
        let next = even.at(at + 1).filter(|_| at + 1 < self.entries);
        Some(Hint::new(even.at(at)?, place % EVERY, next))
    }

    /// How many entries of the log come before `seq` in the segment, and which of the index's leads there.
    fn place(&self, seq: u64) -> Option<(u64, u64)> {
        let place = seq.checked_sub(self.of.first_seq)?;
        Some((place, (place / EVERY).min(self.entries.checked_sub(1)?)))
    }

    /// Reads all entries.
    fn read(file: &dyn File, of: Whose, entries: u64) -> std::io::Result<Self> {
        let mut piece = vec![0; num::index((entries * ENTRY_LEN).min(64 << 10))];
        let (mut i, mut crc, mut even, mut blocks) = (0, 0, None, Vec::new());
        while i < entries {
            let want = num::index(((entries - i) * ENTRY_LEN).min(num::size(piece.len())));
            let Some(part) = piece.get_mut(..want) else { break };
            if read_full(file, part, num::size(HEADER_LEN) + i * ENTRY_LEN)? != want {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            crc = crc32c::crc32c_append(crc, part);
            blocks.extend(part.chunks(BLOCK_LEN).map(crc32c::crc32c));
            for (offset, _) in part.chunks_exact(16).filter_map(<[u8]>::split_first_chunk::<8>) {
                even = Even::with(even, i, u64::from_le_bytes(*offset));
                i += 1;
            }
        }
        Ok(Self { of, last_micros: 0, crc, entries, even, blocks: blocks.into() })
    }
}

impl IndexFile {
    /// Opens the index of a segment; `None` if there is none, or it is another's, or unsound.
    ///
    /// All of it is proved now, unless it was before: `known` of an index whose header says the same.
    pub(crate) fn open(
        storage: &dyn Storage,
        path: &Path,
        log_id: u128,
        ordinal: u64,
        segment_len: u64,
        known: Option<&Proof>,
    ) -> Option<Self> {
        let file = storage.open(path, Access::Read).ok()?;
        let mut head = [0; HEADER_LEN];
        if read_full(&*file, &mut head, 0).ok()? != HEADER_LEN {
            return None;
        }
        let (covered, crc) = head.split_last_chunk::<4>()?;
        let u32_at = |at| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let id = u128::from_le_bytes(head.get(16..32)?.try_into().ok()?);
        let ours = crc32c::crc32c(covered) == u32::from_le_bytes(*crc)
            && head.starts_with(&MAGIC)
            && u32_at(8)? == VERSION
            && id == log_id
            && u64_at(32)? == ordinal
            && u64_at(40)? == segment_len
            && u64_at(64)? == EVERY;
        let entries = u64_at(56)?;
        let len = entries.checked_mul(ENTRY_LEN)?.checked_add(num::size(HEADER_LEN))?;
        if !ours || file.len().ok()? != len || entries > most_entries(segment_len) {
            return None;
        }
        // What an entry points to is a sound record, but a payload can embed one: one that decayed must not lead there.
        let (crc, first_seq) = (u32_at(80)?, u64_at(48)?);
        let of = Whose { log_id, len: segment_len, first_seq };
        let same = |known: &&Proof| (known.of, known.crc, known.entries) == (of, crc, entries);
        let proof = match known.filter(same) {
            Some(known) => known.clone(),
            None => Proof::read(&*file, of, entries).ok().filter(|proof| proof.crc == crc)?,
        };
        let proof = Proof { last_micros: u64_at(72)?, ..proof };
        Some(Self {
            times_from_file: u32_at(12)? & TIMES_FROM_FILE != 0,
            cut_short: u32_at(12)? & CUT_SHORT != 0,
            proof,
            file,
        })
    }

    pub(crate) const fn proof(&self) -> &Proof {
        &self.proof
    }

    pub(crate) const fn first_seq(&self) -> u64 {
        self.proof.of.first_seq
    }

    pub(crate) const fn entries(&self) -> u64 {
        self.proof.entries
    }

    /// Entry `i`. What it points to must be checked before use.
    pub(crate) fn entry(&self, i: u64) -> Option<IndexEntry> {
        self.read(i)?.0
    }

    /// Entry `i` and the next, if there is one near by: a block that does not fit its checksum has none.
    fn read(&self, i: u64) -> Option<(Option<IndexEntry>, Option<IndexEntry>)> {
        let from = i - i % BLOCK;
        let mut block = [0; BLOCK_LEN];
        let len = self.entries().checked_sub(from)?.min(BLOCK) * ENTRY_LEN;
        let block = block.get_mut(..num::index(len))?;
        let at = num::size(HEADER_LEN) + from * ENTRY_LEN;
        let sound = read_full(&*self.file, block, at).ok()? == block.len()
            && self.proof.blocks.get(num::index(from / BLOCK)) == Some(&crc32c::crc32c(block));
        let entry = |i: u64| {
            let bytes = block.get(num::index((i - from) * ENTRY_LEN)..)?;
            let (offset, rest) = bytes.split_first_chunk::<8>()?;
            let micros = u64::from_le_bytes(*rest.first_chunk()?);
            Some(IndexEntry { offset: u64::from_le_bytes(*offset), micros })
        };
        sound.then(|| (entry(i), entry(i + 1)))
    }

    /// The entry that holds `seq`, or the last one before it.
    pub(crate) fn before(&self, seq: u64) -> Option<Hint> {
        if self.proof.is_even() {
            return self.proof.before(seq);
        }
        let (place, at) = self.proof.place(seq)?;
        let (entry, next) = self.read(at)?;
        Some(Hint::new(entry?.offset, place % EVERY, next.map(|next| next.offset)))
    }

    /// All entries, if their checksum holds.
    pub(crate) fn load(&self) -> Option<Index> {
        let len = num::index(self.entries().checked_mul(ENTRY_LEN)?);
        let mut bytes = vec![0; len];
        if read_full(&*self.file, &mut bytes, num::size(HEADER_LEN)).ok()? != len
            || crc32c::crc32c(&bytes) != self.proof.crc
        {
            return None;
        }
        let entries = bytes
            .chunks_exact(16)
            .filter_map(|chunk| {
                let (offset, micros) = chunk.split_first_chunk::<8>()?;
                Some(IndexEntry {
                    offset: u64::from_le_bytes(*offset),
                    micros: u64::from_le_bytes(micros.try_into().ok()?),
                })
            })
            .collect();
        Some(Index {
            first_seq: self.first_seq(),
            entries,
            last_micros: self.proof.last_micros,
            times_from_file: self.times_from_file,
            cut_short: self.cut_short,
        })
    }
}

/// The index of a segment that may have had another length when it was written: its offsets are of no use then.
pub(crate) fn of_any_length(
    storage: &dyn Storage,
    path: &Path,
    log_id: u128,
    ordinal: u64,
) -> Option<Index> {
    let mut len = [0; 8];
    let file = storage.open(path, Access::Read).ok()?;
    if read_full(&*file, &mut len, 40).ok()? != len.len() {
        return None;
    }
    IndexFile::open(storage, path, log_id, ordinal, u64::from_le_bytes(len), None)?.load()
}

/// Writes an index file anew. Not synced: it is a cache, and its checksums tell.
pub(crate) fn write_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match storage.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_full(&*storage.create(path)?, bytes, 0)
}

/// A moment as the index keeps it, back from microseconds.
pub(crate) fn time(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::OsStorage;

    fn index() -> Index {
        let mut index = Index::default();
        for seq in 100..300_u64 {
            index.add((seq - 100) * 50, seq, seq + 1, 1_000 + seq);
        }
        index
    }

    #[test]
    fn finds_by_arithmetic() {
        let index = index();
        assert_eq!(index.entries.len(), 7);
        assert_eq!(index.before(100).unwrap().offset, 0);
        assert_eq!(index.before(131).unwrap().offset, 0);
        assert_eq!(index.before(132).unwrap().offset, 32 * 50);
        assert_eq!(index.before(5000).unwrap().offset, 6 * 32 * 50);
        assert_eq!(index.before(99), None);
    }

    #[test]
    fn a_file_leads_where_the_index_led_read_or_computed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.idx");
        let of_sizes = |sizes: &mut dyn Iterator<Item = u64>| {
            let (mut index, mut offset) = (Index::default(), 0);
            for (seq, size) in (100..).zip(sizes) {
                index.add(offset, seq, seq + 1, 0);
                offset += size;
            }
            index
        };
        // More entries than are read at once; two that are of a size by chance; one.
        for (even, index) in [
            (true, of_sizes(&mut (0..200_000).map(|_| 50))),
            (false, of_sizes(&mut (0..200_000).map(|i| 50 + i / 199_950))),
            (false, of_sizes(&mut (0..1000).map(|i| 50 + i % 33))),
            (false, of_sizes(&mut (0..97).map(|i| 50 + i / 64))),
            (true, of_sizes(&mut (0..64).map(|i| 50 + i / 63))),
            (true, of_sizes(&mut (0..3).map(|i| 50 + i))),
        ] {
            write_file(&OsStorage, &path, &index.encode(7, 3, 1 << 24)).unwrap();
            let file = IndexFile::open(&OsStorage, &path, 7, 3, 1 << 24, None).unwrap();
            assert_eq!(file.proof.even.is_some(), even);
            // What is known of another index does not serve.
            let other = Proof {
                crc: !file.proof.crc,
                even: Some(Even { first: 1, apart: 1 }),
                ..file.proof
            };
            let file = IndexFile::open(&OsStorage, &path, 7, 3, 1 << 24, Some(&other)).unwrap();
            for seq in (99..200_200).filter(|seq| seq % 31 < 2) {
                let (found, known) = (file.before(seq), index.before(seq));
                assert_eq!(found.map(|hint| hint.offset), known.map(|hint| hint.offset), "{seq}");
                // Where the next entry is in the next block it is not read for that.
                let at_the_end = !even && (seq.saturating_sub(100) / EVERY) % BLOCK == BLOCK - 1;
                assert!(found == known || at_the_end, "{seq}: {found:?}, {known:?}");
            }
        }
    }

    #[test]
    fn a_block_that_decays_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.idx");
        let (mut index, mut offset) = (Index::default(), 0);
        for seq in 1..=200 * EVERY {
            index.add(offset, seq, seq + 1, 0);
            offset += 30 + seq % 7;
        }
        let bytes = index.encode(7, 3, 1 << 24);
        // The second block, and the last, which is short.
        for (block, from, to) in [(1, 64, 128), (3, 192, 200)] {
            write_file(&OsStorage, &path, &bytes).unwrap();
            let file = IndexFile::open(&OsStorage, &path, 7, 3, 1 << 24, None).unwrap();
            let mut decayed = bytes.clone();
            decayed[HEADER_LEN + block * BLOCK_LEN + 17] ^= 4;
            std::fs::write(&path, decayed).unwrap();
            for i in 0..201 {
                let sound = i < 200 && !(from..to).contains(&i);
                assert_eq!(file.entry(i).is_some(), sound, "{i}");
                assert!(i == 200 || file.before(1 + i * EVERY).is_some() == sound, "{i}");
            }
        }
    }

    #[test]
    fn a_batch_larger_than_the_step_gets_several_entries() {
        let mut index = Index::default();
        index.add(0, 1, 101, 5);
        index.add(900, 101, 102, 6);
        assert_eq!(index.entries.len(), 4);
        assert_eq!(index.before(97).unwrap().offset, 0);
        index.add(950, 102, 200, 7);
        assert_eq!(index.before(129).unwrap().offset, 950);
    }

    #[test]
    fn numbers_near_the_end_and_batches_that_lie_take_no_room() {
        let mut index = Index::default();
        for seq in u64::MAX - 40..u64::MAX {
            index.add(seq - (u64::MAX - 40), seq, seq + 1, 0);
        }
        assert_eq!(index.entries.len(), 2);
        let mut index = Index::default();
        index.add(0, 1, 2, 0);
        index.add(29, 2, 2 + u64::from(u32::MAX), 0);
        index.add(90, 2 + u64::from(u32::MAX), u64::from(u32::MAX) + 100, 0);
        assert_eq!((index.entries.len(), index.cut_short), (1, true));
        assert_eq!(index.before(1 << 31).unwrap().offset, 0);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_unorder_times() {
        let mut index = Index::default();
        for (seq, micros) in [(1, 100), (33, 50), (65, 200)] {
            index.add(seq, seq, seq + 32, micros);
        }
        let times: Vec<u64> = index.entries.iter().map(|entry| entry.micros).collect();
        assert_eq!(times, [100, 100, 200]);
    }

    #[test]
    fn cutting_keeps_what_is_before() {
        let mut cut = index();
        cut.cut(133);
        assert_eq!(cut.entries.len(), 2);
        cut.cut(132);
        assert_eq!(cut.entries.len(), 1);
        cut.cut(100);
        assert_eq!(cut.first_seq, 0);
    }
}
