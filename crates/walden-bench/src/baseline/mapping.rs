//! Copy and checksum into a mapping whose pages are there already: what a mapped log cannot beat.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;

use super::OVERHEAD;
use crate::figures::Result;
use crate::store::{Store, Worker};

/// It begins again here; all of it was touched before.
const SPACE: usize = 256 << 20;

pub(super) struct Mapping {
    map: Mutex<MmapMut>,
}

impl Mapping {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SPACE as u64)?;
        // SAFETY: the file was created here, in a folder made for this measurement, and nobody else opens it: it is
        // not truncated or written by other means while it is mapped.
        let mut map = unsafe { MmapMut::map_mut(&file)? };
        map.fill(0);
        Ok(Self { map: Mutex::new(map) })
    }
}

impl Store for Mapping {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        let map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(MappingWorker { map, seq: 0, at: 0 }))
    }
}

/// Holds the mapping for as long as it lives: one thread only.
struct MappingWorker<'a> {
    map: MutexGuard<'a, MmapMut>,
    seq: u64,
    at: usize,
}

impl Worker for MappingWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let len = payload.len() + OVERHEAD;
        if self.at + len > SPACE {
            self.at = 0;
        }
        self.seq += 1;
        let place = self.map.get_mut(self.at..self.at + len).ok_or("larger than the mapping")?;
        encode_in(place, self.seq, payload).ok_or("does not fit its place")?;
        self.at += len;
        Ok(())
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.append(entry))
    }
}

/// A record of the format, encoded where it is to lie.
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
fn encode_in(place: &mut [u8], seq: u64, payload: &[u8]) -> Option<()> {
    let size = (payload.len() as u64).to_be_bytes();
    let (head, rest) = place.split_at_mut_checked(20)?;
    let (body, foot) = rest.split_at_mut_checked(payload.len())?;
    head.get_mut(4..12)?.copy_from_slice(&size);
    head.get_mut(12..)?.copy_from_slice(&seq.to_be_bytes());
    body.copy_from_slice(payload);
    foot.copy_from_slice(&size);
    let crc = crc32c::crc32c(place.get(4..20 + payload.len())?);
    place.get_mut(..4)?.copy_from_slice(&crc.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encoders_give_the_same_bytes() {
        let payload = super::super::noise(77);
        let mut pushed = Vec::new();
        super::super::encode(&mut pushed, 9, &payload);
        let mut placed = vec![1; pushed.len()];
        encode_in(&mut placed, 9, &payload).unwrap();
        assert_eq!(placed, pushed);
    }
}
