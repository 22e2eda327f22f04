//! Dictionaries for Zstandard: their files' bytes, proved, and which one a record needs.
//!
//! A dictionary is what it holds: its id is made of its bytes. So a record names the one dictionary that it was
//! written with, in this log and in every copy of it.

use std::fmt;

use super::{Codec, squeezed, zstd};
use crate::num;
use crate::record::Header;

pub(crate) const MAGIC: [u8; 8] = *b"WALDNDIC";
pub(crate) const VERSION: u32 = 1;
/// Bytes of a file before the dictionary.
pub(crate) const HEAD_LEN: usize = 32;
/// The largest dictionary.
pub(crate) const MOST_DICTIONARY: usize = 1 << 20;

/// What a dictionary as Zstandard has it begins with, and a frame.
const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Magic and id of a dictionary.
const NAME_LEN: usize = 8;

/// Ids that Zstandard leaves to everybody.
const FIRST_ID: u32 = 32_768;
const IDS: u32 = (1 << 31) - FIRST_ID;

/// The id of a dictionary with these bytes behind its name.
fn id_of(content: &[u8]) -> u32 {
    crc32c::crc32c(content) % IDS + FIRST_ID
}

/// Why a file is no dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDictionary {
    /// It is not what was written, or cut short.
    Unsound,
    /// It was written by a newer version.
    Newer(u32),
}

/// A dictionary, proved.
pub(crate) struct Dictionary {
    id: u32,
    number: u32,
    bytes: Vec<u8>,
    reading: Option<zstd::ForReading>,
}

impl Dictionary {
    /// Takes what was trained; `number` is higher than that of those before it. `None`: it is no dictionary.
    pub(crate) fn new(number: u32, mut bytes: Vec<u8>) -> Option<Self> {
        let id = id_of(bytes.get(NAME_LEN..)?);
        if bytes.len() > MOST_DICTIONARY || !bytes.starts_with(&DICTIONARY_MAGIC) {
            return None;
        }
        bytes.get_mut(4..NAME_LEN)?.copy_from_slice(&id.to_le_bytes());
        let reading = zstd::ForReading::new(&bytes);
        (reading.is_some() || !Codec::Zstd.is_compiled_in()).then_some(Self {
            id,
            number,
            bytes,
            reading,
        })
    }

    /// What is in a file.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, NoDictionary> {
        let unsound = NoDictionary::Unsound;
        let (head, bytes) = file.split_at_checked(HEAD_LEN).ok_or(unsound)?;
        let number_at = |at: usize| {
            let field = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
            field.map(|field| u32::from_le_bytes(*field)).ok_or(unsound)
        };
        if !head.starts_with(&MAGIC)
            || crc32c::crc32c(file.get(12..).unwrap_or_default()) != number_at(8)?
        {
            return Err(unsound);
        }
        let version = number_at(12)?;
        if version != VERSION {
            return Err(NoDictionary::Newer(version));
        }
        let (id, number, len) = (number_at(16)?, number_at(20)?, number_at(24)?);
        if u64::from(len) != num::size(bytes.len()) {
            return Err(unsound);
        }
        let named = bytes.get(4..NAME_LEN) == Some(&id.to_le_bytes());
        Self::new(number, bytes.to_vec()).filter(|made| named && made.id == id).ok_or(unsound)
    }

    /// The file that it is kept in.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_LEN + self.bytes.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for field in [VERSION, self.id, self.number, len, 0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes);
        let crc = crc32c::crc32c(out.get(12..).unwrap_or_default());
        if let Some(field) = out.get_mut(8..12) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        out
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// The higher one is the newer.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// As Zstandard has it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) const fn reading(&self) -> Option<&zstd::ForReading> {
        self.reading.as_ref()
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("id", &self.id)
            .field("number", &self.number)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A dictionary made ready to compress with, at one level. Shared by all who do.
pub(crate) struct ForWriting {
    id: u32,
    level: i32,
    prepared: zstd::ForWriting,
}

impl ForWriting {
    /// `None`: this build cannot, or there is no memory for it.
    pub(crate) fn new(dictionary: &Dictionary, level: i32) -> Option<Self> {
        let prepared = zstd::ForWriting::new(dictionary.bytes(), level)?;
        Some(Self { id: dictionary.id, level, prepared })
    }

    pub(super) const fn prepared(&self) -> &zstd::ForWriting {
        &self.prepared
    }
}

impl fmt::Debug for ForWriting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForWriting")
            .field("id", &self.id)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// The id of the dictionary that a record needs, whether or not its codec is compiled in.
pub(crate) fn dictionary_of(header: &Header, stored: &[u8]) -> Option<u32> {
    if header.codec() != Codec::Zstd.number() {
        return None;
    }
    let rest = squeezed(header, stored).ok()?.strip_prefix(&FRAME_MAGIC)?;
    let (descriptor, rest) = rest.split_first()?;
    // A frame of one segment has no byte that tells its window.
    let window = if descriptor & 0b10_0000 == 0 { 1 } else { 0 };
    let id = rest.get(window..)?;
    let id = match descriptor & 0b11 {
        0 => 0,
        1 => u32::from(*id.first()?),
        2 => u32::from(u16::from_le_bytes(*id.first_chunk()?)),
        _ => u32::from_le_bytes(*id.first_chunk()?),
    };
    (id != 0).then_some(id)
}

/// A dictionary of at most `size` bytes, from samples that lie one behind the other. `None`: they are too few, or
/// have nothing in common.
pub(crate) fn train(samples: &[u8], lengths: &[usize], size: usize) -> Option<Vec<u8>> {
    zstd::train(samples, lengths, size.min(MOST_DICTIONARY))
}
