//! `walden repair --from`: puts back what another log still has.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::json;
use walden::LogReader;
use walden::offline::{Donor, Splice, Target, repair_from, repair_from_plan};

use super::{done_json, done_text, follow};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::escaped;
use crate::size;

/// Shows what could be put back into the log `target` from `from`, and with `yes` does it.
pub(super) fn run(
    context: &Context,
    target: &Target,
    from: &OsStr,
    yes: bool,
) -> Result<Code, Failure> {
    let donor = donor(from)?;
    let bar = context.out.progress("reading", Some(0));
    if yes {
        let done = repair_from(target, &*donor, &mut follow(&bar))?;
        bar.finish_and_clear();
        context.out.result(&done_json(&done), done_text(context, &done))?;
        return Ok(if done.still_damaged { Code::Damage } else { Code::Fine });
    }
    let splices = repair_from_plan(target, &*donor, &mut follow(&bar))?;
    bar.finish_and_clear();
    let value = json!({
        "changed": false,
        "damaged": !splices.is_empty(),
        "splices": splices.iter().map(splice_json).collect::<Vec<_>>(),
    });
    let mut lines: Vec<String> = splices.iter().map(splice_text).collect();
    lines.push(match splices.is_empty() {
        true => "nothing to put back".to_owned(),
        false => context.out.on_stdout.strong("nothing was changed; --yes does it"),
    });
    context.out.result(&value, lines.join("\n"))?;
    Ok(if splices.is_empty() { Code::Fine } else { Code::Damage })
}

/// A log of this machine, or an archive.
fn donor(from: &OsStr) -> Result<Box<dyn Donor>, Failure> {
    // A path may be no text; a URL is.
    let is_url =
        |from: &&str| from.split_once("://").is_some_and(|(scheme, _)| !scheme.contains('/'));
    match from.to_str().filter(is_url) {
        Some(url) => archive(url),
        None => Ok(Box::new(LogReader::open(Path::new(from))?)),
    }
}

#[cfg(feature = "archive")]
fn archive(from: &str) -> Result<Box<dyn Donor>, Failure> {
    let reached = crate::commands::archive::Reached::plain();
    let archive = crate::commands::archive::open(from, &reached)?;
    Ok(Box::new(archive.donor()?))
}

#[cfg(not(feature = "archive"))]
fn archive(_from: &str) -> Result<Box<dyn Donor>, Failure> {
    Err(crate::commands::archive::absent())
}

fn ranges(splice: &Splice) -> String {
    let one = |(first, last): &(u64, u64)| match first == last {
        true => format!("seq id {first}"),
        false => format!("seq ids {first}..={last}"),
    };
    splice.lost.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn splice_json(splice: &Splice) -> serde_json::Value {
    json!({
        "path": splice.path.to_string_lossy(),
        "lost": splice.lost,
        "bytes": splice.bytes,
        "problem": splice.problem.as_ref().map(ToString::to_string),
    })
}

fn splice_text(splice: &Splice) -> String {
    let (path, ranges) = (escaped(&splice.path.display().to_string()), ranges(splice));
    match &splice.problem {
        None => format!("{path}: {ranges} can be put back, {}", size::bytes(splice.bytes)),
        Some(problem) => {
            format!("{path}: {ranges} cannot be put back: {}", escaped(&problem.to_string()))
        }
    }
}
