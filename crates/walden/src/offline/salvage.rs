//! Saves what is sound: as logs elsewhere, one for each run of entries without a gap.
//!
//! A log has no gaps, so a log with a damaged spot becomes two: `OUT/run-1` with the entries before it,
//! `OUT/run-4714` with those behind it, each named after its first seq id. The entries keep their ids.
//! `OUT/gaps.json` lists what is missing: objects with `first`, `last` (`null` where unknown), `file`,
//! `offset` and `reason`. The source is not touched.
//!
//! None of the logs can be opened before all of them, and the list, are on disk: what a salvage leaves that was ended is
//! never taken for all that could be saved.
//!
//! Only what is proved is saved: behind damage, from the next index entry that was checked, the end of a
//! complete segment or the next segment on, and back from there. What merely looks like a record is
//! counted, and listed as a gap.

use std::path::{Path, PathBuf};

use super::dictionary::put_dictionaries;
use super::output::{Sink, Written, empty_folder, finish_log, put_run};
use super::rebuild::sync_dir;
use super::survey::{Piece, Run, Survey, survey};
use super::{Progress, Target};
use crate::error::Result;
use crate::manifest::ManifestFile;

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The first seq id.
    pub first: u64,
    /// The last one, where that is known.
    pub last: Option<u64>,
    /// Where it should be.
    pub file: PathBuf,
    /// The byte in that file.
    pub offset: u64,
    /// What is there instead.
    pub reason: String,
}

/// A log that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvagedRun {
    /// Its folder.
    pub dir: PathBuf,
    /// Its first seq id.
    pub first_seq: u64,
    /// The seq id that follows its last.
    pub next_seq: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvage {
    /// The logs, in order.
    pub runs: Vec<SalvagedRun>,
    /// What is missing.
    pub gaps: Vec<Gap>,
}

/// Writes what is sound to `out`, which must be empty or absent.
///
/// If it is ended before its end, by a power cut too, the logs in `out` are refused by everything that opens a log, as
/// `Unsupported`: remove `out` and begin anew.
///
/// # Errors
/// `InvalidInput` where `out` is not empty; `NotFound` where there is no log; `OutOfSpace`, `Io`.
pub fn salvage(
    target: &Target,
    out: impl AsRef<Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Salvage> {
    let out = out.as_ref();
    let survey = survey(target, progress)?;
    empty_folder(target, out)?;
    let mut logs: Vec<Log> = Vec::new();
    for piece in &survey.pieces {
        for run in piece.runs.iter().filter(|run| run.proved) {
            if logs.last().is_none_or(|log| log.next_seq() != run.first_seq) {
                logs.push(Log::begin(target, out, run, survey.first_seq)?);
            }
            if let Some(log) = logs.last_mut() {
                log.add(piece, run)?;
            }
        }
    }
    // One that cannot be read must not keep what was saved from being opened: it is told behind all else.
    let dictionaries = logs.iter().try_for_each(|log| put_dictionaries(target, &log.target));
    let gaps = gaps(&survey);
    write_gaps(target, out, &gaps)?;
    let runs = logs.into_iter().map(|log| log.finish(&survey)).collect::<Result<_>>()?;
    dictionaries?;
    Ok(Salvage { runs, gaps })
}

struct Log {
    target: Target,
    segments: Vec<Written>,
    first_seq: u64,
}

impl Log {
    fn begin(target: &Target, out: &Path, run: &Run, first: u64) -> Result<Self> {
        // What was cut in front is not among its entries.
        let first = run.first_seq.max(first.min(run.next_seq));
        let mut dir = out.join(format!("run-{first}"));
        // Overlapping segments can begin alike.
        let mut again = 1;
        while target.storage.list(&dir).is_ok() {
            again += 1;
            dir = out.join(format!("run-{first}-{again}"));
        }
        empty_folder(target, &dir)?;
        let target = target.at(&dir);
        ManifestFile::begin_unfinished(&*target.storage, &target.names)?;
        Ok(Self { target, segments: Vec::new(), first_seq: run.first_seq })
    }

    fn next_seq(&self) -> u64 {
        self.segments.last().map_or(self.first_seq, |last| last.next_seq)
    }

    fn add(&mut self, piece: &Piece, run: &Run) -> Result<()> {
        let ordinal = crate::num::size(self.segments.len());
        let path = self.target.names.wal(ordinal);
        let mut sink = Sink::create(&self.target, &path)?;
        put_run(&mut sink, piece, run)?;
        let len = sink.finish()?;
        let (first_seq, next_seq) = (run.first_seq, run.next_seq);
        self.segments.push(Written { ordinal, len, first_seq, next_seq });
        Ok(())
    }

    fn finish(self, survey: &Survey) -> Result<SalvagedRun> {
        let next_seq = self.next_seq();
        // What was cut in front, in the middle of a segment, stays cut.
        let first_seq = self.first_seq.max(survey.first_seq).min(next_seq);
        finish_log(&self.target, &self.segments, first_seq, None)?;
        Ok(SalvagedRun {
            dir: self.target.dir().to_owned(),
            first_seq,
            next_seq,
            bytes: self.segments.iter().map(|segment| segment.len).sum(),
        })
    }
}

fn gaps(survey: &Survey) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = survey
        .spots
        .iter()
        .filter(|spot| spot.kind.is_damage() || spot.what.starts_with("given up"))
        .map(|spot| Gap {
            first: spot.expected,
            last: spot.last,
            file: spot.path.clone(),
            offset: spot.offset,
            reason: spot.what.clone(),
        })
        .collect();
    for piece in &survey.pieces {
        gaps.extend(piece.runs.iter().filter(|run| !run.proved).map(|run| Gap {
            first: run.first_seq,
            last: Some(run.next_seq.saturating_sub(1)),
            file: piece.from.path.clone(),
            offset: run.from,
            reason: "these look like records, and nothing proved leads to them".into(),
        }));
    }
    gaps
}

fn write_gaps(target: &Target, out: &Path, gaps: &[Gap]) -> Result<()> {
    let lines: Vec<String> = gaps
        .iter()
        .map(|gap| {
            let last = gap.last.map_or_else(|| "null".into(), |last| last.to_string());
            format!(
                "  {{\"first\":{},\"last\":{last},\"file\":{},\"offset\":{},\"reason\":{}}}",
                gap.first,
                json_text(&gap.file.to_string_lossy()),
                gap.offset,
                json_text(&gap.reason)
            )
        })
        .collect();
    let body = if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join(",\n")) };
    let path = out.join("gaps.json");
    let mut sink = Sink::create(target, &path)?;
    sink.put(format!("[{body}]\n").as_bytes())?;
    sink.finish()?;
    sync_dir(&target.at(out))
}

fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
