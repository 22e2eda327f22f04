//! What can be done about a log that is not as it should be. Changes nothing.

use std::path::PathBuf;

use super::doubled::{Doubled, doubled};
use super::rebuild::manifest_of;
use super::repair::{Choice, check, find_cut};
use super::survey::{IndexState, Kind, Known, Spot, Survey, survey};
use super::verify::problem;
use super::{Progress, Target};
use crate::error::{Result, shell_word};

/// One way out, as a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairOption {
    /// The command, to be copied and pasted.
    pub command: String,
    /// What it does.
    pub effect: String,
}

/// What is wrong at one place, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamageReport {
    /// The file.
    pub path: PathBuf,
    /// The byte in it.
    pub offset: u64,
    /// Bytes that are not sound.
    pub len: u64,
    /// What is wrong.
    pub what: String,
    /// The first and the last seq id that are lost, where there are such.
    pub lost: Option<(u64, u64)>,
    /// Sound records behind it in the same file.
    pub behind_in_file: u64,
    /// Sound records behind it in the whole log.
    pub behind_in_log: u64,
    /// Where what a choice removes is kept.
    pub kept: String,
    /// The choices.
    pub options: Vec<RepairOption>,
}

/// What `repair` would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// What is wrong with the manifest, if something is.
    pub manifest: Option<String>,
    /// The first seq id.
    pub first_seq: u64,
    /// The seq id that follows the last entry.
    pub next_seq: u64,
    /// What is wrong with the entries.
    pub damages: Vec<DamageReport>,
    /// What the safe part does, each in words: it loses no record that may have been durable.
    pub safe: Vec<String>,
    /// Choices about the log as a whole.
    pub options: Vec<RepairOption>,
    /// What the choice that was asked about does, in words.
    pub chosen: Option<String>,
}

impl Plan {
    /// Whether durable bytes are not what was written.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.manifest.is_some() || !self.damages.is_empty()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_damaged() && self.safe.is_empty()
    }
}

/// Says what is wrong and what can be done about it.
///
/// # Errors
/// `NotFound` where there is no log; `Unsupported` where a newer version wrote it; `Io`.
pub fn repair_plan(target: &Target, progress: &mut dyn FnMut(Progress)) -> Result<Plan> {
    let survey = survey(target, progress)?;
    survey.known.refuse_newer()?;
    Ok(plan_of(target, &survey))
}

/// As [`repair_plan`], and what [`repair_apply`](super::repair_apply) would do by this choice.
///
/// # Errors
/// As [`repair_plan`]; where the choice would be refused, its refusal.
pub fn repair_plan_of(
    target: &Target,
    choice: &Choice,
    progress: &mut dyn FnMut(Progress),
) -> Result<Plan> {
    let survey = survey(target, progress)?;
    if let Known::Stranger(error) = survey.known {
        return Err(error);
    }
    check(target, &survey, choice)?;
    let chosen = match choice {
        Choice::Safe { first_seq: None } => None,
        Choice::Safe { first_seq: Some(first) } => {
            manifest_of(target, &survey, Some(*first))?;
            Some(format!("makes the manifest anew, with {first} as the first seq id"))
        }
        Choice::AcceptLoss(range) => Some(loss_effect((*range.start(), *range.end()))),
        Choice::CutAt(seq) => {
            let found = doubled(&survey, find_cut(&survey, *seq)?, *seq)?;
            Some(cut_effect(&survey, *seq, &found))
        }
    };
    Ok(Plan { chosen, ..plan_of(target, &survey) })
}

pub(super) fn manifest_problem(survey: &Survey) -> Option<String> {
    match &survey.known {
        Known::Found(_) => None,
        Known::Missing(None) if survey.flagged => {
            Some("the manifest is missing: a segment holds batches or compressed records".into())
        }
        Known::Missing(None) => None,
        Known::Missing(Some(why)) => Some(format!("the manifest is missing: {why}")),
        Known::Unsound(error) => Some(problem(error)),
        Known::Stranger(error) => {
            let advice = error.what_to_do().map(|advice| format!("; {advice}")).unwrap_or_default();
            Some(format!("{}{advice}", problem(error)))
        }
    }
}

pub(super) fn plan_of(target: &Target, survey: &Survey) -> Plan {
    let manifest = manifest_problem(survey);
    let stranger = matches!(survey.known, Known::Stranger(_));
    let mut options = Vec::new();
    let mut safe = Vec::new();
    let repair = target.command("repair");
    if manifest.is_some() && !stranger {
        let effect = format!(
            "makes the manifest anew from the segments, with seq ids from {} to before {}; entries that \
             were cut in front may return; user metadata and accepted losses are gone",
            survey.first_seq, survey.next_seq
        );
        if survey.is_mendable() {
            safe.push(effect.clone());
            options.push(RepairOption { command: format!("{repair} --yes"), effect });
        }
        options.push(RepairOption {
            command: format!("{repair} --first-seq N --yes"),
            effect: "the same, with N as the first seq id: if you know what was cut in front"
                .into(),
        });
    }
    if !stranger {
        safe.extend(safe_steps(target, survey));
        if !safe.is_empty() && options.is_empty() {
            let effect = "does the safe part: it loses no record that may have been durable".into();
            options.push(RepairOption { command: format!("{repair} --yes"), effect });
        }
    }
    let damages: Vec<DamageReport> =
        survey.damages().map(|spot| report(target, survey, spot, stranger)).collect();
    if !damages.is_empty() || manifest.is_some() {
        options.push(RepairOption {
            command: salvage_command(target),
            effect: "writes what is sound to a new folder OUT, and changes nothing here".into(),
        });
    }
    Plan {
        manifest,
        first_seq: survey.first_seq,
        next_seq: survey.next_seq,
        damages,
        safe,
        options,
        chosen: None,
    }
}

fn safe_steps(target: &Target, survey: &Survey) -> Vec<String> {
    let mut steps = Vec::new();
    for piece in &survey.pieces {
        let unsound = matches!(piece.index, IndexState::Stale | IndexState::Wrong) && piece.sealed;
        if unsound && !survey.writer {
            let path = target.names.index(piece.from.ordinal);
            steps.push(format!("removes the unsound index {}: it is made again", path.display()));
        }
    }
    for piece in survey.spacious() {
        let path = piece.from.path.display();
        steps.push(format!("cuts {} bytes of free space off {path}", piece.free));
    }
    if let Some(spot) = survey.damages().find(|spot| spot.kind == Kind::Count) {
        steps.push(format!("corrects the number of complete segments ({})", spot.what));
    }
    for spot in survey.damages() {
        let (path, at) = (spot.path.display(), spot.offset);
        match spot.kind {
            Kind::Footer => {
                steps.push(format!("writes the footer of the record at byte {at} of {path} again"));
            }
            Kind::Surplus => steps.push(format!(
                "cuts {} bytes that are no entry's off {path} at byte {at}, with a copy in {}",
                spot.len,
                target.names.quarantine().display()
            )),
            _ => {}
        }
    }
    if survey.known.manifest().is_some_and(|manifest| manifest.cut.is_some()) {
        steps.push("finishes a cut that was begun".into());
    }
    if let Some(tail) = survey.tail().filter(|tail| tail.kind == Kind::Torn) {
        steps.push(format!(
            "cuts the torn tail of {} at byte {} ({}), as opening does, with a copy in {}",
            tail.path.display(),
            tail.offset,
            tail.what,
            target.names.quarantine().display()
        ));
    }
    steps
}

fn report(target: &Target, survey: &Survey, spot: &Spot, stranger: bool) -> DamageReport {
    let repair = target.command("repair");
    let mut options = Vec::new();
    match spot.kind {
        _ if stranger => {}
        Kind::Front => options.push(RepairOption {
            command: target.command("adopt"),
            effect: "accepts that the segments in front are missing; or put them back".into(),
        }),
        Kind::Count => options.push(RepairOption {
            command: format!("{repair} --yes"),
            effect: "corrects the number; no entry is lost".into(),
        }),
        Kind::Footer => options.push(RepairOption {
            command: format!("{repair} --yes"),
            effect: "writes the footer again; no entry is lost".into(),
        }),
        Kind::Dead => options.push(RepairOption {
            command: format!("mv {} OUT", shell_word(&spot.path)),
            effect: format!("takes it out of the log, which opens without it; then see: {repair}"),
        }),
        Kind::Surplus => options.push(RepairOption {
            command: format!("{repair} --yes"),
            effect: "cuts them off, with a copy; no entry is lost".into(),
        }),
        _ => {
            if let Some((first, last)) = spot.lost() {
                options.push(RepairOption {
                    command: format!("{repair} --accept-loss {first}..={last} --yes"),
                    effect: loss_effect((first, last)),
                });
            }
            options.extend(cut_option(survey, spot.expected, &repair));
        }
    }
    DamageReport {
        path: spot.path.clone(),
        offset: spot.offset,
        len: spot.len,
        what: spot.what.clone(),
        lost: spot.lost(),
        behind_in_file: spot.behind_in_file,
        behind_in_log: spot.behind_in_log,
        kept: format!(
            "what is cut is copied to {} first; a damaged file that stays is not changed before its end",
            target.names.quarantine().display()
        ),
        options,
    }
}

/// The cut before seq id `seq`, if there can be one, or what must be done before.
fn cut_option(survey: &Survey, seq: u64, repair: &str) -> Option<RepairOption> {
    let kept = find_cut(survey, seq).ok()?;
    let found = doubled(survey, kept, seq).ok()?;
    if let Some((piece, begin)) = found.other {
        return Some(RepairOption {
            command: format!("mv {} OUT", shell_word(&piece.from.path)),
            effect: format!(
                "takes a segment out that begins with seq id {begin}, before the end of the one in front of it, and \
                 has other bytes than those that stay; then see: {repair}"
            ),
        });
    }
    Some(RepairOption {
        command: format!("{repair} --cut-at {seq} --yes"),
        effect: cut_effect(survey, seq, &found),
    })
}

fn loss_effect((first, last): (u64, u64)) -> String {
    format!(
        "gives up seq ids {first}..={last}: readers get an error there, and go on behind it when they \
         seek to {}",
        last.saturating_add(1)
    )
}

fn cut_effect(survey: &Survey, seq: u64, found: &Doubled<'_>) -> String {
    let behind: u64 = survey
        .pieces
        .iter()
        .flat_map(|piece| &piece.runs)
        .map(|run| run.next_seq.saturating_sub(run.first_seq.max(seq)))
        .sum();
    let copies: Vec<String> = found
        .copies
        .iter()
        .map(|(copy, of)| {
            format!("; so does {}, a copy of {}", copy.from.path.display(), of.from.path.display())
        })
        .collect();
    format!(
        "cuts the log before seq id {seq}: {behind} sound entries behind it go too{}",
        copies.concat()
    )
}

fn salvage_command(target: &Target) -> String {
    format!("{} OUT", target.command("salvage"))
}
