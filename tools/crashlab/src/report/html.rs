//! One page that needs nothing else: tables, charts, and a timeline of each failed round.

use crate::books::finding::Kind;
use crate::report::svg::{self, escape};
use crate::report::{Report, Round, Verdict, markdown};
use std::fmt::Write;

/// Failed rounds that are shown in full, for each trial.
const SHOWN: usize = 20;

/// Findings of a round that are shown.
const FINDINGS: usize = 12;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2733;--paper:#fff;--line:#c9d2dc;--good:#3f8f5f;--bad:#c2372e;--dim:#66788a;--blue:#3a6ea5}\
@media(prefers-color-scheme:dark){:root{--ink:#dde5ee;--paper:#141a21;--line:#334250;--good:#5cb682;--bad:#ff7066;--dim:#8fa1b3;--blue:#7fb0e6}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1000px;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}td,th{border-bottom:1px solid var(--line);padding:.25em .7em;text-align:right}\
td:first-child,th:first-child{text-align:left}.scroll{overflow-x:auto}.bad{color:var(--bad)}.good{color:var(--good)}.dim{color:var(--dim)}\
svg{width:100%;height:auto;font:11px system-ui,sans-serif;fill:var(--ink)}svg path{stroke-width:1;fill:none}\
.acknowledged{stroke:var(--blue)}.delivered{stroke:var(--good)}.lost{stroke:var(--bad);stroke-width:2!important}.mark{stroke:var(--dim);stroke-dasharray:3 3}\
.kept{fill:var(--good)}.failed{fill:var(--bad)}pre{overflow-x:auto;background:color-mix(in srgb,var(--line) 30%,transparent);padding:.7em;font-size:12px}\
details{margin:.4em 0}h2{margin-top:2em;border-top:2px solid var(--line);padding-top:.6em}";

/// The page.
pub fn page(reports: &[Report]) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Crash lab</title><style>{STYLE}</style></head><body><h1>Crash lab</h1>"
    );
    html.push_str(
        "<div class=\"scroll\"><table><tr><th>Broker</th><th>Rounds</th><th>Failed</th><th>Acknowledged</th>",
    );
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| reports.iter().any(|report| report.count(*kind) > 0)).collect();
    for kind in &kinds {
        let _ = write!(html, "<th>{}</th>", kind.name());
    }
    html.push_str("<th>QoS 1 duplicates</th><th>Ready again</th><th>Duration</th></tr>");
    for report in reports {
        row(&mut html, report, &kinds);
    }
    html.push_str("</table></div>");
    for report in reports {
        section(&mut html, report);
    }
    html.push_str("</body></html>\n");
    html
}

fn row(html: &mut String, report: &Report, kinds: &[Kind]) {
    let class = if report.verdict() == Verdict::Clean { "good" } else { "bad" };
    let _ = write!(
        html,
        "<tr><td class=\"{class}\">{}</td><td>{}</td><td>{}</td><td>{}</td>",
        escape(&report.broker),
        report.rounds.len(),
        report.failed().count(),
        report.coverage.acknowledged
    );
    for kind in kinds {
        let count = report.count(*kind);
        let class = if count > 0 { "bad" } else { "dim" };
        let _ = write!(html, "<td class=\"{class}\">{count}</td>");
    }
    let ready = report.ready_ms().map_or("–".to_owned(), |(median, _, _)| format!("{median:.0} ms"));
    let repeated = report.coverage.repeated;
    let _ = write!(html, "<td>{repeated}</td><td>{ready}</td><td>{:.0} s</td></tr>", report.seconds);
}

fn section(html: &mut String, report: &Report) {
    let _ = write!(
        html,
        "<h2>{}</h2><p>{}. <span class=\"dim\">{} Seed {}.</span></p><p><strong>{}</strong></p>",
        escape(&report.broker),
        escape(&report.about),
        escape(&report.version),
        report.seed,
        escape(&markdown::verdict(report))
    );
    html.push_str(&svg::faults(report));
    if let Some(chart) = svg::ready(report) {
        let _ = write!(html, "<h3>From start to the first CONNACK, after a crash</h3>{chart}");
    }
    html.push_str("<details><summary>What was hit</summary><table>");
    for (name, count) in report.coverage.rows() {
        let _ = write!(html, "<tr><td>{name}</td><td>{count}</td></tr>");
    }
    html.push_str("</table></details>");
    for round in report.failed().take(SHOWN) {
        failed(html, round);
    }
    let more = report.failed().count().saturating_sub(SHOWN);
    if more > 0 {
        let _ = write!(html, "<p class=\"dim\">{more} more failed rounds are in the JSON report.</p>");
    }
}

fn failed(html: &mut String, round: &Round) {
    let _ = write!(html, "<h3>Round {}: {}</h3>", round.round, round.fault);
    if let Some(repeat) = &round.repeat {
        let _ = write!(html, "<pre>{}</pre>", escape(repeat));
    }
    if let Some(timeline) = &round.timeline {
        html.push_str(&svg::timeline(timeline));
        if !timeline.lost.is_empty() {
            html.push_str("<details><summary>Lost messages</summary><table>");
            html.push_str("<tr><th>Message</th><th>Topic</th><th>Owed to</th><th>Acknowledged</th></tr>");
            for one in &timeline.lost {
                let at = one.acknowledged_ms.map(|at| format!("{:.1} ms", at - timeline.begin_ms));
                let _ = write!(
                    html,
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(&one.message),
                    escape(&one.topic),
                    escape(&one.owed_to),
                    at.unwrap_or_else(|| "in an earlier round".to_owned())
                );
            }
            html.push_str("</table></details>");
        }
    }
    for finding in round.findings.iter().take(FINDINGS) {
        let _ = write!(
            html,
            "<details><summary><span class=\"bad\">{}</span> {}: {}</summary><pre>{}\n{}</pre></details>",
            finding.kind.name(),
            escape(&finding.who),
            escape(finding.text.lines().next().unwrap_or_default()),
            escape(&finding.text),
            escape(&finding.trail)
        );
    }
    if let Some(kept) = &round.kept {
        let _ =
            write!(html, "<p class=\"dim\">The store is kept in {}</p>", escape(&kept.display().to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::coverage::Coverage;
    use crate::books::finding::Finding;
    use crate::fault::Fault;
    use crate::report::{LostMessage, Mark, Timeline};

    /// A trial of two rounds, of which the second lost a message.
    fn report() -> Report {
        let round = |round| Round {
            round,
            store: 0,
            fault: Fault::Kill,
            acknowledged: 7,
            delivered: 6,
            ready_ms: Some(12.5),
            seconds: 0.5,
            findings: Vec::new(),
            timeline: None,
            repeat: None,
            kept: None,
        };
        let mut failed = round(1);
        failed.findings.push(Finding {
            kind: Kind::Lost,
            count: 1,
            at_ms: 90.0,
            who: "the lab".to_owned(),
            text: "1 acknowledged message <did not> arrive".to_owned(),
            trail: String::new(),
        });
        failed.repeat = Some("crashlab run --round 1".to_owned());
        failed.timeline = Some(Timeline {
            begin_ms: 10.0,
            end_ms: 110.0,
            acknowledged_ms: vec![20.0, 30.0],
            delivered_ms: vec![60.0],
            marks: vec![Mark { at_ms: 40.0, text: "killed".to_owned() }],
            lost: vec![LostMessage {
                message: "0:1".to_owned(),
                topic: "k/p0/t0".to_owned(),
                owed_to: "session-0".to_owned(),
                acknowledged_ms: Some(30.0),
            }],
        });
        Report {
            broker: "a broker".to_owned(),
            about: "for a test".to_owned(),
            version: String::new(),
            faults: vec![Fault::Kill],
            seed: 5,
            seconds: 1.0,
            rounds: vec![round(0), failed],
            coverage: Coverage::default(),
            never_hit: Vec::new(),
        }
    }

    #[test]
    fn a_failed_round_is_shown_with_what_repeats_it_and_what_it_lost() {
        let page = page(&[report()]);
        for wanted in ["crashlab run --round 1", "&lt;did not&gt;", "0:1", "30.0 ms: killed", "1 of 2 failed"]
        {
            assert!(page.contains(wanted), "the page does not say {wanted:?}");
        }
        assert!(!page.contains("<did not>"), "text of a broker is not escaped");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn reports_say_what_a_trial_came_to() {
        let mut report = report();
        assert_eq!((report.verdict(), report.has_lost()), (Verdict::Failed, true));
        assert!(
            markdown::table(&[report.clone()]).contains("| a broker | kill | 2 | 1 | 0 | 1 | 0 | 0 | none |")
        );
        assert!(serde_json::to_string(&report).is_ok_and(|json| json.contains("\"kind\":\"lost\"")));
        report.rounds.pop();
        assert_eq!((report.verdict(), report.has_lost()), (Verdict::Clean, false));
        report.never_hit.push("faults");
        assert_eq!(report.verdict(), Verdict::CoveredNothing);
        assert!(markdown::verdict(&report).contains("never hit: faults"));
    }
}
