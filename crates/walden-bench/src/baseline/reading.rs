//! Bare readers.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{OVERHEAD, encode, noise};
use crate::figures::{Figures, Result};
use crate::work::clock::{Repeat, evict};

/// Reads `records` records back, 256 KiB a `pread`, every checksum verified.
pub(crate) fn read(
    dir: &Path,
    seconds: f64,
    records: u64,
    payload: usize,
    cold: bool,
) -> Result<Figures> {
    let path = dir.join("bare-read");
    write_file(&path, records, payload)?;
    let len = OVERHEAD + payload;
    let mut window = vec![0; ((256 << 10) / len).max(1) * len];
    let mut repeat = Repeat::new(seconds);
    while repeat.again() {
        if cold {
            evict(&path)?;
        }
        repeat.time(|| {
            let file = File::open(&path)?;
            let (mut at, mut count) = (0, 0);
            loop {
                let got = file.read_at(&mut window, at)?;
                if got < len {
                    return Ok(count);
                }
                let whole = got - got % len;
                for record in window.get(..whole).unwrap_or_default().chunks_exact(len) {
                    count += u64::from(is_sound(record));
                }
                at += whole as u64;
            }
        })?;
    }
    if repeat.last() != records {
        return Err(format!("{} of {records} records read", repeat.last()).into());
    }
    Ok(repeat.figures(payload))
}

fn write_file(path: &Path, records: u64, payload: usize) -> Result<()> {
    let payload = noise(payload);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut record = Vec::new();
    for seq in 1..=records {
        record.clear();
        encode(&mut record, seq, &payload);
        out.write_all(&record)?;
    }
    Ok(out.into_inner()?.sync_all()?)
}

#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
fn is_sound(record: &[u8]) -> bool {
    let body = record.get(4..record.len() - 8).unwrap_or_default();
    record.first_chunk().is_some_and(|crc| u32::from_be_bytes(*crc) == crc32c::crc32c(body))
}

/// Copies and checksums payloads from one buffer of 64 MiB to another place, as memory allows.
pub(crate) fn copy_and_sum(seconds: f64, payload: usize) -> Result<Figures> {
    let source = noise(64 << 20);
    let mut place = vec![0; payload];
    let mut repeat = Repeat::new(seconds);
    while repeat.again() {
        repeat.time(|| {
            let mut count = 0;
            for bytes in source.chunks_exact(payload) {
                place.copy_from_slice(bytes);
                black_box(crc32c::crc32c(&place));
                count += 1;
            }
            Ok(count)
        })?;
    }
    Ok(repeat.figures(payload))
}
