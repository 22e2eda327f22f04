//! `walden dictionary`: what small entries are compressed with.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use walden::offline::{DictionaryReport, dictionaries, prune_dictionaries, train_dictionary};

use super::offline::{follow, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Train, list and remove dictionaries: what small entries are compressed with
///
/// A dictionary holds what the log's entries have in common. Zstandard then makes even single small entries several
/// times smaller. Records name the dictionary that they need, so a log may have several.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden dictionary train log                 what is written by Zstandard from now on uses it\n  \
     walden compress log --dictionary            and what is there\n  \
     walden dictionary list log                  with the number of records that need each\n  \
     walden dictionary prune log                 remove those that no record needs\n",
    exit_codes!()
))]
pub(crate) struct Dictionary {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train one from entries all over the log, which nobody writes
    Train {
        /// The log's folder
        dir: PathBuf,
        /// How large it may get: from 1KiB to 1MiB
        #[arg(long, value_parser = size::parse_size, default_value = "110KiB")]
        size: u64,
    },
    /// Show all, also beside a writer
    List {
        /// The log's folder
        dir: PathBuf,
    },
    /// Remove those that no record of the log needs, but for the newest
    Prune {
        /// The log's folder
        dir: PathBuf,
    },
}

impl Dictionary {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        match self.action {
            Action::Train { dir, size } => train(context, &dir, size),
            Action::List { dir } => list(context, &dir),
            Action::Prune { dir } => prune(context, &dir),
        }
    }
}

fn train(context: &Context, dir: &Path, most: u64) -> Result<Code, Failure> {
    if !(1 << 10..=1 << 20).contains(&most) {
        return Err(Failure::usage("--size is from 1KiB to 1MiB"));
    }
    let target = target(context, dir)?;
    let bar = context.out.progress("reading", None);
    let trained = train_dictionary(&target, most, &mut follow(&bar))?;
    bar.finish_and_clear();
    let made = &trained.dictionary;
    let value = json!({
        "id": made.id,
        "number": made.number,
        "bytes": made.bytes,
        "path": made.path.to_string_lossy(),
        "samples": trained.samples,
        "sampled_bytes": trained.sampled_bytes,
    });
    let text = format!(
        "dictionary {} of {}, trained from {} entries ({}), in {}",
        made.id,
        size::bytes(made.bytes),
        size::count(trained.samples),
        size::bytes(trained.sampled_bytes),
        crate::output::escaped(&made.path.display().to_string())
    );
    context.out.result(&value, text)?;
    Ok(Code::Fine)
}

fn list(context: &Context, dir: &Path) -> Result<Code, Failure> {
    let target = target(context, dir)?;
    let bar = context.out.progress("reading", Some(0));
    let reports = dictionaries(&target, &mut follow(&bar))?;
    bar.finish_and_clear();
    let newest = reports.iter().filter_map(|report| Some((report.number?, report.id))).max();
    let is_newest = |report: &DictionaryReport| newest.is_some_and(|(_, id)| id == report.id);
    let value = |report: &DictionaryReport| {
        json!({
            "id": report.id,
            "number": report.number,
            "bytes": report.bytes,
            "path": report.path.to_string_lossy(),
            "records": report.records,
            "first_seq": report.first_seq,
            "newest": is_newest(report),
            "problem": report.problem.as_ref().map(ToString::to_string),
        })
    };
    let values: Vec<Value> = reports.iter().map(value).collect();
    let row = |report: &DictionaryReport| {
        let state = match &report.problem {
            Some(error) if error.kind() == walden::ErrorKind::MissingDictionary => "missing",
            Some(error) if error.kind() == walden::ErrorKind::Unsupported => "newer version",
            Some(_) => "unsound",
            None if is_newest(report) => "written with",
            None => "",
        };
        let bytes = report.bytes.map_or_else(String::new, size::bytes);
        vec![report.id.to_string(), bytes, size::count(report.records), state.to_owned()]
    };
    let text = match reports.is_empty() {
        true => "no dictionaries".to_owned(),
        false => {
            let rows = reports.iter().map(row).collect();
            context.out.table(&["Dictionary", "Size", "Records", "State"], rows)
        }
    };
    context.out.result(&json!({ "dictionaries": values }), text)?;
    let damaged = reports.iter().any(|report| {
        let wrong = |error: &walden::Error| error.kind() != walden::ErrorKind::Unsupported;
        report.problem.as_ref().is_some_and(wrong) && report.records > 0
    });
    Ok(if damaged { Code::Damage } else { Code::Fine })
}

fn prune(context: &Context, dir: &Path) -> Result<Code, Failure> {
    let target = target(context, dir)?;
    let bar = context.out.progress("reading", Some(0));
    let pruned = prune_dictionaries(&target, &mut follow(&bar))?;
    bar.finish_and_clear();
    let removed: Vec<_> = pruned.removed.iter().map(|path| path.to_string_lossy()).collect();
    let value = json!({ "removed": removed, "kept": pruned.kept });
    let mut text = format!(
        "removed {}, kept {}",
        size::count(pruned.removed.len() as u64),
        size::count(pruned.kept)
    );
    for path in &removed {
        text.push_str(&format!("\n  {}", crate::output::escaped(path)));
    }
    context.out.result(&value, text)?;
    Ok(Code::Fine)
}
