//! What was sent, acknowledged and received, and what follows from it. Nothing here knows a socket or a clock.

pub(crate) mod coverage;
pub(crate) mod crew;
pub(crate) mod estate;
pub(crate) mod finding;
pub(crate) mod lease;
pub(crate) mod ledger;
pub(crate) mod message;
pub(crate) mod session;
pub(crate) mod topics;
