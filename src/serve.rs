//! A running broker, from its listeners to its end.
//!
//! Puts the parts together and decides nothing about MQTT: store, broker, listeners, a task for each connection, and
//! the orderly end.

mod banner;
mod file_limit;
pub mod logging;
pub mod signals;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use barnacle_storage::{OpenError, Options, Space, Store};
use tokio::sync::mpsc;
use tracing::{info, warn};

pub use banner::{Banner, Recovery};
pub use file_limit::FileLimit;

use crate::broker::{Broker, CatchUpRates};
use crate::config::{Config, Durability, QueueLimit, QueuePolicy};
use crate::connection::{self, Surroundings};
use crate::listener::{Accepted, BindError, Listeners, Rules};
use crate::session::{Limits, Methods};
use crate::shutdown::{Shutdown, ShutdownTrigger};

/// How long connections may take to end when the broker stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Topic aliases that the broker sets towards a client at most: each costs the memory of its topic.
const OUTBOUND_TOPIC_ALIASES: u16 = 64;

/// Why the broker does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// SIGTERM and SIGINT cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(#[source] io::Error),
    /// The store has failed while the broker was running: nothing more could be acknowledged.
    #[error("the store has failed: {0}; what was acknowledged is kept, start again once the cause is mended")]
    StoreFailed(String),
    /// The store was not closed in an orderly way; the next start recovers.
    #[error("the store was not closed: {0}")]
    Close(String),
}

/// Runs the broker until a signal asks it to stop.
///
/// # Errors
///
/// What keeps it from running.
pub async fn serve(config: &Config) -> Result<(), ServeError> {
    #[cfg(feature = "planted-faults")]
    warn!("BUILT WITH PLANTED FAULTS: this broker may lose messages on purpose, it is for tests only");
    let file_limit = FileLimit::raise();
    let (trigger, shutdown) = crate::shutdown::channel();
    let trigger = Arc::new(trigger);
    signals::watch(Arc::clone(&trigger)).map_err(ServeError::Signals)?;
    let (store, recovery) = open(config)?;
    let (limits, mailbox_bytes) = (limits(config), config.limits().mailbox_bytes);
    let queue = config.queue();
    let catch_up = CatchUpRates { session: queue.catch_up_rate, total: queue.total_catch_up_rate };
    let broker = Broker::new(store.clone(), limits, mailbox_bytes, catch_up, Methods::default());
    let summary = Recovery { summary: recovery.to_string(), took: recovery.elapsed };
    if recovery.lost.is_some() {
        warn!("{recovery}");
    }
    let housekeeping = tokio::spawn(keep_house(Arc::clone(&broker), trigger));
    let served = accept(config, file_limit, &summary, &broker, shutdown).await;
    let failure = if housekeeping.is_finished() { housekeeping.await.ok() } else { None };
    drop(broker);
    let closed = tokio::task::spawn_blocking(|| store.close()).await.expect("closing does not panic");
    served?;
    if let Some(failure) = failure {
        return Err(ServeError::StoreFailed(failure));
    }
    closed.map_err(|error| ServeError::Close(error.to_string()))
}

/// Opens the store.
fn open(config: &Config) -> Result<(Store, barnacle_storage::Recovery), ServeError> {
    let mut options = Options::new(&config.storage().data_dir);
    options.durability = match config.storage().durability {
        Durability::Fsync => barnacle_storage::Durability::Fsync,
        Durability::Interval(interval) => barnacle_storage::Durability::Interval(interval),
        Durability::Os => barnacle_storage::Durability::Os,
    };
    let queue = config.queue();
    options.limits = barnacle_storage::Limits {
        session: queue_limit(queue.session),
        group: queue_limit(queue.group),
        total: queue_limit(queue.total),
    };
    options.space = Space {
        min_free_bytes: config.storage().min_free_bytes,
        warn_free_bytes: config.storage().warn_free_bytes,
        ballast_bytes: config.storage().ballast_bytes,
    };
    options.will_grace = config.session().will_grace;
    Ok(Store::open(options)?)
}

fn queue_limit(limit: QueueLimit) -> barnacle_storage::Limit {
    use barnacle_storage::Policy;
    let policy = match limit.policy {
        QueuePolicy::DropOldest => Policy::DropOldest,
        QueuePolicy::DropNewest => Policy::DropNewest,
        QueuePolicy::Reject => Policy::Reject,
    };
    barnacle_storage::Limit { max_messages: limit.max_messages, max_bytes: limit.max_bytes, policy }
}

/// The limits of a session, from the configuration.
fn limits(config: &Config) -> Limits {
    let seconds = |duration: Option<Duration>| {
        duration.map_or(u32::MAX, |duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
    };
    let limits = config.limits();
    Limits {
        maximum_packet_size: limits.max_packet_size_bytes,
        receive_maximum: limits.receive_maximum.get(),
        window: limits.max_inflight_messages.get(),
        topic_alias_maximum: limits.topic_alias_maximum,
        outbound_topic_aliases: OUTBOUND_TOPIC_ALIASES,
        maximum_session_expiry_interval: seconds(config.session().max_expiry),
        default_session_expiry_interval: seconds(config.session().mqtt3_expiry),
        maximum_keep_alive: limits.server_keep_alive_seconds.map_or(0, std::num::NonZero::get),
    }
}

/// Looks after the sessions and the store. Returns when the store has failed, with the reason.
async fn keep_house(broker: Arc<Broker>, trigger: Arc<ShutdownTrigger>) -> String {
    let reason = broker.meet_deadlines().await;
    trigger.trigger();
    reason
}

/// Opens the listeners, says so, and serves what connects until `shutdown` is requested. The store is open before and
/// closed after: a client can connect only while its session can be found. Returns when all connections have ended, or
/// have had their time to.
async fn accept(
    config: &Config,
    file_limit: FileLimit,
    recovery: &Recovery,
    broker: &Arc<Broker>,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let listeners = Listeners::bind(config.listeners()).await?;
    announce(&Banner {
        addresses: listeners.addresses().collect(),
        data_dir: &config.storage().data_dir,
        durability: config.storage().durability,
        recovery: Some(recovery),
        file_limit,
    });
    // Every connection holds a sender: when the last is dropped, all have ended.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    let surroundings = Surroundings {
        broker: Arc::clone(broker),
        connect_timeout: config.limits().connect_timeout,
        shutdown: shutdown.clone(),
    };
    let on_accept = move |accepted: Accepted| {
        let (alive, surroundings) = (alive.clone(), surroundings.clone());
        tokio::spawn(async move {
            connection::serve(accepted.transport, accepted.peer, accepted.accepted_at, surroundings).await;
            drop(alive);
        });
    };
    listeners.accept(Rules::from_config(config), shutdown, on_accept).await;
    info!("no longer accepting connections");
    if tokio::time::timeout(LAST_WORDS, all_ended.recv()).await.is_err() {
        warn!("connections were still open after {LAST_WORDS:?}; they are cut");
    }
    Ok(())
}

/// For people on standard output, for the log on standard error. A broker without a reader of either still serves.
fn announce(banner: &Banner<'_>) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{banner}").and_then(|()| output.flush());
    banner.log();
}
