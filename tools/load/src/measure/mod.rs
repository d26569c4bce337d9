//! What is measured: counts and latencies over time, and what a process uses.

pub(crate) mod pinning;
pub(crate) mod recorder;
pub(crate) mod slope;
pub(crate) mod usage;
pub(crate) mod watch;
