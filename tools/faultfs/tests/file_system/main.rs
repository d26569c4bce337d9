//! The fault file system tested from outside, mounted: with programs that are killed, with each fault, and with long
//! random histories beside a model.

mod faults;
mod many;
mod model;
mod mounted;
mod names;
mod samples;
