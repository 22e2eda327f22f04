//! `walden inspect`: what a log consists of.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use walden::offline::{
    CursorReport, IndexInfo, Inspection, LockInfo, ManifestInfo, PlaceInfo, SegmentReport,
    Severity, inspect, layout,
};

use super::offline::{ROWS, finding_json, findings_text, seqs, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::{escaped, escaped_bytes};
use crate::size;

/// Show what a log consists of: segments, manifest, marks, lock, cursors, quarantine
///
/// Works on a damaged log and beside a writer, and changes nothing. It reads all of the log, to know where its
/// entries end.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden inspect log\n  \
     walden inspect log --json | jq .segments\n  \
     walden inspect --layout                      the format, field by field\n",
    exit_codes!()
))]
pub(crate) struct Inspect {
    /// The log's folder
    #[arg(required_unless_present = "layout")]
    dir: Option<PathBuf>,

    /// Print offset, size and name of every field of the format
    #[arg(long)]
    layout: bool,
}

impl Inspect {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let Some(dir) = self.dir.filter(|_| !self.layout) else {
            let layout = layout();
            context.out.result(&json!({ "layout": layout }), layout.trim_end())?;
            return Ok(Code::Fine);
        };
        let target = target(context, &dir)?;
        let inspection = inspect(&target)?;
        context.out.result(&whole_json(&inspection), whole_text(context, &inspection))?;
        let damaged = inspection.manifest.is_err()
            || inspection.findings.iter().any(|finding| finding.severity == Severity::Damage);
        Ok(match (damaged, inspection.segments.is_err()) {
            (true, _) => Code::Damage,
            (false, true) => Code::Error,
            (false, false) => Code::Fine,
        })
    }
}

fn millis(time: Option<SystemTime>) -> Option<u64> {
    let since = time?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// A part, or what is wrong with it.
fn part<T>(part: &Result<T, String>, value: impl FnOnce(&T) -> Value) -> Value {
    part.as_ref().map_or_else(|problem| json!({ "problem": problem }), value)
}

fn whole_json(inspection: &Inspection) -> Value {
    json!({
        "manifest": part(&inspection.manifest, |m| m.as_ref().map_or(Value::Null, manifest_json)),
        "lock": {
            "pid": inspection.lock.pid,
            "since_ms": millis(inspection.lock.since),
            "log_id": inspection.lock.log_id.map(|id| format!("{id:032x}")),
            "lives": inspection.lock.lives,
        },
        "segments": part(&inspection.segments, |s| s.iter().map(segment_json).collect()),
        "first_seq": inspection.first_seq,
        "next_seq": inspection.next_seq,
        "findings": inspection.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "cursors": part(&inspection.cursors, |all| all.iter().map(cursor_json).collect()),
        "quarantine": part(&inspection.quarantine, |files| {
            let file = |(path, bytes): &(PathBuf, u64)| json!({ "path": path.to_string_lossy(), "bytes": bytes });
            files.iter().map(file).collect()
        }),
        "leftovers": inspection.leftovers.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>(),
        "free_space": part(&inspection.free_space, |free| json!(free)),
    })
}

fn cursor_json(cursor: &CursorReport) -> Value {
    json!({
        "name": cursor.name,
        "position": cursor.position,
        "problem": cursor.problem.map(|kind| format!("{kind:?}")),
        "what": cursor.what,
    })
}

fn cursors_text(cursors: &[CursorReport]) -> String {
    let one = |cursor: &CursorReport| match (&cursor.what, cursor.problem) {
        (Some(what), _) => what.clone(),
        (None, Some(kind)) => {
            format!(
                "{} at {} ({})",
                cursor.name,
                cursor.position,
                format!("{kind:?}").to_lowercase()
            )
        }
        (None, None) => format!("{} at {}", cursor.name, cursor.position),
    };
    let shown: Vec<String> = cursors.iter().take(ROWS).map(one).collect();
    let more = match cursors.len().saturating_sub(ROWS) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{}{more}", escaped(&shown.join(", ")))
}

fn place_json(place: PlaceInfo) -> Value {
    json!({ "ordinal": place.ordinal, "offset": place.offset, "next_seq": place.next_seq })
}

fn manifest_json(manifest: &ManifestInfo) -> Value {
    let marks = manifest.marks.iter().map(|mark| {
        json!({
            "slot": mark.slot,
            "place": place_json(mark.place),
            "counter": mark.counter,
            "generation": mark.generation,
            "believed": mark.believed,
        })
    });
    let epochs = manifest
        .epochs
        .iter()
        .map(|epoch| json!({ "first_seq": epoch.first_seq, "id": format!("{:032x}", epoch.id) }));
    let meta = manifest
        .meta
        .iter()
        .map(|(key, bytes)| json!({ "key": escaped_bytes(key), "bytes": bytes }));
    json!({
        "log_id": format!("{:032x}", manifest.log_id),
        "generation": manifest.generation,
        "first_seq": manifest.first_seq,
        "first_ordinal": manifest.first_ordinal,
        "sealed_count": manifest.sealed_count,
        "open_from": manifest.open_from,
        "active": manifest.active,
        "next_ordinal": manifest.next_ordinal,
        "lowest_next": manifest.lowest_next,
        "base": manifest.base.map(place_json),
        "cut_from": manifest.cut_from,
        "losses": manifest.losses,
        "doubt_from": manifest.doubt_from.map(place_json),
        "marks": marks.collect::<Vec<_>>(),
        "epochs": epochs.collect::<Vec<_>>(),
        "meta": meta.collect::<Vec<_>>(),
    })
}

fn index(index: IndexInfo) -> &'static str {
    match index {
        IndexInfo::Missing => "none",
        IndexInfo::Sound => "sound",
        IndexInfo::Stale => "stale",
        _ => "wrong",
    }
}

fn segment_json(segment: &SegmentReport) -> Value {
    json!({
        "ordinal": segment.ordinal,
        "path": segment.path.to_string_lossy(),
        "bytes": segment.bytes,
        "free": segment.free,
        "records": segment.records,
        "compressed": segment.compressed,
        "first_seq": segment.first_seq,
        "last_seq": segment.last_seq,
        "sealed": segment.sealed,
        "first_time_ms": millis(segment.first_time),
        "last_time_ms": millis(segment.last_time),
        "times_from_file": segment.times_from_file,
        "index": index(segment.index),
    })
}

fn whole_text(context: &Context, inspection: &Inspection) -> String {
    let paint = context.out.on_stdout;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{}: {text}", paint.strong(name)));
    match &inspection.manifest {
        Ok(Some(manifest)) => line("manifest", manifest_text(manifest)),
        Ok(None) => line("manifest", "none: a log of the Go library".to_owned()),
        Err(problem) => line("manifest", paint.bad(&escaped(problem))),
    }
    line("lock", lock_text(&inspection.lock));
    if let (Some(first), Some(next)) = (inspection.first_seq, inspection.next_seq) {
        line("entries", super::offline::holds(first, next));
    }
    match &inspection.cursors {
        Ok(cursors) if cursors.is_empty() => {}
        Ok(cursors) => line("cursors", cursors_text(cursors)),
        Err(problem) => line("cursors", paint.bad(&escaped(problem))),
    }
    match &inspection.quarantine {
        Ok(files) => {
            let bytes = files.iter().map(|(_, bytes)| bytes).sum();
            line("quarantine", format!("{} files, {}", files.len(), size::bytes(bytes)));
        }
        Err(problem) => line("quarantine", escaped(problem)),
    }
    if !inspection.leftovers.is_empty() {
        line(
            "left behind",
            format!("{} files, removed at the next opening", inspection.leftovers.len()),
        );
    }
    if let Ok(Some(free)) = inspection.free_space {
        line("free on disk", size::bytes(free));
    }
    let segments = inspection.segments.as_deref().unwrap_or_default();
    let compressed: u64 = segments.iter().map(|segment| segment.compressed).sum();
    if compressed > 0 {
        let all: u64 = segments.iter().map(|segment| segment.records).sum();
        line("compressed", format!("{compressed} of {all} records"));
    }
    match &inspection.segments {
        Ok(segments) => lines.push(segments_text(context, segments)),
        Err(problem) => line("segments", paint.bad(&escaped(problem))),
    }
    let findings = findings_text(context, &inspection.findings);
    if !findings.is_empty() {
        lines.push(findings);
    }
    lines.join("\n")
}

fn place(place: PlaceInfo) -> String {
    format!("segment {} byte {} seq id {}", place.ordinal, place.offset, place.next_seq)
}

/// When the last entry was appended, in UTC; a `~` where only the file's own time is known.
fn when(segment: &SegmentReport) -> String {
    let mut text = if segment.times_from_file { "~".to_owned() } else { String::new() };
    let Some(time) = segment.last_time else { return String::new() };
    // Behind the year 9999, which only a strange clock writes, it cannot be put so.
    match write!(text, "{}", humantime::format_rfc3339_seconds(time)) {
        Ok(()) => text,
        Err(_) => "behind the year 9999".to_owned(),
    }
}

/// The newest epochs, each a line.
fn epochs_text(manifest: &ManifestInfo) -> String {
    let newest = manifest.epochs.iter().rev().take(5);
    newest.map(|e| format!("\n  epoch {:032x} from seq id {}", e.id, e.first_seq)).collect()
}

fn manifest_text(manifest: &ManifestInfo) -> String {
    let mut text = format!(
        "log {:032x}, generation {}, {} epochs; {} sealed segments, {} is active",
        manifest.log_id,
        manifest.generation,
        manifest.epochs.len(),
        manifest.sealed_count,
        manifest.active
    );
    text.push_str(&epochs_text(manifest));
    for mark in &manifest.marks {
        let believed = if mark.believed { "believed" } else { "not believed" };
        text.push_str(&format!("\n  mark {}: {} ({believed})", mark.counter, place(mark.place)));
    }
    if let Some(doubt) = manifest.doubt_from {
        text.push_str(&format!("\n  in doubt from {}", place(doubt)));
    }
    if let Some(seq) = manifest.cut_from {
        text.push_str(&format!("\n  a cut from seq id {seq} on is not finished"));
    }
    for (first, last) in &manifest.losses {
        text.push_str(&format!("\n  given up: seq ids {first}..={last}"));
    }
    if !manifest.meta.is_empty() {
        let keys: Vec<_> = manifest
            .meta
            .iter()
            .map(|(key, bytes)| format!("{} ({bytes} B)", escaped_bytes(key)))
            .collect();
        text.push_str(&format!("\n  metadata: {}", keys.join(", ")));
    }
    text
}

fn lock_text(lock: &LockInfo) -> String {
    let Some(pid) = lock.pid else { return "no writer has signed it".to_owned() };
    match lock.lives {
        Some(true) => format!("process {pid}, which lives"),
        Some(false) => format!("last held by process {pid}, which is gone"),
        None => format!("process {pid}"),
    }
}

fn segments_text(context: &Context, segments: &[SegmentReport]) -> String {
    let more = segments.len().saturating_sub(ROWS);
    let row = |segment: &SegmentReport| {
        let name = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let state = if segment.sealed { "sealed" } else { "open" };
        vec![
            name,
            seqs(segment.first_seq, segment.last_seq),
            size::count(segment.records),
            size::bytes(segment.bytes),
            size::bytes(segment.free),
            when(segment),
            state.to_owned(),
            index(segment.index).to_owned(),
        ]
    };
    let rows = segments.iter().skip(more).map(row).collect();
    let header = ["Segment", "Seq ids", "Records", "Size", "Free", "Last append", "State", "Index"];
    let table = context.out.table(&header, rows);
    if more == 0 {
        table
    } else {
        format!("{} older segments, and\n{table}", size::count(more as u64))
    }
}
