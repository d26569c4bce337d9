//! The store from outside: what is committed is kept, and is read as the design says.

#![allow(missing_docs)]

mod attach;
mod committing;
mod compaction;
mod damage;
mod edges;
mod expiry;
mod failing;
mod filters;
mod groups;
mod histories;
mod limits;
mod missing;
mod reading;
mod recovery;
mod stepped;
mod support;
mod trimming;
mod wills;
mod withheld;
