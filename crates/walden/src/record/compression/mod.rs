//! Payloads made smaller, and back: over slices, each bounded by what was proved of them.
//!
//! | codec | what a record holds instead of the payload |
//! | --- | --- |
//! | 1, Snappy | one block of the raw format, which begins with the length of what it holds |
//! | 2, Zstandard | one frame that states the length of what it holds, and the id of its [`dictionary`] if it needs one; without a checksum |
//! | 3, LZ4 | the length of what it holds (u32, little-endian), then one block |
//!
//! So what a record holds is known before it is decompressed. It is refused if it is more than is allowed, or
//! more than the codec can make of so many bytes. No stated length alone makes memory be written to.

#[cfg(not(all(feature = "lz4", feature = "snappy")))]
mod absent;
mod dictionary;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(not(feature = "zstd"))]
mod no_zstd;
#[cfg(all(test, not(walden_model)))]
pub(crate) mod probe;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

use std::borrow::Cow;
use std::fmt;

#[cfg(not(feature = "lz4"))]
use absent as lz4;
#[cfg(not(feature = "snappy"))]
use absent as snappy;
#[cfg(not(feature = "zstd"))]
use no_zstd as zstd;

pub(crate) use self::dictionary::{
    Dictionary, ForWriting, HEAD_LEN as DICTIONARY_HEAD, MAGIC as DICTIONARY_MAGIC,
    MOST_DICTIONARY, NoDictionary, VERSION as DICTIONARY_VERSION, dictionary_of, train,
};
use super::decode::Fault;
use super::encode::{clamp32, packed_rest};
use super::layout::{CODEC_SHIFT, Header, PACKED, be32};
use super::packed::{COUNT_LEN, Packed};
use crate::error::{Error, ErrorKind};
use crate::num;

/// The most that the payload of one entry, or the body of a batch, can be: a batch's offsets have 32 bits.
pub(crate) const MOST_CONTENT: u64 = u32::MAX as u64;

/// A buffer that is larger than this, and much larger than what is needed now, is given back.
const KEEP_BUFFER: usize = 1 << 20;

/// What makes a payload smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Snappy,
    Zstd,
    Lz4,
}

impl Codec {
    /// The codec with this number in a record's Size; `None` for 0, and for those that are not given out.
    pub(crate) const fn of(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Snappy),
            2 => Some(Self::Zstd),
            3 => Some(Self::Lz4),
            _ => None,
        }
    }

    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Snappy => 1,
            Self::Zstd => 2,
            Self::Lz4 => 3,
        }
    }

    /// The feature of the crate that has it.
    pub(crate) const fn feature(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    pub(crate) const fn is_compiled_in(self) -> bool {
        match self {
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Zstd => cfg!(feature = "zstd"),
            Self::Lz4 => cfg!(feature = "lz4"),
        }
    }

    /// The most bytes that one stored byte can stand for: a copy of 64 bytes takes 3 (Snappy), a block of
    /// 128 KiB at least 4 (Zstandard), each byte of a length adds 255 (LZ4).
    const fn most_per_byte(self) -> u64 {
        match self {
            Self::Snappy => 22,
            Self::Zstd => (128 << 10) / 4,
            Self::Lz4 => 255,
        }
    }
}

/// Whether a compressed batch can have as many entries as it says: one has an end for each, of four bytes, and so many
/// stored bytes can stand for no more. That needs no codec, and decodes nothing.
pub(crate) fn can_hold(header: &Header, stored: &[u8]) -> bool {
    let most = Codec::of(header.codec()).map_or(1, Codec::most_per_byte);
    let possible = num::size(stored.len()).saturating_mul(most).min(MOST_CONTENT);
    Packed::count(stored).is_ok_and(|count| count.saturating_mul(4) <= possible)
}

/// Why it cannot be told what a sound record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The codec is not compiled in.
    Missing(Codec),
    /// The dictionary with this id, which the record names, is not at hand.
    Dictionary(u32),
    /// It is not what the codec writes, or no batch: never a torn write.
    Malformed,
    /// It is more than is allowed.
    TooLong { len: u64, most: u64 },
    /// There is no memory for so much.
    NoMemory { len: u64 },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(codec) => write!(
                f,
                "the record is compressed, and this build is without the feature `{}`",
                codec.feature()
            ),
            Self::Dictionary(id) => {
                write!(f, "the record is compressed with the dictionary {id}, which is not at hand")
            }
            Self::Malformed => {
                f.write_str("a compressed payload is not sound under a sound checksum")
            }
            Self::TooLong { len, most } => write!(
                f,
                "a compressed record holds {len} bytes, which is over max_record_size, {most}"
            ),
            Self::NoMemory { len } => {
                write!(f, "there is no memory for the {len} bytes that a compressed record holds")
            }
        }
    }
}

impl Unreadable {
    /// As an error, without the place.
    pub(crate) fn error(self) -> Error {
        let what = self.to_string();
        match self {
            Self::Missing(codec) => Error::new(ErrorKind::Unsupported, what)
                .advice(format!("build walden with the feature `{}`", codec.feature())),
            Self::Dictionary(_) => Error::new(ErrorKind::MissingDictionary, what),
            Self::Malformed => Error::corrupt(what),
            Self::TooLong { .. } => Error::new(ErrorKind::TooLarge, what).advice(
                "if it is meant to be that large, open the log with a larger max_record_size",
            ),
            Self::NoMemory { .. } => Error::new(ErrorKind::TooLarge, what),
        }
    }
}

/// How many bytes `stored` says that it holds.
///
/// # Errors
/// `Missing`, `Malformed`.
fn stated_len(codec: Codec, stored: &[u8]) -> Result<u64, Unreadable> {
    if !codec.is_compiled_in() {
        return Err(Unreadable::Missing(codec));
    }
    let len = match codec {
        Codec::Snappy => snappy::stated_len(stored),
        Codec::Zstd => zstd::stated_len(stored),
        Codec::Lz4 => lz4::stated_len(stored),
    };
    let possible = num::size(stored.len()).saturating_mul(codec.most_per_byte()).min(MOST_CONTENT);
    len.filter(|len| *len <= possible).ok_or(Unreadable::Malformed)
}

/// Bytes of a record's payload that are in clear: those of a batch's `count`.
fn clear(header: &Header) -> u64 {
    if header.is_packed() { num::size(COUNT_LEN) } else { 0 }
}

/// What was compressed of a record's payload.
fn squeezed<'a>(header: &Header, stored: &'a [u8]) -> Result<&'a [u8], Unreadable> {
    stored.get(num::index(clear(header))..).ok_or(Unreadable::Malformed)
}

/// How long the entry, or the body of the batch, is that a sound record holds.
///
/// # Errors
/// `Missing`, `Malformed`.
pub(crate) fn content_len(header: &Header, stored: &[u8]) -> Result<u64, Unreadable> {
    let Some(codec) = Codec::of(header.codec()) else { return Ok(num::size(stored.len())) };
    Ok(stated_len(codec, squeezed(header, stored)?)? + clear(header))
}

/// What a sound record holds: the entry, or what follows the `count` of a batch, which is proved.
///
/// # Errors
/// As [`Decoder::content`].
pub(crate) fn content<'a>(
    header: &Header,
    stored: &'a [u8],
    dictionary: Option<&Dictionary>,
    most: u64,
) -> Result<Cow<'a, [u8]>, Unreadable> {
    if header.codec() == 0 {
        return squeezed(header, stored).map(Cow::Borrowed);
    }
    let mut out = Vec::new();
    Decoder::new().content(header, stored, dictionary, most, &mut out)?;
    Ok(Cow::Owned(out))
}

/// Tells what compressed records hold. Kept by who reads many.
pub(crate) struct Decoder {
    snappy: snappy::Decompress,
    zstd: zstd::Decompress,
    lz4: lz4::Decompress,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self {
            snappy: snappy::Decompress::new(),
            zstd: zstd::Decompress::new(),
            lz4: lz4::Decompress::new(),
        }
    }

    /// What a sound and compressed record holds, instead of what is in `out`: the entry, or what follows the
    /// `count` of a batch, which is proved. No more than `most` bytes, a `count` included. `dictionary` is the one
    /// that the record names ([`dictionary_of`]).
    ///
    /// # Errors
    /// Whatever keeps it from being told; then nothing is in `out`.
    pub(crate) fn content(
        &mut self,
        header: &Header,
        stored: &[u8],
        dictionary: Option<&Dictionary>,
        most: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let read = self.read(header, stored, dictionary, most, out);
        if read.is_err() {
            *out = Vec::new();
        }
        read
    }

    #[cfg_attr(
        not(feature = "zstd"),
        expect(clippy::needless_pass_by_ref_mut, reason = "what changes is Zstandard's")
    )]
    fn read(
        &mut self,
        header: &Header,
        stored: &[u8],
        dictionary: Option<&Dictionary>,
        most: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let codec = Codec::of(header.codec()).ok_or(Unreadable::Malformed)?;
        let squeezed = squeezed(header, stored)?;
        let len = stated_len(codec, squeezed)?;
        let whole = len + clear(header);
        if whole > most {
            return Err(Unreadable::TooLong { len: whole, most });
        }
        let dictionary = match dictionary_of(header, stored) {
            None => None,
            Some(id) => {
                let named = dictionary.filter(|dictionary| dictionary.id() == id);
                let reading = named.and_then(Dictionary::reading);
                Some(reading.ok_or(Unreadable::Dictionary(id))?)
            }
        };
        let no_memory = Unreadable::NoMemory { len: whole };
        let len = usize::try_from(len).map_err(|_| no_memory)?;
        give_back(out, len);
        let missing = len.saturating_sub(out.len());
        out.try_reserve(missing).map_err(|_| no_memory)?;
        let got = match codec {
            Codec::Snappy => self.snappy.decompress(squeezed, len, out),
            Codec::Zstd => self.zstd.decompress(dictionary, squeezed, len, out),
            Codec::Lz4 => self.lz4.decompress(squeezed, len, out),
        };
        if got != Some(len) {
            return Err(Unreadable::Malformed);
        }
        if header.is_packed() {
            let (count, rest) = (Packed::count(stored), &out[..]);
            let batch = count.and_then(|count| Packed::prove(count, rest));
            batch.map_err(|_: Fault| Unreadable::Malformed)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// What is stored instead of a payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compressed<'a> {
    /// The flags of its record.
    pub(crate) flags: u64,
    /// Entries.
    pub(crate) count: u64,
    pub(crate) stored: &'a [u8],
}

/// How payloads are to be made smaller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) codec: Codec,
    /// Where the codec has levels, and there is no dictionary, which has its own.
    pub(crate) level: i32,
    /// For Zstandard alone.
    pub(crate) dictionary: Option<&'a ForWriting>,
}

/// Makes payloads smaller. Kept, with its buffers, by who compresses many.
#[derive(Default)]
pub(crate) struct Encoder {
    snappy: snappy::Compress,
    zstd: zstd::Compress,
    lz4: lz4::Compress,
    /// What is compressed, where it does not lie in one piece.
    plain: Vec<u8>,
    /// What came of it. As long as it ever was, so that it is not filled with zeros each time.
    out: Vec<u8>,
}

impl Encoder {
    /// One entry, given in parts; `None` if that does not make it smaller.
    pub(crate) fn single(&mut self, how: How<'_>, parts: &[&[u8]]) -> Option<Compressed<'_>> {
        let len = match parts {
            [plain] => self.compress(how, &[], plain),
            _ => self.in_one_piece(|encoder, plain| {
                parts.iter().for_each(|part| plain.extend_from_slice(part));
                encoder.compress(how, &[], plain)
            }),
        }?;
        self.compressed(how, None, len)
    }

    /// A batch of at least one entry; `None` if that does not make it smaller.
    ///
    /// The caller has checked that count and length fit 32 bits.
    pub(crate) fn batch(&mut self, how: How<'_>, entries: &[&[u8]]) -> Option<Compressed<'_>> {
        let count = clamp32(entries.len());
        let len = self.in_one_piece(|encoder, plain| {
            packed_rest(plain, entries);
            encoder.compress(how, &be32(count), plain)
        })?;
        self.compressed(how, Some(count), len)
    }

    /// What a record holds already: the entry, or what follows the `count` of a batch.
    pub(crate) fn content(
        &mut self,
        how: How<'_>,
        count: Option<u32>,
        plain: &[u8],
    ) -> Option<Compressed<'_>> {
        let head = count.map(be32);
        let head = head.as_ref().map_or(&[][..], |head| &head[..]);
        let len = self.compress(how, head, plain)?;
        self.compressed(how, count, len)
    }

    fn compressed(&self, how: How<'_>, count: Option<u32>, len: usize) -> Option<Compressed<'_>> {
        let packed = if count.is_some() { PACKED } else { 0 };
        Some(Compressed {
            flags: how.codec.number() << CODEC_SHIFT | packed,
            count: u64::from(count.unwrap_or(1)),
            stored: self.out.get(..len)?,
        })
    }

    fn in_one_piece<T>(&mut self, work: impl FnOnce(&mut Self, &mut Vec<u8>) -> T) -> T {
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let done = work(self, &mut plain);
        self.plain = plain;
        done
    }

    /// Puts `head`, and `plain` compressed behind it, into `out`: how long that is, if the latter is smaller.
    fn compress(&mut self, how: How<'_>, head: &[u8], plain: &[u8]) -> Option<usize> {
        let How { codec, level, dictionary } = how;
        #[cfg(all(test, not(walden_model)))]
        probe::call();
        let most = match codec {
            Codec::Snappy => snappy::most(plain.len()),
            Codec::Zstd => zstd::most(plain.len()),
            Codec::Lz4 => lz4::most(plain.len()),
        };
        let room = most.checked_add(head.len())?;
        if self.out.len() < room {
            self.out.try_reserve(room - self.out.len()).ok()?;
            self.out.resize(room, 0);
        }
        let (front, out) = self.out.split_at_mut_checked(head.len())?;
        front.copy_from_slice(head);
        let len = match codec {
            Codec::Snappy => self.snappy.compress(plain, out),
            Codec::Zstd => {
                let dictionary = dictionary.map(ForWriting::prepared);
                self.zstd.compress(level, dictionary, plain, out)
            }
            Codec::Lz4 => self.lz4.compress(plain, out),
        };
        len.filter(|len| *len < plain.len())?.checked_add(head.len())
    }

    /// Gives back what a large payload took.
    pub(crate) fn rest(&mut self) {
        if self.out.len() > KEEP_BUFFER {
            self.out = Vec::new();
        }
        if self.plain.capacity() > KEEP_BUFFER {
            self.plain = Vec::new();
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

/// Gives a large buffer back if little of it is needed now.
fn give_back(buffer: &mut Vec<u8>, len: usize) {
    if buffer.capacity() > KEEP_BUFFER && buffer.capacity() / 4 > len {
        *buffer = Vec::new();
    }
}
