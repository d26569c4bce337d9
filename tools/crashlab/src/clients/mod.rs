//! The clients of a trial, each a thread.

pub(crate) mod absent;
pub(crate) mod habits;
pub(crate) mod inbound;
pub(crate) mod link;
pub(crate) mod mortal;
pub(crate) mod outbound;
pub(crate) mod publisher;
pub(crate) mod retained;
pub(crate) mod subscriber;
pub(crate) mod trail;
