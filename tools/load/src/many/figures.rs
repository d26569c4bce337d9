//! Named figures of one part, as a table or as a line of JSON each.

use serde::Serialize;

/// The figures of one part of a run.
pub(super) struct Figures {
    part: String,
    all: Vec<(String, f64, &'static str)>,
}

#[derive(Serialize)]
struct Line<'a> {
    part: &'a str,
    figure: &'a str,
    value: f64,
    unit: &'a str,
}

impl Figures {
    /// No figures yet of `part`.
    pub(super) fn new(part: String) -> Figures {
        Figures { part, all: Vec::new() }
    }

    /// Adds `value`, counted in `unit`.
    pub(super) fn add(&mut self, figure: impl Into<String>, value: f64, unit: &'static str) {
        self.all.push((figure.into(), value, unit));
    }

    /// Adds `bytes`, printed in MiB.
    pub(super) fn add_mib(&mut self, figure: impl Into<String>, bytes: u64) {
        self.add(figure, bytes as f64 / f64::from(1 << 20), "MiB");
    }

    pub(super) fn print(&self, json: bool) {
        if json {
            for (figure, value, unit) in &self.all {
                let line = Line { part: &self.part, figure, value: *value, unit };
                println!("{}", serde_json::to_string(&line).expect("a line has no maps with odd keys"));
            }
            return;
        }
        println!("{}", self.part);
        for (figure, value, unit) in &self.all {
            // Three digits that say something, whatever the size.
            let decimals = if *value >= 100.0 {
                0
            } else if *value >= 10.0 {
                1
            } else {
                2
            };
            println!("  {figure:<44} {value:>12.decimals$} {unit}");
        }
    }
}
