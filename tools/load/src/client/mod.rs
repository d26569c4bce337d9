//! The clients: one connection each, wire code of their own, no work for a message that is not needed.
//!
//! [`traffic`] puts publishers and subscribers together; [`crowd`] is many sessions with little to do each.

pub(crate) mod connection;
pub(crate) mod credit;
pub(crate) mod crowd;
pub(crate) mod pace;
pub(crate) mod payload;
pub(crate) mod publisher;
pub(crate) mod subscriber;
pub(crate) mod traffic;
