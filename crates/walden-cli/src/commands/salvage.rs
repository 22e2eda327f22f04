//! `walden salvage`: saves what is sound.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use walden::offline::salvage;

use super::offline::{follow, seqs, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Save what is sound of a damaged log to another folder
///
/// One log for each run of entries without a gap, OUT/run-FIRST, with the same seq ids, and OUT/gaps.json with
/// what is missing. The damaged log is not touched. What is left when it is ended before its end, are no logs: remove OUT, and
/// begin anew.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden salvage log saved\n  \
     walden cat saved/run-1\n  \
     jq . saved/gaps.json\n",
    exit_codes!()
))]
pub(crate) struct Salvage {
    /// The log's folder
    dir: PathBuf,

    /// Where to write to: an empty folder, or none yet
    out: PathBuf,
}

impl Salvage {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let target = target(context, &self.dir)?;
        let bar = context.out.progress("reading", Some(0));
        let saved = salvage(&target, &self.out, &mut follow(&bar))?;
        bar.finish_and_clear();
        let runs: Vec<_> = saved
            .runs
            .iter()
            .map(|run| {
                json!({
                    "dir": run.dir.to_string_lossy(),
                    "first_seq": run.first_seq,
                    "next_seq": run.next_seq,
                    "bytes": run.bytes,
                })
            })
            .collect();
        let gaps: Vec<_> = saved
            .gaps
            .iter()
            .map(|gap| {
                json!({
                    "first": gap.first,
                    "last": gap.last,
                    "file": gap.file.to_string_lossy(),
                    "offset": gap.offset,
                    "reason": gap.reason,
                })
            })
            .collect();
        let rows = saved
            .runs
            .iter()
            .map(|run| {
                let last = run.next_seq.saturating_sub(1);
                vec![
                    run.dir.display().to_string(),
                    seqs(Some(run.first_seq), Some(last)),
                    size::bytes(run.bytes),
                ]
            })
            .collect();
        let mut text = context.out.table(&["Log", "Seq ids", "Size"], rows);
        if !saved.gaps.is_empty() {
            let rows = saved
                .gaps
                .iter()
                .map(|gap| {
                    let last = gap.last.map_or_else(|| "?".to_owned(), |last| last.to_string());
                    let ids = format!("{}..={last}", gap.first);
                    let file = gap.file.display().to_string();
                    vec![ids, file, gap.offset.to_string(), gap.reason.clone()]
                })
                .collect();
            text.push_str("\n\n");
            text.push_str(&context.out.table(&["Missing", "File", "Byte", "Why"], rows));
        }
        context.out.result(&json!({ "runs": runs, "gaps": gaps }), text)?;
        Ok(Code::Fine)
    }
}
