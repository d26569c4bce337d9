//! Integration tests: one binary, a file per feature.

mod acknowledge_after_fsync;
mod backlog;
mod broker;
mod cli;
mod clients;
mod crashlab;
mod damage;
mod disk;
mod expiry;
mod features;
mod garbage;
mod kill;
mod limits;
mod load;
mod lock;
mod lost_updates;
mod many;
mod operation;
mod shared;
mod tidy;
mod traffic;
mod upgrade;
mod wills;
