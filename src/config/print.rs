//! The defaults as a file that can be used: `barnacle config default`.

use std::fmt::Write as _;

use toml::Value;

use super::settings::{self, SECTIONS, Setting};

const HEADER: &str = "\
# The settings of Barnacle, each with its default.
#
# A value is taken from a flag of the command line, else from its environment variable, else from this file, else
# it is the default. A list in an environment variable is separated by commas.
";

/// The text: every setting with its meaning, its limits, its environment variable and its default.
pub(super) fn annotated_defaults() -> String {
    let mut text = HEADER.to_owned();
    for section in SECTIONS {
        text.push('\n');
        comment(&mut text, section.about);
        if !section.name.is_empty() {
            write_line(&mut text, &format!("[{}]", section.name));
        }
        for setting in settings::all() {
            let (of_section, key) = setting.key.split_once('.').unwrap_or(("", setting.key));
            if of_section == section.name {
                text.push('\n');
                annotated(&mut text, key, setting);
            }
        }
    }
    text
}

fn annotated(text: &mut String, key: &str, setting: &Setting) {
    comment(text, setting.about);
    if let Some(limits) = &setting.limits {
        write_line(text, &format!("# From {} to {}.", limits.start(), limits.end()));
    }
    write_line(text, &format!("# Environment: {}", setting.environment_variable()));
    write_line(text, &format!("{key} = {}", inline(&setting.default)));
}

/// A value on one line, in TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        // The lines are documentation too, and there begin with a space.
        write_line(text, &format!("#{line}"));
    }
}

fn write_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}
