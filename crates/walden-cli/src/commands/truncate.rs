//! `walden truncate`: cuts a log at its front or back.

use std::path::PathBuf;

use clap::Args;
use walden::ErrorKind;

use super::plan::{self, Plan, Standing};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};

/// Cut entries off the front or the back of a log
///
/// Shows what would go, and changes nothing without --yes. What was cut never comes back.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden truncate log --front 1000            show what goes if 1000 becomes the first seq id\n  \
     walden truncate log --front 1000 --yes      do it; whole dead files are removed\n  \
     walden truncate log --back 1999 --yes       1999 becomes the last seq id\n  \
     walden truncate log --reset 5000 --yes      empty it; the next entry gets 5000\n",
    exit_codes!()
))]
pub(crate) struct Truncate {
    /// The log's folder
    dir: PathBuf,

    #[command(flatten)]
    cut: Cut,

    /// Do it
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Cut {
    /// SEQ becomes the first seq id; the next one empties the log
    #[arg(long, value_name = "SEQ")]
    front: Option<u64>,

    /// SEQ becomes the last seq id; the one before the first empties the log
    #[arg(long, value_name = "SEQ")]
    back: Option<u64>,

    /// Empty the log, and go on at seq id NEXT
    #[arg(long, value_name = "NEXT", value_parser = clap::value_parser!(u64).range(1..))]
    reset: Option<u64>,
}

impl Truncate {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let Cut { front, back, reset } = self.cut;
        plan::carry_out(
            context,
            &self.dir,
            self.yes,
            |standing| match (front, back, reset) {
                (Some(first), ..) => {
                    within(standing, first, 0, standing.next)?;
                    Ok(Plan::front(standing, first))
                }
                (_, Some(last), _) => {
                    within(standing, last, standing.first.saturating_sub(1), standing.next - 1)?;
                    Ok(Plan::back(standing, last))
                }
                (_, _, next) => Ok(Plan::reset(standing, next.unwrap_or(standing.next))),
            },
            |log| match (front, back, reset) {
                (Some(first), ..) => log.truncate_front(first),
                (_, Some(last), _) => log.truncate_back(last),
                (_, _, Some(next)) => log.reset(next),
                (None, None, None) => Ok(()),
            },
        )
    }
}

fn within(standing: &Standing, seq: u64, least: u64, most: u64) -> Result<(), Failure> {
    if (least..=most).contains(&seq) {
        return Ok(());
    }
    let log = match standing.next > standing.first {
        true => format!("the log has {}..={}", standing.first, standing.next - 1),
        false => format!("the log is empty, and its next seq id is {}", standing.next),
    };
    Err(Failure::new(ErrorKind::OutOfRange, format!("cannot cut there: {log}")).seq(seq))
}
