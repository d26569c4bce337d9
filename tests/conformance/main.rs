//! The standard, statement by statement: raw bytes to the real binary, and what has to come back.
//!
//! - A test is a function from a [`server::Server`] and stands in the `tests!` table of its module. Above it stands, in
//!   our own words, what it holds the broker to, and the statements: `[MQTT5 3.1.0-1] [MQTT311 3.1.0-1]`.
//! - Each test runs in every version that its table names, each time against a broker of its own: `connect::v5::…`,
//!   `connect::v311::…`. What the versions have in common is one test; where they differ, the test says by which clause.
//! - The same function runs against responders that are wrong on purpose ([`wrong`]), and has to fail against each: what
//!   passes against a broker that does nothing is no test.
//! - `make conformance-table` writes docs/CONFORMANCE.md from the comments above the tests (tests/tidy/conformance.rs
//!   reads them); statements/reasons.txt says why a statement has no test.

#[allow(dead_code, reason = "shared with the integration tests, which use more of it")]
#[path = "../broker/mod.rs"]
mod broker;
#[macro_use]
mod suite;
mod server;
mod support;
mod wrong;

mod acknowledgement;
mod auth;
mod connack;
mod connect;
mod corners;
mod data;
mod disconnect;
mod enhanced_authentication;
mod errors;
mod information;
mod malformed;
mod ping;
mod publish;
mod session;
mod state;
mod subscribe;
mod topics;
mod unsubscribe;
mod websocket;
mod will;
