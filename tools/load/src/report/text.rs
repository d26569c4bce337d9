//! A record as a person reads it in a terminal, and numbers as they are written everywhere.

use crate::report::record::Record;
use std::fmt::Write;

/// Heading, figures, problems.
pub(crate) fn record(record: &Record) -> String {
    let mut text = format!("{} ({})", heading(record), record.broker);
    for figure in &record.figures {
        let _ = write!(text, "\n  {:<44} {:>14} {}", figure.name, number(figure.value), figure.unit);
    }
    for problem in &record.problems {
        let _ = write!(text, "\n  WRONG: {problem}");
    }
    text
}

/// Scenario and case.
pub(crate) fn heading(record: &Record) -> String {
    if record.case.is_empty() {
        record.scenario.clone()
    } else {
        format!("{}: {}", record.scenario, record.case)
    }
}

/// Three digits that say something, whatever the size; thousands apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        for (value, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (5.678, "5.68"),
            (42.25, "42.2"),
            (999.4, "999"),
            (1_234_567.8, "1,234,568"),
            (-45_000.0, "-45,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
