//! The scenarios: each sets up what it needs, counts what it gets, and says what it measured.

pub(crate) mod catch_up;
pub(crate) mod disk;
pub(crate) mod echo;
pub(crate) mod fan;
pub(crate) mod latency;
pub(crate) mod many;
pub(crate) mod memory;
pub(crate) mod payloads;
pub(crate) mod restart;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocksdb;
pub(crate) mod single;
pub(crate) mod steady;
pub(crate) mod storm;
pub(crate) mod subscribers;
pub(crate) mod traffic;

use crate::error::LoadError;
use crate::measure::pinning;
use crate::options::target::Target;
use crate::report::output::Output;
use clap::Subcommand;

/// One scenario with its options.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Work {
    /// Publish into offline persistent sessions, which are made first.
    Queue(traffic::Queue),
    /// Let the sessions that `queue` left fetch everything; give it the same options.
    Drain(traffic::Plain),
    /// Publish to subscribers that are connected.
    Live(traffic::Plain),
    /// QoS 0: one to one, ten to ten, one to a thousand.
    Fan(fan::Fan),
    /// Percentiles of acknowledgement and delivery at fixed rates, in an open loop.
    Latency(latency::Latency),
    /// One publisher with one message in flight, beside synced writes to the disk itself.
    Single(single::Single),
    /// Many sessions fetch what waits for them while other messages are delivered live.
    CatchUp(catch_up::CatchUp),
    /// What it costs to publish to more and more offline sessions with the same filter.
    Subscribers(subscribers::Subscribers),
    /// How long a broker takes to answer again after kill -9, with many sessions or many messages in it.
    Restart(restart::Restart),
    /// Memory for an idle connection, an offline session, a queued message.
    Memory(memory::Memory),
    /// Many persistent clients come back at once, each to its own backlog.
    Storm(storm::Storm),
    /// Payloads from small to large.
    Payloads(payloads::Payloads),
    /// Messages come and go over a standing backlog: what the disk holds, and how often it is written.
    Steady(steady::Steady),
    /// Many sessions, filters, matches and retained topics.
    Many(many::Many),
    /// Write records of the same size to RocksDB with a sync for each batch: a limit to compare with.
    #[cfg(feature = "rocksdb")]
    Rocksdb(rocksdb::RawStore),
}

impl Work {
    /// Runs it.
    pub(crate) fn run(&self, output: &mut Output) -> Result<(), LoadError> {
        if let Some(processors) = self.target().and_then(|target| target.load_cpus.as_ref()) {
            let before = pinning::allowed_processors();
            pinning::pin_this_process(processors)?;
            let result = self.run_here(output);
            // The next scenario of a suite begins as this one did.
            before.map_or(Ok(()), |before| pinning::pin_this_process(&before))?;
            return result;
        }
        self.run_here(output)
    }

    fn run_here(&self, output: &mut Output) -> Result<(), LoadError> {
        match self {
            Work::Queue(queue) => traffic::queue(queue, output),
            Work::Drain(plain) => traffic::drain(plain, output),
            Work::Live(plain) => traffic::live(plain, output),
            Work::Fan(fan) => fan::run(fan, output),
            Work::Latency(latency) => latency::run(latency, output),
            Work::Single(single) => single::run(single, output),
            Work::CatchUp(catch_up) => catch_up::run(catch_up, output),
            Work::Subscribers(subscribers) => subscribers::run(subscribers, output),
            Work::Restart(restart) => restart::run(restart, output),
            Work::Memory(memory) => memory::run(memory, output),
            Work::Storm(storm) => storm::run(storm, output),
            Work::Payloads(payloads) => payloads::run(payloads, output),
            Work::Steady(steady) => steady::run(steady, output),
            Work::Many(many) => many::run(many, output),
            #[cfg(feature = "rocksdb")]
            Work::Rocksdb(raw) => rocksdb::run(raw, output),
        }
    }

    /// The broker it runs on.
    pub(crate) fn target(&self) -> Option<&Target> {
        Some(match self {
            Work::Queue(queue) => &queue.plain.target,
            Work::Drain(plain) | Work::Live(plain) => &plain.target,
            Work::Fan(fan) => &fan.target,
            Work::Latency(latency) => &latency.target,
            Work::Single(single) => &single.target,
            Work::CatchUp(catch_up) => &catch_up.target,
            Work::Subscribers(subscribers) => &subscribers.target,
            Work::Restart(restart) => &restart.target,
            Work::Memory(memory) => &memory.target,
            Work::Storm(storm) => &storm.target,
            Work::Payloads(payloads) => &payloads.target,
            Work::Steady(steady) => &steady.target,
            Work::Many(many) => &many.target,
            #[cfg(feature = "rocksdb")]
            Work::Rocksdb(_) => return None,
        })
    }

    /// The same, to change it.
    pub(crate) fn target_mut(&mut self) -> Option<&mut Target> {
        Some(match self {
            Work::Queue(queue) => &mut queue.plain.target,
            Work::Drain(plain) | Work::Live(plain) => &mut plain.target,
            Work::Fan(fan) => &mut fan.target,
            Work::Latency(latency) => &mut latency.target,
            Work::Single(single) => &mut single.target,
            Work::CatchUp(catch_up) => &mut catch_up.target,
            Work::Subscribers(subscribers) => &mut subscribers.target,
            Work::Restart(restart) => &mut restart.target,
            Work::Memory(memory) => &mut memory.target,
            Work::Storm(storm) => &mut storm.target,
            Work::Payloads(payloads) => &mut payloads.target,
            Work::Steady(steady) => &mut steady.target,
            Work::Many(many) => &mut many.target,
            #[cfg(feature = "rocksdb")]
            Work::Rocksdb(_) => return None,
        })
    }
}
