//! Pictures of a run, as SVG and PNG. The font is part of the program: a machine without fonts draws the same.

use std::error::Error as _;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::figures::{MIB_RATE, OPEN_MS, PERCENTILES, RATE, Result};
use crate::report::short;
use crate::results::Results;

const SIZE: (u32, u32) = (1020, 560);
/// What the names of the lines take, beside the plot, so that they cover nothing.
const LEGEND: i32 = 280;
pub(crate) const FONT: &str = "sans-serif";
pub(crate) const INK: RGBColor = RGBColor(40, 40, 40);

/// Told apart by people who see colours differently, too (Okabe and Ito), then some more.
pub(crate) const COLOURS: [RGBColor; 14] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(148, 103, 60),
    RGBColor(120, 94, 240),
    RGBColor(110, 110, 110),
    RGBColor(0, 80, 60),
    RGBColor(170, 20, 60),
    RGBColor(150, 160, 0),
    RGBColor(0, 0, 0),
    RGBColor(250, 120, 190),
];

/// What is drawn of the cases that name it. Both axes are logarithmic.
struct Plot {
    name: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    figure: &'static str,
    /// How a number on the x axis is written.
    tick: fn(f64) -> String,
}

const PLOTS: [Plot; 10] = [
    Plot {
        name: "threads-kernel",
        title: "Appends of 128 B, not durable",
        x: "threads",
        y: "records/s",
        figure: RATE,
        tick: short_number,
    },
    Plot {
        name: "threads-durable",
        title: "Appends of 128 B, durable",
        x: "threads",
        y: "records/s",
        figure: RATE,
        tick: short_number,
    },
    Plot {
        name: "payload-kernel",
        title: "Appends, 1 thread, not durable",
        x: "payload",
        y: "MiB/s of payload",
        figure: MIB_RATE,
        tick: bytes,
    },
    Plot {
        name: "payload-durable",
        title: "Appends, 1 thread, durable",
        x: "payload",
        y: "MiB/s of payload",
        figure: MIB_RATE,
        tick: bytes,
    },
    Plot {
        name: "batches-kernel",
        title: "Batches of 64, 1 thread, not durable",
        x: "payload",
        y: "MiB/s of payload",
        figure: MIB_RATE,
        tick: bytes,
    },
    Plot {
        name: "batches-durable",
        title: "Batches of 64, 1 thread, durable",
        x: "payload",
        y: "MiB/s of payload",
        figure: MIB_RATE,
        tick: bytes,
    },
    Plot {
        name: "latency-kernel",
        title: "20,000 appends of 128 B a second, not durable",
        x: "percentile",
        y: "µs from the moment it was due",
        figure: "",
        tick: percentile,
    },
    Plot {
        name: "latency-durable",
        title: "500 appends of 128 B a second, durable",
        x: "percentile",
        y: "µs from the moment it was due",
        figure: "",
        tick: percentile,
    },
    Plot {
        name: "open",
        title: "Opening a log",
        x: "size of the log",
        y: "ms",
        figure: OPEN_MS,
        tick: mebibytes,
    },
    Plot {
        name: "seek",
        title: "Looking up a random entry, caches warm",
        x: "records",
        y: "µs, half are faster",
        figure: "p50_us",
        tick: short_number,
    },
];

struct Line {
    label: String,
    points: Vec<(f64, f64)>,
}

/// The same font on every machine.
pub(crate) fn use_built_in_font() -> Result<()> {
    let font = dejavu::sans::regular();
    register_font(FONT, FontStyle::Normal, font).map_err(|_| "the built-in font is invalid")?;
    Ok(())
}

/// Draws all plots that there are figures for into `dir`; the names of the SVG files.
pub(crate) fn draw_all(results: &Results, dir: &Path) -> Result<Vec<String>> {
    use_built_in_font()?;
    let mut names = Vec::new();
    for plot in &PLOTS {
        let lines = lines(results, plot);
        if lines.is_empty() {
            continue;
        }
        let name = format!("{}.svg", plot.name);
        let svg = dir.join(&name);
        let png = dir.join(format!("{}.png", plot.name));
        draw(&SVGBackend::new(&svg, SIZE).into_drawing_area(), plot, &lines)?;
        draw(&BitMapBackend::new(&png, SIZE).into_drawing_area(), plot, &lines)?;
        names.push(name);
    }
    Ok(names)
}

fn lines(results: &Results, plot: &Plot) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut add = |label: &str, x: f64, y: f64| {
        if y <= 0.0 {
            return;
        }
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.points.push((x, y)),
            None => lines.push(Line { label: label.to_owned(), points: vec![(x, y)] }),
        }
    };
    for outcome in &results.outcomes {
        let Some((name, x)) = &outcome.case.point else { continue };
        if name != plot.name {
            continue;
        }
        for (entry, named) in outcome.case.entries.iter().enumerate() {
            if plot.figure.is_empty() {
                for (figure, percentile) in PERCENTILES {
                    if percentile < 100.0
                        && let Some(spread) = outcome.spread(entry, figure)
                    {
                        add(&named.label, 100.0 / (100.0 - percentile), spread.median);
                    }
                }
            } else if let Some(spread) = outcome.spread(entry, plot.figure) {
                add(&named.label, *x, spread.median);
            }
        }
    }
    lines
}

fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    plot: &Plot,
    lines: &[Line],
) -> Result<()> {
    // Its errors are not `'static`: their text is kept.
    let text = |error: DrawingAreaErrorKind<B::ErrorType>| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    area.fill(&WHITE).map_err(text)?;
    let width = i32::try_from(SIZE.0)? - LEGEND;
    let (left, right) = area.split_horizontally(width);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let all = || lines.iter().flat_map(|line| line.points.iter().map(of));
        let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
        (least * 0.8, most * 1.25)
    };
    let (x, y) = (range(|point| point.0), range(|point| point.1));
    // The axis names the points that were measured.
    let mut measured: Vec<f64> =
        lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    measured.sort_by(f64::total_cmp);
    measured.dedup();
    let across = (x.0..x.1).log_scale().with_key_points(measured);
    let mut chart = ChartBuilder::on(&left)
        .caption(plot.title, (FONT, 20).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(across, (y.0..y.1).log_scale())
        .map_err(text)?;
    chart
        .configure_mesh()
        .bold_line_style(INK.mix(0.15))
        .light_line_style(INK.mix(0.05))
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc(plot.x)
        .y_desc(plot.y)
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&|x| (plot.tick)(*x))
        .y_label_formatter(&|y| short_number(*y))
        .draw()
        .map_err(text)?;
    for (at, line) in lines.iter().enumerate() {
        let (colour, wide) = look(at, &line.label);
        let points = line.points.clone();
        if line.label.starts_with("bare") {
            let dashes = DashedLineSeries::new(points.clone(), 8, 5, colour.stroke_width(wide));
            chart.draw_series(dashes).map_err(text)?;
        } else {
            let whole = LineSeries::new(points.clone(), colour.stroke_width(wide));
            chart.draw_series(whole).map_err(text)?;
        }
        let dots = points.into_iter().map(|point| Circle::new(point, 3, colour.filled()));
        chart.draw_series(dots).map_err(text)?;
    }
    legend(&right, lines).map_err(text)?;
    area.present().map_err(text)?;
    Ok(())
}

fn legend<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    lines: &[Line],
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let middle = Pos::new(HPos::Left, VPos::Center);
    let font = (FONT, 14).into_font().color(&INK).pos(middle);
    let mut y = 56;
    for (at, line) in lines.iter().enumerate() {
        let (colour, wide) = look(at, &line.label);
        let ends =
            if line.label.starts_with("bare") { vec![(0, 8), (20, 29)] } else { vec![(0, 29)] };
        for (from, to) in ends {
            let stroke = colour.stroke_width(wide);
            area.draw(&PathElement::new(vec![(from, y), (to, y)], stroke))?;
        }
        area.draw(&Circle::new((14, y), 3, colour.filled()))?;
        area.draw(&Text::new(line.label.clone(), (38, y), font.clone()))?;
        y += 24;
    }
    Ok(())
}

fn look(at: usize, label: &str) -> (RGBColor, u32) {
    let colour = COLOURS.get(at % COLOURS.len()).copied().unwrap_or(INK);
    (colour, if label.starts_with("Walden") { 3 } else { 2 })
}

/// A number on an axis, which is round: no digits that say nothing.
fn short_number(value: f64) -> String {
    let (number, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    if number >= 1.0 && (number - number.round()).abs() < 0.01 {
        format!("{number:.0}{unit}")
    } else {
        format!("{}{unit}", short(number))
    }
}

fn bytes(value: f64) -> String {
    if value >= 1024.0 { kibibytes(value / 1024.0) } else { short_number(value) + " B" }
}

fn kibibytes(value: f64) -> String {
    if value >= 1024.0 { mebibytes(value / 1024.0) } else { short_number(value) + " KiB" }
}

fn mebibytes(value: f64) -> String {
    if value >= 1024.0 {
        short_number(value / 1024.0) + " GiB"
    } else {
        short_number(value) + " MiB"
    }
}

/// The axis is how rare what lies above is: one in ten is the 90th.
fn percentile(value: f64) -> String {
    let percent = 100.0 - 100.0 / value;
    let digits = if value > 1000.5 { 2 } else { usize::from(value > 100.5) };
    format!("{percent:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{Sizes, cases};

    #[test]
    fn every_point_of_a_case_belongs_to_a_plot() {
        for case in cases(&Sizes::large()) {
            let Some((name, _)) = case.point else { continue };
            assert!(PLOTS.iter().any(|plot| plot.name == name), "{name}");
        }
    }

    #[test]
    fn lines_are_put_together_from_the_points_of_all_cases() {
        let mut results = crate::results::tests::sample();
        let mut further = results.outcomes[0].clone();
        further.case.point = Some(("threads-kernel".to_owned(), 64.0));
        results.outcomes.push(further);
        let lines = lines(&results, &PLOTS[0]);
        let labels: Vec<_> = lines.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(labels, ["Walden", "a loop"]);
        assert_eq!(lines[0].points, [(8.0, 130.0), (64.0, 130.0)]);
    }

    #[test]
    fn both_kinds_of_picture_are_drawn_without_fonts_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let names = draw_all(&crate::results::tests::sample(), dir.path()).unwrap();
        assert_eq!(names, ["threads-kernel.svg"]);
        let svg = std::fs::read_to_string(dir.path().join("threads-kernel.svg")).unwrap();
        assert!(svg.contains("a loop") && svg.contains("Appends of 128 B"));
        let png = std::fs::read(dir.path().join("threads-kernel.png")).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(
            [1.0, 64.0, 2000.0, 1e6, 0.5].map(short_number),
            ["1", "64", "2 k", "1 M", "0.500"]
        );
        assert_eq!(
            [2.0, 10.0, 100.0, 1000.0, 10_000.0].map(percentile),
            ["50", "90", "99", "99.9", "99.99"]
        );
        assert_eq!([64.0, 16_384.0].map(mebibytes), ["64 MiB", "16 GiB"]);
        let sizes = [16.0, 1024.0, 65_536.0, 1_048_576.0].map(bytes);
        assert_eq!(sizes, ["16 B", "1 KiB", "64 KiB", "1 MiB"]);
    }
}
