//! What is wrong with a configuration: the operator's errors, each with the place to mend it.

use std::fmt;
use std::path::PathBuf;

/// Everything that is wrong with a configuration. Found together, so that a file is mended in one go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `None` when there is nothing wrong.
    pub(super) fn from_problems(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.source.line());
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems, at least one, in the order of the lines of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) source: Source,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(source: &Source, message: impl Into<String>) -> Self {
        Self { source: source.clone(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.source, self.message)
    }
}

/// Where a value comes from. The later ones win over the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Nobody set it.
    Default,
    /// A line of the file, counted from 1; 0 for the file as a whole.
    File { path: PathBuf, line: usize },
    /// An environment variable.
    Environment { variable: String },
    /// A flag of the command line.
    Flag { name: &'static str },
}

impl Source {
    /// The line of the file; 0 for what has none.
    fn line(&self) -> usize {
        match self {
            Self::File { line, .. } => *line,
            _ => 0,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(formatter, "default"),
            Self::File { path, line: 0 } => write!(formatter, "{}", path.display()),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(formatter, "environment variable {variable}"),
            Self::Flag { name } => write!(formatter, "{name}"),
        }
    }
}
