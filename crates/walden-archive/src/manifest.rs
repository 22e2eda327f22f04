//! What the archive consists of: one truth, in numbered generations, each made once and never changed.
//!
//! A generation is an object of two parts: a line `walden-archive VERSION SHA256`, then JSON, of which that is the
//! hash. It says whose it is (term and writer), what it follows, which history the entries have, and lists the
//! objects of records, seq id for seq id without a gap. Older ones of these are listed in pages, which are objects
//! of the same form, made once too: so a generation stays small however long the log.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chunk::{newer, sha256};
use crate::error::{Error, Result};
use crate::history::History;

/// The folder of the generations.
pub(crate) const MANIFESTS: &str = "manifest";
/// The folder of the pages.
pub(crate) const PAGES: &str = "pages";
/// The folder of the records.
pub(crate) const CHUNKS: &str = "chunks";

const NAME: &str = "walden-archive";
const VERSION: u32 = 1;
/// Objects that a page lists.
pub(crate) const PER_PAGE: usize = 256;
/// The most bytes of a generation or a page that are read: many times what one has.
pub(crate) const MOST_BYTES: u64 = 64 << 20;
/// The most bytes of an object of records: a record of the largest size, and what goes around it.
pub(crate) const MOST_CHUNK_BYTES: u64 = (4 << 30) + (1 << 20);

/// An object of records, or of a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// The object, below the archive's prefix.
    pub(crate) name: String,
    pub(crate) sha256: String,
    /// Bytes of the object.
    pub(crate) bytes: u64,
    pub(crate) first: u64,
    /// The seq id that follows the last entry. The object may hold more, which was cut since.
    pub(crate) end: u64,
    /// When its first noted entry was appended at the latest, in microseconds since 1970.
    pub(crate) from_micros: u64,
    /// By when all of it was appended.
    pub(crate) by_micros: u64,
    /// Bytes of all objects that it stands for: its own, or those that the page lists.
    pub(crate) stands_for: u64,
    /// Less than would fill an object: what comes next may be put together with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) partial: bool,
}

/// A generation of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) generation: u64,
    /// Counts the archivers that took over. One of an older term must not go on.
    pub(crate) term: u64,
    /// Which archiver: a random id.
    #[serde(with = "hex")]
    pub(crate) writer: u128,
    /// The hash of the generation before; empty in the first.
    pub(crate) previous: String,
    /// The log that it was shipped from last.
    #[serde(with = "hex")]
    pub(crate) log_id: u128,
    pub(crate) first_seq: u64,
    /// The seq id that follows the last entry.
    pub(crate) end: u64,
    /// The history of the log up to there.
    pub(crate) epochs: Vec<Stretch>,
    pub(crate) pages: Vec<Part>,
    pub(crate) chunks: Vec<Part>,
}

/// An epoch: entries from `first` on, up to the next one's, are of one unforked history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stretch {
    pub(crate) first: u64,
    #[serde(with = "hex")]
    pub(crate) id: u128,
}

/// What a page lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    pub(crate) chunks: Vec<Part>,
}

/// 128 bits as text: JSON's numbers have fewer.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

impl Manifest {
    /// The first generation of an archive that begins at `first_seq`.
    pub(crate) const fn begin(first_seq: u64, log_id: u128, writer: u128) -> Self {
        Self {
            generation: 1,
            term: 1,
            writer,
            previous: String::new(),
            log_id,
            first_seq,
            end: first_seq,
            epochs: Vec::new(),
            pages: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// The name of a generation's object. In order of name is in order of number.
    pub(crate) fn name_of(generation: u64) -> String {
        format!("{MANIFESTS}/{generation:020}.json")
    }

    /// The generation that a name is of.
    pub(crate) fn generation_of(name: &str) -> Option<u64> {
        let number = name.strip_prefix(MANIFESTS)?.strip_prefix('/')?.strip_suffix(".json")?;
        number.parse().ok().filter(|generation| Self::name_of(*generation) == name)
    }

    pub(crate) fn encode(&self) -> Result<Bytes> {
        encode(self)
    }

    /// What was written, proved: the hash, and that it lists each seq id once.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`.
    pub(crate) fn decode(bytes: &Bytes, name: &str) -> Result<Self> {
        let manifest: Self = decode(bytes).map_err(|error| error.object(name))?;
        if Self::name_of(manifest.generation) != name {
            let what = format!("it says that it is generation {}", manifest.generation);
            return Err(Error::corrupt(what).object(name));
        }
        manifest.prove().map_err(|error| error.object(name))?;
        Ok(manifest)
    }

    /// That the parts follow each other, from the first seq id to the end.
    fn prove(&self) -> Result<()> {
        let parts = self.pages.iter().chain(&self.chunks);
        let end = follow(self.first_seq, parts)?;
        if end != self.end {
            let what = format!("it ends with seq id {}, and its objects before {end}", self.end);
            return Err(Error::corrupt(what).seq_at(end));
        }
        let in_order = self.epochs.windows(2).all(|pair| match pair {
            [a, b] => a.first < b.first,
            _ => true,
        });
        if !in_order || self.first_seq == 0 || (self.epochs.is_empty() && self.end > self.first_seq)
        {
            return Err(Error::corrupt("its epochs are out of order or missing"));
        }
        Ok(())
    }

    /// Its epochs as pairs, for a [`History`].
    pub(crate) fn stretches(&self) -> Vec<(u64, u128)> {
        self.epochs.iter().map(|stretch| (stretch.first, stretch.id)).collect()
    }

    /// The epoch of an entry.
    pub(crate) fn epoch_of(&self, seq: u64) -> Option<u128> {
        History { epochs: &self.stretches(), end: self.end }.epoch_of(seq)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end == self.first_seq
    }

    /// Bytes of all objects of records.
    pub(crate) fn bytes(&self) -> u64 {
        let parts = self.pages.iter().chain(&self.chunks);
        parts.fold(0, |sum, part| sum.saturating_add(part.stands_for))
    }
}

impl Page {
    pub(crate) fn encode(&self) -> Result<Bytes> {
        encode(self)
    }

    /// The page that `part` names, proved: the hash, and that it lists what the manifest says.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`.
    pub(crate) fn decode(bytes: &Bytes, part: &Part) -> Result<Self> {
        let wrong = |what: &str| Error::corrupt(what).object(&part.name);
        if sha256(bytes) != part.sha256 {
            return Err(wrong("it is not what the manifest names: its hash differs"));
        }
        let page: Self = decode(bytes).map_err(|error| error.object(&part.name))?;
        let first = page.chunks.first().map(|chunk| chunk.first);
        if first.is_none_or(|first| first > part.first || first == 0) {
            return Err(wrong("it does not list what the manifest says"));
        }
        let end = follow(first.unwrap_or_default(), &page.chunks)?;
        if end != part.end {
            return Err(wrong("it does not list what the manifest says"));
        }
        Ok(page)
    }
}

/// The seq id behind parts that follow each other, each an object of its own.
fn follow<'a>(first: u64, parts: impl IntoIterator<Item = &'a Part>) -> Result<u64> {
    let mut next = first;
    let mut names = BTreeSet::new();
    for part in parts {
        if part.first != next || part.end <= part.first {
            let what = format!("it lists {} behind seq id {next}", part.name);
            return Err(Error::corrupt(what).seq_at(next));
        }
        let folder = part.name.split_once('/').map(|(folder, _)| folder);
        if !matches!(folder, Some(PAGES | CHUNKS)) || part.name.matches('/').count() != 1 {
            return Err(Error::corrupt(format!("it names {:?}", part.name)));
        }
        if !names.insert(part.name.as_str()) {
            let what = format!("it lists {} twice", part.name);
            return Err(Error::corrupt(what).seq_at(part.first));
        }
        next = part.end;
    }
    Ok(next)
}

fn encode(body: &impl Serialize) -> Result<Bytes> {
    let json = serde_json::to_vec_pretty(body)
        .map_err(|error| Error::invalid(format!("cannot be written as JSON: {error}")))?;
    let mut out = format!("{NAME} {VERSION} {}\n", sha256(&json)).into_bytes();
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(Bytes::from(out))
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Result<T> {
    let unsound = |what: String| Error::corrupt(format!("it is no manifest: {what}"));
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (line, body) = bytes.split_at(at.ok_or_else(|| unsound("it has no first line".into()))?);
    let body = body.strip_prefix(b"\n").and_then(|body| body.strip_suffix(b"\n"));
    let body = body.ok_or_else(|| unsound("it does not end with its last line".into()))?;
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    if words.next() != Some(NAME) {
        return Err(unsound("it does not begin as one".into()));
    }
    let version = words.next().and_then(|word| word.parse().ok());
    let version: u32 = version.ok_or_else(|| unsound("it tells no version".into()))?;
    if version != VERSION {
        return Err(newer(version, VERSION));
    }
    if words.next() != Some(sha256(body).as_str()) || words.next().is_some() {
        return Err(unsound("its hash does not match".into()));
    }
    serde_json::from_slice(body).map_err(|error| unsound(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(folder: &str, first: u64, end: u64) -> Part {
        Part {
            name: format!("{folder}/{first:020}"),
            sha256: "00".into(),
            bytes: 10,
            first,
            end,
            from_micros: 1,
            by_micros: 2,
            stands_for: 10,
            partial: false,
        }
    }

    fn manifest() -> Manifest {
        let mut manifest = Manifest::begin(5, 1, 2);
        manifest.epochs = vec![Stretch { first: 1, id: 7 }];
        manifest.pages = vec![part(PAGES, 5, 9)];
        manifest.chunks = vec![part(CHUNKS, 9, 12), part(CHUNKS, 12, 13)];
        manifest.end = 13;
        manifest
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = manifest();
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&bytes, &Manifest::name_of(1)).unwrap(), manifest);
        assert_eq!(Manifest::generation_of(&Manifest::name_of(77)), Some(77));
        assert_eq!(Manifest::generation_of("manifest/77.json"), None);
    }

    #[test]
    fn no_byte_of_it_can_change() {
        let bytes = manifest().encode().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let read = Manifest::decode(&Bytes::from(changed), &Manifest::name_of(1));
            assert!(read.is_err(), "byte {at}");
            let short = Manifest::decode(&bytes.slice(..at), &Manifest::name_of(1));
            assert!(short.is_err(), "cut at {at}");
        }
        let other = Manifest::decode(&bytes, &Manifest::name_of(2));
        assert!(other.is_err(), "under another name");
    }

    /// Sound by its hash, and not by what it says: another program's, or a bug's.
    #[test]
    fn a_gap_is_found() {
        type Change = fn(&mut Manifest);
        let changes: [Change; 8] = [
            |m| m.end = 14,
            |m| m.first_seq = 4,
            |m| m.chunks[1].first = 11,
            |m| drop(m.chunks.remove(0)),
            |m| m.pages.clear(),
            |m| m.epochs.clear(),
            |m| m.chunks[0].name = "chunks/../x".into(),
            |m| m.chunks[1].name = m.chunks[0].name.clone(),
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut manifest = manifest();
            change(&mut manifest);
            let read = Manifest::decode(&manifest.encode().unwrap(), &Manifest::name_of(1));
            assert!(read.is_err_and(|error| error.kind() == crate::ErrorKind::Corrupt), "{at}");
        }
    }

    #[test]
    fn a_newer_one_is_told_apart() {
        let bytes = manifest().encode().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap().replacen(" 1 ", " 2 ", 1);
        let read = Manifest::decode(&Bytes::from(text), &Manifest::name_of(1)).unwrap_err();
        assert_eq!(read.kind(), crate::ErrorKind::Unsupported);
    }
}
