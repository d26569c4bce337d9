//! MQTT brokers by profile: how one is started, where it keeps its data, and its process.
//!
//! A [`Profile`] is a TOML file, a [`Shelf`] the profiles that come with a program. A [`Process`] is a broker of a profile on
//! a directory and an address; it is started, killed and started again as often as a trial or a measurement wants. Knows
//! MQTT only as far as to see that a broker answers.

mod process;
mod profile;

pub use process::{Ended, Process, free_address};
pub use profile::{Profile, ProfileError, Shelf, Speaks, StopSignal};
