//! Signals: the first asks for an orderly end, the second does not ask.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::shutdown::ShutdownTrigger;

/// The status of a process that a second signal ended, its connections left as they were. Nothing acknowledged is
/// lost by that: it is what a kill does, and what the store is made for.
const EXIT_AT_ONCE: i32 = 1;

/// Triggers an orderly end at the first SIGTERM or SIGINT, and ends the process at the second.
///
/// # Errors
///
/// The signals cannot be caught.
pub fn watch(trigger: Arc<ShutdownTrigger>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping; a second signal ends the process at once");
        trigger.trigger();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        warn!("ended at once by a second signal");
        std::process::exit(EXIT_AT_ONCE);
    });
    Ok(())
}
