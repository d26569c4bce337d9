//! Barnacle, a durable MQTT broker. The way of a PUBLISH, in module order:
//!
//! ```text
//! socket → listener → connection → protocol (decode) → session (inbound) → broker (route) → storage (commit, fsync)
//!                                                                                               │
//! socket ← listener ← connection ← protocol (encode) ← session (window) ← connection (feed) ← tail of the logs
//! ```
//!
//! Beside the way: `config` (what an operator may set), `shutdown` (the wish to stop), `kept` (the proof that every
//! acknowledgement is built from).

pub mod broker;
pub mod cli;
pub mod config;
pub mod connection;
pub mod kept;
pub mod listener;
pub mod protocol;
pub mod serve;
pub mod session;
pub mod shutdown;

#[doc(hidden)]
pub use barnacle_storage::planted;
pub use barnacle_storage::topics;
