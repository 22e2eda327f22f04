//! Medians with their spread, as a Markdown table.

use std::fmt;

use crate::workload::Case;

/// One row for each case, one pair of figures for each round.
pub(crate) struct Table {
    rows: Vec<(String, Vec<(f64, f64)>)>,
}

impl Table {
    pub(crate) fn new(cases: &[Case]) -> Self {
        Self {
            rows: cases
                .iter()
                .map(|case| (format!("{} | {}", case.name, case.baseline_name), Vec::new()))
                .collect(),
        }
    }

    pub(crate) fn add(&mut self, row: usize, mine: f64, bare: f64) {
        if let Some((_, figures)) = self.rows.get_mut(row) {
            figures.push((mine, bare));
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | beside | per second | beside, per second | ratio (least to most) |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for (name, figures) in &self.rows {
            let mine = sorted(figures.iter().map(|(mine, _)| *mine));
            let bare = sorted(figures.iter().map(|(_, bare)| *bare));
            let ratio = sorted(figures.iter().map(|(mine, bare)| mine / bare));
            let ends = ratio.first().zip(ratio.last()).unwrap_or((&0.0, &0.0));
            writeln!(
                f,
                "| {name} | {} | {} | {:.2} ({:.2} to {:.2}) |",
                thousands(median(&mine)),
                thousands(median(&bare)),
                median(&ratio),
                ends.0,
                ends.1
            )?;
        }
        Ok(())
    }
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn thousands(figure: f64) -> String {
    if figure >= 1e6 { format!("{:.2} M", figure / 1e6) } else { format!("{figure:.0}") }
}
