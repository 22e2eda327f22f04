//! The lock file: one writer at a time, and the log's id, so that a lost manifest is noticed.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::segment::Names;
use crate::segment::index::micros;
use crate::storage::{Clock, File, Storage, read_full, write_full};
use crate::sync::Arc;

/// More than the file ever has.
const MAX_LEN: usize = 1024;

/// Digits of a log's id.
const ID_DIGITS: usize = 32;

/// What a lock file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LockNote {
    pub(crate) pid: Option<u32>,
    /// Seconds since 1970.
    pub(crate) since: Option<u64>,
    pub(crate) log_id: Option<u128>,
}

impl LockNote {
    pub(crate) fn parse(text: &str) -> Self {
        let mut note = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("pid", value)) => note.pid = value.parse().ok(),
                Some(("since", value)) => note.since = value.parse().ok(),
                // All of it, or none: the file is written in place and not synced, so that a power cut can leave
                // a new text with the old length, and the beginning of an id would be another log's.
                Some(("log", value)) if value.len() == ID_DIGITS => {
                    note.log_id = u128::from_str_radix(value, 16).ok();
                }
                _ => {}
            }
        }
        note
    }

    fn text(&self) -> String {
        let line = |name: &str, value: Option<String>| {
            value.map_or_else(String::new, |value| format!("{name} {value}\n"))
        };
        line("pid", self.pid.map(|pid| pid.to_string()))
            + &line("since", self.since.map(|since| since.to_string()))
            + &line("log", self.log_id.map(|id| format!("{id:032x}")))
    }

    /// Reads the note of whoever holds, or last held, the lock.
    ///
    /// # Errors
    /// `Io`: that is not "no note", which would let a lost manifest pass as one that never was.
    pub(crate) fn read(file: &dyn File, path: &Path) -> Result<Self> {
        let mut bytes = vec![0; MAX_LEN];
        let got = read_full(file, &mut bytes, 0)
            .map_err(|error| Error::io("read the lock file", path, error))?;
        Ok(Self::parse(&String::from_utf8_lossy(bytes.get(..got).unwrap_or_default())))
    }
}

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: Arc<dyn File>,
    pub(crate) note: LockNote,
}

impl WriterLock {
    /// # Errors
    /// `Locked`, naming the process that holds it where that is known.
    pub(crate) fn take(storage: &dyn Storage, names: &Names) -> Result<Self> {
        let path = names.lock();
        match storage.lock(&path) {
            Ok(file) => {
                let note = LockNote::read(&*file, &path)?;
                Ok(Self { file, note })
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let holder = storage
                    .open(&path, crate::storage::Access::Read)
                    .ok()
                    .and_then(|file| LockNote::read(&*file, &path).ok()?.pid)
                    .map_or_else(|| "another writer".to_owned(), |pid| format!("process {pid}"));
                Err(Error::new(
                    ErrorKind::Locked,
                    format!("the log is open for writing by {holder}"),
                )
                .path(&path)
                .advice("one writer at a time; readers need no lock (`LogReader`)"))
            }
            Err(error) => Err(Error::io("lock the log", &path, error)),
        }
    }

    /// Notes who holds the lock, and of which log. Best effort: it is for people, and for noticing a lost
    /// manifest.
    pub(crate) fn sign(&mut self, clock: &dyn Clock, log_id: u128) {
        self.note = LockNote {
            pid: Some(std::process::id()),
            since: Some(micros(clock.now()) / 1_000_000),
            log_id: Some(log_id),
        };
        let text = self.note.text();
        if write_full(&*self.file, text.as_bytes(), 0).is_ok() {
            drop(self.file.set_len(crate::num::size(text.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let note = LockNote { pid: Some(7), since: Some(99), log_id: Some(1 << 100) };
        assert_eq!(LockNote::parse(&note.text()), note);
        assert_eq!(LockNote::parse("rubbish\npid x\n\0\0"), LockNote::default());
    }
}
