//! Charts as inline SVG. Colours come from the page's style sheet, by class.

use crate::report::{Report, Timeline};
use std::fmt::Write;

/// Width of every chart.
const WIDTH: f64 = 960.0;

/// Most ticks that a lane shows; a browser has enough of them then.
const TICKS: usize = 2_000;

/// What was acknowledged when, the fault, what came back.
pub(crate) fn timeline(timeline: &Timeline) -> String {
    let (left, right, top, lane) = (110.0, 20.0, 20.0, 34.0);
    let labels = timeline.marks.len() as f64 * 14.0;
    let height = top + 3.0 * lane + labels + 30.0;
    let span = (timeline.end_ms - timeline.begin_ms).max(1.0);
    let x = |at: f64| left + (at - timeline.begin_ms) / span * (WIDTH - left - right);
    let mut svg = open(height, "timeline");
    let lost: Vec<f64> = timeline.lost.iter().filter_map(|one| one.acknowledged_ms).collect();
    let lanes = [
        ("acknowledged", "acknowledged", &timeline.acknowledged_ms),
        ("delivered", "delivered", &timeline.delivered_ms),
        ("lost", "lost, as acknowledged", &lost),
    ];
    for (row, (class, name, times)) in lanes.into_iter().enumerate() {
        let y = top + row as f64 * lane;
        let _ = write!(svg, r#"<text x="4" y="{:.0}">{name}</text>"#, y + 16.0);
        let _ = write!(svg, r#"<path class="{class}" d=""#);
        let step = times.len().div_ceil(TICKS).max(1);
        for at in times.iter().step_by(step) {
            let _ = write!(svg, "M{:.1} {:.1}v22", x(*at), y + 2.0);
        }
        svg.push_str(r#""/>"#);
    }
    for (row, mark) in timeline.marks.iter().enumerate() {
        let y = top + 3.0 * lane + row as f64 * 14.0 + 10.0;
        let at = x(mark.at_ms);
        let (anchor, place) = if at > WIDTH / 2.0 { ("end", at - 4.0) } else { ("start", at + 4.0) };
        let relative = mark.at_ms - timeline.begin_ms;
        let _ = write!(
            svg,
            r#"<path class="mark" d="M{at:.1} {top}V{y:.0}"/><text x="{place:.1}" y="{y:.0}" text-anchor="{anchor}">{relative:.1} ms: {}</text>"#,
            escape(&mark.text.chars().take(110).collect::<String>()),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Rounds of each fault, and those that failed.
pub(crate) fn faults(report: &Report) -> String {
    let rows = report.by_fault();
    let height = rows.len() as f64 * 24.0 + 10.0;
    let most = rows.iter().map(|(_, all, _)| *all).max().unwrap_or(1).max(1) as f64;
    let mut svg = open(height, "rounds of each fault");
    for (row, (fault, all, failed)) in rows.iter().enumerate() {
        let y = row as f64 * 24.0 + 4.0;
        let width = |count: u64| count as f64 / most * (WIDTH - 320.0);
        let _ = write!(
            svg,
            r#"<text x="4" y="{:.0}">{fault}</text><rect class="kept" x="150" y="{y}" width="{:.1}" height="16"/><rect class="failed" x="150" y="{y}" width="{:.1}" height="16"/><text x="{:.1}" y="{:.0}">{failed} of {all} failed</text>"#,
            y + 13.0,
            width(*all),
            width(*failed),
            156.0 + width(*all),
            y + 13.0,
        );
    }
    svg.push_str("</svg>");
    svg
}

/// How long the broker took to answer after a crash, as a histogram.
pub(crate) fn ready(report: &Report) -> Option<String> {
    let times: Vec<f64> = report.rounds.iter().filter_map(|round| round.ready_ms).collect();
    let (_, _, most) = report.ready_ms()?;
    let bins = 40;
    let mut counts = vec![0u64; bins];
    for time in &times {
        counts[((time / most.max(0.001) * bins as f64) as usize).min(bins - 1)] += 1;
    }
    let highest = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let (height, floor) = (150.0, 120.0);
    let width = (WIDTH - 60.0) / bins as f64;
    let mut svg = open(height, "time to ready after a crash");
    for (bin, count) in counts.iter().enumerate() {
        let tall = *count as f64 / highest * 110.0;
        let _ = write!(
            svg,
            r#"<rect class="kept" x="{:.1}" y="{:.1}" width="{:.1}" height="{tall:.1}"><title>{count}</title></rect>"#,
            30.0 + bin as f64 * width,
            floor - tall,
            width - 2.0,
        );
    }
    let _ = write!(
        svg,
        r#"<text x="30" y="140">0 ms</text><text x="{:.0}" y="140" text-anchor="end">{most:.0} ms</text></svg>"#,
        WIDTH - 30.0
    );
    Some(svg)
}

fn open(height: f64, label: &str) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{label}">"#)
}

/// Text that may stand in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
