//! Brokers in turn, A B A B, with the same load: noise of the machine falls on both.

use crate::LoadError;
use crate::brokers::Broker;
use crate::options::{BrokerKind, Comparison, Load, ScenarioKind};
use crate::report::{Report, processor_seconds};
use crate::scenario;
use serde::Serialize;

/// One figure of one broker over all rounds.
#[derive(Debug, Serialize)]
struct Series {
    broker: String,
    figure: String,
    /// Messages a second, one for each round.
    rates: Vec<f64>,
    /// Processor time of the broker for each message in microseconds, one for each round.
    processor_us: Vec<f64>,
}

/// One scenario on one broker.
type Step = fn(&Load) -> Result<Report, LoadError>;

/// Runs the comparison and prints it. Returns the report of every run.
pub(crate) fn run(comparison: &Comparison, json: bool) -> Result<Vec<Report>, LoadError> {
    let mut series: Vec<Series> = Vec::new();
    let mut reports = Vec::new();
    let mut configurations = Vec::new();
    for round in 0..comparison.rounds {
        for &kind in &comparison.brokers {
            for &scenario in &comparison.scenarios {
                let broker = Broker::start(kind, &comparison.programs)?;
                if round == 0 && !configurations.contains(&broker.configuration) {
                    configurations.push(broker.configuration.clone());
                }
                for report in run_scenario(scenario, comparison, &broker, kind, &mut series)? {
                    if !report.kept_everything() {
                        eprintln!("{kind:?}, round {round}:");
                        report.print(json);
                    }
                    reports.push(report);
                }
            }
        }
    }
    print(comparison, &configurations, &series, json);
    Ok(reports)
}

fn run_scenario(
    scenario: ScenarioKind,
    comparison: &Comparison,
    broker: &Broker,
    kind: BrokerKind,
    series: &mut Vec<Series>,
) -> Result<Vec<Report>, LoadError> {
    let load = Load { host: "127.0.0.1".to_owned(), port: broker.port, shape: comparison.shape.clone() };
    let steps: &[Step] = match scenario {
        ScenarioKind::Queue => &[scenario::queue, scenario::drain],
        ScenarioKind::Live => &[scenario::live],
    };
    let mut reports = Vec::new();
    for step in steps {
        let before = processor_seconds(&broker.process_id());
        let report = step(&load)?;
        let processor = (processor_seconds(&broker.process_id()) - before) * 1e6 / load.shape.count as f64;
        let published = report.published.as_ref().map(|published| ("acknowledged", published.per_second));
        let received = report.received.as_ref().map(|received| ("delivered", received.per_second));
        for (what, rate) in published.into_iter().chain(received) {
            record(series, kind, format!("{} {what}", report.scenario), rate, processor);
        }
        reports.push(report);
    }
    Ok(reports)
}

fn record(series: &mut Vec<Series>, kind: BrokerKind, figure: String, rate: f64, processor: f64) {
    let broker = format!("{kind:?}").to_lowercase();
    let index =
        series.iter().position(|one| one.broker == broker && one.figure == figure).unwrap_or_else(|| {
            series.push(Series { broker, figure, rates: Vec::new(), processor_us: Vec::new() });
            series.len() - 1
        });
    series[index].rates.push(rate);
    series[index].processor_us.push(processor);
}

fn print(comparison: &Comparison, configurations: &[String], series: &[Series], json: bool) {
    if json {
        for one in series {
            println!("{}", serde_json::to_string(one).expect("a series has no maps with odd keys"));
        }
        return;
    }
    let shape = &comparison.shape;
    println!(
        "{} messages of {} B, QoS {}, {} publishers with {} in flight, {} rounds, MQTT {:?}",
        shape.count,
        shape.size,
        shape.qos,
        shape.publishers,
        shape.inflight,
        comparison.rounds,
        shape.protocol
    );
    for configuration in configurations {
        println!("  {configuration}");
    }
    println!("{:<20} {:<12} {:>10} {:>23} {:>9} {:>7}", "", "", "median/s", "least–most", "µs/msg", "ratio");
    let mut figures: Vec<&str> = Vec::new();
    for one in series {
        if !figures.contains(&one.figure.as_str()) {
            figures.push(&one.figure);
        }
    }
    for figure in figures {
        let of_figure: Vec<&Series> = series.iter().filter(|one| one.figure == figure).collect();
        let base = of_figure.last().map_or(1.0, |one| median(&one.rates));
        for one in of_figure {
            let least = one.rates.iter().copied().fold(f64::INFINITY, f64::min);
            let most = one.rates.iter().copied().fold(0.0, f64::max);
            println!(
                "{:<20} {:<12} {:>10.0} {:>23} {:>9.2} {:>7.2}",
                figure,
                one.broker,
                median(&one.rates),
                format!("{least:.0}–{most:.0}"),
                median(&one.processor_us),
                median(&one.rates) / base
            );
        }
    }
}

/// The middle value, the mean of the two middle ones of an even number, 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
