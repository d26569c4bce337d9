//! The broker: routes what sessions publish, to the store's logs and to live subscribers.
//!
//! - `registry`: who is connected, and take-over;
//! - `batch`: a session's requests, as one transaction of the store;
//! - `group`: the groups of shared subscriptions, in the store's words;
//! - `held`: what waits while the store cannot keep it;
//! - `live` and `mailbox`: what reaches a connection without the store;
//! - `wills`: what is published when a connection ends badly;
//! - `translate`: between the session machine's words and the store's.
//!
//! Nothing here reads or writes a socket: that is `connection`.

mod batch;
mod clock;
mod group;
mod held;
mod live;
mod mailbox;
mod registry;
mod translate;
mod wills;

use std::sync::Arc;

use barnacle_storage::{Operation, Store, Transaction};

pub use clock::Clock;

pub(crate) use batch::{Batch, Owner};
pub(crate) use held::{HeldPublishes, HeldShare};
pub(crate) use live::{LiveSubscriber, LiveSubscribers};
pub(crate) use mailbox::Mailbox;
pub(crate) use registry::{Claim, Registry};
pub(crate) use translate::{
    delivery, exchange_to_store, outbound_to_store, place, restored, will_message, will_to_store,
};
pub(crate) use wills::{NotCommitted, Wills};

use crate::session::{Incoming, Limits, Methods};

/// What all connections share.
pub struct Broker {
    pub(crate) store: Store,
    pub(crate) live: LiveSubscribers,
    pub(crate) registry: Arc<Registry>,
    pub(crate) wills: Wills,
    pub(crate) held: Arc<HeldPublishes>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// Capacity of a connection's mailbox, in bytes.
    pub(crate) mailbox_bytes: usize,
    /// Methods of extended authentication.
    pub(crate) methods: Methods,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Broker").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker over an open store.
    #[must_use]
    pub fn new(store: Store, limits: Limits, mailbox_bytes: usize, methods: Methods) -> Arc<Self> {
        let held = Arc::new(HeldPublishes::default());
        let woken = Arc::clone(&held);
        store.watch_health(Arc::new(move || woken.wake_all()));
        Arc::new(Self {
            store,
            live: LiveSubscribers::default(),
            registry: Arc::new(Registry::default()),
            wills: Wills::default(),
            held,
            limits,
            clock: Clock::start(),
            mailbox_bytes,
            methods,
        })
    }

    /// How many clients are connected, or about to be.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.registry.len()
    }

    /// Whether a publish would be written to the store: some stored session may want it, or it is retained.
    pub(crate) fn stores(&self, incoming: &Incoming) -> bool {
        let topic = incoming.topic.as_str();
        incoming.retain || !self.store.route(topic).is_empty() || self.live.reaches_logs(topic)
    }

    /// The store, for those who look after it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends sessions as their expiry passes. Returns when the store has failed, with the reason.
    pub async fn expire_sessions(&self) -> String {
        /// A session may outlive its expiry by this much, in milliseconds.
        const EVERY_MILLIS: u64 = 1000;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(EVERY_MILLIS)).await;
            let now = self.clock.now();
            let due = self.store.next_expiry().is_some_and(|deadline| deadline <= now.unix_millis);
            // An empty transaction asks whether the store still takes any.
            let operations = due
                .then_some(Operation::ExpireSessions { now_millis: now.unix_millis })
                .into_iter()
                .collect();
            match self.commit(Transaction { fence: None, operations }).await {
                Ok(committed) => self.publish_wills_of_ended(&committed).await,
                Err(NotCommitted::Failed(reason)) => return reason,
                Err(NotCommitted::Fenced) => unreachable!("a transaction without a fence is not fenced off"),
            }
        }
    }
}
