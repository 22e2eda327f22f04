//! What is shown: a table with bars, or JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::advice::{Advice, advise};
use super::figures::{Figures, Timed};
use super::log::TICKETS;
use crate::exit::Failure;
use crate::output::{Output, escaped};
use crate::size;

/// Shows the figures and what they mean.
///
/// # Errors
/// What stdout gives.
pub(super) fn show(out: &Output, dir: &Path, figures: &Figures) -> Result<(), Failure> {
    let advice = advise(figures);
    if out.json {
        return out.line(json(dir, figures, &advice));
    }
    let filesystem = figures.filesystem.as_ref().map_or(String::new(), |kind| format!(" ({kind})"));
    out.line(format!("disk     {}{filesystem}", escaped(&dir.display().to_string())))?;
    out.line(format!(
        "entries  {} each; written in sequence, the disk takes {} a second\n",
        size::bytes(figures.payload),
        size::bytes(figures.sequential)
    ))?;
    out.line(table(out, figures))?;
    out.line(out.on_stdout.faint("each block of a bar: twice as many a second\n"))?;
    for Advice { text, .. } in &advice {
        out.line(format!("- {text}"))?;
    }
    Ok(())
}

/// The rows, by what they are called.
fn rows(figures: &Figures) -> Vec<(String, Option<Timed>)> {
    let threads = figures.threads;
    vec![
        ("sync, file grows".to_owned(), Some(figures.growing)),
        ("sync, reserved".to_owned(), figures.reserved),
        ("sync, overwritten".to_owned(), Some(figures.written)),
        ("Always".to_owned(), Some(figures.always)),
        (format!("Always, {threads} threads"), Some(figures.always_threads)),
        (format!("Always, {TICKETS} tickets"), Some(figures.always_tickets)),
        ("OsCache".to_owned(), Some(figures.os_cache)),
        (format!("OsCache, {threads} threads"), Some(figures.os_cache_threads)),
        ("OsCache, mapped".to_owned(), figures.mapped),
        ("Background".to_owned(), Some(figures.background)),
    ]
}

fn table(out: &Output, figures: &Figures) -> String {
    let rows = rows(figures);
    let least = rows.iter().filter_map(|(_, timed)| timed.map(|timed| timed.rate)).min();
    let cells = |(name, timed): (String, Option<Timed>)| match timed {
        Some(Timed { rate, p50, p99, p999, .. }) => vec![
            name,
            size::count(rate),
            nanos(p50),
            nanos(p99),
            nanos(p999),
            bar(rate, least.unwrap_or(1)),
        ],
        None => {
            let none = || "-".to_owned();
            vec![name, none(), none(), none(), none(), "not possible here".to_owned()]
        }
    };
    let header = ["", "A second", "p50", "p99", "p99.9", ""];
    out.table(&header, rows.into_iter().map(cells).collect())
}

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A bar that is one block longer for twice the rate; the least rate has one block.
fn bar(rate: u64, least: u64) -> String {
    let eighths = 8 + log2_eighths(rate).saturating_sub(log2_eighths(least));
    let part = usize::try_from(eighths % 8).ok().and_then(|at| EIGHTHS.get(at));
    format!("{}{}", "█".repeat(usize::try_from(eighths / 8).unwrap_or(0)), part.unwrap_or(&""))
}

/// Eight times the binary logarithm, in straight lines between the powers of two.
fn log2_eighths(number: u64) -> u32 {
    let number = number.max(1);
    let whole = number.ilog2();
    // The three bits behind the leading one.
    let part = u128::from(number) * 8 / (1 << whole) % 8;
    whole * 8 + u32::try_from(part).unwrap_or(0)
}

/// A short time for a person.
pub(super) fn nanos(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..100_000 => format!("{}.{} µs", nanos / 1_000, nanos % 1_000 / 100),
        _ => size::time(std::time::Duration::from_nanos(nanos)),
    }
}

fn json(dir: &Path, figures: &Figures, advice: &[Advice]) -> Value {
    let timed = |timed: &Timed| {
        json!({
            "per_second": timed.rate,
            "p50_ns": timed.p50,
            "p99_ns": timed.p99,
            "p999_ns": timed.p999,
            "max_ns": timed.max,
        })
    };
    let perhaps = |found: &Option<Timed>| found.as_ref().map_or(Value::Null, timed);
    let advice = advice.iter().map(|advice| json!({ "about": advice.about, "text": advice.text }));
    json!({
        "dir": dir.to_string_lossy(),
        "filesystem": figures.filesystem,
        "payload_bytes": figures.payload,
        "threads": figures.threads,
        "tickets": TICKETS,
        "sequential_bytes_per_second": figures.sequential,
        "sync": {
            "growing": timed(&figures.growing),
            "reserved": perhaps(&figures.reserved),
            "overwritten": timed(&figures.written),
        },
        "log": {
            "always": timed(&figures.always),
            "always_threads": timed(&figures.always_threads),
            "always_tickets": timed(&figures.always_tickets),
            "os_cache": timed(&figures.os_cache),
            "os_cache_threads": timed(&figures.os_cache_threads),
            "os_cache_mapped": perhaps(&figures.mapped),
            "background": timed(&figures.background),
        },
        "advice": advice.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_factor_of_two() {
        assert_eq!(bar(1000, 1000), "█");
        assert_eq!(bar(2000, 1000), "██");
        assert_eq!(bar(16_000, 1000), "█████");
        assert_eq!(bar(1 << 20, 1), "█".repeat(21));
        assert_eq!(bar(24, 16), "█▌");
        assert_eq!(bar(0, 0), "█");
        assert_eq!(bar(u64::MAX, 1), format!("{}▉", "█".repeat(64)));
    }

    #[test]
    fn short_times() {
        assert_eq!(nanos(0), "0 ns");
        assert_eq!(nanos(999), "999 ns");
        assert_eq!(nanos(1_260), "1.2 µs");
        assert_eq!(nanos(99_999), "99.9 µs");
        assert_eq!(nanos(150_000), "150 µs");
        assert_eq!(nanos(2_500_000), "2.5 ms");
    }

    #[test]
    fn what_is_not_possible_is_named() {
        let figures = Figures { reserved: None, mapped: None, ..Figures::default() };
        let text = table(&Output::new(false), &figures);
        assert_eq!(text.matches("not possible here").count(), 2, "{text}");
        assert_eq!(text.lines().count(), 11, "{text}");
    }
}
