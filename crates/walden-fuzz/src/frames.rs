//! What comes over a network: frames of another log, or what passes for them.

use arbitrary::{Arbitrary, Unstructured};
use walden::{Frames, RecoveryMode};

use crate::logs::{self, Base, open};
use crate::pieces::{Piece, build};

#[derive(Debug, Arbitrary)]
enum Sent<'a> {
    /// As it is.
    Raw(&'a [u8]),
    /// With a head that makes some sense, and a right checksum.
    Made { own_id: bool, id: u128, seqs: (u64, u64), epochs: Vec<Epoch>, records: Vec<Piece> },
    /// What the log itself gives, with a piece changed.
    Own { from: u8, max: u16, at: u16, xor: u8, fixed: bool },
}

#[derive(Debug, Arbitrary)]
struct Epoch {
    first_seq: u8,
    own: Option<u8>,
    id: u128,
}

fn seal(bytes: &mut [u8]) {
    if bytes.len() >= 16 {
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Frames are refused or appended, as a whole; what was there stays.
///
/// # Panics
/// Where they do something else.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(base) = Base::arbitrary(&mut input) else { return };
    let made = base.made();
    let Ok(log) = open(&made.disk, RecoveryMode::TruncateTail) else { return };
    let mut entries = made.entries.clone();
    for sent in crate::list::<Sent<'_>>(&mut input) {
        let bytes = bytes_of(&sent, &log);
        let Ok(frames) = Frames::from_bytes(bytes.clone()) else { continue };
        assert_eq!(frames.to_bytes(), bytes, "the same bytes again");
        let next = log.next_seq();
        match log.append_frames(&frames) {
            Ok(new) if new.is_empty() => assert_eq!(log.next_seq(), next),
            Ok(new) => {
                assert_eq!((new.start, new.end), (next, frames.seqs().end));
                for seq in new {
                    let entry = log.get(seq).unwrap().expect("it was appended");
                    entries.push((seq, entry.payload.to_vec()));
                }
            }
            Err(error) => assert_eq!(log.next_seq(), next, "refused with nothing done: {error}"),
        }
    }
    log.close().unwrap();
    drop(log);
    let log = open(&made.disk, RecoveryMode::Strict).unwrap();
    let found = log.range(..).unwrap().map(|entry| entry.unwrap());
    let found: logs::Entries = found.map(|entry| (entry.seq, entry.payload.to_vec())).collect();
    assert!(found == entries, "after another opening there is something else");
}

fn bytes_of(sent: &Sent<'_>, log: &walden::Wal) -> Vec<u8> {
    match sent {
        Sent::Raw(bytes) => bytes.to_vec(),
        Sent::Own { from, max, at, xor, fixed } => {
            let from = log.first_seq() + u64::from(*from);
            let Ok(Some(frames)) = log.frames(from, u64::from(*max)) else { return Vec::new() };
            let mut bytes = frames.to_bytes();
            let at = usize::from(*at) % bytes.len();
            bytes[at] ^= xor;
            if *fixed {
                seal(&mut bytes);
            }
            bytes
        }
        Sent::Made { own_id, id, seqs, epochs, records } => {
            let own = log.frames(log.first_seq(), 1).ok().flatten().map(|own| own.to_bytes());
            let own_id = own_id.then(|| own.as_ref().map(|own| own[16..32].to_vec())).flatten();
            let records = build(records, seqs.0);
            let mut bytes = b"WALDENFR\x01\0\0\0\0\0\0\0".to_vec();
            bytes.extend(own_id.unwrap_or_else(|| id.to_le_bytes().to_vec()));
            bytes.extend(seqs.0.to_le_bytes());
            bytes.extend(seqs.0.wrapping_add(seqs.1 % 64).to_le_bytes());
            bytes.extend((epochs.len() as u32).to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend((records.len() as u64).to_le_bytes());
            for epoch in epochs {
                bytes.extend(u64::from(epoch.first_seq).to_le_bytes());
                let own = own.as_ref().zip(epoch.own).map(|(own, _)| own[72..88].to_vec());
                bytes.extend(own.unwrap_or_else(|| epoch.id.to_le_bytes().to_vec()));
            }
            bytes.extend(records);
            seal(&mut bytes);
            bytes
        }
    }
}
