//! `walden retain`: removes the oldest segments by age, size or number.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use walden::offline::cursors;
use walden::{Retention, SegmentInfo};

use super::offline::target;
use super::plan::{self, Plan, Standing};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Remove the oldest segments of a log, by age, size or number
///
/// Whole segment files go, as many as one of the limits asks for, and never the one that is being written, nor one
/// that a cursor needs.
/// Shows what would go, and changes nothing without --yes.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden retain log --max-age 7d                        show what is older than a week\n  \
     walden retain log --max-age 7d --max-bytes 1GiB --yes\n",
    exit_codes!()
))]
pub(crate) struct Retain {
    /// The log's folder
    dir: PathBuf,

    #[command(flatten)]
    limits: Limits,

    /// Do it
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// Segments whose last entry is older go: 30s, 15m, 12h, 7d, 2w
    #[arg(long, value_parser = size::parse_duration, value_name = "AGE")]
    max_age: Option<Duration>,

    /// The oldest go while the segments are larger in total
    #[arg(long, value_parser = size::parse_size, value_name = "SIZE")]
    max_bytes: Option<u64>,

    /// The oldest go while there are more
    #[arg(long, value_name = "N")]
    max_segments: Option<u64>,
}

impl Retain {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let limits = self.limits;
        let now = SystemTime::now();
        let cursors = cursors(&target(context, &self.dir)?)?;
        let held = cursors.iter().filter_map(|cursor| cursor.keeps_from).min();
        plan::carry_out(
            context,
            &self.dir,
            self.yes,
            |standing| Ok(Plan::front(standing, limits.first_kept(standing, now, held))),
            |log| log.retain(&limits.retention()).map(drop),
        )
    }
}

impl Limits {
    fn retention(self) -> Retention {
        let mut retention = Retention::keep_all();
        if let Some(age) = self.max_age {
            retention = retention.max_age(age);
        }
        if let Some(bytes) = self.max_bytes {
            retention = retention.max_bytes(bytes);
        }
        if let Some(segments) = self.max_segments {
            retention = retention.max_segments(segments);
        }
        retention
    }

    /// The first seq id that stays, by the rule of `Wal::retain`.
    fn first_kept(self, standing: &Standing, now: SystemTime, held: Option<u64>) -> u64 {
        let mut bytes: u64 = standing.segments.iter().map(|segment| segment.bytes).sum();
        let mut count = standing.segments.len() as u64;
        let mut first = standing.first;
        for segment in standing.segments.iter().take_while(|segment| segment.sealed) {
            let too_many = self.max_segments.is_some_and(|most| count > most);
            let too_large = self.max_bytes.is_some_and(|most| bytes > most);
            let too_old = self.max_age.is_some_and(|most| age(segment, now) > most);
            let spared = held.zip(segment.last_seq).is_some_and(|(held, last)| held <= last);
            if spared || !(too_many || too_large || too_old) {
                break;
            }
            count -= 1;
            bytes -= segment.bytes;
            if let Some(last) = segment.last_seq {
                first = first.max(last + 1);
            }
        }
        first
    }
}

/// How long ago the last entry was appended; without an index, the file's own time serves.
fn age(segment: &SegmentInfo, now: SystemTime) -> Duration {
    let modified = || segment.path.metadata().and_then(|data| data.modified()).ok();
    let last = segment.last_append.or_else(modified).unwrap_or(now);
    now.duration_since(last).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use walden::{Config, Start, Wal};

    use super::super::plan::tests::standing;
    use super::*;

    const NONE: Limits = Limits { max_age: None, max_bytes: None, max_segments: None };

    /// The plan and what the library then does agree.
    fn agree(limits: Limits) -> u64 {
        agree_with(limits, None)
    }

    fn agree_with(limits: Limits, held: Option<u64>) -> u64 {
        let (dir, standing) = standing();
        let planned = limits.first_kept(&standing, SystemTime::now(), held);
        let wal = Wal::open(dir.path(), Config::durable().segment_size(300)).unwrap();
        let cursor = held.map(|held| wal.cursor("a", Start::At(held)).unwrap());
        wal.retain(&limits.retention()).unwrap();
        assert_eq!(wal.first_seq(), planned, "{limits:?}");
        drop(cursor);
        planned
    }

    #[test]
    fn the_plan_is_what_the_library_does() {
        assert!(agree(Limits { max_segments: Some(2), ..NONE }) > 2);
        assert_eq!(agree(Limits { max_segments: Some(100), ..NONE }), 2);
        assert!(agree(Limits { max_segments: Some(0), ..NONE }) > 2);
        assert!(agree(Limits { max_bytes: Some(700), ..NONE }) > 2);
        assert!(agree(Limits { max_bytes: Some(0), ..NONE }) > 2);
        assert!(agree(Limits { max_age: Some(Duration::ZERO), ..NONE }) > 2);
        assert_eq!(agree(Limits { max_age: Some(Duration::from_secs(999)), ..NONE }), 2);
        let none_left = Limits { max_segments: Some(0), ..NONE };
        assert_eq!(agree_with(none_left, Some(2)), 2);
        assert!((3..=12).contains(&agree_with(none_left, Some(12))));
        assert_eq!(agree_with(none_left, Some(21)), agree(none_left));
    }
}
