//! The broker: routes what sessions publish, to the store's logs and to live subscribers.
//!
//! - `registry`: who is connected, and take-over;
//! - `batch`: a session's requests, as one transaction of the store;
//! - `routes`: where a batch's messages go;
//! - `group`: the groups of shared subscriptions, in the store's words;
//! - `held`: what waits while the store cannot keep it;
//! - `live` and `mailbox`: what reaches a connection without the store;
//! - `catch_up`: how fast what waited is given;
//! - `disk_reads`: what may wait for the disk;
//! - `deadlines`: sessions that expire, wills that fall due;
//! - `translate`: between the session machine's words and the store's.
//!
//! Nothing here reads or writes a socket: that is `connection`.

mod batch;
mod catch_up;
mod clock;
mod commit;
mod deadlines;
mod disk_reads;
mod group;
mod held;
mod live;
mod mailbox;
mod registry;
mod routes;
mod translate;

use std::sync::Arc;

use barnacle_storage::Store;

pub use clock::Clock;

pub(crate) use batch::{Batch, Owner};
pub(crate) use catch_up::{CatchUp, SharedBucket};
pub(crate) use commit::NotCommitted;
use disk_reads::DiskReads;
pub(crate) use held::{HeldPublishes, HeldShare};
pub(crate) use live::{LiveSubscriber, LiveSubscribers};
pub(crate) use mailbox::Mailbox;
pub(crate) use registry::{Claim, Registry};
pub(crate) use translate::{
    count_drops, delivery, drops, exchange_to_store, outbound_to_store, over_limit, place, restored,
    will_to_store,
};

use crate::session::{Incoming, Limits, Methods};

/// What all connections share.
pub struct Broker {
    pub(crate) store: Store,
    pub(crate) live: LiveSubscribers,
    pub(crate) registry: Arc<Registry>,
    pub(crate) held: Arc<HeldPublishes>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// Capacity of a connection's mailbox, in bytes.
    pub(crate) mailbox_bytes: usize,
    /// Methods of extended authentication.
    pub(crate) methods: Methods,
    /// How fast a returning session is given what waited for it, in messages a second; `None`: as fast as it goes.
    pub(crate) catch_up_rate: Option<u64>,
    /// The same for all of them together.
    pub(crate) catch_up_total: SharedBucket,
    disk_reads: DiskReads,
}

/// Messages a second that returning sessions are given of what waited for them; `None`: as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatchUpRates {
    /// Each.
    pub session: Option<u64>,
    /// All together.
    pub total: Option<u64>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Broker").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker over an open store.
    #[must_use]
    pub fn new(
        store: Store,
        limits: Limits,
        mailbox_bytes: usize,
        catch_up: CatchUpRates,
        methods: Methods,
    ) -> Arc<Self> {
        let clock = Clock::of(&store);
        let held = Arc::new(HeldPublishes::default());
        let woken = Arc::clone(&held);
        store.watch_health(Arc::new(move || woken.wake_all()));
        Arc::new(Self {
            store,
            live: LiveSubscribers::default(),
            registry: Arc::new(Registry::default()),
            held,
            limits,
            clock,
            mailbox_bytes,
            methods,
            catch_up_rate: catch_up.session,
            catch_up_total: SharedBucket::new(catch_up.total, clock.now().monotonic_millis),
            disk_reads: DiskReads::default(),
        })
    }

    /// How many clients are connected, or about to be.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.registry.len()
    }

    /// Reads from the store what may wait for the disk, when its turn comes.
    pub(crate) async fn read_disk<R: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> R + Send + 'static,
    ) -> R {
        self.disk_reads.run(&self.store, read).await
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
}
