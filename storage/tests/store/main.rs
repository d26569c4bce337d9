//! The store from outside: what is committed is kept, and is read as the design says.

#![allow(missing_docs)]

mod attach;
mod committing;
mod damage;
mod edges;
mod expiry;
mod filters;
mod groups;
mod limits;
mod model;
mod reading;
mod recovery;
mod support;
mod trimming;
mod wills;
