//! The figures of a run as a Markdown page.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use crate::case::{Bound, Section, Want};
use crate::figures::{PERCENTILES, RESIDENT, unit};
use crate::results::{Outcome, Results};
use crate::stats::Spread;

/// The page; `plots` are the file names of the pictures that lie beside it.
pub(crate) fn page(results: &Results, plots: &[String]) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    write_page(&mut out, results, plots).unwrap_or_default();
    out
}

fn write_page(out: &mut String, results: &Results, plots: &[String]) -> fmt::Result {
    head(out, results)?;
    let of = |section| {
        let cases = results.outcomes.iter();
        cases.filter(move |outcome| outcome.case.section == section)
    };
    let demands: Vec<_> = of(Section::Demands).collect();
    if !demands.is_empty() {
        writeln!(out, "\n## Where it stands\n")?;
        writeln!(
            out,
            "A ratio is the median of the ratios of the rounds, with the least and the most. Where a row says \
             \"or\", one of the two is enough.\n"
        )?;
        writeln!(
            out,
            "| work | Walden | beside | its figure | ratio (least to most) | wanted | |"
        )?;
        writeln!(out, "| --- | --- | --- | --- | --- | --- | --- |")?;
        for outcome in demands {
            for want in &outcome.case.wants {
                demand(out, outcome, want)?;
            }
        }
    }
    peers(out, results)?;
    for (section, title) in [
        (Section::Peers, "Beside peers"),
        (Section::Threads, "Over threads"),
        (Section::Payloads, "Over payloads, 1 thread"),
        (Section::Reading, "Reading"),
        (Section::Latencies, "Latencies at a fixed rate"),
        (Section::Opening, "Opening"),
        (Section::Seeking, "Looking up"),
        (Section::Memory, "Memory"),
    ] {
        let outcomes: Vec<_> = of(section).collect();
        if !outcomes.is_empty() {
            writeln!(out, "\n## {title}\n")?;
            match section {
                Section::Latencies => percentiles(out, &outcomes)?,
                Section::Threads | Section::Payloads | Section::Opening | Section::Seeking => {
                    sweeps(out, &outcomes)?
                }
                _ => plain(out, &outcomes)?,
            }
        }
    }
    failures(out, results)?;
    if !plots.is_empty() {
        writeln!(out, "\n## Plots\n")?;
        for plot in plots {
            writeln!(out, "![{}]({plot})", plot.trim_end_matches(".svg"))?;
        }
    }
    Ok(())
}

fn head(out: &mut String, results: &Results) -> fmt::Result {
    let (machine, settings) = (&results.machine, &results.settings);
    writeln!(out, "# Figures of one run\n")?;
    writeln!(out, "| | |\n| --- | --- |")?;
    writeln!(out, "| processor | {}, {} cores |", machine.processor, machine.cores)?;
    writeln!(out, "| memory | {} MiB |", machine.memory_mib)?;
    writeln!(out, "| kernel | Linux {} |", machine.kernel)?;
    writeln!(out, "| filesystem | {} |", machine.filesystem)?;
    writeln!(out, "| commit, compiler | {}, {} |", machine.commit, machine.rust)?;
    let began = UNIX_EPOCH + Duration::from_secs(machine.began);
    let began = humantime::format_rfc3339_seconds(began);
    writeln!(out, "| began | {began}, load {} |", machine.load)?;
    writeln!(
        out,
        "| run | {} rounds of {} s, sizes: {} |",
        settings.rounds, settings.seconds, settings.sizes
    )?;
    writeln!(
        out,
        "\nEach figure is the median of the rounds. In every round all that stands in a case runs in turn, each in a \
         process of its own, in the order of the last round turned round. Appends run as closed loops (each thread \
         appends again as soon as it may), but for latencies at a fixed rate: there an append is due at a fixed \
         moment, and its latency counts from that moment."
    )
}

fn demand(out: &mut String, outcome: &Outcome, want: &Want) -> fmt::Result {
    let label = |entry: usize| outcome.case.entries.get(entry).map_or("", |entry| &entry.label);
    let value = |entry| {
        let spread = outcome.spread(entry, &want.figure);
        spread.map_or("-".to_owned(), |spread| with_unit(spread.median, &want.figure))
    };
    let alone = matches!(want.bound, Bound::AtMost(_));
    let (beside, theirs) =
        if alone { ("", String::new()) } else { (label(want.beside), value(want.beside)) };
    let measured = outcome.measured(want).map_or("-".to_owned(), |spread| match want.bound {
        Bound::WithinMore(_) => format!("difference {}", ends(spread)),
        Bound::AtMost(_) => format!("({} to {})", short(spread.least), short(spread.most)),
        _ => ends(spread),
    });
    let which = if label(want.mine) == "Walden" { "" } else { label(want.mine) };
    let name = [outcome.case.name.as_str(), which].join(if which.is_empty() { "" } else { ": " });
    let met = match outcome.met(want) {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    };
    writeln!(
        out,
        "| {name} | {} | {beside} | {theirs} | {measured} | {}{} | {met} |",
        value(want.mine),
        wanted(want),
        if want.either { ", or" } else { "" }
    )
}

fn wanted(want: &Want) -> String {
    let unit = unit(&want.figure);
    match want.bound {
        Bound::Times(least) => format!("≥ {least}×"),
        Bound::WithinTimes(most) => format!("≤ {most}×"),
        Bound::WithinMore(most) => format!("≤ +{most} {unit}"),
        Bound::AtMost(most) if unit.is_empty() => format!("{}: {most}", want.figure),
        Bound::AtMost(most) => format!("≤ {most} {unit}"),
        Bound::Shown => String::new(),
    }
}

fn peers(out: &mut String, results: &Results) -> fmt::Result {
    if results.peers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## What each peer promises\n")?;
    writeln!(out, "The place is in the source of the version named.\n")?;
    writeln!(out, "| peer | with the kernel | durable | checksum | to be known |")?;
    writeln!(out, "| --- | --- | --- | --- | --- |")?;
    for facts in &results.peers {
        let promise = |text: &Option<String>| text.clone().unwrap_or_else(|| "no".to_owned());
        writeln!(
            out,
            "| {} {} | {} | {} | {} | {} |",
            facts.name,
            facts.version,
            promise(&facts.kernel),
            promise(&facts.durable),
            facts.checksum,
            facts.notes
        )?;
    }
    Ok(())
}

/// A table for each case: a line for each entry.
fn plain(out: &mut String, outcomes: &[&Outcome]) -> fmt::Result {
    for outcome in outcomes {
        let figure = &outcome.case.figure;
        let resident = figure != RESIDENT;
        writeln!(out, "{}:\n", outcome.case.name)?;
        let column = if resident { " most memory |" } else { "" };
        writeln!(out, "| | {} | least to most |{column}", unit(figure))?;
        writeln!(out, "| --- | --- | --- |{}", if resident { " --- |" } else { "" })?;
        for (entry, named) in outcome.case.entries.iter().enumerate() {
            let Some(spread) = outcome.spread(entry, figure) else { continue };
            let (least, most) = (short(spread.least), short(spread.most));
            write!(out, "| {} | {} | {least} to {most} |", named.label, short(spread.median))?;
            if resident {
                let memory = outcome.spread(entry, RESIDENT);
                let memory = memory.map(|spread| format!("{} MiB", short(spread.median)));
                write!(out, " {} |", memory.unwrap_or_default())?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A table for each plot: a line for each label, a column for each point.
fn sweeps(out: &mut String, outcomes: &[&Outcome]) -> fmt::Result {
    let mut plots: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        if let Some((plot, _)) = &outcome.case.point {
            plots.entry(plot).or_default().push(outcome);
        }
    }
    for (plot, points) in plots {
        let Some(first) = points.first() else { continue };
        writeln!(out, "{plot}, {}:\n", unit(&first.case.figure))?;
        let titles = what_differs(points.iter().map(|point| point.case.name.as_str()));
        writeln!(out, "| | {} |", titles.join(" | "))?;
        writeln!(out, "| --- |{}", " --- |".repeat(points.len()))?;
        for (entry, named) in first.case.entries.iter().enumerate() {
            write!(out, "| {} |", named.label)?;
            for point in &points {
                let spread = point.spread(entry, &point.case.figure);
                let cell = spread.map_or("-".to_owned(), |spread| short(spread.median));
                write!(out, " {cell} |")?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Names without the parts, between commas, that all of them have.
fn what_differs<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let everywhere = |part: &&str| names.clone().all(|name| name.split(", ").any(|p| p == *part));
    let shorter = |name: &'a str| {
        let parts: Vec<&str> = name.split(", ").filter(|part| !everywhere(part)).collect();
        if parts.is_empty() { name.to_owned() } else { parts.join(", ") }
    };
    names.clone().map(shorter).collect()
}

fn percentiles(out: &mut String, outcomes: &[&Outcome]) -> fmt::Result {
    for outcome in outcomes {
        writeln!(out, "{}, µs:\n", outcome.case.name)?;
        let titles =
            PERCENTILES.map(|(name, _)| name.trim_end_matches("_us").replacen('_', ".", 1));
        writeln!(out, "| | {} |", titles.join(" | "))?;
        writeln!(out, "| --- |{}", " --- |".repeat(PERCENTILES.len()))?;
        for (entry, named) in outcome.case.entries.iter().enumerate() {
            write!(out, "| {} |", named.label)?;
            for (name, _) in PERCENTILES {
                let spread = outcome.spread(entry, name);
                let cell = spread.map_or("-".to_owned(), |spread| short(spread.median));
                write!(out, " {cell} |")?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn failures(out: &mut String, results: &Results) -> fmt::Result {
    let mut failed = results
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.failures.iter().map(move |text| (&outcome.case.name, text)))
        .peekable();
    if failed.peek().is_some() {
        writeln!(out, "\n## What failed\n")?;
    }
    for (name, text) in failed {
        writeln!(out, "- {name}: {text}")?;
    }
    Ok(())
}

fn ends(spread: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", spread.median, spread.least, spread.most)
}

fn with_unit(value: f64, figure: &str) -> String {
    format!("{} {}", short(value), unit(figure)).trim_end().to_owned()
}

/// Three figures or a little more, as people read numbers.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else if size >= 1e4 {
        format!("{:.1} k", value / 1e3)
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 1.0 || value == 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.1234, 1.25, 99.94, 150.2, 9999.0, 12_345.0, 7_654_321.0];
        let texts = ["0.0", "0.123", "1.2", "99.9", "150", "9999", "12.3 k", "7.65 M"];
        assert_eq!(numbers.map(short), texts);
    }

    #[test]
    fn columns_are_named_by_what_differs() {
        let names = ["durable, 1 thread, 128 B", "durable, 8 threads, 128 B"];
        assert_eq!(what_differs(names.into_iter()), ["1 thread", "8 threads"]);
        assert_eq!(what_differs(["alone"].into_iter()), ["alone"]);
    }

    #[test]
    fn the_page_has_every_demand_and_what_failed() {
        let results = crate::results::tests::sample();
        let page = page(&results, &["threads.svg".to_owned()]);
        let row = |text: &str| page.lines().find(|line| line.contains(text)).unwrap().to_owned();
        let wanted = "| a case, 128 B | 130 records/s | a loop | 150 records/s | \
                      1.30 (1.30 to 1.30) | ≥ 1.5×, or | yes |";
        assert_eq!(row("≥ 1.5×"), wanted);
        assert!(row("≤ +5 µs").ends_with("| difference 5.50 (5.00 to 6.00) | ≤ +5 µs | **no** |"));
        assert!(page.contains("- a case, 128 B: a loop: it broke"));
        assert!(page.contains("![threads](threads.svg)"));
    }

    #[test]
    fn every_section_has_its_table() {
        let mut results = crate::results::tests::sample();
        for section in [
            Section::Peers,
            Section::Threads,
            Section::Payloads,
            Section::Reading,
            Section::Latencies,
            Section::Opening,
            Section::Seeking,
            Section::Memory,
        ] {
            let mut outcome = results.outcomes[0].clone();
            outcome.case.section = section;
            results.outcomes.push(outcome);
        }
        let page = page(&results, &[]);
        assert_eq!(page.matches("\n## ").count(), 10, "{page}");
        assert_eq!(page.matches("| a loop |").count(), 8 + 3, "{page}");
    }
}
