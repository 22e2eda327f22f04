//! What is known of the log, as JSON.
//!
//! Seq ids are decimal strings: as numbers, those above 2^53 would not arrive as they are in JavaScript.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use walden::offline::{
    CursorReport, Finding, IndexInfo, LockInfo, ManifestInfo, Outline, PlaceInfo, SegmentReport,
    Severity,
};
use walden::{Error, SegmentInfo};

use super::browse::Glimpse;
use super::limits;
use crate::watch::{Check, Checked, Sample, Seen, Watch};

/// A seq id.
pub(super) fn seq(seq: u64) -> Value {
    Value::String(seq.to_string())
}

fn seqs(seqs: Option<u64>) -> Value {
    seqs.map_or(Value::Null, seq)
}

pub(super) fn millis(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn in_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn in_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn name(path: &Path) -> Value {
    json!(path.file_name().map(OsStr::to_string_lossy))
}

/// An error of the log.
pub(super) fn problem(error: &Error) -> Value {
    json!({
        "kind": format!("{:?}", error.kind()),
        "message": error.to_string(),
        "path": error.file().map(Path::to_string_lossy),
        "offset": error.offset(),
        "seq": seqs(error.seq()),
        "last_seq": seqs(error.last_seq()),
        "advice": error.what_to_do(),
    })
}

fn problems(error: Option<&Error>) -> Value {
    error.map_or(Value::Null, problem)
}

/// A part, or what is wrong with it.
fn part<T>(part: &Result<T, String>, value: impl FnOnce(&T) -> Value) -> Value {
    part.as_ref().map_or_else(|problem| json!({ "problem": problem }), value)
}

pub(super) fn status(watch: &Watch) -> Value {
    let seen = watch.seen();
    let segments = seen.segments.as_deref().unwrap_or_default();
    let outline = seen.outline.as_deref();
    let manifest = outline.and_then(|outline| outline.manifest.as_ref().ok());
    let check = watch.check();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "dir": watch.dir().to_string_lossy(),
        "prefix": watch.prefix(),
        "at_ms": millis(seen.at),
        "took_us": in_micros(seen.took),
        "problem": problems(seen.problem.as_ref()),
        "first_seq": seq(seen.first_seq),
        "next_seq": seq(seen.next_seq),
        "durable_seq": seq(seen.durable_seq),
        "entries": seq(seen.entries()),
        "in_doubt": seq(seen.in_doubt()),
        "bytes": seen.bytes(),
        "segments": segments.len(),
        "sealed": segments.iter().filter(|segment| segment.sealed).count(),
        "log_id": manifest.and_then(Option::as_ref).map(|m| format!("{:032x}", m.log_id)),
        "manifest_problem": outline.and_then(|outline| outline.manifest.as_ref().err()),
        "writer": outline.map(|outline| writer(&outline.lock)),
        "free_space": outline.map(|outline| part(&outline.free_space, |free| json!(free))),
        "cursors": outline.map(|outline| part(&outline.cursors, |all| json!(all.len()))),
        "checking": running(&check),
        "damaged": damaged(&check),
    })
}

fn writer(lock: &LockInfo) -> Value {
    json!({
        "pid": lock.pid,
        "since_ms": lock.since.and_then(millis),
        "lives": lock.lives,
    })
}

/// Whether the last check found damage; null where there was none yet.
pub(super) fn damaged(check: &Check) -> Option<bool> {
    let found = check.last.as_ref()?.found.as_ref().ok()?;
    Some(found.is_damaged())
}

fn running(check: &Check) -> Value {
    check.running.map_or(Value::Null, |(done, total)| json!({ "done": done, "total": total }))
}

/// Samples column by column.
pub(super) fn history(samples: &[Sample]) -> Value {
    let column = |of: &dyn Fn(&Sample) -> Value| -> Value { samples.iter().map(of).collect() };
    json!({
        "at_ms": column(&|sample| json!(sample.at_ms)),
        "next_seq": column(&|sample| seq(sample.next_seq)),
        "durable_seq": column(&|sample| seq(sample.durable_seq)),
        "bytes": column(&|sample| json!(sample.bytes)),
        "appended_bytes": column(&|sample| json!(sample.appended_bytes)),
        "waits_ms": column(&|sample| json!(in_millis(sample.waits))),
        "took_us": column(&|sample| json!(in_micros(sample.took))),
    })
}

pub(super) fn cursors(seen: &Seen) -> Value {
    let lag =
        |cursor: &CursorReport| seen.next_seq.saturating_sub(cursor.position.max(seen.first_seq));
    let cursor = |cursor: &CursorReport| {
        json!({
            "name": cursor.name,
            "position": seq(cursor.position),
            "lag": seq(lag(cursor)),
            "keeps_from": seqs(cursor.keeps_from),
            "problem": cursor.problem.map(|kind| format!("{kind:?}")),
            "what": cursor.what,
        })
    };
    let all = |outline: &Outline| part(&outline.cursors, |all| all.iter().map(cursor).collect());
    json!({
        "cursors": seen.outline.as_deref().map(all),
        "first_seq": seq(seen.first_seq),
        "next_seq": seq(seen.next_seq),
    })
}

/// Segments from an ordinal on; what only a check can tell, if there was one since they were sealed.
pub(super) fn segments(watch: &Watch, from: u64, limit: usize) -> Value {
    let seen = watch.seen();
    let check = watch.check();
    let verification = check.last.as_ref().and_then(|last| last.found.as_ref().ok());
    let reports = verification.map(|found| found.reports.as_slice()).unwrap_or_default();
    let mut found = Found::new();
    for finding in verification.iter().flat_map(|verification| &verification.findings) {
        let counts = found.entry(finding.path.file_name().unwrap_or_default()).or_default();
        match finding.severity {
            Severity::Damage => counts.0 += 1,
            Severity::Torn => counts.1 += 1,
            _ => {}
        }
    }
    let manifest = seen.outline.as_deref().and_then(|o| o.manifest.as_ref().ok()?.as_ref());
    let report = |ordinal: u64| {
        let at = reports.binary_search_by_key(&ordinal, |report| report.ordinal).ok()?;
        reports.get(at)
    };
    let listed: Vec<Value> = match &seen.segments {
        Ok(all) => {
            let all = all.iter().skip_while(|segment| segment.ordinal < from).take(limit + 1);
            all.map(|s| segment(s, report(s.ordinal), &found, manifest)).collect()
        }
        // Where a segment cannot be listed, what the check saw serves.
        Err(_) => {
            let all = reports.iter().skip_while(|report| report.ordinal < from).take(limit + 1);
            all.map(|report| segment(report, Some(report), &found, manifest)).collect()
        }
    };
    let next = listed.get(limit).and_then(|segment| segment.get("ordinal")).cloned();
    json!({
        "segments": listed.into_iter().take(limit).collect::<Vec<_>>(),
        "next": next,
        "problem": problems(seen.segments.as_ref().err()),
        "checked_at_ms": check.last.as_ref().and_then(|last| millis(last.at)),
    })
}

/// Damages and torn ends, by a file's name.
type Found<'a> = BTreeMap<&'a OsStr, (usize, usize)>;

/// What listing the segment would have told.
#[derive(Debug)]
struct Listed<'a> {
    ordinal: u64,
    path: &'a Path,
    bytes: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    sealed: bool,
    last_append: Option<SystemTime>,
}

impl<'a> From<&'a SegmentInfo> for Listed<'a> {
    fn from(info: &'a SegmentInfo) -> Self {
        Self {
            ordinal: info.ordinal,
            path: &info.path,
            bytes: info.bytes,
            first_seq: info.first_seq,
            last_seq: info.last_seq,
            sealed: info.sealed,
            last_append: info.last_append,
        }
    }
}

impl<'a> From<&'a SegmentReport> for Listed<'a> {
    fn from(report: &'a SegmentReport) -> Self {
        Self {
            ordinal: report.ordinal,
            path: &report.path,
            bytes: report.bytes.saturating_sub(report.free),
            first_seq: report.first_seq,
            last_seq: report.last_seq,
            sealed: report.sealed,
            last_append: report.last_time,
        }
    }
}

fn segment<'a>(
    listed: impl Into<Listed<'a>>,
    report: Option<&SegmentReport>,
    found: &Found<'_>,
    manifest: Option<&ManifestInfo>,
) -> Value {
    let listed = listed.into();
    let file = listed.path.file_name().unwrap_or_default();
    let (damage, torn) = found.get(file).copied().unwrap_or_default();
    let mark = manifest.and_then(|manifest| {
        let believed = manifest.marks.iter().find(|mark| mark.believed)?;
        (believed.place.ordinal == listed.ordinal).then_some(believed.place.offset)
    });
    json!({
        "ordinal": listed.ordinal,
        "file": name(listed.path),
        "bytes": listed.bytes,
        "first_seq": seqs(listed.first_seq),
        "last_seq": seqs(listed.last_seq),
        "sealed": listed.sealed,
        "active": manifest.is_some_and(|manifest| manifest.active == listed.ordinal),
        "mark": mark,
        "first_append_ms": report.and_then(|report| millis(report.first_time?)),
        "last_append_ms": listed.last_append.and_then(millis),
        "records": report.map(|report| report.records),
        "compressed": report.map(|report| report.compressed),
        "index": report.map(|report| index(report.index)),
        "damage": damage,
        "torn": torn,
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

pub(super) fn check(check: &Check) -> Value {
    json!({ "running": running(check), "last": check.last.as_ref().map(checked) })
}

fn checked(checked: &Checked) -> Value {
    let found = checked.found.as_ref().map(|found| {
        let count = |severity| found.findings.iter().filter(|f| f.severity == severity).count();
        let mut worst: Vec<&Finding> = found.findings.iter().collect();
        worst.sort_by_key(|finding| finding.severity);
        json!({
            "segments": found.segments,
            "bytes": found.bytes,
            "records": found.records,
            "first_seq": seq(found.first_seq),
            "next_seq": seq(found.next_seq),
            "damaged": found.is_damaged(),
            "damage": count(Severity::Damage),
            "torn": count(Severity::Torn),
            "in_flight": count(Severity::InFlight),
            "notes": count(Severity::Note),
            "findings": worst.iter().take(limits::FINDINGS).map(|f| finding(f)).collect::<Vec<_>>(),
            "left_out": worst.len().saturating_sub(limits::FINDINGS),
        })
    });
    json!({
        "at_ms": millis(checked.at),
        "took_ms": in_millis(checked.took),
        "problem": found.as_ref().err(),
        "found": found.as_ref().ok(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": match finding.severity {
            Severity::Damage => "damage",
            Severity::Torn => "torn",
            Severity::InFlight => "in flight",
            _ => "note",
        },
        "file": name(&finding.path),
        "offset": finding.offset,
        "len": finding.len,
        "what": finding.what,
        "first_lost": seqs(finding.lost.map(|(first, _)| first)),
        "last_lost": seqs(finding.lost.map(|(_, last)| last)),
        "expected_seq": seqs(finding.expected_seq),
        "message": finding.message(),
        "next_command": finding.next_command,
    })
}

/// What can be told from outside of how the log was opened and what was cut or lost.
pub(super) fn recovery(seen: &Seen) -> Value {
    let Some(outline) = seen.outline.as_deref() else {
        return json!({ "manifest": Value::Null, "lock": Value::Null, "quarantine": [] });
    };
    let file = |(path, bytes): &(PathBuf, u64)| json!({ "file": name(path), "bytes": bytes });
    json!({
        "manifest": part(&outline.manifest, |m| m.as_ref().map_or(Value::Null, manifest)),
        "lock": writer(&outline.lock),
        "quarantine": part(&outline.quarantine, |files| {
            files.iter().take(limits::LISTED).map(file).collect()
        }),
    })
}

fn place(place: PlaceInfo) -> Value {
    json!({
        "ordinal": place.ordinal,
        "offset": place.offset,
        "next_seq": seq(place.next_seq),
    })
}

fn manifest(manifest: &ManifestInfo) -> Value {
    let epochs = manifest.epochs.iter().rev().take(limits::LISTED);
    let epochs = epochs.map(
        |epoch| json!({ "first_seq": seq(epoch.first_seq), "id": format!("{:032x}", epoch.id) }),
    );
    let losses = manifest.losses.iter().take(limits::LISTED);
    let meta = manifest.meta.iter().take(limits::LISTED);
    json!({
        "log_id": format!("{:032x}", manifest.log_id),
        "generation": manifest.generation,
        "first_ordinal": manifest.first_ordinal,
        "sealed_count": manifest.sealed_count,
        "active": manifest.active,
        "lowest_next": seq(manifest.lowest_next),
        "base": manifest.base.map(place),
        "mark": manifest.marks.iter().find(|mark| mark.believed).map(|mark| place(mark.place)),
        "doubt_from": manifest.doubt_from.map(place),
        "cut_from": seqs(manifest.cut_from),
        "losses": losses.map(|(first, last)| json!([seq(*first), seq(*last)])).collect::<Vec<_>>(),
        "epochs": epochs.collect::<Vec<_>>(),
        "meta": meta
            .map(|(key, bytes)| json!({ "key": String::from_utf8_lossy(key), "bytes": bytes }))
            .collect::<Vec<_>>(),
    })
}

pub(super) fn entry(entry: &Glimpse) -> Value {
    json!({
        "seq": seq(entry.seq),
        "len": entry.len,
        "at": entry.at,
        "found": entry.found,
        "payload": STANDARD.encode(&entry.bytes),
    })
}
