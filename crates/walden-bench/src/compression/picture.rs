//! JSON lines, by how small they get and how fast: a point for each codec and way.

use std::error::Error as _;
use std::path::Path;

use plotters::prelude::*;

use super::{CODECS, Row, Shape};
use crate::figures::Result;
use crate::plot::{COLOURS, FONT, INK, use_built_in_font};

const SIZE: (u32, u32) = (900, 560);

pub(super) fn draw(rows: &[Row], path: &Path) -> Result<()> {
    use_built_in_font()?;
    let rows: Vec<&Row> =
        rows.iter().filter(|row| row.data == "JSON lines" && row.size == "lines").collect();
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    // Its errors are not `'static`: their text is kept.
    drawn(&area, &rows).map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}").into(),
        None => error.to_string().into(),
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failed = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

fn drawn(area: &Area<'_>, rows: &[&Row]) -> std::result::Result<(), Failed> {
    area.fill(&WHITE)?;
    let most = rows.iter().map(|row| row.ratio).fold(1.0, f64::max);
    let fastest = rows.iter().map(|row| row.append).fold(10.0, f64::max);
    let slowest = rows.iter().map(|row| row.append).fold(fastest, f64::min);
    let mut chart = ChartBuilder::on(area)
        .caption("JSON lines of about 200 B", (FONT, 20).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(60)
        .build_cartesian_2d((slowest * 0.8..fastest * 1.3).log_scale(), 0.0..most * 1.1)?;
    chart
        .configure_mesh()
        .bold_line_style(INK.mix(0.15))
        .light_line_style(INK.mix(0.05))
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc("MB/s of payload appended, a second of processor time")
        .y_desc("bytes of payload for a byte of log")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (shape, colour) in Shape::ALL.into_iter().zip(COLOURS) {
        let of_shape = || rows.iter().filter(move |row| row.shape == shape);
        let dots = of_shape().map(|row| Circle::new((row.append, row.ratio), 4, colour.filled()));
        chart
            .draw_series(dots)?
            .label(shape.name())
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
        let names = of_shape().map(|row| {
            let font = (FONT, 12).into_font().color(&INK);
            let at = EmptyElement::at((row.append, row.ratio));
            at + Text::new(row.codec.clone(), (7, -6), font)
        });
        chart.draw_series(names)?;
    }
    // The bar: 4 times smaller at no less than 300 MB/s.
    let bar = vec![(300.0, most * 1.1), (300.0, 4.0), (fastest * 1.3, 4.0)];
    chart.draw_series(DashedLineSeries::new(bar, 6, 5, INK.mix(0.5).stroke_width(1)))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .label_font((FONT, 14).into_font().color(&INK))
        .draw()?;
    area.present()?;
    debug_assert!(CODECS.len() <= COLOURS.len());
    Ok(())
}
