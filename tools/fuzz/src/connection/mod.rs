//! Whole conversations: a few clients talk to a broker, rightly and wrongly, in any order, over a store in memory.
//!
//! The broker is the real one, from the bytes of a connection to the committer; only the transport is a pipe and the disk is memory.
//! `script` is what an input says, `world` carries it out, `witness` reads the answers with a codec of another hand and holds the
//! broker to what a client may rely on: every answer can be decoded, none is larger than the client takes, no more exchanges are
//! open than it allows, a packet identifier is not used twice, everything ends.

mod script;
mod spoken;
mod witness;
mod world;

use std::cell::RefCell;

use arbitrary::{Arbitrary as _, Unstructured};
pub use script::{Script, Step};

thread_local! {
    /// One for all inputs: making one takes longer than most conversations.
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(1)
            .build()
            .expect("a runtime without input and output can be made"),
    );
}

/// Takes one input.
///
/// # Panics
/// When the broker does, or breaks what it owes its clients.
pub fn run(input: &[u8]) {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(input)) else { return };
    RUNTIME.with_borrow(|runtime| world::carry_out(&script, runtime));
}
