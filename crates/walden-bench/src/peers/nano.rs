//! nano-wal: one log, one time window.

use std::path::Path;
use std::time::Duration;

use nano_wal::{Wal, WalOptions, WriteEntry};

use super::Facts;
use crate::figures::Result;
use crate::store::{Store, Worker};

/// The time of every record: segments are made by time, and a new one is not what is measured.
const NOW_MS: i64 = 1_700_000_000_000;
/// More would be more pieces than one `writev` takes (1024, five for each record).
const MOST_AT_ONCE: usize = 204;

pub(super) struct NanoWal {
    log: Wal,
    durable: bool,
}

impl NanoWal {
    pub(super) fn open(dir: &Path, durable: bool) -> Result<Self> {
        let options = WalOptions {
            retention: Duration::from_secs(3600),
            segment_duration: Duration::from_secs(3600),
        };
        let log = Wal::new(dir, "log", options)?;
        // Two first appends at once each make the segment, and one removes what the other writes to.
        log.ensure_segment(NOW_MS)?;
        Ok(Self { log, durable })
    }
}

impl Store for NanoWal {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(NanoWorker(self)))
    }
}

struct NanoWorker<'a>(&'a NanoWal);

impl Worker for NanoWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.0.log.append(None, payload, NOW_MS, self.0.durable)?;
        Ok(())
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        for some in entries.chunks(MOST_AT_ONCE) {
            let some: Vec<_> =
                some.iter().map(|content| WriteEntry { header: None, content }).collect();
            self.0.log.append_batch(&some, NOW_MS, self.0.durable)?;
        }
        Ok(())
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        name: "nano-wal".into(),
        version: "1.0.0".into(),
        kernel: Some("`append(.., durable: false)`: `writev`, src/wal.rs:201".into()),
        durable: Some(
            "`append(.., durable: true)`: `fdatasync` under the segment's mutex, src/wal.rs:210"
                .into(),
        ),
        checksum: "**none**".into(),
        notes: "the folder is never synced; the segment is made beforehand here, since two first \
                appends at once lose all"
            .into(),
    }
}
