//! The tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::{CODECS, Row, Run, Shape};
use crate::figures::Result;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// The machine, and a table for each kind of data.
pub(super) fn tables(run: &Run) -> String {
    let machine = &run.machine;
    let mut out = format!(
        "{}, {} cores; {}; commit {}, {}; {} MiB of each kind of data, {} rounds, seed {}; load {} before.\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.commit,
        machine.rust,
        run.mib,
        run.rounds,
        run.seed,
        machine.load
    );
    let mut named: Vec<&str> = Vec::new();
    for row in &run.rows {
        if !named.contains(&&*row.data) {
            named.push(&row.data);
        }
    }
    for data in named {
        let rows: Vec<&Row> = run.rows.iter().filter(|row| row.data == data).collect();
        let _unfailing = write!(out, "\n### {}\n\n{}", capital(data), table(&rows));
    }
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn table(rows: &[&Row]) -> String {
    let mut out = String::from("| records | appended |");
    for (codec, _) in CODECS {
        let _unfailing = write!(out, " {codec} |");
    }
    out.push_str("\n| --- | --- |");
    out.push_str(&" --- |".repeat(CODECS.len()));
    out.push('\n');
    let mut sizes: Vec<&str> = Vec::new();
    for row in rows {
        if !sizes.contains(&&*row.size) {
            sizes.push(&row.size);
        }
    }
    for size in sizes {
        let of_size: Vec<&&Row> = rows.iter().filter(|row| row.size == size).collect();
        let mean = of_size.first().map_or(0.0, |row| row.mean);
        let shapes: BTreeSet<Shape> = of_size.iter().map(|row| row.shape).collect();
        for shape in shapes {
            let size =
                if size == "lines" { format!("lines ({mean:.0} B)") } else { size.to_owned() };
            let _unfailing = write!(out, "| {size} | {} |", shape.name());
            for (codec, _) in CODECS {
                let row = of_size.iter().find(|row| row.shape == shape && row.codec == codec);
                let cell = row.map_or_else(String::new, |row| {
                    format!("{:.2} · {:.0} · {:.0}", row.ratio, row.append, row.read)
                });
                let _unfailing = write!(out, " {cell} |");
            }
            out.push('\n');
        }
    }
    out
}

/// Puts the tables into a page, between its marks.
pub(super) fn put(page: &Path, tables: &str) -> Result<()> {
    let text =
        std::fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let parts =
        text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        parts.ok_or_else(|| format!("{}: {BEGIN} and {END} are missing", page.display()))?;
    Ok(std::fs::write(page, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))?)
}
