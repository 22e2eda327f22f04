//! `walden repair`: says what can be done about a damaged log, and does it when told to.

mod from;

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use walden::offline::{
    Choice, DamageReport, Plan, Progress, RepairOption, Repaired, Target, repair_apply,
    repair_plan, repair_plan_of,
};

use super::offline::{follow, holds, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::escaped;
use crate::size;

/// Show what can be done about a damaged log, and do it when told to
///
/// Without --yes it prints a plan and changes nothing. With --yes alone it does only what loses no record that
/// may have been durable. What is cut is copied to quarantine first.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden repair log                                   show the plan\n  \
     walden repair log --yes                             do the safe part\n  \
     walden repair log --accept-loss 4711..=4713 --yes   give these up, keep what is behind them\n  \
     walden repair log --cut-at 4711 --yes               cut the log before 4711\n  \
     walden repair log --from backup/log --yes           put back what another log still has\n",
    exit_codes!()
))]
pub(crate) struct Repair {
    /// The log's folder
    dir: PathBuf,

    /// Give up these seq ids: a range that the plan names
    #[arg(long, value_name = "FIRST..=LAST", value_parser = parse_range, conflicts_with_all = ["cut_at", "first_seq"])]
    accept_loss: Option<RangeInclusive<u64>>,

    /// Cut the log so that this is the next seq id
    #[arg(long, value_name = "SEQ", conflicts_with = "first_seq")]
    cut_at: Option<u64>,

    /// The first seq id, where a lost manifest is made anew
    #[arg(long, value_name = "SEQ")]
    first_seq: Option<u64>,

    /// Put back what is lost from another log of the same history: a copy, a replica, an archive (a URL)
    #[arg(long, value_name = "LOG", conflicts_with_all = ["accept_loss", "cut_at", "first_seq"])]
    from: Option<OsString>,

    /// Do it
    #[arg(long)]
    yes: bool,
}

fn parse_range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || "a range is FIRST..=LAST, as in 4711..=4713".to_owned();
    let (first, last) = match text.split_once("..=") {
        Some((first, last)) => (first.parse().ok(), last.parse().ok()),
        None => (text.parse().ok(), text.parse().ok()),
    };
    let (Some(first), Some(last)) = (first, last) else { return Err(wrong()) };
    if first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

impl Repair {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let target = target(context, &self.dir)?;
        if let Some(from) = &self.from {
            return from::run(context, &target, from, self.yes);
        }
        let bar = context.out.progress("reading", Some(0));
        let choice = match (self.accept_loss, self.cut_at) {
            (Some(range), _) => Choice::AcceptLoss(range),
            (None, Some(seq)) => Choice::CutAt(seq),
            (None, None) => Choice::Safe { first_seq: self.first_seq },
        };
        if !self.yes {
            let plan = plan(&target, &choice, &mut follow(&bar))?;
            bar.finish_and_clear();
            context.out.result(&plan_json(&plan), plan_text(context, &plan))?;
            return Ok(if plan.is_damaged() { Code::Damage } else { Code::Fine });
        }
        let done = repair_apply(&target, choice, &mut follow(&bar))?;
        bar.finish_and_clear();
        context.out.result(&done_json(&done), done_text(context, &done))?;
        Ok(if done.still_damaged { Code::Damage } else { Code::Fine })
    }
}

/// What is wrong and what can be done; of a choice, what it would do, or why not.
fn plan(
    target: &Target,
    choice: &Choice,
    progress: &mut dyn FnMut(Progress),
) -> Result<Plan, Failure> {
    match choice {
        // That nothing is safe is for the plan to show.
        Choice::Safe { first_seq: None } => Ok(repair_plan(target, progress)?),
        choice => Ok(repair_plan_of(target, choice, progress)?),
    }
}

fn option_json(option: &RepairOption) -> serde_json::Value {
    json!({ "command": option.command, "effect": option.effect })
}

fn damage_json(damage: &DamageReport) -> serde_json::Value {
    json!({
        "path": damage.path.to_string_lossy(),
        "offset": damage.offset,
        "len": damage.len,
        "what": damage.what,
        "first_lost": damage.lost.map(|(first, _)| first),
        "last_lost": damage.lost.map(|(_, last)| last),
        "behind_in_file": damage.behind_in_file,
        "behind_in_log": damage.behind_in_log,
        "kept": damage.kept,
        "options": damage.options.iter().map(option_json).collect::<Vec<_>>(),
    })
}

fn plan_json(plan: &Plan) -> serde_json::Value {
    json!({
        "changed": false,
        "damaged": plan.is_damaged(),
        "manifest": plan.manifest,
        "first_seq": plan.first_seq,
        "next_seq": plan.next_seq,
        "damages": plan.damages.iter().map(damage_json).collect::<Vec<_>>(),
        "safe": plan.safe,
        "options": plan.options.iter().map(option_json).collect::<Vec<_>>(),
        "chosen": plan.chosen,
    })
}

fn plan_text(context: &Context, plan: &Plan) -> String {
    let paint = context.out.on_stdout;
    let mut lines = Vec::new();
    if plan.is_empty() {
        lines.push("nothing to repair".to_owned());
    }
    if let Some(problem) = &plan.manifest {
        lines.push(format!("{}: {}", paint.bad("manifest"), escaped(problem)));
    }
    for damage in &plan.damages {
        lines.push(damage_text(context, damage));
    }
    if !plan.safe.is_empty() {
        lines.push(paint.strong("the safe part"));
        lines.extend(plan.safe.iter().map(|step| format!("  {}", escaped(step))));
    }
    if !plan.options.is_empty() {
        lines.push(paint.strong("for the whole log"));
        lines.push(options_text(context, &plan.options));
    }
    if let Some(chosen) = &plan.chosen {
        lines.push(format!("{}: {}", paint.strong("your choice"), escaped(chosen)));
    }
    lines.push(format!("the log: {}", holds(plan.first_seq, plan.next_seq)));
    if !plan.is_empty() {
        lines.push(paint.strong("nothing was changed"));
    }
    lines.join("\n")
}

fn damage_text(context: &Context, damage: &DamageReport) -> String {
    let lost = match damage.lost {
        Some((first, last)) if first == last => format!("seq id {first} is lost"),
        Some((first, last)) => format!("seq ids {first}..={last} are lost"),
        None => "no seq id is known to be lost".to_owned(),
    };
    let head = format!(
        "{}: {} at byte {} ({}): {}\n  {lost}; {} sound records behind it in the file, {} in the log\n  {}",
        context.out.on_stdout.bad("damage"),
        escaped(&damage.path.display().to_string()),
        damage.offset,
        size::bytes(damage.len),
        escaped(&damage.what),
        size::count(damage.behind_in_file),
        size::count(damage.behind_in_log),
        escaped(&damage.kept),
    );
    if damage.options.is_empty() {
        return head;
    }
    format!("{head}\n{}", options_text(context, &damage.options))
}

fn options_text(context: &Context, options: &[RepairOption]) -> String {
    let rows = options.iter().map(|o| vec![o.command.clone(), o.effect.clone()]).collect();
    context.out.table(&["Command", "What it does"], rows)
}

fn done_json(done: &Repaired) -> serde_json::Value {
    json!({
        "changed": !done.steps.is_empty(),
        "damaged": done.still_damaged,
        "steps": done.steps,
        "kept_in": done.kept_in.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "next_command": done.next_command,
    })
}

fn done_text(context: &Context, done: &Repaired) -> String {
    let mut lines: Vec<String> = done.steps.iter().map(|step| escaped(step)).collect();
    let nothing = lines.is_empty();
    if nothing && done.still_damaged {
        lines.push("there was nothing safe to do".to_owned());
    }
    let paint = context.out.on_stdout;
    // It names a folder, which may be called anything.
    let next = escaped(&done.next_command);
    lines.push(if done.still_damaged {
        format!("{}; next: {next}", paint.bad("still damaged"))
    } else {
        let state = if nothing { "nothing to repair" } else { "repaired" };
        format!("{}; next: {next}", paint.good(state))
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("4711..=4713"), Ok(4711..=4713));
        assert_eq!(parse_range("7"), Ok(7..=7));
        for wrong in ["", "7..8", "8..=7", "..=7", "x..=9"] {
            assert!(parse_range(wrong).is_err(), "{wrong}");
        }
    }
}
