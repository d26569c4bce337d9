//! The wire format from outside: bytes in, packets out, and back.

mod framing;
mod malformed_connection;
mod malformed_message;
mod malformed_property;
mod malformed_subscription;
mod notation;
mod outgoing;
mod random;
mod reason_codes;
mod refused;
mod topics;
mod unencodable;
mod valid;
mod valid_connection;
mod valid_message;
mod valid_subscription;
