//! A file whose calls take note that they were made, and put nothing in order: what another thread may conclude from
//! what it sees has to come from the code under test.

use std::io;
use std::time::SystemTime;

use super::File;
use crate::sync::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub(crate) struct LoomFile {
    written: AtomicBool,
    synced: AtomicBool,
}

impl LoomFile {
    pub(crate) fn is_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }
}

impl File for LoomFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, buf: &[u8], _: u64) -> io::Result<usize> {
        self.written.store(true, Ordering::Relaxed);
        Ok(buf.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.synced.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(SystemTime::UNIX_EPOCH)
    }
}
