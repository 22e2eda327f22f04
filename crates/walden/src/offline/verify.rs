//! Reads every byte and says what is wrong, how bad it is, and what to do next.

use std::path::PathBuf;

use super::cursors::of_manifest;
use super::dictionary::reports;
use super::inspect::{SegmentReport, segment_report};
use super::survey::{IndexState, Kind, Known, Spot, Survey, survey};
use super::{Progress, Target};
use crate::error::{ErrorKind, Result};

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Bytes that were durable are not what was written.
    Damage,
    /// Behind the last sound record, with no writer: opening cuts it off and keeps it in quarantine.
    Torn,
    /// Behind the last sound record, while a writer is at work: it is about to be one.
    InFlight,
    /// Worth knowing; nothing is lost and nothing is in the way.
    Note,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// The byte in it, where it is about one.
    pub offset: Option<u64>,
    /// How many bytes it is about; 0 where that makes no sense.
    pub len: u64,
    /// What is wrong.
    pub what: String,
    /// The first and the last seq id that are lost; `None` where none is, or it cannot be told.
    pub lost: Option<(u64, u64)>,
    /// The seq id that should be there.
    pub expected_seq: Option<u64>,
    /// Sound records behind it in the same file. Those that nothing proved leads to are counted too.
    pub behind_in_file: u64,
    /// Sound records behind it in the whole log.
    pub behind_in_log: u64,
    /// The command that goes on from here; empty where there is nothing to do.
    pub next_command: String,
}

impl Finding {
    /// All of it in one line.
    #[must_use]
    pub fn message(&self) -> String {
        let mut text = self.path.display().to_string();
        if let Some(offset) = self.offset {
            text.push_str(&format!(" at byte {offset}"));
        }
        text.push_str(&format!(": {}", self.what));
        if self.severity == Severity::Damage {
            let lost = match (self.lost, self.expected_seq) {
                (Some((first, last)), _) if first == last => format!("seq id {first} is lost"),
                (Some((first, last)), _) => format!("seq ids {first}..={last} are lost"),
                (None, Some(seq)) => format!("from seq id {seq} on"),
                (None, None) => "no seq id is lost".into(),
            };
            text.push_str(&format!(
                "; {lost}; {} sound records behind it in this file, {} in the log",
                self.behind_in_file, self.behind_in_log
            ));
        }
        if !self.next_command.is_empty() {
            text.push_str(&format!("; next: {}", self.next_command));
        }
        text
    }
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Segments read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Sound records.
    pub records: u64,
    /// The first seq id.
    pub first_seq: u64,
    /// The seq id that follows the last entry.
    pub next_seq: u64,
    /// Whether a writer has the log open, as far as that can be told.
    pub writer: bool,
    /// What is not as it should be, in the order of the log.
    pub findings: Vec<Finding>,
    /// Each segment, as [`inspect`](super::inspect()) has it.
    pub reports: Vec<SegmentReport>,
}

impl Verification {
    /// Whether durable bytes are not what was written.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }
}

/// Reads every byte of the log. Changes nothing; works beside a writer.
///
/// # Errors
/// `NotFound` where there is no log; `Unsupported` where a newer version wrote it; `Io`. Damage is a finding, not an
/// error.
pub fn verify(target: &Target, progress: &mut dyn FnMut(Progress)) -> Result<Verification> {
    let survey = survey(target, progress)?;
    survey.known.refuse_newer()?;
    let mut findings = Vec::new();
    manifest_findings(target, &survey, &mut findings);
    findings.extend(survey.spots.iter().map(|spot| finding(target, spot)));
    piece_findings(target, &survey, &mut findings);
    cursor_findings(target, &survey, &mut findings);
    dictionary_findings(target, &survey, &mut findings);
    Ok(Verification {
        segments: crate::num::size(survey.pieces.len()),
        bytes: survey.bytes,
        records: survey.records,
        first_seq: survey.first_seq,
        next_seq: survey.next_seq,
        writer: survey.writer,
        findings,
        reports: survey.pieces.iter().map(segment_report).collect(),
    })
}

pub(super) fn finding(target: &Target, spot: &Spot) -> Finding {
    let severity = match spot.kind {
        kind if kind.is_damage() => Severity::Damage,
        Kind::InFlight => Severity::InFlight,
        Kind::Torn => Severity::Torn,
        _ => Severity::Note,
    };
    let lost = spot.lost();
    let none =
        spot.last.is_some() && lost.is_none() || spot.kind.is_mendable() || spot.kind == Kind::Dead;
    Finding {
        severity,
        path: spot.path.clone(),
        offset: (spot.kind != Kind::Count).then_some(spot.offset),
        len: spot.len,
        what: spot.what.clone(),
        lost,
        expected_seq: (!none && spot.expected > 0).then_some(spot.expected),
        behind_in_file: spot.behind_in_file,
        behind_in_log: spot.behind_in_log,
        next_command: match severity {
            Severity::Damage | Severity::Torn => target.command("repair"),
            Severity::InFlight | Severity::Note => String::new(),
        },
    }
}

fn manifest_findings(target: &Target, survey: &Survey, findings: &mut Vec<Finding>) {
    let note = |severity, what: String, next_command: String| Finding {
        severity,
        path: target.names.manifest(),
        offset: None,
        len: 0,
        what,
        lost: None,
        expected_seq: None,
        behind_in_file: 0,
        behind_in_log: survey.records,
        next_command,
    };
    let repair = target.command("repair");
    match &survey.known {
        Known::Found(found) => {
            if let Some(cut) = found.manifest.cut {
                let what = format!(
                    "a cut from seq id {} on is not finished: the next opening does it",
                    cut.first_cut
                );
                findings.push(note(Severity::Note, what, String::new()));
            }
        }
        Known::Missing(None) if survey.flagged => {
            let what = "the manifest is missing: a segment holds batches or compressed records";
            findings.push(note(Severity::Damage, what.into(), repair));
        }
        Known::Missing(None) => {
            let what = "there is none: a log of the Go library, which the first opening adopts";
            findings.push(note(Severity::Note, what.into(), String::new()));
        }
        Known::Missing(Some(why)) => {
            let what = format!("the manifest is missing: {why}");
            findings.push(note(Severity::Damage, what, repair));
        }
        Known::Unsound(error) => {
            findings.push(note(Severity::Damage, problem(error), repair));
        }
        Known::Stranger(error) => {
            let advice = error.what_to_do().unwrap_or_default().to_owned();
            findings.push(note(Severity::Damage, problem(error), advice));
        }
    }
}

/// An error's own words, without the place.
pub(super) fn problem(error: &crate::Error) -> String {
    let text = error.to_string();
    let place = error.file().map(|path| format!("{}: ", path.display())).unwrap_or_default();
    let text = text.strip_prefix(&place).unwrap_or(&text);
    let advice = error.what_to_do().map(|advice| format!("; {advice}")).unwrap_or_default();
    text.strip_suffix(&advice).unwrap_or(text).to_owned()
}

/// Cursors that cannot be read. Nobody's entries are lost by that: retention removes nothing meanwhile.
fn cursor_findings(target: &Target, survey: &Survey, findings: &mut Vec<Finding>) {
    let Known::Found(found) = &survey.known else { return };
    let damage = |what: String, next_command: String| Finding {
        severity: Severity::Damage,
        path: target.names.cursors(),
        offset: None,
        len: 0,
        what,
        lost: None,
        expected_seq: None,
        behind_in_file: 0,
        behind_in_log: 0,
        next_command,
    };
    match of_manifest(target, &found.manifest) {
        Ok(reports) => findings.extend(reports.into_iter().filter_map(|report| {
            let next = format!("{} --unreadable", target.command("cursor remove"));
            Some(damage(report.what?, next))
        })),
        Err(error) => findings.push(damage(problem(&error), String::new())),
    }
}

/// Dictionaries that are not sound, or not there: what a record holds cannot be told without its own.
pub(super) fn dictionary_findings(target: &Target, survey: &Survey, findings: &mut Vec<Finding>) {
    for report in reports(target, survey) {
        let Some(error) = report.problem else { continue };
        let newer = error.kind() == ErrorKind::Unsupported;
        let (severity, what, seq) = match report.records {
            // As a record whose codec is not compiled in: it is there, and cannot be read by this program.
            records if newer => {
                let advice = error.what_to_do().unwrap_or_default();
                let what = format!("{}: {advice}; {records} records need it", problem(&error));
                (Severity::Note, what, report.first_seq)
            }
            0 => (Severity::Note, format!("{}; no record needs it", problem(&error)), None),
            records => {
                let needs = if records == 1 { "record needs" } else { "records need" };
                let what = format!(
                    "{}; {records} {needs} it: put the file back from a backup or any copy of this log",
                    problem(&error)
                );
                (Severity::Damage, what, report.first_seq)
            }
        };
        findings.push(Finding {
            severity,
            path: report.path,
            offset: None,
            len: 0,
            what,
            lost: None,
            expected_seq: seq,
            behind_in_file: 0,
            behind_in_log: 0,
            next_command: target.command("dictionary list"),
        });
    }
}

fn piece_findings(target: &Target, survey: &Survey, findings: &mut Vec<Finding>) {
    for piece in &survey.pieces {
        let note = |path: PathBuf, offset, seq, what: &str, next: String| Finding {
            severity: Severity::Note,
            path,
            offset,
            len: 0,
            what: what.to_owned(),
            lost: None,
            expected_seq: seq,
            behind_in_file: 0,
            behind_in_log: 0,
            next_command: next,
        };
        let told = |offset: u64| {
            let path = &piece.from.path;
            survey
                .spots
                .iter()
                .any(|s| s.kind == Kind::Footer && (&s.path, s.offset) == (path, offset))
        };
        for (offset, seq) in piece.wrong_footers.iter().filter(|(offset, _)| !told(*offset)) {
            let what = "the footer is wrong over a sound checksum: the entry is proved";
            findings.push(note(
                piece.from.path.clone(),
                Some(*offset),
                Some(*seq),
                what,
                String::new(),
            ));
        }
        if let Some(unseen) = piece.unseen {
            let more = match unseen.records {
                1 => String::new(),
                records => format!(" ({records} such records in this segment)"),
            };
            let what = format!("{}: only its checksum was looked at{more}", unseen.why);
            let (path, offset) = (piece.from.path.clone(), Some(unseen.offset));
            findings.push(note(path, offset, Some(unseen.seq), &what, String::new()));
        }
        let index = target.names.index(piece.from.ordinal);
        let safe = || format!("{} --yes", target.command("repair"));
        match piece.index {
            IndexState::Wrong => {
                let what = "the index points beside the records: it is a cache, and not believed";
                findings.push(note(index, None, None, what, safe()));
            }
            IndexState::Stale if piece.sealed && !survey.writer => {
                let what = "the index is not sound or not this segment's: it is ignored";
                findings.push(note(index, None, None, what, safe()));
            }
            _ => {}
        }
        if !piece.sealed && piece.free > 0 {
            let what = "free space, kept for what comes next";
            let mut free =
                note(piece.from.path.clone(), Some(piece.end), None, what, String::new());
            free.len = piece.free;
            findings.push(free);
        }
    }
}
