//! The command line.

use barnacle_wire::Version;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A load generator for MQTT brokers that counts what was delivered.
///
/// Every message carries its publisher and its number; the subscriber counts what is missing, repeated or out of
/// order, and the program ends with an error if anything is.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Print one JSON object a line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish into one offline persistent session, which is made first.
    Queue {
        #[command(flatten)]
        load: Load,
        /// Afterwards let the session come back and fetch everything.
        #[arg(long)]
        drain: bool,
    },
    /// Let the session that `queue` left fetch everything; give it the same options.
    Drain {
        #[command(flatten)]
        load: Load,
    },
    /// Publish to one persistent session that is connected meanwhile.
    Live {
        #[command(flatten)]
        load: Load,
    },
    /// Start brokers in turn, run the same load on each, print medians and ratios.
    Compare(Comparison),
    /// Start Barnacle for many sessions, filters, matches and retained topics in turn; print what they cost.
    Many(Many),
    /// Write records of the same size to RocksDB with a sync for each batch: the limit to compare with.
    #[cfg(feature = "rocksdb")]
    Rocksdb(RawStore),
}

/// A prime that no sensible number of topics is a multiple of.
const SPREAD: u64 = 1_000_003;

/// The load on one broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Host of the broker.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port of the broker.
    #[arg(long, default_value_t = 1883)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// The load itself, wherever it goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Shape {
    /// QoS of messages and subscription, 1 or 2.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) qos: u8,
    /// Messages in all.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) count: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=200_000_000))]
    pub(crate) size: u32,
    /// Publishers, each with a connection and a topic of its own.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) publishers: u32,
    /// Messages that a publisher has in flight; with 5.0 the broker's Receive Maximum lowers it.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) inflight: u16,
    /// Protocol version.
    #[arg(long = "protocol", value_enum, default_value_t = Protocol::V311)]
    pub(crate) protocol: Protocol,
    /// Receive Maximum of the subscriber, 5.0 only.
    #[arg(long)]
    pub(crate) receive_maximum: Option<u16>,
    /// Topics are PREFIX/0, PREFIX/1, …, the filter is PREFIX/#.
    #[arg(long, default_value = "load")]
    pub(crate) topic: String,
    /// Topics that all publishers spread their messages over; 0: each publisher has one of its own.
    #[arg(long, default_value_t = 0)]
    pub(crate) topics: u32,
    /// Publish with the RETAIN flag.
    #[arg(long)]
    pub(crate) retain: bool,
    /// Client identifier of the subscriber.
    #[arg(long, default_value = "load-session")]
    pub(crate) session: String,
    /// Give up when nothing happens for this many seconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) patience: u64,
}

impl Shape {
    /// How many of the messages come from `publisher`.
    pub(crate) fn share(&self, publisher: u32) -> u64 {
        let publishers = u64::from(self.publishers);
        self.count / publishers + u64::from(u64::from(publisher) < self.count % publishers)
    }

    /// Which topic message `number` of `publisher` goes to: the last level of its name.
    ///
    /// Spread messages take the topics in an order that jumps about, and each topic equally often when the number of
    /// messages is a multiple of theirs.
    pub(crate) fn topic_number(&self, publisher: u32, number: u64) -> u64 {
        match self.topics {
            0 => u64::from(publisher),
            topics => {
                let in_all = number * u64::from(self.publishers) + u64::from(publisher);
                in_all.wrapping_mul(SPREAD) % u64::from(topics)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// MQTT 3.1.1
    #[value(name = "3.1.1", alias = "4")]
    V311,
    /// MQTT 5.0
    #[value(name = "5", alias = "5.0")]
    V5,
}

impl Protocol {
    pub(crate) fn version(self) -> Version {
        match self {
            Protocol::V311 => Version::V311,
            Protocol::V5 => Version::V5,
        }
    }
}

/// Brokers side by side.
#[derive(Args, Clone, Debug)]
pub(crate) struct Comparison {
    /// How often each broker runs each scenario; the median counts.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Which brokers; ratios are to the last one.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "barnacle,mosquitto")]
    pub(crate) brokers: Vec<BrokerKind>,
    /// Which scenarios.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "queue,live")]
    pub(crate) scenarios: Vec<ScenarioKind>,
    #[command(flatten)]
    pub(crate) programs: Programs,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// The brokers that this program starts.
#[derive(Args, Clone, Debug)]
pub(crate) struct Programs {
    /// The barnacle binary; without it the one beside this program.
    #[arg(long)]
    pub(crate) barnacle: Option<PathBuf>,
    /// Durability mode of barnacle.
    #[arg(long, default_value = "fsync")]
    pub(crate) durability: String,
    /// The mosquitto binary.
    #[arg(long, default_value = "mosquitto")]
    pub(crate) mosquitto: PathBuf,
    /// Where the brokers keep their data; without it the system's temporary directory.
    #[arg(long)]
    pub(crate) work_dir: Option<PathBuf>,
}

/// Many of everything, each on a fresh broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Many {
    /// What there shall be many of.
    #[arg(value_enum, default_value = "all")]
    pub(crate) what: ManyKind,
    /// Offline sessions, each with a filter of its own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) sessions: u32,
    /// Filters of one session.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) filters: u32,
    /// Filters that one message matches, all of one session, then each of a session of its own; at most 1,024.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) matches: u32,
    /// Retained topics.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) retained: u32,
    /// Messages to publish once the many are there.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Payload in bytes, at least 12.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(12..=65_536))]
    pub(crate) size: u32,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManyKind {
    All,
    /// Offline sessions, each with a filter of its own.
    Sessions,
    /// Filters of one session.
    Filters,
    /// Filters that match one message.
    Matches,
    /// Retained topics, and `#` from a slow client and a quick one.
    Retained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerKind {
    Barnacle,
    Mosquitto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioKind {
    /// Queue into an offline session, then drain it.
    Queue,
    /// Publish to a connected session.
    Live,
}

/// RocksDB alone.
#[cfg(feature = "rocksdb")]
#[derive(Args, Clone, Debug)]
pub(crate) struct RawStore {
    /// Records in a batch.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256,1024")]
    pub(crate) batches: Vec<u32>,
    /// Bytes of a record.
    #[arg(long, default_value_t = 300)]
    pub(crate) size: usize,
    /// Seconds for each batch size.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Where the database is made; without it the system's temporary directory.
    #[arg(long)]
    pub(crate) work_dir: Option<PathBuf>,
}
