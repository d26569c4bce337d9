//! Programs as people write them, each keeping numbered records and saying so: two that do it right and some that each
//! forget one fsync. And what of their records is there afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a sample program does, or forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Program {
    /// Appends to a log and fsyncs it; fsynced the directory when it had made the log.
    Log,
    /// Replaces a file by rename: fsync of the new one, rename, fsync of the directory.
    Replace,
    /// Makes a file for each record: fsync of the file, then of the directory.
    FileEach,
    /// As `log`, without the fsync of the log.
    LogWithoutSync,
    /// As `log`, without the fsync of the directory.
    LogWithoutDirectorySync,
    /// As `log`, with neither.
    LogWithoutBoth,
    /// As `replace`, without the fsync of the directory after the rename.
    ReplaceWithoutDirectorySync,
    /// As `replace`, without the fsync of the new file before the rename.
    ReplaceWithoutFileSync,
    /// As `file-each`, without the fsync of the directory.
    FileEachWithoutDirectorySync,
}

/// A record's bytes: long enough that some cross pages, and telling if they are not whole.
fn record(number: u64) -> String {
    let length = 20 + number * 37 % 700;
    format!("{number:08} {} .\n", "x".repeat(length as usize))
}

impl Program {
    /// Keeps records and prints the number of each, then waits to be killed.
    pub(crate) fn run(self, directory: &Path, records: u64) -> io::Result<()> {
        let folder = File::open(directory)?;
        let mut log = None;
        for number in 1..=records {
            match self {
                Program::Log
                | Program::LogWithoutSync
                | Program::LogWithoutDirectorySync
                | Program::LogWithoutBoth => {
                    if log.is_none() {
                        let path = directory.join("log");
                        log = Some(OpenOptions::new().create(true).append(true).open(path)?);
                        if matches!(self, Program::Log | Program::LogWithoutSync) {
                            folder.sync_all()?;
                        }
                    }
                    let mut log = log.as_ref().expect("just opened");
                    log.write_all(record(number).as_bytes())?;
                    if matches!(self, Program::Log | Program::LogWithoutDirectorySync) {
                        log.sync_data()?;
                    }
                }
                Program::Replace | Program::ReplaceWithoutDirectorySync | Program::ReplaceWithoutFileSync => {
                    let fresh = directory.join("current.new");
                    let mut file = File::create(&fresh)?;
                    file.write_all(record(number).as_bytes())?;
                    if self != Program::ReplaceWithoutFileSync {
                        file.sync_all()?;
                    }
                    fs::rename(&fresh, directory.join("current"))?;
                    if self != Program::ReplaceWithoutDirectorySync {
                        folder.sync_all()?;
                    }
                }
                Program::FileEach | Program::FileEachWithoutDirectorySync => {
                    let mut file = File::create(directory.join(format!("{number}.record")))?;
                    file.write_all(record(number).as_bytes())?;
                    file.sync_all()?;
                    if self == Program::FileEach {
                        folder.sync_all()?;
                    }
                }
            }
            println!("{number}");
        }
        loop {
            std::thread::park();
        }
    }
}
