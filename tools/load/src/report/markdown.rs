//! Records as Markdown tables, for documents: a table for each scenario, a column for each case.

use crate::measure::slope::median;
use crate::report::record::Record;
use crate::report::text::number;
use std::fmt::Write;

/// All tables, each with the commands that make it.
pub(crate) fn tables(records: &[Record]) -> String {
    let mut text = String::new();
    for scenario in distinct(records.iter().map(|record| record.scenario.as_str())) {
        let of: Vec<&Record> = records.iter().filter(|record| record.scenario == scenario).collect();
        let _ = writeln!(text, "### {scenario}\n");
        for command in
            distinct(of.iter().map(|record| record.command.as_str()).filter(|line| !line.is_empty()))
        {
            let _ = writeln!(text, "`{command}`\n");
        }
        table(&mut text, &of);
    }
    text
}

fn table(text: &mut String, records: &[&Record]) {
    let brokers = distinct(records.iter().map(|record| record.broker.as_str()));
    let column = |record: &Record| match (brokers.len(), record.case.as_str()) {
        (1, case) => case.to_owned(),
        (_, "") => record.broker.clone(),
        (_, case) => format!("{case}, {}", record.broker),
    };
    let columns = distinct(records.iter().map(|record| column(record)));
    let _ = writeln!(text, "| | {} |", columns.join(" | "));
    let _ = writeln!(text, "|---{}|", "|---".repeat(columns.len()));
    let figures = distinct(
        records.iter().flat_map(|record| record.figures.iter().map(|figure| (&figure.name, &figure.unit))),
    );
    for (name, unit) in figures {
        let unit_text = if unit.is_empty() { String::new() } else { format!(", {unit}") };
        let _ = write!(text, "| {name}{unit_text} |");
        for wanted in &columns {
            let of_column = records.iter().filter(|record| column(record) == *wanted);
            let values: Vec<f64> = of_column
                .flat_map(|record| record.figures.iter().filter(|figure| figure.name == *name))
                .map(|figure| figure.value)
                .collect();
            let _ = write!(text, " {} |", cell(&values));
        }
        text.push('\n');
    }
    for record in records {
        for problem in &record.problems {
            let _ = writeln!(text, "\n**Wrong** in {}: {problem}", column(record));
        }
    }
    text.push('\n');
}

/// One value, or the median of several rounds with the least and the most.
fn cell(values: &[f64]) -> String {
    match values {
        [] => "–".to_owned(),
        [value] => number(*value),
        _ => {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{} ({}–{})", number(median(values)), number(least), number(most))
        }
    }
}

/// Each once, in the order of their first appearance.
pub(crate) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(scenario: &str, case: &str, broker: &str, value: f64) -> Record {
        let mut record = Record::new(scenario, case, broker);
        record.command = format!("barnacle-load {scenario}");
        record.add("acknowledged", value, "messages/s");
        record
    }

    #[test]
    fn cases_are_columns_and_rounds_are_medians() {
        let mut lost = record("live", "", "b", 5.0);
        lost.add("ratio", 0.5, "");
        lost.problem("3 messages missing");
        let records = [
            record("live", "", "a", 1000.0),
            record("live", "", "a", 3000.0),
            record("live", "", "a", 2000.0),
            lost,
            record("queue", "QoS 1", "a", 7.0),
            record("queue", "QoS 2", "a", 8.0),
        ];
        let text = tables(&records);
        for wanted in [
            "### live\n\n`barnacle-load live`\n\n| | a | b |\n|---|---|---|\n",
            "| acknowledged, messages/s | 2,000 (1,000–3,000) | 5.00 |\n| ratio | – | 0.500 |\n",
            "**Wrong** in b: 3 messages missing",
            "| | QoS 1 | QoS 2 |\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is not in {text}");
        }
    }
}
