//! The proof: everything acknowledged is in the log, once and intact, and nothing else was slipped in.

use std::collections::{HashMap, HashSet};

use walden::Wal;

use super::writer::{self, Name};
use crate::exit::Failure;

/// What writers were told, over all rounds: seq id and checksum of each record.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    by_seq: HashMap<u64, u32>,
    /// Seq ids that were given twice.
    twice: Vec<u64>,
}

impl Acknowledged {
    pub(super) fn add(&mut self, seq: u64, checksum: u32) {
        if self.by_seq.insert(seq, checksum).is_some() {
            self.twice.push(seq);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.by_seq.len() as u64
    }
}

/// What a log was found to hold.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// In words; empty if all is well.
    pub(super) wrong: Vec<String>,
}

/// Reads the whole log and holds it against what was acknowledged.
///
/// # Errors
/// What reading gives.
pub(super) fn prove(
    wal: &Wal,
    lines: &[String],
    threads: u64,
    acknowledged: &Acknowledged,
) -> Result<Proof, Failure> {
    let mut proof = Proof::default();
    let mut seen = HashSet::new();
    let mut found = 0;
    let mut reader = wal.reader();
    while let Some(entry) = reader.read_next()? {
        proof.entries += 1;
        proof.bytes += entry.payload.len() as u64;
        let name = Name::of(entry.payload);
        let meant = name.and_then(|name| writer::payload(lines, name, threads));
        if meant.is_none_or(|meant| meant.as_bytes() != entry.payload) {
            proof.wrong.push(format!("entry {} is not what was appended", entry.seq));
        }
        if name.is_some_and(|name| !seen.insert(name)) {
            proof.wrong.push(format!("entry {} is there a second time", entry.seq));
        }
        match acknowledged.by_seq.get(&entry.seq) {
            Some(checksum) if *checksum == crc32c::crc32c(entry.payload) => found += 1,
            Some(_) => proof.wrong.push(format!("entry {} is not the one acknowledged", entry.seq)),
            None => {}
        }
    }
    if found < acknowledged.len() {
        let missing = acknowledged.len() - found;
        proof.wrong.push(format!("{missing} acknowledged entries are missing or altered"));
    }
    for seq in &acknowledged.twice {
        proof.wrong.push(format!("seq id {seq} was given to two acknowledged entries"));
    }
    Ok(proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(payloads: &[&str]) -> (tempfile::TempDir, Wal) {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), writer::config()).unwrap();
        for payload in payloads {
            wal.append(payload).unwrap();
        }
        (dir, wal)
    }

    fn wrong(payloads: &[&str], acknowledged: &[(u64, &str)]) -> Vec<String> {
        let (_dir, wal) = log(payloads);
        let mut acks = Acknowledged::default();
        for (seq, payload) in acknowledged {
            acks.add(*seq, crc32c::crc32c(payload.as_bytes()));
        }
        let lines = ["x".to_owned()];
        prove(&wal, &lines, 1, &acks).unwrap().wrong
    }

    #[test]
    fn a_sound_log_proves_so() {
        assert!(wrong(&["1.0.0 x", "1.0.1 x"], &[(1, "1.0.0 x")]).is_empty());
    }

    /// The proof is worth something only if it can fail.
    #[test]
    fn each_kind_of_loss_is_found() {
        for (payloads, acknowledged) in [
            (&["1.0.0 x"][..], &[(1, "1.0.0 x"), (2, "1.0.1 x")][..]),
            (&["1.0.0 x"], &[(1, "1.0.1 x")]),
            (&["1.0.0 y"], &[]),
            (&["what"], &[]),
            (&["1.0.0 x", "1.0.0 x"], &[]),
            (&["1.0.0 x"], &[(1, "1.0.0 x"), (1, "1.0.0 x")]),
        ] {
            assert!(!wrong(payloads, acknowledged).is_empty(), "{payloads:?} {acknowledged:?}");
        }
    }
}
