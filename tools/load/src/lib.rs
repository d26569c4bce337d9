//! A load generator for MQTT brokers that counts what was delivered.
//!
//! The way of a run: [`options`] say what is wanted; a [`scenario`] takes a broker ([`brokers`]: one that is there, or one
//! that is started by its profile), lets [`client`]s loose on it, [`measure`]s, and hands [`report`] a [`Record`], which
//! becomes text, a line of JSON, a page with charts, a Markdown table. [`compare`] runs brokers in turn, [`suite`] all scenarios
//! in a fixed order.

mod brokers;
mod client;
mod compare;
mod error;
mod measure;
mod options;
mod report;
mod scenario;
mod suite;

pub use error::LoadError;
pub use report::record::{Chart, Figure, Line, Record};

use clap::Parser;
use error::During;
use options::{Command, Options};
use report::output::Output;
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs a command line, program name first. Returns what was found; it is printed and written as the options say.
pub fn run<T: Into<OsString> + Clone>(words: impl IntoIterator<Item = T>) -> Result<Vec<Record>, LoadError> {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let options = Options::try_parse_from(&words)?;
    measure::pinning::raise_open_files();
    let (mut json, mut html) = (options.json, options.html);
    if let Command::All(suite) = &options.command
        && let Some((results, page)) = suite.results()?
    {
        (json, html) = (json.or(Some(results)), html.or(Some(page)));
    }
    let mut output = Output::new(json, html, options.quiet)?;
    let line = words.iter().skip(1).map(|word| word.to_string_lossy());
    output.command = std::iter::once("barnacle-load".into()).chain(line).collect::<Vec<_>>().join(" ");
    match &options.command {
        Command::Work(work) => work.run(&mut output)?,
        Command::Compare(comparison) => compare::run(comparison, &mut output)?,
        Command::All(suite) => suite::run(suite, &mut output)?,
        Command::List { show } => list(show.as_deref())?,
        Command::Table { files } => print!("{}", report::markdown::tables(&read(files)?)),
        Command::Charts { files, out, only } => {
            let mut records = read(files)?;
            records.retain(|record| only.is_empty() || only.contains(&record.scenario));
            report::chart::write(&records, out)?;
        }
    }
    output.finish()
}

/// What earlier runs wrote with --json.
fn read(files: &[PathBuf]) -> Result<Vec<Record>, LoadError> {
    let mut records = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).during("reading JSON lines")?;
        let lines = text.lines().map(serde_json::from_str::<Record>).collect::<Result<Vec<_>, _>>();
        records.extend(lines.map_err(|error| LoadError::Senseless(format!("{}: {error}", file.display())))?);
    }
    Ok(records)
}

fn list(show: Option<&str>) -> Result<(), LoadError> {
    if let Some(name) = show {
        let unknown = || barnacle_brokers::ProfileError::Unknown(name.to_owned());
        print!("{}", brokers::PROFILES.text(name).ok_or_else(unknown)?);
        return Ok(());
    }
    for name in brokers::PROFILES.names() {
        let profile = brokers::PROFILES.load(name)?;
        let missing = if profile.program().is_err() { " [not installed]" } else { "" };
        println!("{name:<24} {}{missing}", profile.about);
    }
    Ok(())
}
