//! What the commands about a log at rest share: which log, how far the work is, findings as rows.

use std::path::Path;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use walden::offline::{Finding, Progress, Severity, Target};

use crate::context::Context;
use crate::exit::Failure;
use crate::size;

/// Rows of a table for a person; a program gets all.
pub(super) const ROWS: usize = 40;

/// The log in `dir`.
///
/// # Errors
/// `NotFound`, or a complaint where there are several.
pub(super) fn target(context: &Context, dir: &Path) -> Result<Target, Failure> {
    Ok(Target::on_disk(dir, &context.prefix_at_rest(dir)?))
}

/// Shows on `bar` what a long piece of work reports.
pub(super) fn follow(bar: &ProgressBar) -> impl FnMut(Progress) + '_ {
    move |progress| {
        if progress.total > 0 {
            bar.set_length(progress.total);
        }
        bar.set_position(progress.done);
        let name = progress.path.file_name().unwrap_or_default();
        bar.set_message(crate::output::escaped(&name.to_string_lossy()));
    }
}

pub(super) fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": severity(finding.severity),
        "path": finding.path.to_string_lossy(),
        "offset": finding.offset,
        "len": finding.len,
        "what": finding.what,
        "first_lost": finding.lost.map(|(first, _)| first),
        "last_lost": finding.lost.map(|(_, last)| last),
        "expected_seq": finding.expected_seq,
        "behind_in_file": finding.behind_in_file,
        "behind_in_log": finding.behind_in_log,
        "message": finding.message(),
        "next_command": finding.next_command,
    })
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Damage => "damage",
        Severity::Torn => "torn",
        Severity::InFlight => "in flight",
        _ => "note",
    }
}

/// `1..=7`, or `none`.
pub(super) fn seqs(first: Option<u64>, last: Option<u64>) -> String {
    match (first, last) {
        (Some(first), Some(last)) => format!("{first}..={last}"),
        _ => "none".to_owned(),
    }
}

/// What the log holds, in words.
pub(super) fn holds(first: u64, next: u64) -> String {
    if next > first {
        format!("seq ids {first}..={}", next - 1)
    } else {
        format!("no entries; the next seq id is {next}")
    }
}

/// Findings as lines: damage first, each with its next command.
pub(super) fn findings_text(context: &Context, findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.severity);
    for finding in sorted.iter().take(ROWS) {
        let label = severity(finding.severity);
        let paint = context.out.on_stdout;
        let label = match finding.severity {
            Severity::Damage => paint.bad(label),
            Severity::Torn => paint.strong(label),
            _ => paint.faint(label),
        };
        // The message ends in the next command: nothing may stand behind it.
        lines.push(format!("{label}: {}", crate::output::escaped(&finding.message())));
    }
    if let Some(more) = sorted.len().checked_sub(ROWS).filter(|more| *more > 0) {
        lines.push(format!("and {} more", size::count(more as u64)));
    }
    lines.join("\n")
}
