//! The machine that the broker runs on: its disk, which outlives it, and the broker while it lives.
//!
//! The broker is the real one, from the byte stream of a connection down to the store; the disk is the store's disk in
//! memory. Its tasks run on the one thread that the simulator has, whenever that waits; its committer runs when told to.

use std::any::Any;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use barnacle::broker::{Broker, CatchUpRates};
use barnacle::connection::{self, Surroundings};
use barnacle::session::{Limits, Methods};
use barnacle::shutdown::{self, ShutdownTrigger};
use barnacle_storage::{
    Crashed, DropReason, Drops, Fault, Memory, Options, Stepper, Store, Survivors, Trimming,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::network::{Link, ServerEnd};
use crate::random::Random;
use crate::scenario::Scenario;

thread_local! {
    /// When the run on this thread began: the wall clock's midnight.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The wall clock of a run, which goes with tokio's time.
fn wall_clock() -> SystemTime {
    const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
    let elapsed = BEGAN.get().map(|began| began.elapsed()).unwrap_or_default();
    UNIX_EPOCH + BEGINNING + elapsed
}

fn monotonic_clock() -> std::time::Instant {
    Instant::now().into_std()
}

/// The machine.
pub(crate) struct Machine {
    pub(crate) memory: Memory,
    scenario: Scenario,
    life: Option<Life>,
    links: u64,
}

/// The broker from a start to its end.
struct Life {
    store: Store,
    stepper: Stepper,
    tasks: JoinSet<()>,
    surroundings: Surroundings,
    trigger: ShutdownTrigger,
}

/// What the broker has come to.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It goes on.
    Lives,
    /// The disk or the process has stopped, as planned.
    Crashed,
    /// A bug: it has panicked.
    Panicked(String),
}

impl Machine {
    pub(crate) fn new(scenario: &Scenario) -> Machine {
        BEGAN.set(Some(Instant::now()));
        let memory = Memory::new();
        if scenario.compacts_eagerly {
            memory.compact_eagerly();
        }
        Machine { memory, scenario: scenario.clone(), life: None, links: 0 }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Starts the broker. A crash or an error while it opens its store is a start that has failed.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let options = Options {
            tail_cache_bytes: self.scenario.tail_cache_bytes,
            trimming: Trimming {
                dead_bytes: 1,
                stuck_after: self.scenario.stuck_after,
                ..Trimming::default()
            },
            limits: self.scenario.limits,
            wall_clock,
            monotonic_clock,
            ..Options::in_memory(&self.memory)
        };
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| Store::open_stepped_by_clocks(options)));
        let (store, stepper, recovery) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(format!("not opened: {error}")),
            Err(payload) if Crashed::is(&*payload) => return Err("crashed while opening".to_owned()),
            Err(payload) => return Err(format!("PANIC while opening: {}", message(&*payload))),
        };
        if let Some((from, to)) = recovery.lost {
            return Err(format!("PANIC: batches {from} to {to} that were acknowledged did not come back"));
        }
        let limits = Limits {
            maximum_packet_size: 1 << 20,
            receive_maximum: 16,
            window: self.scenario.window,
            topic_alias_maximum: 0,
            outbound_topic_aliases: self.scenario.outbound_topic_aliases,
            maximum_session_expiry_interval: u32::MAX,
            default_session_expiry_interval: u32::MAX,
            maximum_keep_alive: 0,
        };
        let broker = Broker::new(store.clone(), limits, 1 << 20, CatchUpRates::default(), Methods::default());
        let (trigger, shutdown) = shutdown::channel();
        let mut tasks = JoinSet::new();
        let housekeeping = Arc::clone(&broker);
        tasks.spawn(async move {
            let _reason = housekeeping.meet_deadlines().await;
        });
        let surroundings = Surroundings { broker, connect_timeout: Duration::from_secs(5), shutdown };
        self.life = Some(Life { store, stepper, tasks, surroundings, trigger });
        Ok(())
    }

    /// A client connects. While the broker is down, nobody answers.
    pub(crate) fn connect(&mut self) -> Option<Link> {
        let life = self.life.as_mut().filter(|life| !life.surroundings.shutdown.is_requested())?;
        self.links += 1;
        let random = Random::of(self.scenario.seed, "link", self.links);
        let (link, end): (Link, ServerEnd) =
            Link::new(random, self.scenario.latency_millis, self.scenario.socket_bytes);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        life.tasks.spawn(connection::serve(end, peer, Instant::now(), life.surroundings.clone()));
        Some(link)
    }

    /// Whether transactions wait for the committer.
    pub(crate) fn has_work(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.store.pending_bytes() > 0)
    }

    /// One turn of the committer, with all that waits.
    pub(crate) fn commit(&mut self) -> Fate {
        self.interruptible(|life| {
            life.stepper.commit();
        })
    }

    /// What the trimmer does now and then.
    pub(crate) fn trim(&mut self) -> Fate {
        self.interruptible(|life| life.store.trim())
    }

    /// What the notifier does when it comes to it.
    pub(crate) fn notify(&mut self) -> Fate {
        self.interruptible(|life| life.stepper.notify())
    }

    /// The disk is full, or has room again.
    pub(crate) fn find_space(&mut self, full: bool) {
        if let Some(life) = &mut self.life {
            life.stepper.find_space(full);
        }
    }

    /// The broker takes nothing now that it would have to store.
    pub(crate) fn is_full(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.store.is_full())
    }

    /// For how many reads the disk has given nothing since the broker started.
    pub(crate) fn failed_reads(&self) -> u64 {
        self.life.as_ref().map_or(0, |life| life.store.statistics().failed_reads)
    }

    /// How many parts of logs the broker has found damaged since it started, and how many messages it has dropped for that ever:
    /// nothing here is.
    pub(crate) fn damage(&self) -> (u64, u64) {
        let Some(life) = &self.life else { return (0, 0) };
        let dropped = life.store.drops().get(DropReason::Damaged).at_most();
        (life.store.statistics().damaged_ranges, dropped)
    }

    /// What the broker says that it has dropped of a stored session's messages.
    pub(crate) fn session_drops(&self, client_id: &str) -> Option<Drops> {
        self.life.as_ref()?.store.session_drops(client_id)
    }

    /// What the broker says that it has dropped in all.
    pub(crate) fn drops(&self) -> Drops {
        self.life.as_ref().map(|life| life.store.drops()).unwrap_or_default()
    }

    fn interruptible(&mut self, work: impl FnOnce(&mut Life)) -> Fate {
        let Some(life) = &mut self.life else { return Fate::Lives };
        match std::panic::catch_unwind(AssertUnwindSafe(|| work(life))) {
            Ok(()) => Fate::Lives,
            Err(payload) => fate(&*payload),
        }
    }

    /// What the broker's tasks have come to; those that have ended are forgotten.
    pub(crate) fn look_at_tasks(&mut self) -> Fate {
        let Some(life) = &mut self.life else { return Fate::Lives };
        let mut found = Fate::Lives;
        while let Some(ended) = life.tasks.try_join_next() {
            let Err(error) = ended else { continue };
            if error.is_panic() {
                found = fate(&*error.into_panic());
                if let Fate::Panicked(_) = found {
                    return found;
                }
            }
        }
        found
    }

    /// Something goes wrong with the disk, so many operations from now.
    pub(crate) fn plan(&self, operations: u64, fault: Fault) {
        self.memory.plan(self.memory.operations() + operations, fault);
    }

    /// The process ends on the spot. `survivors`: with the power, and then so much of what was not synced is left.
    pub(crate) async fn kill(&mut self, survivors: Survivors) {
        let Some(life) = self.life.take() else { return };
        self.memory.forget_plans();
        self.memory.crash(survivors);
        let Life { store, stepper, mut tasks, surroundings, trigger } = life;
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        drop((surroundings, stepper, store, trigger));
    }

    /// Asks the broker to stop; it is to be stepped until [`Machine::has_stopped`].
    pub(crate) fn stop(&mut self) {
        if let Some(life) = &self.life {
            life.trigger.trigger();
        }
    }

    /// Closes the store once all connections have ended.
    pub(crate) async fn has_stopped(&mut self) -> bool {
        let Some(life) = &mut self.life else { return true };
        // The one that is left looks after the deadlines.
        if life.tasks.len() > 1 {
            return false;
        }
        let Some(Life { store, stepper, mut tasks, surroundings, .. }) = self.life.take() else {
            return true;
        };
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        drop((surroundings, stepper));
        // A crash that is planned for its last writes is a crash, and what was acknowledged is kept all the same.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(store.close())));
        self.memory.forget_plans();
        self.memory.crash(Survivors::Finished);
        true
    }
}

fn fate(payload: &(dyn Any + Send)) -> Fate {
    if Crashed::is(payload) { Fate::Crashed } else { Fate::Panicked(message(payload)) }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
