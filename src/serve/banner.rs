//! What the broker says of itself once clients can connect.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tracing::info;

use super::file_limit::FileLimit;
use crate::config::Durability;

/// What a start found in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// In words: "3 sessions, 12 subscriptions".
    pub summary: String,
    /// How long opening the store took.
    pub took: Duration,
}

/// The facts of a start, for people to read and for the log.
#[derive(Debug)]
pub struct Banner<'a> {
    /// What clients connect to.
    pub addresses: Vec<&'a str>,
    /// The directory of the store.
    pub data_dir: &'a Path,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// What was found in the store, where there is one.
    pub recovery: Option<&'a Recovery>,
    /// How many connections there can be.
    pub file_limit: FileLimit,
}

impl Banner<'_> {
    /// The same facts as one event of the log.
    pub fn log(&self) {
        info!(
            version = env!("CARGO_PKG_VERSION"),
            listening = self.addresses.join(" "),
            data_dir = %self.data_dir.display(),
            durability = %self.durability,
            recovered = self.recovery.map(|recovery| recovery.summary.as_str()),
            recovery_milliseconds = self.recovery.map(|recovery| recovery.took.as_millis() as u64),
            file_limit = self.file_limit.now,
            "ready"
        );
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Barnacle {}, a durable MQTT broker", env!("CARGO_PKG_VERSION"))?;
        writeln!(formatter)?;
        for (index, address) in self.addresses.iter().enumerate() {
            writeln!(formatter, "  {:<12}{address}", if index == 0 { "listening" } else { "" })?;
        }
        writeln!(formatter, "  {:<12}{}", "data", self.data_dir.display())?;
        match self.durability.gives_up() {
            None => {
                writeln!(formatter, "  {:<12}{}: acknowledged is on the disk", "durability", self.durability)?
            }
            Some(loss) => writeln!(formatter, "  {:<12}{}: {loss}", "durability", self.durability)?,
        }
        if let Some(Recovery { summary, took }) = self.recovery {
            writeln!(formatter, "  {:<12}{summary}, in {} ms", "recovered", took.as_millis())?;
        }
        writeln!(formatter, "  {:<12}{}", "open files", self.file_limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner<'a>(durability: Durability, recovery: Option<&'a Recovery>) -> Banner<'a> {
        Banner {
            addresses: vec!["mqtt://127.0.0.1:1883", "mqtt://[::1]:1883", "ws://127.0.0.1:8083/mqtt"],
            data_dir: Path::new("/var/lib/barnacle"),
            durability,
            recovery,
            file_limit: FileLimit { now: Some(4_096), before: Some(1_024) },
        }
    }

    #[test]
    fn it_says_where_to_connect_and_what_is_kept() {
        let recovery = Recovery { summary: "2 sessions".to_owned(), took: Duration::from_millis(12) };
        let text = banner(Durability::Fsync, Some(&recovery)).to_string();
        let expected = format!(
            "Barnacle {}, a durable MQTT broker\n\n\
             \x20 listening   mqtt://127.0.0.1:1883\n\
             \x20             mqtt://[::1]:1883\n\
             \x20             ws://127.0.0.1:8083/mqtt\n\
             \x20 data        /var/lib/barnacle\n\
             \x20 durability  fsync: acknowledged is on the disk\n\
             \x20 recovered   2 sessions, in 12 ms\n\
             \x20 open files  4096 (raised from 1024)\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_weak_mode_says_what_it_gives_up() {
        for durability in [Durability::Interval(Duration::from_millis(100)), Durability::Os] {
            let text = banner(durability, None).to_string();
            assert!(text.contains(&format!("{durability}: a power cut takes")), "{text}");
            assert!(!text.contains("recovered"), "{text}");
        }
    }
}
