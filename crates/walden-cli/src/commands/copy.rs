//! `walden copy`: a consistent copy, beside a writer too.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use walden::offline::copy;

use super::offline::{follow, holds, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Copy a log to another folder, beside its writer too
///
/// The copy opens cleanly and holds every entry that was durable when copying began; a plain `cp` of a log that
/// is being written may be refused. Everything is synced before this ends; what it leaves when it is
/// ended before, is no log: remove the folder, and copy again. A damaged log is refused: `cp -a` keeps it as
/// it is, while nothing writes.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden copy log backup/log-today\n",
    exit_codes!()
))]
pub(crate) struct Copy {
    /// The log's folder
    dir: PathBuf,

    /// Where to write to: an empty folder, or none yet
    out: PathBuf,
}

impl Copy {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let target = target(context, &self.dir)?;
        let bar = context.out.progress("copying", None);
        let copied = copy(&target, &self.out, &mut follow(&bar))?;
        bar.finish_and_clear();
        let value = json!({
            "dir": copied.dir.to_string_lossy(),
            "first_seq": copied.first_seq,
            "next_seq": copied.next_seq,
            "segments": copied.segments,
            "bytes": copied.bytes,
            "retries": copied.retries,
        });
        let text = format!(
            "copied {} segments ({}) to {}: {}",
            size::count(copied.segments),
            size::bytes(copied.bytes),
            crate::output::escaped(&copied.dir.display().to_string()),
            holds(copied.first_seq, copied.next_seq)
        );
        context.out.result(&value, text)?;
        Ok(Code::Fine)
    }
}
