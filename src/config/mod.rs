//! What the operator may choose.
//!
//! Two layers: what was written (`settings`, read from TOML, environment and flags), and [`Config`], which cannot
//! exist invalid. Everything behind this module takes values from a [`Config`] and checks none of them again.
//! Reads files and the environment when asked to; opens, starts and logs nothing.

mod address;
mod data_dir;
mod durability;
mod layers;
mod nearest;
mod origins;
mod print;
mod problem;
mod settings;
mod validate;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{Host, ListenerAddress, MQTT_PORT, Scheme, WEBSOCKET_PATH, WEBSOCKET_PORT};
pub use durability::Durability;
pub use origins::AllowedOrigins;
pub use problem::{ConfigError, Problem};

use layers::Layers;
use problem::Source;

/// A valid configuration. Made by [`Config::load`], [`Config::from_toml`] and [`Config::default`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    listeners: Vec<ListenerAddress>,
    websocket: WebSocket,
    storage: Storage,
    limits: Limits,
    queue: Queue,
    session: Session,
    log: Log,
}

/// MQTT over WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// The web pages that may connect.
    pub allowed_origins: AllowedOrigins,
}

/// What is kept, where, and how firmly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The directory of the store; it may not exist yet.
    pub data_dir: PathBuf,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Below so much free space, publishes that would have to be kept are refused or held back.
    pub min_free_bytes: u64,
    /// Below so much free space the log warns; at least `min_free_bytes`.
    pub warn_free_bytes: u64,
    /// The size of the file that keeps space for what makes room; 0: none.
    pub ballast_bytes: u64,
}

/// Bounds for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest packet that a client may send, in bytes, fixed header included: Maximum Packet Size in CONNACK
    /// [MQTT 5.0, 3.2.2.3.6].
    pub max_packet_size_bytes: u32,
    /// QoS 1 and 2 messages that a client may have unacknowledged: Receive Maximum in CONNACK
    /// [MQTT 5.0, 3.2.2.3.3].
    pub receive_maximum: NonZeroU16,
    /// QoS 1 and 2 messages that the broker has unacknowledged towards a client, whatever its Receive Maximum.
    pub max_inflight_messages: NonZeroU16,
    /// Topic aliases that a client may use: Topic Alias Maximum in CONNACK [MQTT 5.0, 3.2.2.3.8].
    pub topic_alias_maximum: u16,
    /// Bytes that may wait in memory for one connection; at least `max_packet_size_bytes`.
    pub mailbox_bytes: usize,
    /// From the accepted connection to a complete CONNECT.
    pub connect_timeout: Duration,
    /// The longest keep-alive of an MQTT 5 client: Server Keep Alive in CONNACK [MQTT 5.0, 3.2.2.3.14]. `None`
    /// leaves it to the clients.
    pub server_keep_alive_seconds: Option<NonZeroU16>,
}

/// How much may wait for clients that are away or slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// For each session.
    pub session: QueueLimit,
    /// For each group of a shared subscription.
    pub group: QueueLimit,
    /// For all sessions together.
    pub total: QueueLimit,
    /// Messages a second that a returning session is given of what waited; `None`: as fast as it goes.
    pub catch_up_rate: Option<u64>,
    /// The same for all returning sessions together.
    pub total_catch_up_rate: Option<u64>,
}

/// A limit on what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimit {
    /// Messages; `None`: any number.
    pub max_messages: Option<u64>,
    /// Bytes; `None`: any number.
    pub max_bytes: Option<u64>,
    /// What happens beyond it.
    pub policy: QueuePolicy,
}

/// What happens to messages beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The oldest that wait go.
    DropOldest,
    /// The newest are left out.
    DropNewest,
    /// The publish is refused [MQTT 5.0, 3.4.2.1: 0x97].
    Reject,
}

/// How long sessions live on after their connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Of an MQTT 3.1 or 3.1.1 client with Clean Session 0; `None` is for ever. Not more than `max_expiry`.
    pub mqtt3_expiry: Option<Duration>,
    /// The longest Session Expiry Interval that is granted; `None` grants all.
    pub max_expiry: Option<Duration>,
    /// From a start to when the wills of clients are due that were connected when the broker ended, at the latest.
    pub will_grace: Duration,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Events below it are left out.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What the broker could not do.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And what is worth knowing in everyday operation.
    Info,
    /// And what each connection does.
    Debug,
    /// And what each packet does.
    Trace,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Settings given as flags of the command line: they win over everything else.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    values: Vec<(&'static str, &'static str, toml::Value)>,
}

impl Overrides {
    /// Sets `key` to `value`; `flag` is what the operator wrote, for error messages.
    pub fn set(&mut self, key: &'static str, flag: &'static str, value: impl Into<toml::Value>) {
        self.values.push((key, flag, value.into()));
    }
}

/// A configuration, and what is doubtful about where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator should know but does not keep the broker from running.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Puts the layers together: defaults, `file`, `environment` (variables that do not begin with `BARNACLE_` are
    /// passed over), `flags`. The later ones win.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in all layers: a file that cannot be read, unknown keys, values of the wrong type,
    /// outside their limits or without a meaning.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: Overrides,
    ) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Problem::new(
                    &Source::File { path: path.to_owned(), line: 0 },
                    format!("cannot be read: {error}"),
                )
            })?;
            layers.add_file(path, &text);
        }
        layers.add_environment(environment);
        for (key, name, value) in flags.values {
            layers.add(key, value, Source::Flag { name });
        }
        Self::from_layers(layers)
    }

    /// Reads one file over the defaults; `path` only names it in error messages.
    ///
    /// # Errors
    ///
    /// As for [`Config::load`].
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        layers.add_file(path, text);
        Self::from_layers(layers).map(|loaded| loaded.config)
    }

    /// The defaults as a TOML file, each setting with its meaning: what `barnacle config default` prints.
    pub fn annotated_defaults() -> String {
        print::annotated_defaults()
    }

    fn from_layers(mut layers: Layers) -> Result<Loaded, ConfigError> {
        let config = validate::validate(&mut layers);
        match (ConfigError::from_problems(layers.problems), config) {
            (None, Some(config)) => Ok(Loaded { config, warnings: layers.warnings }),
            (Some(error), _) => Err(error),
            (None, None) => unreachable!("what is refused has a problem"),
        }
    }

    /// Where to listen; at least one, no two of the same host and port.
    pub fn listeners(&self) -> &[ListenerAddress] {
        &self.listeners
    }

    /// MQTT over WebSocket.
    pub fn websocket(&self) -> &WebSocket {
        &self.websocket
    }

    /// What is kept, where, and how firmly.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Bounds for each connection.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How much may wait for clients that are away or slow.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How long sessions live on after their connection.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_layers(Layers::default()).expect("the defaults are valid").config
    }
}
