//! From a raw configuration of the right types to a [`Config`] whose values have a meaning.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::Layers;
use super::problem::Problem;
use super::settings::{Expiry, RawConfig, RawLimits, RawLog, RawQueue, RawSession, RawStorage};
use super::{
    AllowedOrigins, Config, Durability, Limits, ListenerAddress, Log, LogFormat, LogLevel, Queue, QueueLimit,
    QueuePolicy, Session, Storage, WebSocket,
};

/// Checks the outcome of all layers; every problem goes to its place in `layers`.
pub(super) fn validate(layers: &mut Layers) -> Option<Config> {
    let raw = layers.raw();
    let listeners = listeners(&raw, layers);
    let websocket = AllowedOrigins::parse(&raw.websocket.allowed_origins)
        .map(|allowed_origins| WebSocket { allowed_origins });
    let websocket = accepted(layers, "websocket.allowed_origins", websocket);
    let storage = storage(&raw, layers);
    let limits = limits(&raw.limits, layers);
    let queue = queue(&raw.queue, layers);
    let session = session(&raw.session);
    let log = log(&raw.log, layers);
    if !layers.problems.is_empty() {
        return None;
    }
    Some(Config {
        listeners: listeners?,
        websocket: websocket?,
        storage: storage?,
        limits: limits?,
        queue: queue?,
        session,
        log: log?,
    })
}

/// The value, or its problem noted.
fn accepted<T>(layers: &mut Layers, key: &str, value: Result<T, String>) -> Option<T> {
    value
        .map_err(|message| {
            let source = layers.source(key);
            layers.problems.push(Problem::new(&source, format!("`{key}`: {message}")));
        })
        .ok()
}

fn listeners(raw: &RawConfig, layers: &mut Layers) -> Option<Vec<ListenerAddress>> {
    let key = "listeners";
    let mut listeners: Vec<ListenerAddress> = Vec::new();
    for text in &raw.listeners {
        let address: ListenerAddress = accepted(layers, key, text.parse())?;
        let taken = |other: &&ListenerAddress| other.host == address.host && other.port == address.port;
        // Port 0 is a different port each time.
        if let Some(other) = listeners.iter().find(taken).filter(|other| other.port != 0) {
            let message = format!("`{address}` and `{other}` are the same host and port");
            return accepted(layers, key, Err(message));
        }
        listeners.push(address);
    }
    let listeners = match listeners.is_empty() {
        true => Err("without a listener nobody can connect".to_owned()),
        false => Ok(listeners),
    };
    accepted(layers, key, listeners)
}

fn storage(raw: &RawConfig, layers: &mut Layers) -> Option<Storage> {
    let data_dir = match raw.storage.data_dir.as_str() {
        "" => Err("the directory has no name".to_owned()),
        path if path.contains('\0') => Err("a path has no NUL in it".to_owned()),
        path => Ok(PathBuf::from(path)),
    };
    let data_dir = accepted(layers, "storage.data_dir", data_dir);
    let durability: Option<Durability> =
        accepted(layers, "storage.durability", raw.storage.durability.parse());
    let RawStorage { min_free_bytes, warn_free_bytes, ballast_bytes, .. } = raw.storage;
    if warn_free_bytes < min_free_bytes {
        let message = format!(
            "{warn_free_bytes} is less than `storage.min_free_bytes`, {min_free_bytes}: the warning would come too late"
        );
        at_least(layers, ("storage.warn_free_bytes", "storage.min_free_bytes"), &message);
        return None;
    }
    Some(Storage {
        data_dir: data_dir?,
        durability: durability?,
        min_free_bytes,
        warn_free_bytes,
        ballast_bytes,
    })
}

/// Notes that the first setting is less than the second, at the one that was set.
fn at_least(layers: &mut Layers, (greater, less): (&str, &str), message: &str) {
    let key = match layers.source(greater) {
        super::problem::Source::Default => less,
        _ => greater,
    };
    let source = layers.source(key);
    layers.problems.push(Problem::new(&source, format!("`{greater}`: {message}")));
}

fn limits(raw: &RawLimits, layers: &mut Layers) -> Option<Limits> {
    if raw.mailbox_bytes < raw.max_packet_size_bytes {
        let message = format!(
            "{} is less than `limits.max_packet_size_bytes`, {}: a message that was accepted would fit nowhere",
            raw.mailbox_bytes, raw.max_packet_size_bytes
        );
        at_least(layers, ("limits.mailbox_bytes", "limits.max_packet_size_bytes"), &message);
        return None;
    }
    Some(Limits {
        max_packet_size_bytes: declared(raw.max_packet_size_bytes),
        receive_maximum: at_least_one(raw.receive_maximum),
        max_inflight_messages: at_least_one(raw.max_inflight_messages),
        topic_alias_maximum: declared(raw.topic_alias_maximum),
        mailbox_bytes: declared(raw.mailbox_bytes),
        connect_timeout: Duration::from_secs(raw.connect_timeout_seconds),
        server_keep_alive_seconds: NonZeroU16::new(declared(raw.server_keep_alive_seconds)),
    })
}

fn queue(raw: &RawQueue, layers: &mut Layers) -> Option<Queue> {
    let any = |number: u64| (number > 0).then_some(number);
    let session_policy = accepted(layers, "queue.session_policy", policy(&raw.session_policy));
    let group_policy = accepted(layers, "queue.group_policy", policy(&raw.group_policy));
    let total_policy = accepted(layers, "queue.total_policy", policy(&raw.total_policy));
    Some(Queue {
        session: QueueLimit {
            max_messages: any(raw.session_max_messages),
            max_bytes: any(raw.session_max_bytes),
            policy: session_policy?,
        },
        group: QueueLimit {
            max_messages: any(raw.group_max_messages),
            max_bytes: any(raw.group_max_bytes),
            policy: group_policy?,
        },
        total: QueueLimit {
            max_messages: any(raw.total_max_messages),
            max_bytes: any(raw.total_max_bytes),
            policy: total_policy?,
        },
        catch_up_rate: any(raw.catch_up_rate),
        total_catch_up_rate: any(raw.total_catch_up_rate),
    })
}

fn policy(text: &str) -> Result<QueuePolicy, String> {
    match text {
        "drop-oldest" => Ok(QueuePolicy::DropOldest),
        "drop-newest" => Ok(QueuePolicy::DropNewest),
        "reject" => Ok(QueuePolicy::Reject),
        other => Err(format!("`{other}` is not `drop-oldest`, `drop-newest` or `reject`")),
    }
}

/// A number whose declared limits fit the type it gets here.
fn declared<T: TryFrom<u64>>(number: u64) -> T {
    T::try_from(number)
        .unwrap_or_else(|_| panic!("{number} is within the declared limits, which fit the type"))
}

/// A number whose declared limits begin with 1.
fn at_least_one(number: u64) -> NonZeroU16 {
    NonZeroU16::new(declared(number)).expect("the declared limits begin with 1")
}

fn session(raw: &RawSession) -> Session {
    let max_expiry = duration(raw.max_expiry_seconds);
    let mqtt3_expiry = match (duration(raw.mqtt3_expiry_seconds), max_expiry) {
        (Some(expiry), Some(max)) => Some(expiry.min(max)),
        (expiry, max) => expiry.or(max),
    };
    Session { mqtt3_expiry, max_expiry, will_grace: Duration::from_secs(raw.will_grace_seconds) }
}

fn duration(expiry: Expiry) -> Option<Duration> {
    match expiry {
        Expiry::Never => None,
        Expiry::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
    }
}

fn log(raw: &RawLog, layers: &mut Layers) -> Option<Log> {
    let level = match raw.level.as_str() {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        other => Err(format!("`{other}` is not `error`, `warn`, `info`, `debug` or `trace`")),
    };
    let format = match raw.format.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{other}` is not `text` or `json`")),
    };
    let level = accepted(layers, "log.level", level);
    let format = accepted(layers, "log.format", format);
    Some(Log { level: level?, format: format? })
}
