//! What a cut would take from a log, and how that is shown. Nothing goes before it was shown.

use std::path::Path;

use serde_json::{Value, json};
use walden::{Config, LogReader, SegmentInfo, Wal};

use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Rows of a table for a person; a program gets all.
const ROWS: usize = 20;

/// How a log stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) segments: Vec<SegmentInfo>,
}

impl Standing {
    fn of_reader(log: &LogReader) -> walden::Result<Self> {
        // Asked first: a writer only adds at the end meanwhile.
        let segments = log.segments()?;
        Ok(Self { first: log.first_seq(), next: log.next_seq(), segments })
    }

    fn of_writer(log: &Wal) -> walden::Result<Self> {
        let segments = log.segments()?;
        Ok(Self { first: log.first_seq(), next: log.next_seq(), segments })
    }
}

impl Standing {
    fn differs_from(&self, other: &Self) -> bool {
        let paths = |standing: &Self| -> Vec<_> {
            standing.segments.iter().map(|segment| segment.path.clone()).collect()
        };
        (self.first, self.next) != (other.first, other.next) || paths(self) != paths(other)
    }
}

/// A segment that does not stay as it is.
#[derive(Debug)]
struct Touched {
    segment: SegmentInfo,
    /// It goes as a whole; else some of its entries go.
    whole: bool,
}

/// What would go.
#[derive(Debug)]
pub(super) struct Plan {
    /// The entries `first..next`.
    first: u64,
    next: u64,
    touched: Vec<Touched>,
    /// How the log stands afterwards.
    log_first: u64,
    log_next: u64,
}

impl Plan {
    /// Entries before `first` go.
    pub(super) fn front(standing: &Standing, first: u64) -> Self {
        let first = first.max(standing.first);
        let touched = touched(standing, standing.first, first, |segment| segment.sealed);
        Self {
            first: standing.first,
            next: first,
            touched,
            log_first: first,
            log_next: standing.next,
        }
    }

    /// Entries after `last` go.
    pub(super) fn back(standing: &Standing, last: u64) -> Self {
        let next = last.saturating_add(1).min(standing.next);
        let touched = touched(standing, next, standing.next, |_| true);
        Self {
            first: next,
            next: standing.next,
            touched,
            log_first: standing.first,
            log_next: next,
        }
    }

    /// Everything goes, and `next` comes after it.
    pub(super) fn reset(standing: &Standing, next: u64) -> Self {
        let touched = touched(standing, standing.first, standing.next, |_| true);
        Self {
            first: standing.first,
            next: standing.next,
            touched,
            log_first: next,
            log_next: next,
        }
    }

    fn bytes(&self) -> u64 {
        self.touched
            .iter()
            .filter(|touched| touched.whole)
            .map(|touched| touched.segment.bytes)
            .sum()
    }

    fn json(&self, changed: bool) -> Value {
        let segments: Vec<_> = self
            .touched
            .iter()
            .map(|Touched { segment, whole }| {
                json!({
                    "path": segment.path.to_string_lossy(),
                    "first_seq": segment.first_seq,
                    "last_seq": segment.last_seq,
                    "bytes": segment.bytes,
                    "whole": whole,
                })
            })
            .collect();
        json!({
            "changed": changed,
            "entries": self.next - self.first,
            "first_removed": (self.next > self.first).then_some(self.first),
            "last_removed": (self.next > self.first).then(|| self.next - 1),
            "segments": segments,
            "bytes_of_whole_segments": self.bytes(),
            "first_seq": self.log_first,
            "next_seq": self.log_next,
        })
    }

    fn text(&self, context: &Context, done: bool) -> String {
        let tense = if done { "went" } else { "would go" };
        let mut text = if self.next > self.first {
            let count = size::count(self.next - self.first);
            format!("{count} entries {tense}: {}..={}\n", self.first, self.next - 1)
        } else {
            format!("no entries {tense}\n")
        };
        if !self.touched.is_empty() {
            let rows = self.touched.iter().take(ROWS).map(row).collect();
            text.push_str(&context.out.table(&["Segment", "Seq ids", "Size", "What"], rows));
            text.push('\n');
            if let Some(more) = self.touched.len().checked_sub(ROWS).filter(|more| *more > 0) {
                text.push_str(&format!("and {} more\n", size::count(more as u64)));
            }
            text.push_str(&format!("{} in whole segments\n", size::bytes(self.bytes())));
        }
        let has = if done { "has" } else { "would have" };
        text.push_str(&if self.log_next > self.log_first {
            format!("the log {has} {}..={}", self.log_first, self.log_next - 1)
        } else {
            let goes = if done { "is empty and goes" } else { "would be empty and go" };
            format!("the log {goes} on at {}", self.log_next)
        });
        text
    }

    /// What became of it: where the log stands otherwise than was planned, what went counts.
    fn come_true(self, before: &Standing, after: &Standing) -> Self {
        if (self.log_first, self.log_next) == (after.first, after.next) {
            return self;
        }
        match (after.first == before.first, after.next == before.next) {
            (_, true) => Self::front(before, after.first),
            (true, false) => Self::back(before, after.next.saturating_sub(1)),
            (false, false) => Self::reset(before, after.next),
        }
    }

    /// `changed` is none where nothing was to be done yet.
    fn show(&self, context: &Context, changed: Option<bool>) -> Result<(), Failure> {
        let text = self.text(context, changed.is_some());
        let ask = context.out.on_stdout.strong("nothing was changed; add --yes");
        let text = if changed.is_some() { text } else { format!("{text}\n{ask}") };
        context.out.result(&self.json(changed.unwrap_or(false)), text)
    }
}

fn row(touched: &Touched) -> Vec<String> {
    let Touched { segment, whole } = touched;
    let name = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let seqs = match (segment.first_seq, segment.last_seq) {
        (Some(first), Some(last)) => format!("{first}..={last}"),
        _ => "none".to_owned(),
    };
    let what = if *whole { "the whole file" } else { "a part" };
    vec![name, seqs, size::bytes(segment.bytes), what.to_owned()]
}

/// The segments that hold entries of `first..next`, or none between such; those of `may_go` go as a whole
/// if all of theirs are.
fn touched(
    standing: &Standing,
    first: u64,
    next: u64,
    may_go: impl Fn(&SegmentInfo) -> bool,
) -> Vec<Touched> {
    if first >= next {
        return Vec::new();
    }
    let hit = standing.segments.iter().filter_map(|segment| {
        let (Some(begin), Some(last)) = (segment.first_seq, segment.last_seq) else { return None };
        // What was cut in front before may still lie in the first segment.
        let begin = begin.max(standing.first);
        let any = begin < next && last >= first;
        let whole = begin >= first && last < next && may_go(segment);
        any.then(|| Touched { segment: segment.clone(), whole })
    });
    hit.collect()
}

/// Shows the plan that `plan` makes of the log in `dir`; with `yes` opens it for writing and does it.
pub(super) fn carry_out(
    context: &Context,
    dir: &Path,
    yes: bool,
    plan: impl Fn(&Standing) -> Result<Plan, Failure>,
    act: impl FnOnce(&Wal) -> walden::Result<()>,
) -> Result<Code, Failure> {
    let prefix = context.prefix(dir)?;
    if !yes {
        let log = LogReader::open_prefix(dir, &prefix)?;
        plan(&Standing::of_reader(&log)?)?.show(context, None)?;
        return Ok(Code::Fine);
    }
    // Opening for writing makes a log where there is none; this must not.
    LogReader::open_prefix(dir, &prefix)?;
    let log = Wal::open(dir, Config::durable().segment_prefix(prefix))?;
    let before = Standing::of_writer(&log)?;
    let plan = plan(&before)?;
    act(&log)?;
    let after = Standing::of_writer(&log)?;
    log.close()?;
    let done = plan.come_true(&before, &after);
    done.show(context, Some(before.differs_from(&after)))?;
    Ok(Code::Fine)
}

#[cfg(test)]
pub(super) mod tests {
    use walden::{Config, Wal};

    use super::*;

    /// A log of several segments: 20 entries, of which the first three are cut.
    pub(in super::super) fn standing() -> (tempfile::TempDir, Standing) {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), Config::durable().segment_size(300)).unwrap();
        for n in 0..20 {
            wal.append(format!("entry number {n} with some bytes more")).unwrap();
        }
        wal.truncate_front(2).unwrap();
        wal.close().unwrap();
        let wal = Wal::open(dir.path(), Config::durable().segment_size(300)).unwrap();
        let standing = Standing::of_writer(&wal).unwrap();
        assert!(standing.segments.len() > 3, "{standing:?}");
        (dir, standing)
    }

    fn wholes(plan: &Plan) -> Vec<bool> {
        plan.touched.iter().map(|touched| touched.whole).collect()
    }

    #[test]
    fn a_cut_in_front_takes_whole_segments_only_when_all_of_theirs_goes() {
        let (_dir, standing) = standing();
        let last = standing.segments[0].last_seq.unwrap();
        assert_eq!(wholes(&Plan::front(&standing, last)), [false]);
        assert_eq!(wholes(&Plan::front(&standing, last + 1)), [true]);
        assert_eq!(wholes(&Plan::front(&standing, last + 2)), [true, false]);
        assert!(wholes(&Plan::front(&standing, 1)).is_empty());
        assert_eq!(Plan::front(&standing, last).log_first, last);
    }

    #[test]
    fn a_cut_at_the_back_counts_from_the_end() {
        let (_dir, standing) = standing();
        let plan = Plan::back(&standing, 18);
        assert_eq!((plan.first, plan.next, plan.log_next), (19, 21, 19));
        let all = Plan::back(&standing, 1);
        assert!(all.touched.iter().all(|touched| touched.whole));
        assert_eq!((all.log_first, all.log_next), (2, 2));
        assert!(Plan::back(&standing, 20).touched.is_empty());
    }

    #[test]
    fn a_reset_takes_all() {
        let (_dir, standing) = standing();
        let plan = Plan::reset(&standing, 1000);
        assert_eq!(plan.json(false)["entries"], 19);
        assert_eq!(plan.json(false)["next_seq"], 1000);
        assert_eq!(plan.touched.len(), standing.segments.len());
    }

    #[test]
    fn what_is_told_is_what_happened() {
        let (dir, before) = standing();
        let wal = Wal::open(dir.path(), Config::durable().segment_size(300)).unwrap();
        let same = Standing::of_writer(&wal).unwrap();
        assert!(!before.differs_from(&same));
        let nothing = Plan::front(&before, 15).come_true(&before, &same);
        assert_eq!((nothing.next - nothing.first, nothing.touched.len()), (0, 0));
        let last = before.segments[0].last_seq.unwrap();
        wal.truncate_front(last + 1).unwrap();
        let after = Standing::of_writer(&wal).unwrap();
        assert!(before.differs_from(&after));
        let done = Plan::front(&before, 15).come_true(&before, &after);
        assert_eq!((done.log_first, wholes(&done)), (last + 1, vec![true]));
    }
}
