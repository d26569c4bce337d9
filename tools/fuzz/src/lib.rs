//! What the fuzz targets check, apart from libFuzzer: each target is a function of bytes that panics when something is wrong.
//!
//! - [`decode`]: any bytes, in one piece and in many;
//! - [`round_trip`]: what was decoded is encoded and decoded again, and read by a codec of another hand;
//! - [`differential`]: what other codecs make of the same packet; where they differ there is a reason, written down;
//! - [`connection`]: whole conversations of several clients with a broker, over a store in memory.
//!
//! Inputs that once went wrong are kept in `corpus-regressions`, and every input there and in `seeds` is taken by a test.

pub mod connection;
pub mod decode;
pub mod differential;
#[cfg(test)]
mod replay;
pub mod round_trip;
mod stream;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which its folder of inputs has too.
    pub name: &'static str,
    /// Takes one input; panics when something is wrong.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "decode", run: decode::run },
    Target { name: "round_trip", run: round_trip::run },
    Target { name: "differential", run: differential::run },
    Target { name: "connection", run: connection::run },
];
