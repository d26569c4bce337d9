//! One page that needs nothing else: figures and charts of every record.

use crate::error::LoadError;
use crate::report::chart;
use crate::report::markdown::distinct;
use crate::report::record::Record;
use crate::report::text::{heading, number};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2733;--paper:#fff;--line:#c9d2dc;--bad:#c2372e;--dim:#66788a}\
@media(prefers-color-scheme:dark){:root{--ink:#dde5ee;--paper:#141a21;--line:#334250;--bad:#ff7066;--dim:#8fa1b3}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:960px;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:.6em 0;font-variant-numeric:tabular-nums}td,th{border-bottom:1px solid var(--line);padding:.2em .7em;text-align:right}\
td:first-child,th:first-child{text-align:left}.bad{color:var(--bad);font-weight:bold}.dim{color:var(--dim)}\
svg{width:100%;height:auto;margin:.4em 0;border-radius:4px}code{font-size:13px;overflow-wrap:anywhere}\
h2{margin-top:2em;border-top:2px solid var(--line);padding-top:.5em}nav a{margin-right:1em}";

/// The page.
pub(crate) fn page(records: &[Record]) -> Result<String, LoadError> {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>barnacle-load</title><style>{STYLE}</style></head><body>\
         <h1>barnacle-load</h1><nav>"
    );
    let scenarios = distinct(records.iter().map(|record| record.scenario.as_str()));
    for scenario in &scenarios {
        let _ = write!(html, "<a href=\"#{0}\">{0}</a>", escape(scenario));
    }
    html.push_str("</nav>");
    for scenario in scenarios {
        let _ = write!(html, "<h2 id=\"{0}\">{0}</h2>", escape(scenario));
        for record in records.iter().filter(|record| record.scenario == scenario) {
            section(&mut html, record)?;
        }
    }
    html.push_str("</body></html>\n");
    Ok(html)
}

fn section(html: &mut String, record: &Record) -> Result<(), LoadError> {
    let round = if record.round > 0 { format!(", round {}", record.round + 1) } else { String::new() };
    let _ = write!(
        html,
        "<h3>{} <span class=\"dim\">{}{round}</span></h3>",
        escape(&heading(record)),
        escape(&record.broker)
    );
    if !record.command.is_empty() {
        let _ = write!(html, "<p><code>{}</code></p>", escape(&record.command));
    }
    for problem in &record.problems {
        let _ = write!(html, "<p class=\"bad\">Wrong: {}</p>", escape(problem));
    }
    html.push_str("<table>");
    for figure in &record.figures {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&figure.name),
            number(figure.value),
            escape(&figure.unit)
        );
    }
    html.push_str("</table>");
    for one in &record.charts {
        html.push_str(&chart::svg(one)?);
    }
    Ok(())
}

/// Text that may stand in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::report::record::{Line, Record};

    #[test]
    fn a_page_has_figures_charts_and_what_went_wrong() {
        let mut record = Record::new("live", "<QoS 2>", "mosquitto");
        record.add("delivered", 12_345.0, "messages/s");
        record.problem("2 messages missing");
        let line = |name: &str, points: Vec<(f64, f64)>| Line { name: name.to_owned(), points };
        let points = (0..5_000).map(|second| (f64::from(second), f64::from(second % 7))).collect();
        record.chart(
            "Throughput",
            "seconds",
            "messages/s",
            vec![line("delivered", points), line("none", vec![])],
        );
        record.chart("Empty", "seconds", "µs", vec![line("none", vec![])]);
        let page = page(&[record]).expect("it can be drawn");
        for wanted in ["12,345", "&lt;QoS 2&gt;", "Wrong: 2 messages missing", "Throughput", "<polyline"] {
            assert!(page.contains(wanted), "the page does not say {wanted:?}");
        }
        assert_eq!(page.matches("<svg").count(), 1, "a chart without points is none");
        assert!(!page.contains("<QoS 2>"), "text is not escaped");
        assert!(
            !page.contains("http://") || page.contains("http://www.w3.org/2000/svg"),
            "the page needs others"
        );
    }
}
