//! Brokers in turn, A B A B, with the same load: noise of the machine falls on all.

use crate::brokers::PROFILES;
use crate::error::LoadError;
use crate::measure::slope::median;
use crate::options::Options;
use crate::options::target::Target;
use crate::report::markdown::distinct;
use crate::report::output::Output;
use crate::report::record::Record;
use crate::report::text::{heading, number};
use crate::scenario::Work;
use clap::{Args, Parser};

/// What runs if nothing is named.
const USUAL: [&str; 2] = ["queue --drain", "live"];

/// Brokers side by side.
#[derive(Args, Clone, Debug)]
pub(crate) struct Comparison {
    /// How often each broker runs the load; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Profiles (`barnacle-load list`), paths of profiles, or HOST:PORT of a broker that is there; ratios are to the last one.
    #[arg(long, value_delimiter = ',', default_value = "barnacle,mosquitto")]
    pub(crate) brokers: Vec<String>,
    /// One scenario with its options, behind `--`: `-- live --qos 2`. Without it `queue --drain` and `live`.
    #[arg(last = true, value_name = "SCENARIO")]
    pub(crate) scenario: Vec<String>,
}

/// Runs the comparison and prints it.
pub(crate) fn run(comparison: &Comparison, output: &mut Output) -> Result<(), LoadError> {
    let works = works(&comparison.scenario)?;
    let begin = output.records.len();
    let prints = std::mem::replace(&mut output.prints, false);
    let configurations = take_turns(comparison, &works, output);
    (output.round, output.prints) = (0, prints);
    let configurations = configurations?;
    if prints {
        println!("{}", table(&output.records[begin..], &configurations, comparison));
    }
    Ok(())
}

/// Returns what the brokers were started with.
fn take_turns(
    comparison: &Comparison,
    works: &[Work],
    output: &mut Output,
) -> Result<Vec<String>, LoadError> {
    let mut configurations = Vec::new();
    for round in 0..comparison.rounds {
        output.round = round;
        for broker in &comparison.brokers {
            for work in works {
                let mut work = work.clone();
                let Some(target) = work.target_mut() else {
                    return Err(LoadError::Senseless("this scenario has no broker to compare".to_owned()));
                };
                aim(target, broker)?;
                if round == 0 {
                    configurations.push(target.configuration()?);
                }
                output.progress.say(&format!("round {} of {}: {broker}", round + 1, comparison.rounds));
                work.run(output)?;
            }
        }
    }
    Ok(distinct(configurations.into_iter()))
}

/// The scenarios that were named, or the usual ones.
fn works(words: &[String]) -> Result<Vec<Work>, LoadError> {
    if words.is_empty() {
        return USUAL.iter().map(|line| parse(line.split(' '))).collect();
    }
    Ok(vec![parse(words.iter().map(String::as_str))?])
}

/// A scenario from the words of a command line.
pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Work, LoadError> {
    match Options::try_parse_from(std::iter::once("barnacle-load").chain(words))?.command {
        crate::options::Command::Work(work) => Ok(*work),
        _ => Err(LoadError::Senseless("only a scenario can be compared".to_owned())),
    }
}

/// Turns a scenario to one broker.
pub(crate) fn aim(target: &mut Target, broker: &str) -> Result<(), LoadError> {
    let there =
        broker.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
    match there {
        Some((host, port)) => (target.host, target.port, target.broker) = (host, port, None),
        None => target.broker = Some(PROFILES.load(broker).map(|_| broker.to_owned())?),
    }
    Ok(())
}

/// Medians, least and most, and ratios to the last broker.
fn table(records: &[Record], configurations: &[String], comparison: &Comparison) -> String {
    let mut text = format!("{} rounds, brokers in turn\n", comparison.rounds);
    for configuration in configurations {
        text.push_str(&format!("  {configuration}\n"));
    }
    let brokers = distinct(records.iter().map(|record| record.broker.as_str()));
    for name in distinct(records.iter().map(heading)) {
        text.push_str(&format!("{name}\n"));
        let of: Vec<&Record> = records.iter().filter(|record| heading(record) == name).collect();
        let figures = of.iter().flat_map(|record| &record.figures).map(|figure| (&figure.name, &figure.unit));
        for (figure, unit) in distinct(figures) {
            let title = if unit.is_empty() { figure.clone() } else { format!("{figure}, {unit}") };
            let values = |broker: &str| -> Vec<f64> {
                let of_broker = of.iter().filter(|record| record.broker == broker);
                let figures =
                    of_broker.flat_map(|record| record.figures.iter().filter(|one| one.name == *figure));
                figures.map(|figure| figure.value).collect()
            };
            let last = brokers.last().map(|broker| values(broker)).unwrap_or_default();
            for broker in &brokers {
                let values = values(broker);
                if !values.is_empty() {
                    text.push_str(&line(&title, broker, &values, &last));
                }
            }
        }
    }
    for record in records {
        for problem in &record.problems {
            text.push_str(&format!(
                "WRONG: {}, {}, round {}: {problem}\n",
                record.broker,
                heading(record),
                record.round + 1
            ));
        }
    }
    text
}

fn line(figure: &str, broker: &str, values: &[f64], last: &[f64]) -> String {
    let spread = |values: &[f64]| {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{}–{}", number(least), number(most))
    };
    // Round by round: what disturbs the machine for longer than a round disturbs both sides of a ratio.
    let ratios: Vec<f64> =
        values.iter().zip(last).filter(|(_, last)| **last != 0.0).map(|(value, last)| value / last).collect();
    let ratio = if ratios.is_empty() {
        String::new()
    } else {
        format!("ratio {} ({})", number(median(&ratios)), spread(&ratios))
    };
    format!("  {figure:<42} {broker:<18} {:>12} {:>23}  {ratio}\n", number(median(values)), spread(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut records = Vec::new();
        for (round, (one, other)) in [(100.0, 10.0), (300.0, 15.0), (50.0, 10.0)].into_iter().enumerate() {
            for (broker, value) in [("a", one), ("b", other)] {
                let mut record = Record::new("live", "QoS 1", broker);
                record.round = u32::try_from(round).expect("three");
                record.add("delivered", value, "messages/s");
                records.push(record);
            }
        }
        let comparison = Comparison { rounds: 3, brokers: Vec::new(), scenario: Vec::new() };
        let text = table(&records, &["a; as it comes".to_owned()], &comparison);
        assert!(text.contains("a; as it comes") && text.contains("live: QoS 1"), "{text}");
        assert!(text.contains("100") && text.contains("ratio 10.0 (5.00–20.0)"), "{text}");
    }

    #[test]
    fn scenarios_are_read_from_words_and_turned_to_brokers() {
        let words = ["live".to_owned(), "--qos".to_owned(), "2".to_owned()];
        let mut works = works(&words).expect("a scenario");
        let target = works[0].target_mut().expect("it has a broker");
        aim(target, "broker.example:1884").expect("an address");
        assert_eq!((target.host.as_str(), target.port, &target.broker), ("broker.example", 1884, &None));
        aim(target, "mosquitto").expect("a profile");
        assert_eq!(target.broker.as_deref(), Some("mosquitto"));
        assert!(aim(target, "no-such-profile").is_err());
        assert!(parse(["list"].into_iter()).is_err());
    }
}
