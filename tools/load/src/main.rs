//! A load generator for MQTT brokers that counts what was delivered.
//!
//! The way of a run: [`options`] say what is wanted, [`scenario`] sets it up and runs [`publisher`]s and a
//! [`subscriber`] on one thread, [`payload`] numbers the messages and checks them on arrival, [`report`] prints.
//! [`compare`] starts [`brokers`] in turn and runs the same load on each; [`many`] makes sessions, filters and retained topics
//! by the hundred thousand and lets a [`watch`] look after time and memory; [`raw_store`] is the limit to compare with.

mod brokers;
mod compare;
mod connection;
mod many;
mod options;
mod payload;
mod publisher;
#[cfg(feature = "rocksdb")]
mod raw_store;
mod report;
mod scenario;
mod subscriber;
mod watch;

use clap::Parser;
use options::{Command, Options};
use report::Report;
use std::process::ExitCode;

/// What goes wrong in a run, told to the person who started it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{0}: {1}")]
    Io(&'static str, std::io::Error),
    #[error("the broker sent something malformed: {0}")]
    Malformed(#[from] barnacle_wire::ParseError),
    #[error("the broker refused the connection with {0:#04x}")]
    Refused(u8),
    #[error("the broker closed the connection of {0}")]
    Closed(String),
    #[error("unexpected: {0}")]
    Unexpected(String),
    #[error("nothing came for {0} s; {1}")]
    Silence(u64, String),
    #[cfg(feature = "rocksdb")]
    #[error("RocksDB: {0}")]
    Store(#[from] rocksdb::Error),
}

/// Names what was being done when an input/output error came.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T, LoadError>;
}

impl<T> During<T> for Result<T, std::io::Error> {
    fn during(self, what: &'static str) -> Result<T, LoadError> {
        self.map_err(|error| LoadError::Io(what, error))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(reports) if reports.iter().all(Report::kept_everything) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("barnacle-load: messages were lost, repeated or out of order, see above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("barnacle-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Vec<Report>, LoadError> {
    let reports = match &options.command {
        Command::Queue { load, drain } => {
            let queued = scenario::queue(load)?;
            queued.print(options.json);
            let mut reports = vec![queued];
            if *drain {
                let drained = scenario::drain(load)?;
                drained.print(options.json);
                reports.push(drained);
            }
            reports
        }
        Command::Drain { load } => vec![printed(scenario::drain(load)?, options.json)],
        Command::Live { load } => vec![printed(scenario::live(load)?, options.json)],
        Command::Compare(comparison) => compare::run(comparison, options.json)?,
        Command::Many(many) => {
            many::run(many, options.json)?;
            Vec::new()
        }
        #[cfg(feature = "rocksdb")]
        Command::Rocksdb(raw) => {
            raw_store::run(raw, options.json)?;
            Vec::new()
        }
    };
    Ok(reports)
}

fn printed(report: Report, json: bool) -> Report {
    report.print(json);
    report
}
