//! Does one of the things that a plan names.
//!
//! **Under the lock**, and after the winning manifest was written again, as opening does. A manifest that
//! is missing or unsound is made anew first ([`rebuild`](super::rebuild)), so that every choice starts
//! from one.
//!
//! **Giving entries up.** A range that is lost in *complete* segments is only noted in the manifest. The
//! damaged file stays as it is: what is sound in it stays readable, and what is not may yet be of use to
//! somebody. A range in an *open* segment would keep opening from getting past it, so all open segments
//! are completed first: the doubt zone is written again and synced, a torn tail is copied to quarantine,
//! free space and tail are cut off, and a new, empty segment begins. Then one manifest says all of it:
//! the segments are complete, the range is lost, the new segment is active, and the log ends there. A
//! crash before it leaves a log that is damaged as before, with one empty segment more; the same command
//! does it again. Nothing before the end of a damaged file is ever changed.
//!
//! **What no entry depends on** ([`mend`](super::mend)) is set right without a choice: a wrong footer over a sound
//! checksum, where opening asks for it; bytes behind the last record of a complete segment; a wrong count of segments.
//!
//! **Cutting** is the cut of `truncate_back`, with its commit point: opening finishes it. All that it
//! removes is copied to quarantine before, whole. A segment behind it that begins before it goes only if one
//! that stays has all its bytes ([`doubled`](super::doubled)).

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::doubled::doubled;
use super::mend::mend;
use super::plan::{manifest_problem, plan_of};
use super::rebuild::{rebuild, sync_dir};
use super::survey::{
    IndexState, Kind, Known, Piece, Spot, Survey, ask_opening, expect_log, read_known, survey_known,
};
use super::{Progress, Target};
use crate::config::{Config, Settings};
use crate::cursors::Cursors;
use crate::error::{Error, ErrorKind, Result, shell_word};
use crate::keeper::Keeper;
use crate::manifest::{Found, Manifest, ManifestFile, Place};
use crate::num;
use crate::recover::scan::{Scan, Scanned};
use crate::recover::{WriterLock, quarantine};
use crate::segment::{READ_AHEAD, RecordSource, Step};
use crate::storage::{Access, read_full, write_full};
use crate::sync::Arc;
use crate::trim::cut::Keep;

/// What to do about a log that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// Only what loses no record that may have been durable: makes a missing manifest anew if the
    /// segments are whole, removes unsound index files, finishes what opening would finish.
    Safe {
        /// The first seq id, where the manifest is made anew: if it is known what was cut in front.
        first_seq: Option<u64>,
    },
    /// Gives up these seq ids, which must be a range that the plan names.
    AcceptLoss(RangeInclusive<u64>),
    /// Cuts the log so that this is the next seq id; a log that is not damaged is refused.
    CutAt(u64),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// What was done, in words.
    pub steps: Vec<String>,
    /// Copies of what was removed.
    pub kept_in: Vec<PathBuf>,
    /// Whether damage is left, of which the plan tells.
    pub still_damaged: bool,
    /// The command that goes on from here.
    pub next_command: String,
}

/// Carries out one choice of [`repair_plan`](super::repair_plan).
///
/// # Errors
/// `Locked` beside a writer; `InvalidInput` where the choice is not one of the plan's; `Corrupt` where the
/// safe part can do nothing about the damage; `OutOfSpace`, with nothing cut; `Io`.
pub fn repair_apply(
    target: &Target,
    choice: Choice,
    progress: &mut dyn FnMut(Progress),
) -> Result<Repaired> {
    // Before the lock, whose file would be made.
    expect_log(target)?;
    let mut lock = WriterLock::take(&*target.storage, &target.names)?;
    let mut done = Repaired {
        steps: Vec::new(),
        kept_in: Vec::new(),
        still_damaged: false,
        next_command: String::new(),
    };
    let mut survey = locked_survey(target, progress)?;
    if let Known::Stranger(error) = survey.known {
        return Err(error);
    }
    check(target, &survey, &choice)?;
    let first_seq = match choice {
        Choice::Safe { first_seq } => first_seq,
        _ => None,
    };
    let lost = manifest_problem(&survey).is_some();
    let needs_one = !matches!(choice, Choice::Safe { .. }) && survey.known.found().is_none();
    if lost || needs_one {
        rebuild(target, &survey, first_seq, &mut lock, &mut done.steps)?;
        survey = locked_survey(target, progress)?;
    }
    match choice {
        Choice::Safe { .. } => safe(target, &survey, lock, &mut done)?,
        Choice::AcceptLoss(range) => {
            let mut keeper = keeper(target)?;
            accept_loss(&mut keeper, target, &survey, &range, &mut done)?;
        }
        Choice::CutAt(seq) => {
            let mut keeper = keeper(target)?;
            cut_at(&mut keeper, target, &survey, seq, &mut done)?;
        }
    }
    let left = plan_of(target, &locked_survey(target, progress)?);
    done.still_damaged = left.is_damaged();
    done.next_command =
        if done.still_damaged { target.command("repair") } else { target.command("verify") };
    Ok(done)
}

/// Nobody writes: what is in doubt is torn.
pub(super) fn locked_survey(target: &Target, progress: &mut dyn FnMut(Progress)) -> Result<Survey> {
    let (known, note) = read_known(target)?;
    ask_opening(target, survey_known(target, known, note, false, progress)?)
}

/// The manifest, written again: the winner may be in the kernel's cache only, and nothing rests on it before it is on
/// disk.
///
/// # Errors
/// As opening it; what the disk gives.
pub(super) fn settled_manifest(target: &Target) -> Result<(ManifestFile, Found)> {
    let (file, found) = ManifestFile::open(&*target.storage, &target.names)?;
    file.write_again(&found.manifest)?;
    Ok((file, found))
}

/// Refuses what is none of the plan's choices, before anything changes.
pub(super) fn check(target: &Target, survey: &Survey, choice: &Choice) -> Result<()> {
    let lost = manifest_problem(survey).is_some();
    match choice {
        Choice::Safe { first_seq: None } if lost && !survey.is_mendable() => Err(Error::corrupt(
            "the manifest is missing, and the segments are damaged too: nothing is safe",
        )
        .path(target.dir())
        .advice(format!("nothing was changed; see: {}", target.command("repair")))),
        Choice::Safe { first_seq: Some(_) } if !lost => Err(Error::invalid(
            "the manifest is sound and knows the first seq id (`truncate` raises it)",
        )),
        Choice::Safe { .. } => Ok(()),
        Choice::AcceptLoss(range) => find_spot(target, survey, range).map(drop),
        Choice::CutAt(seq) if !plan_of(target, survey).is_damaged() => {
            let last = seq.saturating_sub(1);
            Err(Error::invalid("the log is not damaged: a repair cuts no sound entries off")
                .path(target.dir())
                .advice(format!(
                    "nothing was changed; to shorten a sound log: {} --back {last}",
                    target.command("truncate")
                )))
        }
        Choice::CutAt(seq) => check_doubled(target, survey, *seq),
    }
}

/// Refuses a cut that would have to remove entries from before it.
fn check_doubled(target: &Target, survey: &Survey, seq: u64) -> Result<()> {
    let kept = find_cut(survey, seq)?;
    let Some((piece, begin)) = doubled(survey, kept, seq)?.other else { return Ok(()) };
    let path = &piece.from.path;
    Err(Error::invalid(format!(
        "this segment begins with seq id {begin}, before the cut, and no segment that stays has the same bytes"
    ))
    .path(path)
    .advice(format!(
        "nothing was changed; if it is not this log's, move it away: mv {} OUT; then: {}",
        shell_word(path),
        target.command("repair")
    )))
}

pub(super) fn keeper(target: &Target) -> Result<Keeper> {
    let (file, found) = settled_manifest(target)?;
    Ok(Keeper {
        storage: Arc::clone(&target.storage),
        clock: Arc::clone(&target.clock),
        names: target.names.clone(),
        file: Arc::new(file),
        cursors: Arc::new(Cursors::load(
            Arc::clone(&target.storage),
            &target.names,
            found.manifest.log_id,
        )?),
        manifest: found.manifest,
        unremoved: Vec::new(),
    })
}

fn safe(target: &Target, survey: &Survey, lock: WriterLock, done: &mut Repaired) -> Result<()> {
    if survey.known.found().is_some() {
        settled_manifest(target)?;
    }
    for piece in survey.pieces.iter().filter(|piece| piece.sealed) {
        if matches!(piece.index, IndexState::Stale | IndexState::Wrong) {
            let path = target.names.index(piece.from.ordinal);
            target.storage.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
            done.steps.push(format!("removed the unsound index {}", path.display()));
        }
    }
    for piece in survey.spacious() {
        shorten(target, piece, piece.from.len - piece.free)?;
        let path = piece.from.path.display();
        done.steps.push(format!("cut {} bytes of free space off {path}", piece.free));
    }
    mend(target, survey, done)?;
    if !survey.is_mendable() {
        return Ok(());
    }
    // The rest is what opening does, and it takes the lock itself.
    drop(lock);
    // What was copied to quarantine just now stays, whatever else is there.
    let config = Config::durable().segment_prefix(target.names.prefix());
    let settings = Settings::check(config.quarantine_limit(u64::MAX))?;
    let clock = Arc::clone(&target.clock);
    let opened = crate::recover::open(target.dir(), &settings, Arc::clone(&target.storage), clock)?;
    if opened.report.finished_cut {
        done.steps.push("finished a cut that was begun".into());
    }
    if let Some(cut) = &opened.report.cut {
        done.steps.push(format!(
            "cut the torn tail of {} at byte {}: {}",
            cut.path.display(),
            cut.offset,
            cut.reason
        ));
        done.kept_in.extend(cut.kept_in.iter().cloned());
    }
    Ok(())
}

pub(super) fn shorten(target: &Target, piece: &Piece, len: u64) -> Result<()> {
    let path = &piece.from.path;
    let io = |doing: &str, error| Error::io(doing, path, error);
    let file = target
        .storage
        .open(path, Access::ReadWrite)
        .map_err(|error| io("open the segment", error))?;
    if file.len().map_err(|error| io("tell the length", error))? > len {
        file.set_len(len).map_err(|error| io("cut the segment", error))?;
    }
    file.sync_all().map_err(|error| io("sync the segment", error))
}

fn find_spot<'a>(
    target: &Target,
    survey: &'a Survey,
    range: &RangeInclusive<u64>,
) -> Result<&'a Spot> {
    let wanted = Some((*range.start(), *range.end()));
    let mut possible = survey.damages().filter(|spot| spot.kind == Kind::Damage);
    if let Some(spot) = possible.find(|spot| spot.lost() == wanted) {
        return Ok(spot);
    }
    let ranges: Vec<String> = survey
        .damages()
        .filter_map(Spot::lost)
        .map(|(first, last)| format!("{first}..={last}"))
        .collect();
    let ranges = if ranges.is_empty() { "none".into() } else { ranges.join(", ") };
    Err(Error::invalid(format!("not a range that the plan names; it names: {ranges}"))
        .seqs(*range.start(), *range.end())
        .advice(format!("see: {}", target.command("repair"))))
}

fn accept_loss(
    keeper: &mut Keeper,
    target: &Target,
    survey: &Survey,
    range: &RangeInclusive<u64>,
    done: &mut Repaired,
) -> Result<()> {
    let spot = find_spot(target, survey, range)?;
    let mut next = keeper.manifest.clone();
    add_loss(&mut next, (*range.start(), *range.end()));
    next.check_limits()?;
    if next.cut.is_some() {
        return Err(Error::invalid("a cut is not finished; cut the log instead (--cut-at)"));
    }
    let complete = spot.last.is_some_and(|last| last < next.open_seq);
    if complete && survey.folder.segments.contains(&next.active) {
        next.sealed_count = num::size(survey.pieces.iter().filter(|piece| piece.sealed).count());
    } else {
        complete_all(keeper, target, survey, &mut next, done)?;
    }
    keeper.commit(next)?;
    done.steps.push(format!(
        "gave up seq ids {}..={}: readers get an error there",
        range.start(),
        range.end()
    ));
    Ok(())
}

/// Adds a range to those given up, merged with what it touches.
fn add_loss(manifest: &mut Manifest, (mut first, mut last): (u64, u64)) {
    manifest.losses.retain(|(from, to)| {
        let apart = *to < first.saturating_sub(1) || *from > last.saturating_add(1);
        if !apart {
            first = first.min(*from);
            last = last.max(*to);
        }
        apart
    });
    manifest.losses.push((first, last));
    manifest.losses.sort_unstable();
}

/// Completes all open segments and begins a new one; `next` then says so.
fn complete_all(
    keeper: &Keeper,
    target: &Target,
    survey: &Survey,
    next: &mut Manifest,
    done: &mut Repaired,
) -> Result<()> {
    let open: Vec<&Piece> =
        survey.pieces.iter().filter(|piece| piece.from.ordinal >= next.open_from).collect();
    let ends: Vec<(&Piece, u64)> = open.iter().map(|piece| (*piece, piece.end)).collect();
    keep_tails(target, survey, &ends, keeper.manifest.generation, done)?;
    for (piece, end) in &ends {
        write_again(target, survey, piece, *end)?;
        shorten(target, piece, *end)?;
    }
    let highest = survey.folder.segments.last().map_or(0, |highest| highest + 1);
    let ordinal = next.next_ordinal.max(highest);
    let (made, wal) = (target.names.next(ordinal), target.names.wal(ordinal));
    keeper.remove_if_there(&made)?;
    target
        .storage
        .create(&made)
        .and_then(|file| file.sync_all())
        .and_then(|()| target.storage.rename(&made, &wal))
        .map_err(|error| Error::io("begin a new segment", &wal, error))?;
    sync_dir(target)?;
    next.open_from = ordinal;
    next.open_seq = survey.next_seq;
    next.sealed_count = num::size(survey.pieces.len());
    next.active = ordinal;
    next.next_ordinal = ordinal + 1;
    next.lowest_next = survey.next_seq;
    next.base = Some(Place { ordinal, offset: 0, next_seq: survey.next_seq });
    done.steps.push(format!(
        "completed the open segments as they are, and began {} with seq id {}",
        wal.display(),
        survey.next_seq
    ));
    Ok(())
}

/// Writes again what is sound in the doubt zone: it may be in the kernel's cache only.
fn write_again(target: &Target, survey: &Survey, piece: &Piece, end: u64) -> Result<()> {
    let path = &piece.from.path;
    let io = |doing: &str, error| Error::io(doing, path, error);
    let mut at = match survey.zone {
        Some(zone) if piece.from.ordinal < zone.ordinal => return Ok(()),
        Some(zone) if piece.from.ordinal == zone.ordinal => zone.offset,
        _ => 0,
    };
    let file = target
        .storage
        .open(path, Access::ReadWrite)
        .map_err(|error| io("open the segment", error))?;
    let mut buffer = vec![0; num::index(READ_AHEAD)];
    while at < end {
        let want = num::index((end - at).min(READ_AHEAD));
        let Some(part) = buffer.get_mut(..want) else { break };
        let got = read_full(&*file, part, at).map_err(|error| io("read", error))?;
        let part = part.get(..got).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        write_full(&*file, part, at).map_err(|error| io("write again", error))?;
        at += num::size(got);
    }
    Ok(())
}

/// Copies to quarantine what lies behind the given ends and is not zeros.
pub(super) fn keep_tails(
    target: &Target,
    survey: &Survey,
    ends: &[(&Piece, u64)],
    generation: u64,
    done: &mut Repaired,
) -> Result<()> {
    let segments = ends
        .iter()
        .map(|(piece, end)| {
            let mut from = piece.from.clone();
            // A survey looks at no more than a cut keeps.
            from.len = from.file.len().map_err(|error| Error::io("read", &from.path, error))?;
            Ok(Scanned { from, first_seq: 0, end: *end, next_seq: 0, index: None })
        })
        .collect::<Result<Vec<_>>>()?;
    let scan = Scan::of(segments, survey.next_seq);
    let kept = quarantine::keep_tails(&*target.storage, &target.names, &scan, generation)?;
    for path in &kept {
        done.steps.push(format!("kept a copy of what is cut in {}", path.display()));
    }
    done.kept_in.extend(kept);
    Ok(())
}

/// Where the record with `seq` begins, or the one before it ends: in which piece, at which byte. `None`:
/// the cut empties the log.
pub(super) fn find_cut(survey: &Survey, seq: u64) -> Result<Option<(usize, u64)>> {
    if seq < survey.first_seq.max(1) || seq > survey.next_seq {
        return Err(Error::new(
            ErrorKind::OutOfRange,
            format!(
                "the log holds seq ids from {} to before {}",
                survey.first_seq, survey.next_seq
            ),
        )
        .seq_at(seq));
    }
    if seq == survey.first_seq {
        return Ok(None);
    }
    for (at, piece) in survey.pieces.iter().enumerate() {
        let holds = |run: &&super::survey::Run| run.first_seq < seq && seq <= run.next_seq;
        if let Some(run) = piece.runs.iter().find(holds) {
            return Ok(Some((at, border(piece, run, seq)?)));
        }
    }
    Err(Error::invalid(format!(
        "seq id {} is not sound: the log can be cut only behind an entry that is",
        seq - 1
    ))
    .seq_at(seq))
}

fn border(piece: &Piece, run: &super::survey::Run, seq: u64) -> Result<u64> {
    let mut source = RecordSource::new(Arc::clone(&piece.from.file), READ_AHEAD);
    let mut at = run.from;
    while at < run.to {
        let step = source
            .record_at(at, run.to)
            .map_err(|error| Error::io("read", &piece.from.path, error))?;
        let Step::Record(record) = step else { break };
        if record.seq() >= seq {
            break;
        }
        if record.next_seq() > seq {
            return Err(Error::invalid(format!(
                "the cut would go through a batch: cut at {} or {}",
                record.seq(),
                record.next_seq()
            ))
            .seq_at(seq));
        }
        at += record.len();
    }
    Ok(at)
}

fn cut_at(
    keeper: &mut Keeper,
    target: &Target,
    survey: &Survey,
    seq: u64,
    done: &mut Repaired,
) -> Result<()> {
    if keeper.manifest.cut.is_some() {
        return Err(Error::invalid("a cut is not finished: opening finishes it first"));
    }
    let kept = find_cut(survey, seq)?;
    let copies = doubled(survey, kept, seq)?.copies;
    let begin = kept.map_or(0, |(at, _)| at);
    let mut ends: Vec<(&Piece, u64)> =
        survey.pieces.iter().skip(begin).map(|piece| (piece, 0)).collect();
    if let (Some((_, offset)), Some(first)) = (kept, ends.first_mut()) {
        first.1 = offset;
    }
    keep_tails(target, survey, &ends, keeper.manifest.generation, done)?;
    for piece in survey.pieces.iter().take(begin).filter(|piece| !piece.sealed) {
        write_again(target, survey, piece, piece.end)?;
        shorten(target, piece, piece.end)?;
    }
    let place = match kept.and_then(|(at, offset)| Some((survey.pieces.get(at)?, offset))) {
        Some((piece, offset)) => {
            write_again(target, survey, piece, offset)?;
            shorten(target, piece, piece.from.len)?;
            Some((piece.from.ordinal, offset))
        }
        None => None,
    };
    for (copy, original) in copies {
        // Of no use to the log, whatever comes of the cut: it may go before.
        let (path, of) = (&copy.from.path, &original.from.path);
        keeper.remove_if_there(path)?;
        done.steps.push(format!("removed {}, a copy of {}", path.display(), of.display()));
    }
    sync_dir(target)?;
    let keep = Keep { next_seq: seq, kept: place, survivors: None };
    keeper.commit_cut(&keep, &survey.folder.segments)?;
    keeper.remove_dead(&survey.folder.segments)?;
    keeper.begin_after_cut()?;
    done.steps.push(format!("cut the log: the next seq id is {seq}"));
    Ok(())
}
