//! What a log under test is set to, and where it lies.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use walden::{Config, Engine, SyncStrategy};

/// When an append returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Strategy {
    Background,
    OsCache,
    Always,
}

impl Strategy {
    pub(crate) const ALL: [Self; 3] = [Self::Background, Self::OsCache, Self::Always];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::OsCache => "os-cache",
            Self::Always => "always",
        }
    }
}

/// How records come into the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Files {
    Os,
    Mmap,
}

impl Files {
    pub(crate) const ALL: [Self; 2] = [Self::Os, Self::Mmap];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Mmap => "mmap",
        }
    }
}

/// Where a log lies and how it is opened.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Setup {
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long, value_enum)]
    pub(crate) strategy: Strategy,
    #[arg(long, value_enum)]
    pub(crate) engine: Files,
}

/// Bytes that a log under test collects before it writes them.
pub(crate) const BUFFER: u64 = 8 << 10;

/// How long what was appended may wait to be written, and then to be synced.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);

impl Setup {
    /// Small segments and a short interval, so that rotation, sealing and marks come often.
    pub(crate) fn config(&self) -> Config {
        Config::durable()
            .sync_strategy(match self.strategy {
                Strategy::Background => SyncStrategy::Background,
                Strategy::OsCache => SyncStrategy::OsCache,
                Strategy::Always => SyncStrategy::Always,
            })
            .engine(match self.engine {
                Files::Os => Engine::Os,
                Files::Mmap => Engine::Mmap,
            })
            .segment_size(64 << 10)
            .buffer_size(BUFFER)
            .sync_interval(INTERVAL)
    }

    /// As arguments of a child.
    pub(crate) fn args(&self) -> Vec<String> {
        vec![
            format!("--dir={}", self.dir.display()),
            format!("--strategy={}", self.strategy.name()),
            format!("--engine={}", self.engine.name()),
        ]
    }
}
