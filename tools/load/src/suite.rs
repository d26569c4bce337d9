//! All scenarios in a fixed order, each on a fresh broker: what docs/PERFORMANCE.md is made from.

use crate::compare;
use crate::error::{During, LoadError};
use crate::options::{Command, Options};
use crate::report::machine;
use crate::report::markdown;
use crate::report::output::Output;
use crate::report::record::Record;
use clap::{Args, Parser};
use std::path::PathBuf;
use std::time::Instant;

/// One entry of the suite: its name, and its command lines at full size and small.
struct Entry {
    name: &'static str,
    full: &'static str,
    small: &'static str,
}

const fn entry(name: &'static str, full: &'static str, small: &'static str) -> Entry {
    Entry { name, full, small }
}

/// The order in which they run. At full size all of it takes less than 30 minutes on two quiet processors, small less than one.
const ENTRIES: [Entry; 32] = [
    entry("queue", "compare --rounds 5 -- queue --drain --count 500000", "queue --drain --count 2000"),
    entry("live", "compare --rounds 5 -- live --count 300000", "live --count 2000"),
    entry(
        "queue-qos2",
        "compare --rounds 5 --brokers barnacle -- queue --drain --qos 2",
        "queue --drain --count 2000 --qos 2",
    ),
    entry(
        "live-qos2",
        "compare --rounds 5 -- live --count 20000 --qos 2",
        "live --count 2000 --qos 2 --protocol 5",
    ),
    // Those that keep messages too, each as it comes.
    entry(
        "queue-kept",
        "compare --rounds 3 --brokers barnacle,rabbitmq,nats,mosquitto-persistence -- queue --drain --count 50000",
        "",
    ),
    entry("backlog", "queue --drain --count 1000000", "queue --drain --count 5000"),
    entry("rocksdb", "rocksdb", "rocksdb --seconds 0.05 --batches 1,64"),
    entry(
        "rocksdb-spread",
        "rocksdb --batches 256,1024 --ranges 100000 --seconds 10",
        "rocksdb --seconds 0.05 --batches 64 --ranges 50",
    ),
    entry("single", "single", "single --rounds 1 --count 50 --rate 500"),
    entry("latency", "latency", "latency --rates 200,1000 --duration 0.5"),
    entry("catch-up", "catch-up", "catch-up --clients 20 --messages 50 --before 0.3"),
    entry("catch-up-qos2", "catch-up --qos 2", "catch-up --clients 20 --messages 50 --before 0.3 --qos 2"),
    entry("subscribers", "subscribers", "subscribers --sessions 2,40 --messages 1000"),
    entry(
        "fan-one-core",
        "compare --rounds 5 -- fan --cpus 0 --load-cpus 1 --deliveries 300000",
        "fan --deliveries 2000 --arrangements 1:1,3:3,1:20",
    ),
    entry("fan-two-cores", "compare --rounds 5 -- fan --cpus 0,1 --load-cpus 1 --deliveries 300000", ""),
    entry("restart-100k-sessions", "restart --sessions 100000", "restart --sessions 50 --kills 1"),
    entry("restart-1m-messages", "restart --messages 1000000", "restart --messages 1000 --kills 1"),
    entry("restart-10m-messages", "restart --messages 10000000", ""),
    entry("restart-1m-sessions", "restart --sessions 1000000", ""),
    entry(
        "memory-connections",
        "memory --sessions 0 --messages 0",
        "memory --connections 40 --sessions 0 --messages 0",
    ),
    entry(
        "memory-sessions",
        "memory --connections 0 --messages 0",
        "memory --connections 0 --sessions 40 --messages 0",
    ),
    entry(
        "memory-messages",
        "memory --connections 0 --sessions 0",
        "memory --connections 0 --sessions 0 --messages 800",
    ),
    entry("storm", "storm", "storm --clients 50 --messages 2"),
    entry("storm-after-kill", "storm --after-kill", "storm --clients 50 --messages 2 --after-kill"),
    entry("payloads", "payloads", "payloads --sizes 16,65536 --messages 100 --mib 1"),
    entry("payloads-qos2", "payloads --qos 2 --sizes 16,1024,65536,1048000 --mib 128", ""),
    entry("steady", "steady", "steady --backlog 500 --turnovers 4"),
    entry("steady-large", "steady --backlog 1600000 --turnovers 8", ""),
    entry("many-sessions", "many sessions", "many sessions --sessions 50 --messages 500"),
    entry("many-filters", "many filters", "many filters --filters 600 --messages 1000"),
    entry("many-matches", "many matches --messages 200000", "many matches --matches 16 --messages 400"),
    entry("many-retained", "many retained", ""),
];

/// All scenarios.
#[derive(Args, Clone, Debug)]
pub(crate) struct Suite {
    /// The directory that gets results.jsonl, report.html and tables.md.
    #[arg(long, value_name = "DIR", default_value = "performance")]
    pub(crate) out: PathBuf,
    /// Only these; `--names` prints all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Tiny sizes: everything within a minute, to see that it works.
    #[arg(long)]
    small: bool,
    /// The broker of what is no comparison.
    #[arg(long, default_value = "barnacle", value_name = "PROFILE")]
    broker: String,
    /// Print the names and the command lines, and run nothing.
    #[arg(long)]
    names: bool,
}

impl Suite {
    /// Where the results go, if the command line names no other place.
    pub(crate) fn results(&self) -> Result<Option<(PathBuf, PathBuf)>, LoadError> {
        if self.names {
            return Ok(None);
        }
        std::fs::create_dir_all(&self.out).during("making the directory for the results")?;
        Ok(Some((self.out.join("results.jsonl"), self.out.join("report.html"))))
    }
}

/// Runs what was chosen. An entry that fails is a problem in the results; the others go on.
pub(crate) fn run(suite: &Suite, output: &mut Output) -> Result<(), LoadError> {
    if let Some(unknown) = suite.only.iter().find(|name| !ENTRIES.iter().any(|entry| entry.name == **name)) {
        return Err(LoadError::Senseless(format!(
            "there is no entry {unknown:?}; `all --names` prints them"
        )));
    }
    let line = |entry: &Entry| if suite.small { entry.small } else { entry.full };
    let chosen = ENTRIES
        .iter()
        .filter(|entry| suite.only.is_empty() || suite.only.iter().any(|name| name == entry.name));
    let chosen: Vec<&Entry> = chosen.filter(|entry| !line(entry).is_empty()).collect();
    if suite.names {
        chosen.iter().for_each(|entry| println!("{:<24} {}", entry.name, line(entry)));
        return Ok(());
    }
    output.push(machine::record())?;
    for (place, entry) in chosen.iter().enumerate() {
        let begin = Instant::now();
        output.progress.say(&format!("[{} of {}] {}: {}", place + 1, chosen.len(), entry.name, line(entry)));
        if let Err(error) = run_line(line(entry), suite, output) {
            let mut record = Record::new(entry.name, "", &suite.broker);
            record.problem(error.to_string());
            output.push(record)?;
        }
        output.progress.say(&format!("{}: {:.0} s", entry.name, begin.elapsed().as_secs_f64()));
    }
    let tables = markdown::tables(&output.records);
    std::fs::write(suite.out.join("tables.md"), tables).during("writing the tables")
}

fn run_line(line: &str, suite: &Suite, output: &mut Output) -> Result<(), LoadError> {
    let words = std::iter::once("barnacle-load").chain(line.split(' '));
    match Options::try_parse_from(words)?.command {
        Command::Work(mut work) => {
            let mut command = format!("barnacle-load {line}");
            if let Some(target) = work.target_mut() {
                compare::aim(target, &suite.broker)?;
                command = format!("{command} --broker {}", suite.broker);
            }
            output.command = command;
            work.run(output)
        }
        Command::Compare(comparison) => {
            output.command = format!("barnacle-load {line}");
            compare::run(&comparison, output)
        }
        _ => Err(LoadError::Senseless(format!("{line:?} is no scenario"))),
    }
}

#[cfg(test)]
mod tests {
    use super::ENTRIES;
    use crate::options::Options;
    use clap::Parser;
    use std::collections::HashSet;

    #[test]
    fn every_entry_can_be_read_and_has_a_name_of_its_own() {
        let names: HashSet<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), ENTRIES.len());
        for entry in &ENTRIES {
            for line in [entry.full, entry.small].into_iter().filter(|line| !line.is_empty()) {
                let words = std::iter::once("barnacle-load").chain(line.split(' '));
                Options::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn the_options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
