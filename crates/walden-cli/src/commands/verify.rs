//! `walden verify`: reads every byte, and says what is wrong.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use walden::offline::verify;

use super::offline::{finding_json, findings_text, follow, holds, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Read every byte of a log and say what is wrong
///
/// Changes nothing, and works beside a writer: what it is about to write is told from what is damaged.
/// Each damage ends in the next command to run.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden verify log\n  \
     walden verify log --json | jq .findings\n",
    exit_codes!()
))]
pub(crate) struct Verify {
    /// The log's folder
    dir: PathBuf,
}

impl Verify {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let target = target(context, &self.dir)?;
        let bar = context.out.progress("verifying", Some(0));
        let verification = verify(&target, &mut follow(&bar))?;
        bar.finish_and_clear();
        let findings: Vec<_> = verification.findings.iter().map(finding_json).collect();
        let value = json!({
            "damaged": verification.is_damaged(),
            "segments": verification.segments,
            "bytes": verification.bytes,
            "records": verification.records,
            "first_seq": verification.first_seq,
            "next_seq": verification.next_seq,
            "writer": verification.writer,
            "findings": findings,
        });
        let mut text = findings_text(context, &verification.findings);
        if !text.is_empty() {
            text.push('\n');
        }
        let paint = context.out.on_stdout;
        let verdict =
            if verification.is_damaged() { paint.bad("damaged") } else { paint.good("sound") };
        text.push_str(&format!(
            "{verdict}: {} sound records in {} segments ({}), {}",
            size::count(verification.records),
            size::count(verification.segments),
            size::bytes(verification.bytes),
            holds(verification.first_seq, verification.next_seq)
        ));
        context.out.result(&value, text)?;
        Ok(if verification.is_damaged() { Code::Damage } else { Code::Fine })
    }
}
