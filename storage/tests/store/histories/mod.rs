//! Random histories of a few clients, crashed everywhere, on both engines, against an oracle that knows neither.
//!
//! A history follows from its seed alone. One that fails prints it: `BARNACLE_HISTORY=seed` takes that one again, alone, step by step.

mod coverage;
mod history;
mod memory;
mod model;
mod planted;
mod random;
mod reading;
mod recover;
mod rocks;
mod session;
mod steps;
mod world;
