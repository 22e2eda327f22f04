//! A generation of the manifest as a block of 4 KiB.
//!
//! Magic, version, length and checksum first; then the fields in order, little-endian. Unlike a
//! record, it is ours alone: the Go library doesn't know it.

use std::collections::BTreeMap;

use super::{Cut, Epoch, MAX_EPOCHS, MAX_LOSSES, MAX_META, Manifest, Place};
use crate::num;

pub(crate) const BLOCK_LEN: usize = 4096;
pub(crate) const MAGIC: [u8; 8] = *b"WALDNMAN";
pub(crate) const VERSION: u32 = 1;
const HEAD_LEN: usize = 20;

const _: () = {
    let fixed = 16 + 8 + 8 * 8 + (1 + 24) + (1 + 16 + 24 + 8) + 3 * 4;
    let lists = MAX_EPOCHS * 24 + MAX_LOSSES * 16 + MAX_META;
    assert!(HEAD_LEN + fixed + lists <= BLOCK_LEN, "the largest manifest fits a block");
};

/// What a block turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    Sound(Box<Manifest>),
    /// Ours, by magic and checksum, and of a version that this one does not know.
    Newer(u32),
    Unsound,
}

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut body = Vec::with_capacity(BLOCK_LEN);
    put128(&mut body, manifest.log_id);
    put64(&mut body, manifest.generation);
    for value in [
        manifest.first_seq,
        manifest.first_ordinal,
        manifest.open_from,
        manifest.open_seq,
        manifest.sealed_count,
        manifest.active,
        manifest.next_ordinal,
        manifest.lowest_next,
    ] {
        put64(&mut body, value);
    }
    put_place(&mut body, manifest.base);
    put_cut(&mut body, manifest.cut);
    put_count(&mut body, manifest.epochs.len());
    for epoch in &manifest.epochs {
        put64(&mut body, epoch.first_seq);
        put128(&mut body, epoch.id);
    }
    put_count(&mut body, manifest.losses.len());
    for (first, last) in &manifest.losses {
        put64(&mut body, *first);
        put64(&mut body, *last);
    }
    put_count(&mut body, manifest.meta.len());
    for (key, value) in &manifest.meta {
        put_bytes(&mut body, key);
        put_bytes(&mut body, value);
    }
    seal(&body)
}

/// Puts the head before a body and fills the block.
fn seal(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut covered = Vec::with_capacity(body.len() + 8);
    covered.extend_from_slice(&VERSION.to_le_bytes());
    covered.extend_from_slice(&len.to_le_bytes());
    covered.extend_from_slice(body);
    let mut block = Vec::with_capacity(BLOCK_LEN);
    block.extend_from_slice(&MAGIC);
    block.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
    block.extend_from_slice(&covered);
    block.resize(BLOCK_LEN, 0);
    block
}

pub(super) fn decode(block: &[u8]) -> Block {
    open(block).unwrap_or(Block::Unsound)
}

fn open(block: &[u8]) -> Option<Block> {
    let rest = block.strip_prefix(&MAGIC)?;
    let (crc, covered) = rest.split_first_chunk::<4>()?;
    let (version, after) = covered.split_first_chunk::<4>()?;
    let (len, after) = after.split_first_chunk::<4>()?;
    let len = num::index(u64::from(u32::from_le_bytes(*len)));
    let body = after.get(..len)?;
    if crc32c::crc32c(covered.get(..8 + len)?) != u32::from_le_bytes(*crc) {
        return None;
    }
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Some(Block::Newer(version));
    }
    let manifest = read(&mut Bytes(body))?;
    Some(Block::Sound(Box::new(manifest)))
}

fn read(bytes: &mut Bytes<'_>) -> Option<Manifest> {
    let log_id = bytes.u128()?;
    let generation = bytes.u64()?;
    let first_seq = bytes.u64()?;
    let first_ordinal = bytes.u64()?;
    let open_from = bytes.u64()?;
    let open_seq = bytes.u64()?;
    let sealed_count = bytes.u64()?;
    let active = bytes.u64()?;
    let next_ordinal = bytes.u64()?;
    let lowest_next = bytes.u64()?;
    let base = bytes.place()?;
    let cut = bytes.cut()?;
    let epochs = bytes.list(MAX_EPOCHS, |b| Some(Epoch { first_seq: b.u64()?, id: b.u128()? }))?;
    let losses = bytes.list(MAX_LOSSES, |b| Some((b.u64()?, b.u64()?)))?;
    let meta = bytes.list(MAX_META, |b| Some((b.bytes()?, b.bytes()?)))?;
    let manifest = Manifest {
        log_id,
        generation,
        epochs,
        first_seq,
        first_ordinal,
        open_from,
        open_seq,
        sealed_count,
        active,
        next_ordinal,
        lowest_next,
        base,
        cut,
        losses,
        meta: meta.into_iter().collect::<BTreeMap<_, _>>(),
    };
    (bytes.0.is_empty() && makes_sense(&manifest)).then_some(manifest)
}

/// Further than ordinals, generations and counters ever come.
pub(super) const FAR: u64 = u64::MAX / 4;

/// Rules that every generation we write keeps; sums with these numbers cannot overflow.
fn makes_sense(manifest: &Manifest) -> bool {
    let ordered = manifest.epochs.windows(2).all(|pair| match pair {
        [a, b] => a.first_seq < b.first_seq,
        _ => true,
    });
    ordered
        && !manifest.epochs.is_empty()
        && manifest.generation < FAR
        && manifest.first_seq >= 1
        && manifest.open_seq >= 1
        && manifest.lowest_next >= 1
        && manifest.base.is_none_or(|base| base.next_seq >= 1)
        && manifest.first_ordinal <= manifest.open_from
        && manifest.sealed_count <= manifest.open_from - manifest.first_ordinal
        && manifest.open_from <= manifest.next_ordinal
        && manifest.next_ordinal < FAR
        && manifest.active < FAR
        && manifest.losses.iter().all(|(first, last)| first <= last)
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_place(out: &mut Vec<u8>, place: Option<Place>) {
    out.push(u8::from(place.is_some()));
    let place = place.unwrap_or(Place { ordinal: 0, offset: 0, next_seq: 0 });
    put64(out, place.ordinal);
    put64(out, place.offset);
    put64(out, place.next_seq);
}

fn put_cut(out: &mut Vec<u8>, cut: Option<Cut>) {
    let Some(cut) = cut else {
        out.push(0);
        return;
    };
    let kept = u8::from(cut.kept.is_some()) * 2;
    let prepared = u8::from(cut.prepared.is_some()) * 4;
    out.push(1 | kept | prepared);
    let (ordinal, len) = cut.kept.unwrap_or_default();
    for value in
        [ordinal, len, cut.dead_from, cut.dead_to, cut.first_cut, cut.prepared.unwrap_or_default()]
    {
        put64(out, value);
    }
}

/// Bytes still to be read. Every method answers `None` where they run out.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = usize::from(u16::from_le_bytes(self.take()?));
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head.to_vec())
    }

    fn list<T>(&mut self, max: usize, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(u32::from_le_bytes(self.take()?)).ok()?;
        if count > max {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn place(&mut self) -> Option<Option<Place>> {
        let [there] = self.take()?;
        let place = Place { ordinal: self.u64()?, offset: self.u64()?, next_seq: self.u64()? };
        Some((there != 0).then_some(place))
    }

    fn cut(&mut self) -> Option<Option<Cut>> {
        let [flags] = self.take()?;
        if flags == 0 {
            return Some(None);
        }
        let kept = (self.u64()?, self.u64()?);
        let dead_from = self.u64()?;
        let dead_to = self.u64()?;
        let first_cut = self.u64()?;
        let prepared = self.u64()?;
        Some(Some(Cut {
            kept: (flags & 2 != 0).then_some(kept),
            dead_from,
            dead_to,
            first_cut,
            prepared: (flags & 4 != 0).then_some(prepared),
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn sample() -> Manifest {
        Manifest {
            log_id: 7 << 100,
            generation: 42,
            epochs: vec![Epoch { first_seq: 1, id: 3 }, Epoch { first_seq: 90, id: u128::MAX }],
            first_seq: 5,
            first_ordinal: 1,
            open_from: 4,
            open_seq: 90,
            sealed_count: 3,
            active: 4,
            next_ordinal: 6,
            lowest_next: 88,
            base: Some(Place { ordinal: 4, offset: 128, next_seq: 91 }),
            cut: Some(Cut {
                kept: Some((4, 100)),
                dead_from: 5,
                dead_to: 6,
                first_cut: 91,
                prepared: Some(12),
            }),
            losses: vec![(17, 19)],
            meta: BTreeMap::from([(b"vote".to_vec(), vec![1, 2, 3])]),
        }
    }

    #[test]
    fn round_trip() {
        let mut manifest = sample();
        assert_eq!(decode(&encode(&manifest)), Block::Sound(Box::new(manifest.clone())));
        manifest.cut = None;
        manifest.base = None;
        assert_eq!(decode(&encode(&manifest)), Block::Sound(Box::new(manifest)));
    }

    #[test]
    fn the_largest_manifest_fits() {
        let mut manifest = sample();
        for i in 0..200 {
            manifest.begin_epoch(1_000 + i, u128::from(i) + 9);
        }
        manifest.losses = (0..32).map(|i| (i, i)).collect();
        manifest.meta = BTreeMap::from([(vec![0; 96], vec![1; 1300])]);
        assert_eq!(manifest.meta_len(), MAX_META);
        assert_eq!(manifest.epochs.len(), MAX_EPOCHS);
        let block = encode(&manifest);
        assert_eq!(block.len(), BLOCK_LEN);
        assert_eq!(decode(&block), Block::Sound(Box::new(manifest)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let block = encode(&sample());
        let used = block.iter().rposition(|byte| *byte != 0).unwrap();
        for bit in 0..=used * 8 + 7 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), Block::Unsound, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_apart() {
        let mut block = encode(&sample());
        block[12] = 2;
        let len = usize::try_from(u32::from_le_bytes(block[16..20].try_into().unwrap())).unwrap();
        let crc = crc32c::crc32c(&block[12..20 + len]);
        block[8..12].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&block), Block::Newer(2));
    }
}
