//! An object of records: frames of the log as they are, and when some of their entries were appended.
//!
//! Integers are little-endian:
//!
//! ```text
//! "WALDENAR" | version u32 | CRC32C u32 of all that follows up to the frames | times u32 | 0 u32
//!   | per time: seq id u64, microseconds since 1970 u64 | frames, as `Frames::to_bytes` has them
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use sha2::{Digest as _, Sha256};
use walden::Frames;

use crate::error::{Error, ErrorKind, Result};
use crate::store::size;

const MAGIC: [u8; 8] = *b"WALDENAR";
const VERSION: u32 = 1;
/// Bytes before those under the checksum.
const CLEAR_LEN: usize = 16;
const HEAD_LEN: usize = CLEAR_LEN + 8;
const TIME_LEN: usize = 16;
/// The most times in an object; of more, only some are kept.
const MOST_TIMES: usize = 4096;

/// A seq id, and a moment at or before which its entry was appended, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) seq: u64,
    pub(crate) micros: u64,
}

/// What an object holds.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) frames: Frames,
    /// In order of seq id; the last is that of the last entry.
    pub(crate) times: Vec<Moment>,
}

pub(crate) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn time(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Chunk {
    /// With the times that the log knows; all that is there was appended by `by`.
    pub(crate) fn new(frames: Frames, known: &[(u64, SystemTime)], by: SystemTime) -> Self {
        let last = Moment { seq: frames.seqs().end.saturating_sub(1), micros: micros(by) };
        let step = known.len().div_ceil(MOST_TIMES - 1).max(1);
        let known = known.iter().step_by(step);
        let mut times: Vec<_> =
            known.map(|(seq, at)| Moment { seq: *seq, micros: micros(*at) }).collect();
        times.retain(|moment| moment.seq < last.seq);
        times.push(last);
        Self { frames, times }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        let frames = self.frames.to_bytes();
        let mut out = Vec::with_capacity(HEAD_LEN + self.times.len() * TIME_LEN + frames.len());
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(0);
        out.put_u32_le(u32::try_from(self.times.len()).unwrap_or(u32::MAX));
        out.put_u32_le(0);
        for moment in &self.times {
            out.put_u64_le(moment.seq);
            out.put_u64_le(moment.micros);
        }
        let crc = crc32c::crc32c(out.get(CLEAR_LEN..).unwrap_or_default());
        if let Some(place) = out.get_mut(12..CLEAR_LEN) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        out.put_slice(&frames);
        Bytes::from(out)
    }

    /// What was written, all of it proved.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`; without the object's name.
    pub(crate) fn from_bytes(bytes: &Bytes) -> Result<Self> {
        let unsound = |what: &str| Error::corrupt(format!("it is no object of records: {what}"));
        let mut head = bytes.get(..HEAD_LEN).ok_or_else(|| unsound("it is too short"))?;
        if !head.starts_with(&MAGIC) {
            return Err(unsound("it does not begin as one"));
        }
        head.advance(MAGIC.len());
        let version = head.get_u32_le();
        if version != VERSION {
            return Err(newer(version, VERSION));
        }
        let crc = head.get_u32_le();
        let count = usize::try_from(head.get_u32_le()).unwrap_or(usize::MAX);
        let end = count.checked_mul(TIME_LEN).and_then(|len| len.checked_add(HEAD_LEN));
        let end = end.filter(|end| *end <= bytes.len() && (1..=MOST_TIMES).contains(&count));
        let end = end.ok_or_else(|| unsound("the number of its times makes no sense"))?;
        if crc != crc32c::crc32c(bytes.get(CLEAR_LEN..end).unwrap_or_default()) {
            return Err(unsound("its checksum does not match"));
        }
        let mut list = bytes.get(HEAD_LEN..end).unwrap_or_default();
        let mut times = Vec::with_capacity(count);
        while list.has_remaining() {
            times.push(Moment { seq: list.get_u64_le(), micros: list.get_u64_le() });
        }
        let frames =
            Frames::from_bytes(bytes.slice(end..)).map_err(|error| unsound(&error.to_string()))?;
        let in_order = times.windows(2).all(|pair| matches!(pair, [a, b] if a.seq < b.seq));
        let last = times.last().map(|moment| moment.seq.saturating_add(1));
        let first = times.first().is_some_and(|moment| moment.seq >= frames.seqs().start);
        if !in_order || !first || last != Some(frames.seqs().end) {
            return Err(unsound("its times are not those of its entries"));
        }
        Ok(Self { frames, times })
    }

    /// The last entry that is known to have been appended at or before `at`, before any that may be later.
    pub(crate) fn last_by(&self, at: u64) -> Option<u64> {
        let by = self.times.iter().take_while(|moment| moment.micros <= at);
        by.last().map(|moment| moment.seq)
    }
}

/// Written by a newer version.
pub(crate) fn newer(found: u32, known: u32) -> Error {
    let what = format!("it has version {found}, this is for {known}");
    Error::new(ErrorKind::Unsupported, what).advice("use a newer walden")
}

/// The hash of an object's bytes, as the manifest notes it, and their number.
pub(crate) fn noted(bytes: &Bytes) -> (String, u64) {
    (sha256(bytes), size(bytes.len()))
}
