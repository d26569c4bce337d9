//! How firmly an acknowledged message is kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What an acknowledgement promises. All of them survive a crash or a kill of the broker; they differ in what a
/// power cut or a crash of the operating system takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The log is on the disk before the acknowledgement leaves: nothing acknowledged is lost.
    Fsync,
    /// The log is written before the acknowledgement leaves, and on the disk at most this much later. Whole
    /// milliseconds, from 1 ms to 60 s.
    Interval(Duration),
    /// The log is written before the acknowledgement leaves, and on the disk when the operating system sees fit.
    Os,
}

/// The longest interval: beyond it the mode would be `os` by another name.
const INTERVAL_MAX_MILLISECONDS: u64 = 60_000;

impl Durability {
    /// What the mode gives up, in a sentence; `None` for the one that gives up nothing.
    pub fn gives_up(&self) -> Option<String> {
        match self {
            Self::Fsync => None,
            Self::Interval(interval) => Some(format!(
                "a power cut takes what was acknowledged in the last {} ms",
                interval.as_millis()
            )),
            Self::Os => Some(
                "a power cut takes what was acknowledged since the operating system last wrote, often 30 seconds"
                    .to_owned(),
            ),
        }
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("interval:")) {
            ("fsync", _) => Ok(Self::Fsync),
            ("os", _) => Ok(Self::Os),
            (_, Some(milliseconds)) => match milliseconds.parse() {
                Ok(number @ 1..=INTERVAL_MAX_MILLISECONDS) => {
                    Ok(Self::Interval(Duration::from_millis(number)))
                }
                _ => Err(format!(
                    "`{text}`: after `interval:` come milliseconds from 1 to {INTERVAL_MAX_MILLISECONDS}"
                )),
            },
            _ => Err(format!("`{text}` is not `fsync`, `interval:MILLISECONDS` or `os`")),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => write!(formatter, "fsync"),
            Self::Interval(interval) => write!(formatter, "interval:{}", interval.as_millis()),
            Self::Os => write!(formatter, "os"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_written_alike() {
        for text in ["fsync", "os", "interval:1", "interval:60000"] {
            assert_eq!(text.parse::<Durability>().expect(text).to_string(), text);
        }
        for text in
            ["", "Fsync", "interval", "interval:", "interval:0", "interval:60001", "interval:-1", "os:1"]
        {
            assert!(text.parse::<Durability>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_fsync_gives_up_nothing() {
        assert_eq!(Durability::Fsync.gives_up(), None);
        let interval =
            Durability::Interval(Duration::from_millis(250)).gives_up().expect("it gives something up");
        assert!(interval.contains("250 ms"), "{interval}");
        assert!(Durability::Os.gives_up().is_some());
    }
}
