//! `walden restore`: makes a log of what is archived.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;

use super::Reached;
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};

/// Make a log of what is archived: all, up to an entry, or up to a moment
///
/// In an empty folder, all of it; where there is a log of the same history, what is missing at its end. What is there
/// already is never changed or cut. Seq ids stay, so that `walden archive` goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden restore s3://bucket/log log\n  \
     walden restore /mnt/backup/log log --to-seq 4711\n  \
     walden restore /mnt/backup/log log --to-time 2026-11-26T03:00:00Z\n",
    exit_codes!()
))]
pub(crate) struct Restore {
    /// Where from: s3://bucket/prefix, gs://…, az://…, file:///folder, or a folder
    url: String,

    /// The log's folder: empty, none yet, or with a log of which the end is missing
    dir: PathBuf,

    /// The last seq id
    #[arg(long, value_name = "SEQ", conflicts_with = "to_time")]
    to_seq: Option<u64>,

    /// Nothing that was appended later; a few entries before it may be left out. UTC: 2026-11-26T03:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to_time: Option<SystemTime>,

    #[command(flatten)]
    reached: Reached,
}

fn moment(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .map_err(|_| "a moment is written as 2026-11-26T03:00:00Z".to_owned())
}

#[cfg(not(feature = "archive"))]
impl Restore {
    pub(crate) fn run(self, _context: &Context) -> Result<Code, Failure> {
        Err(super::absent())
    }
}

#[cfg(feature = "archive")]
impl Restore {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        use walden::Config;
        use walden_archive::Until;

        let archive = super::open(&self.url, &self.reached)?;
        let until = match (self.to_seq, self.to_time) {
            (Some(seq), _) => Until::Seq(seq),
            (None, Some(time)) => Until::Time(time),
            (None, None) => Until::End,
        };
        let prefix = context.prefix_or_new(&self.dir)?;
        let config = Config::durable().segment_prefix(prefix);
        let bar = context.out.progress("restoring", Some(0));
        let restored = archive.restore(&self.dir, config, until, &mut |reading| {
            bar.set_length(reading.total);
            bar.set_position(reading.done);
        })?;
        bar.finish_and_clear();
        let value = serde_json::json!({
            "dir": self.dir.to_string_lossy(),
            "first_seq": restored.first_seq,
            "next_seq": restored.next_seq,
            "new": restored.new.end - restored.new.start,
        });
        let text = format!(
            "restored {} entries to {}: {}",
            crate::size::count(restored.new.end - restored.new.start),
            crate::output::escaped(&self.dir.display().to_string()),
            crate::commands::offline::holds(restored.first_seq, restored.next_seq)
        );
        context.out.result(&value, text)?;
        Ok(Code::Fine)
    }
}
