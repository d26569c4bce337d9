//! The program `faultfs`: mounts the fault file system and takes orders on its standard input; and, to show what it is
//! for, sample programs that each forget one fsync.

mod sample;

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use barnacle_faultfs::{Cut, FaultFs, Faults, Paths, Times};
use clap::{Parser, Subcommand};

/// A file system that loses what was not fsynced.
#[derive(Parser)]
#[command(name = "faultfs", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mount, and take orders on standard input until one of them, or its end, ends the mount.
    #[command(after_help = ORDERS)]
    Mount {
        /// The directory that holds what survives.
        durable: PathBuf,
        /// Where programs see it.
        mount_point: PathBuf,
    },
    /// Run a sample program in a directory: it prints the number of each record that it believes durable.
    Sample {
        /// What the program does, or forgets.
        program: sample::Program,
        /// Where it keeps its data.
        directory: PathBuf,
        /// How many records it keeps before it waits to be killed.
        #[arg(long, default_value_t = 100)]
        records: u64,
    },
}

const ORDERS: &str = "\
Orders, one a line:
  counts                                what has happened since the mount
  capacity BYTES|none                   pretend to have this much room
  fail-reads N|forever|never [ENDING]   EIO for the next N reads, of files whose path ends so
  fail-writes N|forever|never [ENDING]  EIO for writes
  fail-fsync N|forever|never [ENDING]   EIO for fsync; what it was to cover stays lost
  delay-fsync MILLISECONDS              let every fsync take so long
  clear                                 switch all of these off
  cut [subset SEED|torn SEED]           power cut: drop all that is not durable, or what the seed says
  unmount                               the orderly end, also that of standard input: all becomes durable";

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Mount { durable, mount_point } => mount(durable, mount_point),
        Command::Sample { program, directory, records } => {
            program.run(&directory, records).map_err(|error| error.to_string())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("faultfs: {message}");
            ExitCode::FAILURE
        }
    }
}

fn mount(durable: PathBuf, mount_point: PathBuf) -> Result<(), String> {
    let disk = FaultFs::mount(&durable, &mount_point).map_err(|error| error.to_string())?;
    println!("mounted on {}", mount_point.display());
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            ["counts"] => println!("{:?}", disk.counts()),
            ["unmount"] => break,
            ["cut", ref how @ ..] => match parse_cut(how) {
                Some(cut) => {
                    let report = disk.cut(cut).map_err(|error| error.to_string())?;
                    println!("{report:?}");
                    return Ok(());
                }
                None => println!("cut, cut subset SEED, or cut torn SEED"),
            },
            _ => match order(disk.faults(), &words) {
                Some(()) => println!("ok"),
                None => println!("not understood; `faultfs mount --help` lists the orders"),
            },
        }
    }
    disk.unmount().map_err(|error| error.to_string())
}

fn parse_cut(words: &[&str]) -> Option<Cut> {
    match words {
        [] => Some(Cut::DropAll),
        ["subset", seed] => Some(Cut::Subset { seed: seed.parse().ok()? }),
        ["torn", seed] => Some(Cut::Torn { seed: seed.parse().ok()? }),
        _ => None,
    }
}

fn order(faults: &Faults, words: &[&str]) -> Option<()> {
    match *words {
        ["clear"] => faults.clear(),
        ["capacity", "none"] => faults.set_capacity(None),
        ["capacity", bytes] => faults.set_capacity(Some(bytes.parse().ok()?)),
        ["delay-fsync", delay] => faults.delay_fsync(Duration::from_millis(delay.parse().ok()?)),
        [what, times, ref on @ ..] => {
            let times = match times {
                "never" => Times::Never,
                "forever" => Times::Forever,
                count => Times::Next(count.parse().ok()?),
            };
            let on = match on {
                [] => Paths::All,
                [ending] => Paths::EndingWith((*ending).to_owned()),
                _ => return None,
            };
            match what {
                "fail-reads" => faults.fail_reads(times, on),
                "fail-writes" => faults.fail_writes(times, on),
                "fail-fsync" => faults.fail_fsync(times, on),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}
