//! A decoder of segments, from the format's description alone: the library is not asked.

use std::fs;
use std::path::{Path, PathBuf};

/// What a record may hold beside its payload's length for the Go library to read it: nothing.
const LENGTH: u64 = (1 << 48) - 1;

/// The segments of a folder, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?;
            let digits = name.strip_prefix("segment-")?.strip_suffix(".wal")?;
            Some((digits.parse().ok()?, path.clone()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// All entries of a closed log: each file ends with its last record's last byte, no record has a flag,
/// and the seq ids run on without a gap.
pub(crate) fn entries(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut out: Vec<(u64, Vec<u8>)> = Vec::new();
    for path in segments(dir) {
        let bytes = fs::read(&path).unwrap();
        let place = |at: usize| format!("{} at byte {at}", path.display());
        let mut at = 0;
        while at < bytes.len() {
            assert!(at + 28 <= bytes.len(), "{}: a header is cut off", place(at));
            let size = be64(&bytes, at + 4);
            assert_eq!(size & !LENGTH, 0, "{}: a flag is set", place(at));
            let end = at + 28 + usize::try_from(size).unwrap();
            assert!(end <= bytes.len(), "{}: the record is cut off", place(at));
            let crc = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(crc32c_by_hand(&bytes[at + 4..end - 8]), crc, "{}: checksum", place(at));
            assert_eq!(be64(&bytes, end - 8), size, "{}: footer", place(at));
            let seq = be64(&bytes, at + 12);
            if let Some((before, _)) = out.last() {
                assert_eq!(seq, before + 1, "{}: sequence", place(at));
            }
            out.push((seq, bytes[at + 20..end - 8].to_vec()));
            at = end;
        }
    }
    out
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The checksum by its definition, bit by bit, so that not even the table is shared.
fn crc32c_by_hand(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256)
        .map(|byte| (0..8).fold(byte, |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))))
        .collect();
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ table[((crc ^ u32::from(*byte)) & 255) as usize];
    !bytes.iter().fold(!0, step)
}

#[test]
fn the_checksum_is_the_one_of_the_documents() {
    assert_eq!(crc32c_by_hand(b"123456789"), 0xe306_9283);
}
