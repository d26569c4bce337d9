//! The broker with bugs on purpose, for those who look for lost messages: `BARNACLE_PLANT` names the active one.
//!
//! A program of its own, so that it never stands where the broker's does. It exists with the feature `planted-faults`
//! only.

#[path = "main.rs"]
mod broker;

use std::process::ExitCode;

use barnacle::{cli, planted};

fn main() -> ExitCode {
    match planted::plant_from_environment() {
        Ok(fault) => {
            eprintln!("planted: {}", fault.map_or("nothing", planted::Fault::name));
            broker::main()
        }
        Err(name) => {
            eprintln!("{}: there is no fault {name:?} to plant", planted::VARIABLE);
            ExitCode::from(cli::WRONG_USE)
        }
    }
}
