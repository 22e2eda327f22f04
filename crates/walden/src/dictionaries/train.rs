//! A dictionary from a log's own entries.

use super::{DictionaryInfo, newest, store};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::num;
use crate::record::{self, Codec, Dictionary, MOST_DICTIONARY};
use crate::segment::Names;
use crate::storage::Storage;

/// Less holds little beside its tables.
const LEAST_SIZE: u64 = 1 << 10;

/// Entries looked at, spread over the log.
const MOST_SAMPLES: u64 = 1 << 15;
/// What they may take, for each byte of the dictionary: what Zstandard advises.
const SAMPLE_RATIO: u64 = 100;
/// And all in all: training takes several times as much.
const MOST_SAMPLED: u64 = 32 << 20;
/// An entry's first bytes are enough: a dictionary helps where there is little else to learn from.
const SAMPLE_LEN: usize = 16 << 10;
/// Places are gone through in steps of this many, a prime, so that those whose entries still fit are spread over the log
/// whatever the entries' size.
const STEP: u64 = 7919;

/// What was learnt, and of what.
#[derive(Debug)]
pub(crate) struct Learnt {
    bytes: Vec<u8>,
    pub(crate) samples: u64,
    pub(crate) sampled: u64,
}

/// Learns from entries with seq ids `from..to`, which `get` gives. Changes nothing.
///
/// # Errors
/// `Unsupported` without the feature `zstd`; `InvalidInput` for a size that makes no sense, and where the entries are
/// too few or have nothing in common; as reading.
pub(crate) fn learn(
    (from, to): (u64, u64),
    size: u64,
    get: &mut dyn FnMut(u64) -> Result<Option<Entry>>,
) -> Result<Learnt> {
    if !Codec::Zstd.is_compiled_in() {
        let what =
            "a dictionary is trained by Zstandard, and this build is without the feature `zstd`";
        return Err(
            Error::new(ErrorKind::Unsupported, what).advice("build walden with the feature `zstd`")
        );
    }
    if !(LEAST_SIZE..=num::size(MOST_DICTIONARY)).contains(&size) {
        return Err(Error::invalid("a dictionary has from 1 KiB to 1 MiB"));
    }
    let most = size.saturating_mul(SAMPLE_RATIO).min(MOST_SAMPLED);
    let (samples, lengths) = samples((from, to), num::index(most), get)?;
    let taken = num::size(lengths.len());
    let bytes = record::train(&samples, &lengths, num::index(size)).ok_or_else(|| {
        Error::invalid(format!(
            "no dictionary comes of {taken} entries: they are too few, or have nothing in common"
        ))
    })?;
    Ok(Learnt { bytes, samples: taken, sampled: num::size(samples.len()) })
}

impl Learnt {
    /// Puts the dictionary beside the log, as its newest; durable when this returns.
    ///
    /// # Errors
    /// As [`store`].
    pub(crate) fn keep(self, storage: &dyn Storage, names: &Names) -> Result<DictionaryInfo> {
        let (before, _) = newest(storage, names)?;
        let number = before.map_or(0, |before| before.number()).saturating_add(1);
        let made = Dictionary::new(number, self.bytes)
            .ok_or_else(|| Error::corrupt("what was learnt is no dictionary"))?;
        store(storage, names, &made)?;
        // It may have been there before, under a number of its own.
        let kept = super::load(storage, names, made.id())?;
        Ok(DictionaryInfo::new(names, &kept))
    }
}

/// Entries from all over the log, one behind the other, and their lengths. Those that cannot be read are passed over.
fn samples(
    (from, to): (u64, u64),
    most: usize,
    get: &mut dyn FnMut(u64) -> Result<Option<Entry>>,
) -> Result<(Vec<u8>, Vec<usize>)> {
    let entries = to.saturating_sub(from);
    let count = entries.min(MOST_SAMPLES);
    let (mut all, mut lengths) = (Vec::new(), Vec::new());
    for i in 0..count {
        let step = if count % STEP == 0 { 1 } else { STEP };
        let place = u128::from(i * step % count) * u128::from(entries) / u128::from(count);
        let seq = from.saturating_add(u64::try_from(place).unwrap_or(0));
        let payload = match get(seq) {
            Ok(Some(entry)) => entry.payload,
            Ok(None) => continue,
            Err(error) => match error.kind() {
                ErrorKind::Io | ErrorKind::Poisoned | ErrorKind::OutOfSpace => return Err(error),
                // Damaged, given up, cut or removed meanwhile, of another codec: others are there.
                _ => continue,
            },
        };
        let part = payload.get(..payload.len().min(SAMPLE_LEN)).unwrap_or_default();
        if part.is_empty() {
            continue;
        }
        if all.len() + part.len() > most {
            break;
        }
        all.extend_from_slice(part);
        lengths.push(part.len());
    }
    Ok((all, lengths))
}
