//! Which steps of a run are taken: all, or those that a shrunk failure still needs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Some of a run's steps, written as `3,5-9`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps(Option<BTreeSet<usize>>);

impl Steps {
    pub(crate) fn only(steps: impl IntoIterator<Item = usize>) -> Steps {
        Steps(Some(steps.into_iter().collect()))
    }

    pub(crate) fn has(&self, step: usize) -> bool {
        self.0.as_ref().is_none_or(|only| only.contains(&step))
    }
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Steps, String> {
        let mut steps = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
            steps.extend(number(from)?..=number(to)?);
        }
        Ok(Steps(Some(steps)))
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().flatten().copied().peekable();
        let mut separator = "";
        while let Some(from) = rest.next() {
            let mut to = from;
            while let Some(next) = rest.next_if_eq(&(to + 1)) {
                to = next;
            }
            write!(formatter, "{separator}{from}")?;
            if to > from {
                write!(formatter, "-{to}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_written_as_they_are_read() {
        let steps: Steps = "1-3,7,9-10".parse().expect("steps");
        assert!(steps.has(2) && steps.has(9) && !steps.has(4));
        assert_eq!(steps.to_string(), "1-3,7,9-10");
        assert!(Steps::default().has(7) && "x".parse::<Steps>().is_err());
        assert!(!"".parse::<Steps>().expect("none").has(0));
    }
}
