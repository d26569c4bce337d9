//! Time, as it is passed in: the session reads no clock.

/// One moment on both clocks: keep-alives count on the monotonic one, deadlines that outlive a process on one that
/// outlives it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since an arbitrary start; never goes back.
    pub monotonic_millis: u64,
    /// Milliseconds since the Unix epoch, on a clock that goes on whatever becomes of the wall clock.
    pub unix_millis: u64,
}
