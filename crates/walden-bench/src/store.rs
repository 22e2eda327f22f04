//! What appends go to, as the drivers see it.

use std::path::Path;

use crate::figures::{Figures, Result};
use crate::subject::{self, Strategy};
use crate::{baseline, peers};

/// A log of any kind, fresh.
pub(crate) trait Store: Sync {
    /// What one thread appends with.
    fn worker(&self) -> Result<Box<dyn Worker + '_>>;

    /// Makes all that was appended durable.
    fn finish(&self) -> Result<()> {
        Ok(())
    }

    /// What the store has counted itself.
    fn figures(&self) -> Figures {
        Figures::new()
    }
}

/// One thread's way in.
pub(crate) trait Worker {
    fn append(&mut self, payload: &[u8]) -> Result<()>;
    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()>;
}

/// Makes a fresh store in `dir`.
pub(crate) fn open(dir: &Path, store: &subject::Store) -> Result<Box<dyn Store>> {
    match store {
        subject::Store::Walden(settings) => {
            Ok(Box::new(WaldenStore { wal: open_walden(dir, settings)? }))
        }
        subject::Store::Bare(bare) => baseline::open(dir, *bare),
        subject::Store::Peer { peer, durable } => peers::open(dir, *peer, *durable),
    }
}

/// The configuration that `settings` stands for.
pub(crate) fn config(settings: &subject::Walden) -> walden::Config {
    let mut config = match settings.strategy {
        Strategy::Background => walden::Config::background(),
        Strategy::OsCache => walden::Config::os_cache(),
        Strategy::Always => walden::Config::durable(),
    };
    config = match settings.engine {
        subject::Engine::Os => config.engine(walden::Engine::Os),
        subject::Engine::Mmap => config.engine(walden::Engine::Mmap),
    };
    if let Some(mib) = settings.segment_mib {
        config = config.segment_size(mib << 20);
    }
    if let Some(mib) = settings.retain_mib {
        config = config.retention(walden::Retention::keep_all().max_bytes(mib << 20));
    }
    config
}

/// A fresh log in `dir` with these settings.
pub(crate) fn open_walden(dir: &Path, settings: &subject::Walden) -> Result<walden::Wal> {
    let wal = walden::Wal::open(dir.join("walden"), config(settings))?;
    // Or figures of the one engine would stand under the name of the other.
    if settings.engine == subject::Engine::Mmap && !wal.stats().mapped {
        return Err("records cannot be mapped on this filesystem".into());
    }
    Ok(wal)
}

struct WaldenStore {
    wal: walden::Wal,
}

impl Store for WaldenStore {
    fn worker(&self) -> Result<Box<dyn Worker + '_>> {
        Ok(Box::new(WaldenWorker(&self.wal)))
    }

    fn finish(&self) -> Result<()> {
        Ok(self.wal.sync()?)
    }

    fn figures(&self) -> Figures {
        let stats = self.wal.stats();
        [
            (crate::figures::ROTATION_WAITS, stats.rotation_waits),
            (crate::figures::BYTES, stats.bytes_appended),
            ("rotations", stats.rotations),
            ("syncs", stats.syncs),
            ("segments_expired", stats.segments_expired),
        ]
        .map(|(name, count)| (name.to_owned(), count as f64))
        .into()
    }
}

struct WaldenWorker<'a>(&'a walden::Wal);

impl Worker for WaldenWorker<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.0.append(payload)?;
        Ok(())
    }

    fn append_batch(&mut self, entries: &[&[u8]]) -> Result<()> {
        self.0.append_batch(entries)?;
        Ok(())
    }
}
