//! The limit of open files: each connection is one.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit as it is in force, after the broker asked for all it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// Files that may be open at a time; `None` for any number.
    pub now: Option<u64>,
    /// What it was before.
    pub before: Option<u64>,
}

impl FileLimit {
    /// Raises the soft limit of this process to its hard one. Where that is refused, it stays as it was.
    pub fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: before.maximum, maximum: before.maximum };
        // Whether it worked is read back, for a system may grant less.
        let _ = setrlimit(Resource::Nofile, raised);
        Self { now: getrlimit(Resource::Nofile).current, before: before.current }
    }
}

impl fmt::Display for FileLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.now {
            Some(now) => write!(formatter, "{now}")?,
            None => write!(formatter, "unlimited")?,
        }
        match self.before {
            Some(before) if self.before != self.now => write!(formatter, " (raised from {before})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_and_stays() {
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(FileLimit::raise().now, hard);
        assert_eq!(FileLimit::raise(), FileLimit { now: hard, before: hard });
    }

    #[test]
    fn it_says_what_it_was() {
        let limit = |now, before| FileLimit { now, before }.to_string();
        assert_eq!(limit(Some(4_096), Some(1_024)), "4096 (raised from 1024)");
        assert_eq!(limit(Some(4_096), Some(4_096)), "4096");
        assert_eq!(limit(None, Some(1_024)), "unlimited (raised from 1024)");
        assert_eq!(limit(None, None), "unlimited");
    }
}
