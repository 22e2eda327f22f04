//! `walden adopt`: takes a log as it is.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use walden::offline::adopt;

use super::offline::{ROWS, follow, holds, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Accept that the first segments of a log are missing, or take over a log of the Go library
///
/// Says which seq ids and files are missing. If they can be put back, do that instead. A log of hungpdn/wal
/// is taken over by the first opening, too.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden adopt log\n",
    exit_codes!()
))]
pub(crate) struct Adopt {
    /// The log's folder
    dir: PathBuf,
}

impl Adopt {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let target = target(context, &self.dir)?;
        let bar = context.out.progress("reading", Some(0));
        let adopted = adopt(&target, &mut follow(&bar))?;
        bar.finish_and_clear();
        let files: Vec<_> = adopted.missing_files.iter().map(|p| p.display().to_string()).collect();
        let value = json!({
            "foreign": adopted.foreign,
            "first_missing": adopted.missing.map(|(first, _)| first),
            "last_missing": adopted.missing.map(|(_, last)| last),
            "missing_files": files,
            "first_seq": adopted.first_seq,
            "next_seq": adopted.next_seq,
        });
        let mut text = String::new();
        if adopted.foreign {
            text.push_str("took over a log of the Go library\n");
        }
        if let Some((first, last)) = adopted.missing {
            text.push_str(&format!("missing in front: seq ids {first}..={last}\n"));
        }
        for file in files.iter().take(ROWS) {
            text.push_str(&format!("  {}\n", crate::output::escaped(file)));
        }
        if let Some(more) = files.len().checked_sub(ROWS).filter(|more| *more > 0) {
            text.push_str(&format!("  and {} more\n", size::count(more as u64)));
        }
        text.push_str(&format!("the log: {}", holds(adopted.first_seq, adopted.next_seq)));
        context.out.result(&value, text)?;
        Ok(Code::Fine)
    }
}
