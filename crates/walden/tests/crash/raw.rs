//! Reads a log's files by itself, from the format's description alone: the library is not asked.

use walden_sim::SimDisk;

use crate::harness::DIR;

/// All entries from `first` on, checked for checksum, footer and sequence across all segments.
pub(crate) fn entries(disk: &SimDisk, first: u64) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with(DIR) && path.extension().is_some_and(|e| e == "wal"))
        .collect();
    files.sort();
    let mut out = Vec::new();
    let mut expected = None;
    for path in files {
        let bytes = disk.read_file(&path).unwrap();
        let mut at = 0;
        while at + 28 <= bytes.len() {
            if bytes[at..at + 20].iter().all(|byte| *byte == 0) {
                break;
            }
            let size = be64(&bytes[at + 4..]);
            let seq = be64(&bytes[at + 12..]);
            let len = usize::try_from(size & ((1 << 48) - 1)).unwrap();
            let end = at + 28 + len;
            let crc = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert!(end <= bytes.len(), "{} at {at}: too long", path.display());
            assert_eq!(crc32c::crc32c(&bytes[at + 4..end - 8]), crc, "{} at {at}", path.display());
            assert_eq!(be64(&bytes[end - 8..]), size, "{} at {at}", path.display());
            assert_eq!(seq, *expected.get_or_insert(seq), "{} at {at}", path.display());
            let payload = &bytes[at + 20..end - 8];
            let payloads = if size & 1 << 59 == 0 { vec![payload] } else { packed(payload) };
            for (payload, seq) in payloads.iter().zip(seq..) {
                if seq >= first {
                    out.push(payload.to_vec());
                }
            }
            expected = Some(seq + payloads.len() as u64);
            at = end;
        }
        assert!(bytes[at..].iter().all(|byte| *byte == 0), "{} behind {at}", path.display());
    }
    out
}

fn packed(stored: &[u8]) -> Vec<&[u8]> {
    let be32 = |at: usize| u32::from_be_bytes(stored[at..at + 4].try_into().unwrap()) as usize;
    let count = be32(0);
    let begin = 4 + 4 * count;
    let mut from = begin;
    (0..count)
        .map(|i| {
            let to = begin + be32(4 + 4 * i);
            let entry = &stored[from..to];
            from = to;
            entry
        })
        .collect()
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}
