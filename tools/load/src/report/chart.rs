//! Charts as SVG that can stand in a page.

use crate::error::{During, LoadError};
use crate::report::record::{Chart, Record};
use crate::report::text::{heading, number};
use plotters::prelude::*;
use std::path::Path;

/// Width and height of a chart.
const SIZE: (u32, u32) = (900, 280);

/// Most points of a line; a browser has enough of them then.
const POINTS: usize = 900;

const COLOURS: [RGBColor; 5] = [
    RGBColor(58, 110, 165),
    RGBColor(63, 143, 95),
    RGBColor(194, 55, 46),
    RGBColor(180, 130, 20),
    RGBColor(120, 80, 160),
];

/// Writes each chart of the first round to a file of its own in `directory`, named after scenario, case, broker and title.
pub(crate) fn write(records: &[Record], directory: &Path) -> Result<(), LoadError> {
    std::fs::create_dir_all(directory).during("making the directory for the charts")?;
    for record in records.iter().filter(|record| record.round == 0) {
        for chart in &record.charts {
            let titled = Chart { title: format!("{}: {}", heading(record), chart.title), ..chart.clone() };
            let svg = svg(&titled)?;
            if !svg.is_empty() {
                let name = file_name(&[&record.scenario, &record.case, &record.broker, &chart.title]);
                std::fs::write(directory.join(name), svg).during("writing a chart")?;
            }
        }
    }
    Ok(())
}

/// Letters and digits of `parts`, in small letters, everything else a hyphen.
fn file_name(parts: &[&str]) -> String {
    let text = parts.join(" ").to_lowercase();
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}.svg", words.join("-"))
}

/// The SVG of `chart`; nothing if it has no line, but points at most.
pub(crate) fn svg(chart: &Chart) -> Result<String, LoadError> {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let most = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(0.0_f64, f64::max);
    let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let (right, top) = (most(|(x, _)| *x), most(|(_, y)| *y));
    if chart.lines.iter().all(|line| line.points.len() < 2) {
        return Ok(String::new());
    }
    let mut svg = String::new();
    draw(&mut svg, chart, least..right, if top > 0.0 { top * 1.08 } else { 1.0 })
        .map_err(|error| LoadError::Chart(error.to_string()))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    chart: &Chart,
    x: std::ops::Range<f64>,
    top: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut context = ChartBuilder::on(&root)
        .caption(&chart.title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(86)
        .build_cartesian_2d(x, 0.0..top)?;
    context
        .configure_mesh()
        .max_light_lines(0)
        .x_desc(chart.x.as_str())
        .y_desc(chart.y.as_str())
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    for (line, colour) in chart.lines.iter().zip(COLOURS.iter().cycle()) {
        let colour = *colour;
        let step = line.points.len().div_ceil(POINTS).max(1);
        // The highest of the points that become one: a peak is what one looks for.
        let thinned = line
            .points
            .chunks(step)
            .filter_map(|points| points.iter().copied().max_by(|(_, one), (_, other)| one.total_cmp(other)));
        context
            .draw_series(LineSeries::new(thinned, colour.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::record::Line;

    #[test]
    fn each_chart_of_the_first_round_is_a_file() {
        let points: Vec<(f64, f64)> = (0..9).map(|second| (f64::from(second), 1.0)).collect();
        let line = || Line { name: "delivered".to_owned(), points: points.clone() };
        let mut record = Record::new("live", "QoS 1, 1000/s", "barnacle");
        record.chart("Throughput", "seconds", "messages/s", vec![line()]);
        record.chart("Empty", "seconds", "µs", vec![]);
        let again = Record { round: 1, ..record.clone() };
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(&[record, again], directory.path()).expect("they are written");
        let files: Vec<_> = std::fs::read_dir(directory.path()).expect("it is there").collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let name = "live-qos-1-1000-s-barnacle-throughput.svg";
        let svg = std::fs::read_to_string(directory.path().join(name)).expect("it has its name");
        assert!(svg.contains("live: QoS 1, 1000/s: Throughput"), "{svg}");
    }
}
