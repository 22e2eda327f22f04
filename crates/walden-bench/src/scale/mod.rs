//! How much there can be of something: many logs in a process, many followers of a log, a log of a hundred GiB.
//!
//! Each is measured in a process of its own, as memory that was used once stays with a process. What comes out is a
//! few lines for `docs/scale.md`, not a ratio beside something else.

mod followers;
mod logs;
mod sparse;

use std::path::PathBuf;

use clap::Subcommand;

use crate::figures::{Figures, Latencies, Result};

#[derive(Debug, Subcommand)]
pub(crate) enum Scale {
    /// Many logs in one process: memory, descriptors, threads; an entry durable in each.
    Logs {
        /// How many.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        /// Without a thread of each log's own: the application calls `tick`.
        #[arg(long)]
        manual: bool,
        /// A folder on the disk to be measured; a temporary one is made in it.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Many followers of one log, each a thread that sleeps until there is something for it.
    Followers {
        /// How many.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
        count: u32,
        /// A folder on the disk to be measured; a temporary one is made in it.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// A log of many GiB whose payloads are zeros that take no room on disk: opening, looking up, memory.
    Sparse {
        /// How much.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1024))]
        gib: u64,
        /// A folder on a filesystem with holes (ext4, XFS, Btrfs); a temporary one is made in it.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
        /// Only make the log in this folder.
        #[arg(long, hide = true)]
        make: bool,
        /// Only measure the one that is in this folder.
        #[arg(long, hide = true, conflicts_with = "make")]
        look: bool,
    },
}

/// Measures, and says what came out as a Markdown table.
pub(crate) fn run(scale: &Scale) -> Result<String> {
    match scale {
        Scale::Logs { count, manual, dir } => logs::run(*count, *manual, dir),
        Scale::Followers { count, dir } => followers::run(*count, dir),
        Scale::Sparse { gib, dir, make: true, .. } => {
            sparse::make(dir, *gib).map(|()| String::new())
        }
        Scale::Sparse { dir, look: true, .. } => sparse::look(dir),
        Scale::Sparse { gib, dir, .. } => sparse::run(dir, *gib),
    }
}

/// Rows of two columns.
fn table(what: &str, rows: &[(&str, String)]) -> String {
    let mut page = format!("| {what} | |\n| --- | --- |\n");
    for (name, value) in rows {
        page.push_str(&format!("| {name} | {value} |\n"));
    }
    page
}

/// The median and the 99th percentile, in microseconds.
fn percentiles(latencies: &Latencies) -> (f64, f64) {
    let mut figures = Figures::new();
    latencies.add_to(&mut figures);
    let of = |name| figures.get(name).copied().unwrap_or_default();
    (of("p50_us"), of("p99_us"))
}
