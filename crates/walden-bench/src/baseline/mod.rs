//! The bare loops: the least that a log with this format could do.

mod blocks;
mod files;
mod group;
mod mapping;
pub(crate) mod reading;

use std::path::Path;

use crate::figures::Result;
use crate::store::Store;
use crate::subject::Bare;

/// Bytes of a record beside its payload.
pub(crate) const OVERHEAD: usize = 28;

/// Makes the store for a bare loop in `dir`.
pub(crate) fn open(dir: &Path, bare: Bare) -> Result<Box<dyn Store>> {
    let path = dir.join("bare");
    Ok(match bare {
        Bare::Write => Box::new(files::Growing::create(&path, false)?),
        Bare::WriteSync => Box::new(files::Growing::create(&path, true)?),
        Bare::Prewritten => Box::new(files::Prewritten::create(&path)?),
        Bare::Buffered => Box::new(files::Shared::create(&path, 64 << 10)?),
        Bare::Mutex => Box::new(files::Shared::create(&path, 0)?),
        Bare::Blocks => Box::new(blocks::Blocks::create(&path, false)?),
        Bare::Direct => Box::new(blocks::Blocks::create(&path, true)?),
        Bare::Rotating => Box::new(blocks::Rotating::create(path, 64 << 20, blocks::KEPT)),
        Bare::Mapping => Box::new(mapping::Mapping::create(&path)?),
        Bare::Group => Box::new(group::Group::create(&path, false)?),
        Bare::GroupPrewritten => Box::new(group::Group::create(&path, true)?),
    })
}

/// A record of the format, encoded at the end of `out`.
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
pub(crate) fn encode(out: &mut Vec<u8>, seq: u64, payload: &[u8]) {
    let start = out.len();
    let size = (payload.len() as u64).to_be_bytes();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&size);
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(out.get(start + 4..).unwrap_or_default());
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
    out.extend_from_slice(&size);
}

/// Bytes that no codec makes smaller, the same in every run.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bare_loops_write_is_what_walden_reads() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for seq in 1..=3 {
            encode(&mut bytes, seq, &noise(100));
        }
        assert_eq!(bytes.len(), 3 * (100 + OVERHEAD));
        std::fs::write(dir.path().join("segment-0000.wal"), &bytes).unwrap();
        let wal = walden::Wal::open(dir.path(), walden::Config::durable()).unwrap();
        assert_eq!(wal.next_seq(), 4);
        assert_eq!(wal.get(3).unwrap().unwrap().payload, noise(100));
        wal.close().unwrap();
    }

    #[test]
    fn the_rotating_loop_removes_what_is_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let (each, kept) = (64 << 10, 256 << 10);
        let store = blocks::Rotating::create(dir.path().join("bare"), each, kept);
        let mut worker = store.worker().unwrap();
        // A file holds one of these, and not two.
        let payload = noise(33 << 10);
        for _ in 0..7 {
            worker.append(&payload).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["bare.3", "bare.4", "bare.5", "bare.6"]);
    }

    #[test]
    fn every_bare_store_takes_appends_and_batches() {
        for bare in [
            Bare::Write,
            Bare::WriteSync,
            Bare::Prewritten,
            Bare::Buffered,
            Bare::Mutex,
            Bare::Mapping,
            Bare::Group,
            Bare::GroupPrewritten,
            Bare::Blocks,
            Bare::Direct,
            Bare::Rotating,
        ] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path(), bare).unwrap();
            let mut worker = store.worker().unwrap();
            let payload = noise(1000);
            worker.append(&payload).unwrap();
            worker.append_batch(&[&payload, &payload]).unwrap();
            drop(worker);
            store.finish().unwrap();
            let len = std::fs::metadata(dir.path().join("bare")).unwrap().len();
            assert!(len >= 3000, "{bare:?} left {len} bytes");
        }
    }
}
