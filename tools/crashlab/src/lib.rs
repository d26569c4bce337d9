//! The crash lab: kills a broker, cuts its power, fills and breaks its disk, disturbs its network, and says what it lost.
//!
//! A [`Profile`] says how a broker is started; [`Options`] say what is to be done to it; [`run()`] does it and returns a
//! [`Report`]. A *round* is one fault: load, the fault, the broker comes up again, every client finishes what it began,
//! and the books are compared. A *store* is a data directory that goes through some rounds, one after the other.
//!
//! - `clients`: publishers, subscribers, clients with wills, each with what a client keeps across connections; their wire
//!   code is `barnacle-wire`, which shares nothing with any broker.
//! - `books`: who was sent, acknowledged and given what, and the rules that follow. Knows no socket and no clock.
//! - `stage`: the disk and the network that a broker is put on; its process is `barnacle-brokers`'. `trap`: a kill right behind a packet.
//! - `store`, `inflict`, `settle`: the rounds. `trial`: many of them. [`report`]: what is told.

mod books;
mod clients;
pub mod controls;
mod fault;
mod inflict;
mod options;
mod profiles;
mod random;
pub mod report;
mod settle;
mod stage;
mod store;
mod trap;
mod trial;
mod world;

pub use barnacle_brokers::{Profile, ProfileError, Speaks, StopSignal};
pub use books::coverage::Coverage;
pub use books::finding::{Finding, Kind};
pub use fault::{Fault, Group};
pub use options::Options;
pub use profiles::PROFILES;
pub use report::{Report, Round, Verdict};
pub use stage::disk::no_fault_disk;
pub use trial::{TrialError, interrupt, run};
