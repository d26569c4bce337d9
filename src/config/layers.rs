//! The layers of a configuration: defaults, file, environment, flags; the later one wins.
//!
//! Each value is checked where it is added, so that a problem names the line, variable or flag it comes from. What
//! comes out is one [`RawConfig`] of the right types within the declared limits; whether its values have a meaning
//! is for the next step to say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::nearest;
use super::problem::{Problem, Source};
use super::settings::{self, ENVIRONMENT_PREFIX, RawConfig, Setting};

/// Names the configuration file; not a setting itself.
const CONFIG_VARIABLE: &str = "BARNACLE_CONFIG";

/// Values added so far, with where each comes from.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, (Value, Source)>,
    /// What keeps the configuration from being used.
    pub(super) problems: Vec<Problem>,
    /// What does not.
    pub(super) warnings: Vec<Problem>,
}

impl Layers {
    /// Adds what a TOML file says.
    pub(super) fn add_file(&mut self, path: &Path, text: &str) {
        let source = |line| Source::File { path: path.to_owned(), line };
        let line_of = |span: Option<Range<usize>>| span.map_or(0, |span| line_at(text, span.start));
        let parsed = DeTable::parse(text).and_then(|spans| Ok((spans, toml::from_str::<Table>(text)?)));
        let (spans, table) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let source = source(line_of(error.span()));
                return self.problems.push(Problem::new(&source, error.message()));
            }
        };
        for (name, span) in spans.get_ref() {
            let source = source(line_of(Some(name.span())));
            let name: &str = name.get_ref();
            match (&table[name], span.get_ref()) {
                (Value::Table(section), DeValue::Table(spans)) if settings::find(name).is_none() => {
                    if !settings::SECTIONS.iter().any(|section| section.name == name) {
                        self.problems.push(Problem::new(&source, nearest::unknown_section(name)));
                        continue;
                    }
                    for key in spans.keys() {
                        let line = line_of(Some(key.span()));
                        let source = Source::File { path: path.to_owned(), line };
                        self.add(
                            &format!("{name}.{}", key.get_ref()),
                            section[&**key.get_ref()].clone(),
                            source,
                        );
                    }
                }
                (value, _) => self.add(name, value.clone(), source),
            }
        }
    }

    /// Adds what the environment says. An unknown `BARNACLE_` variable is a warning: others have a use for that
    /// prefix too, Kubernetes sets `BARNACLE_PORT` for a service of that name.
    pub(super) fn add_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (variable, value) in variables {
            let Ok(variable) = variable.into_string() else { continue };
            if !variable.starts_with(ENVIRONMENT_PREFIX) || variable == CONFIG_VARIABLE {
                continue;
            }
            let source = Source::Environment { variable: variable.clone() };
            match settings::all().iter().find(|setting| setting.environment_variable() == variable) {
                Some(setting) => match value.into_string() {
                    Ok(text) => self.add(setting.key, from_text(setting, &text), source),
                    Err(_) => self.problems.push(Problem::new(&source, "is not UTF-8")),
                },
                None => {
                    let names: Vec<_> = settings::all().iter().map(Setting::environment_variable).collect();
                    let message = match nearest::nearest(&variable, names.iter().map(String::as_str)) {
                        Some(near) => format!("sets nothing; did you mean {near}?"),
                        None => "sets nothing".to_owned(),
                    };
                    self.warnings.push(Problem::new(&source, message));
                }
            }
        }
    }

    /// Adds one value, checking that its key exists and that it has the right type and is within its limits.
    pub(super) fn add(&mut self, key: &str, value: Value, source: Source) {
        let Some(setting) = settings::find(key) else {
            return self.problems.push(Problem::new(&source, nearest::unknown_key(key)));
        };
        match check(setting, &value) {
            Ok(()) => {
                self.values.insert(setting.key, (value, source));
            }
            Err(message) => self.problems.push(Problem::new(&source, format!("`{key}`: {message}"))),
        }
    }

    /// The outcome of all layers over the defaults.
    pub(super) fn raw(&self) -> RawConfig {
        let mut table = Table::new();
        for (key, (value, _)) in &self.values {
            insert(&mut table, key, value.clone());
        }
        RawConfig::deserialize(table).expect("each value was checked when it was added")
    }

    /// Where the value of a setting comes from.
    pub(super) fn source(&self, key: &str) -> Source {
        self.values.get(key).map_or(Source::Default, |(_, source)| source.clone())
    }
}

/// A text without a type, from the environment, as the TOML value that the setting asks for.
fn from_text(setting: &Setting, text: &str) -> Value {
    match &setting.default {
        Value::Integer(_) => match text.trim().parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::String(text.to_owned()),
        },
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(Value::from).collect())
        }
        _ => Value::String(text.to_owned()),
    }
}

fn check(setting: &Setting, value: &Value) -> Result<(), String> {
    if let (Some(limits), Value::Integer(number)) = (&setting.limits, value) {
        let within = u64::try_from(*number).is_ok_and(|number| limits.contains(&number));
        if !within {
            return Err(format!("{number} is not from {} to {}", limits.start(), limits.end()));
        }
    }
    let mut alone = Table::new();
    insert(&mut alone, setting.key, value.clone());
    RawConfig::deserialize(alone).map(drop).map_err(|error| match &setting.limits {
        Some(limits) => {
            format!("{value} is not a whole number from {} to {}", limits.start(), limits.end())
        }
        None => error.message().to_owned(),
    })
}

/// Puts a value where its dotted key says.
fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, key)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            section
                .as_table_mut()
                .expect("no setting has the name of a section")
                .insert(key.to_owned(), value);
        }
    }
}

/// The line that this byte is on, counted from 1.
fn line_at(text: &str, byte: usize) -> usize {
    1 + text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
