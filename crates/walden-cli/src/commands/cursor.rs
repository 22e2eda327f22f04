//! `walden cursor`: how far a log's consumers have come.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use walden::offline::{CursorReport, cursors};
use walden::{Config, LogReader, Start, Wal};

use super::offline::target;
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// List, set and remove cursors: named positions of a log's consumers
///
/// Retention removes no entry that a cursor has not passed.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden cursor list log                   also beside a writer, as far as it has written them\n  \
     walden cursor set log mailer --first     make one, or move it: back to the first entry\n  \
     walden cursor set log mailer --at 4711   entry 4711 comes next\n  \
     walden cursor remove log mailer          retention doesn't wait for it any more\n",
    exit_codes!()
))]
pub(crate) struct Cursor {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all: position, and how far that is from the end
    List {
        /// The log's folder
        dir: PathBuf,
    },
    /// Make a cursor, or move it
    Set {
        /// The log's folder
        dir: PathBuf,
        /// The cursor's name
        #[arg(value_parser = parse_name)]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a cursor
    Remove {
        /// The log's folder
        dir: PathBuf,
        /// The cursor's name
        #[arg(required_unless_present = "unreadable", value_parser = parse_name)]
        name: Option<String>,
        /// Those that are damaged and cannot be read
        #[arg(long, conflicts_with = "name")]
        unreadable: bool,
    },
}

#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// SEQ comes next
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    at: Option<u64>,

    /// The first entry comes next
    #[arg(long)]
    first: bool,

    /// What is appended from now on comes next
    #[arg(long)]
    end: bool,
}

pub(super) fn parse_name(text: &str) -> Result<String, String> {
    walden::Cursor::check_name(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl Cursor {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        match self.action {
            Action::List { dir } => list(context, &dir),
            Action::Set { dir, name, place } => set(context, &dir, &name, place),
            Action::Remove { dir, name, .. } => remove(context, &dir, name.as_deref()),
        }
    }
}

fn list(context: &Context, dir: &Path) -> Result<Code, Failure> {
    let log = context.reader(dir)?;
    let reports = cursors(&target(context, dir)?)?;
    let (first, next) = (log.first_seq(), log.next_seq());
    let lag = |report: &CursorReport| next.saturating_sub(report.position.max(first));
    let value = |report: &CursorReport| {
        json!({
            "name": report.name,
            "position": report.position,
            "lag": lag(report),
            "keeps_from": report.keeps_from,
            "problem": report.problem.map(|kind| format!("{kind:?}")),
            "what": report.what,
        })
    };
    let values: Vec<Value> = reports.iter().map(value).collect();
    let text = if reports.is_empty() {
        "no cursors".to_owned()
    } else {
        let rows = reports.iter().map(|report| row(report, lag(report))).collect();
        context.out.table(&["Cursor", "Next", "Behind", "State"], rows)
    };
    let value = json!({ "cursors": values, "first_seq": first, "next_seq": next });
    context.out.result(&value, text)?;
    let damaged = reports.iter().any(|report| report.what.is_some());
    Ok(if damaged { Code::Damage } else { Code::Fine })
}

fn row(report: &CursorReport, lag: u64) -> Vec<String> {
    let state = match (&report.what, report.problem) {
        (Some(what), _) => what.clone(),
        (None, Some(kind)) => format!("{kind:?}").to_lowercase(),
        (None, None) => "good".to_owned(),
    };
    let name = if report.what.is_some() { "?" } else { &report.name };
    vec![name.to_owned(), report.position.to_string(), size::count(lag), state]
}

/// Opens a log that is there for writing.
fn open(context: &Context, dir: &Path) -> Result<Wal, Failure> {
    let prefix = context.prefix(dir)?;
    // Opening for writing makes a log where there is none; this must not.
    LogReader::open_prefix(dir, &prefix)?;
    Ok(Wal::open(dir, Config::durable().segment_prefix(prefix))?)
}

fn set(context: &Context, dir: &Path, name: &str, place: Place) -> Result<Code, Failure> {
    let log = open(context, dir)?;
    let position = match place {
        Place { at: Some(position), .. } => position,
        Place { first: true, .. } => log.first_seq(),
        _ => log.durable_seq() + 1,
    };
    let made = log.cursors()?.iter().all(|cursor| cursor.name != name);
    let cursor = log.cursor(name, Start::At(position))?;
    cursor.seek(position)?;
    log.close()?;
    let done = if made { "made" } else { "moved" };
    let value = json!({ "name": name, "position": position, "made": made });
    context.out.result(&value, format!("{name} {done}: {position} comes next"))?;
    Ok(Code::Fine)
}

fn remove(context: &Context, dir: &Path, name: Option<&str>) -> Result<Code, Failure> {
    let log = open(context, dir)?;
    let removed = match name {
        Some(name) => u64::from(log.remove_cursor(name)?),
        None => log.remove_unreadable_cursors()?,
    };
    log.close()?;
    if let (Some(name), 0) = (name, removed) {
        let what = format!("there is no cursor {name:?}");
        let failure = Failure::new(walden::ErrorKind::NotFound, what).path(dir);
        return Err(failure.advice("`walden cursor list` shows those that there are"));
    }
    let text = match name {
        Some(name) => format!("{name} removed"),
        None => format!("{} removed", size::count(removed)),
    };
    context.out.result(&json!({ "removed": removed }), text)?;
    Ok(Code::Fine)
}
