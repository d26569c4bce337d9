//! Where records go as soon as they are there.

use crate::error::{During, LoadError};
use crate::report::progress::Progress;
use crate::report::record::Record;
use crate::report::{html, text};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// Takes records, prints them, writes them, keeps them for the page.
pub(crate) struct Output {
    pub(crate) progress: Progress,
    /// The command line that makes the next records.
    pub(crate) command: String,
    /// The round of a comparison.
    pub(crate) round: u32,
    /// Whether records are printed as text.
    pub(crate) prints: bool,
    json: Option<Box<dyn Write>>,
    html: Option<PathBuf>,
    pub(crate) records: Vec<Record>,
}

impl Output {
    /// JSON lines to this file (`-`: standard output, and no text), the page to that one.
    pub(crate) fn new(
        json: Option<PathBuf>,
        html: Option<PathBuf>,
        quiet: bool,
    ) -> Result<Output, LoadError> {
        let is_stdout = json.as_ref().is_some_and(|path| path.as_os_str() == "-");
        let json: Option<Box<dyn Write>> = match json {
            None => None,
            Some(_) if is_stdout => Some(Box::new(std::io::stdout())),
            Some(path) => Some(Box::new(File::create(path).during("making the file of JSON lines")?)),
        };
        Ok(Output {
            progress: Progress::new(quiet),
            command: String::new(),
            round: 0,
            prints: !is_stdout && !quiet,
            json,
            html,
            records: Vec::new(),
        })
    }

    /// Takes one record.
    pub(crate) fn push(&mut self, mut record: Record) -> Result<(), LoadError> {
        if record.command.is_empty() {
            record.command.clone_from(&self.command);
        }
        record.round = self.round;
        if let Some(json) = &mut self.json {
            let line = serde_json::to_string(&record).expect("a record has no maps with odd keys");
            writeln!(json, "{line}").and_then(|()| json.flush()).during("writing JSON lines")?;
        }
        if self.prints {
            self.progress.suspend(|| println!("{}", text::record(&record)));
        }
        self.records.push(record);
        Ok(())
    }

    /// Writes the page and returns all records.
    pub(crate) fn finish(self) -> Result<Vec<Record>, LoadError> {
        if let Some(path) = &self.html {
            std::fs::write(path, html::page(&self.records)?).during("writing the page")?;
        }
        Ok(self.records)
    }
}
