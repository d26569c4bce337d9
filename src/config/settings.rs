//! Every setting, declared once: key, meaning, default and limits.
//!
//! The declaration yields the raw structure that TOML is read into, the defaults, the table that names a setting's
//! environment variable and its limits, and the text of `barnacle config default`. Nothing else in the project
//! writes a default or a limit of a setting down.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the environment variable of every setting begins with.
pub(super) const ENVIRONMENT_PREFIX: &str = "BARNACLE_";

/// One setting, as the declaration below gives it.
#[derive(Debug)]
pub(super) struct Setting {
    /// Dotted key, `limits.receive_maximum`; its section, if it has one, stands before the dot.
    pub(super) key: &'static str,
    /// What it means, a line an element.
    pub(super) about: &'static [&'static str],
    /// The default, as TOML.
    pub(super) default: toml::Value,
    /// The least and the greatest value of a number.
    pub(super) limits: Option<RangeInclusive<u64>>,
}

impl Setting {
    /// The environment variable that overrides it: `BARNACLE_LIMITS_RECEIVE_MAXIMUM`.
    pub(super) fn environment_variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

/// A section of the file, as the declaration below gives it.
#[derive(Debug)]
pub(super) struct Section {
    /// The name between the brackets; empty for the settings above the first bracket.
    pub(super) name: &'static str,
    /// What the section is for, a line an element.
    pub(super) about: &'static [&'static str],
}

/// Every setting, in the order of the declaration.
pub(super) fn all() -> &'static [Setting] {
    static ALL: LazyLock<Vec<Setting>> = LazyLock::new(declared);
    &ALL
}

/// The setting with this dotted key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    all().iter().find(|setting| setting.key == key)
}

macro_rules! settings {
    ($(
        $(#[doc = $section_about:literal])+
        $section:ident $name:literal {
            $(
                $(#[doc = $about:literal])+
                $key:ident : $type:ty = $default:expr $(, from $limits:expr)? ;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_about])+
            #[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
            #[serde(deny_unknown_fields, default)]
            pub(super) struct $section {
                $( $(#[doc = $about])+ pub(super) $key: $type, )+
            }

            impl Default for $section {
                fn default() -> Self {
                    Self { $( $key: $default, )+ }
                }
            }
        )+

        /// Every section, in the order of the declaration.
        pub(super) const SECTIONS: &[Section] =
            &[ $( Section { name: $name, about: &[ $( $section_about ),+ ] } ),+ ];

        fn declared() -> Vec<Setting> {
            let mut settings = Vec::new();
            $(
                let defaults = toml::Table::try_from($section::default())
                    .expect("every setting has a type that TOML can hold");
                $(
                    settings.push(Setting {
                        key: if $name.is_empty() {
                            stringify!($key)
                        } else {
                            concat!($name, ".", stringify!($key))
                        },
                        about: &[ $( $about ),+ ],
                        default: defaults[stringify!($key)].clone(),
                        limits: settings!(@limits $($limits)?),
                    });
                )+
            )+
            settings
        }
    };
    (@limits) => { None };
    (@limits $limits:expr) => { Some($limits) };
}

settings! {
    /// Where clients connect.
    RawListeners "" {
        /// Addresses: `mqtt://HOST:PORT` is MQTT over TCP, `ws://HOST:PORT/PATH` MQTT over WebSocket. HOST is an IP
        /// address ([…] around IPv6), a name, or `localhost`, which listens on 127.0.0.1 and, where there is IPv6,
        /// on ::1. `0.0.0.0` and `[::]` open the port to the whole network: nobody is asked for a password.
        listeners: Vec<String> = vec!["mqtt://localhost:1883".into(), "ws://localhost:8083/mqtt".into()];
    }

    /// MQTT over WebSocket.
    RawWebSocket "websocket" {
        /// Web pages that may connect, by the Origin that their browser sends; others get 403. An entry is an exact
        /// origin (`https://app.example:8443`), `null` (a page opened from a file, or in a sandbox), `loopback`
        /// (http or https on localhost, 127.0.0.1 or `[::1]`, any port), or `*` (every page). The list replaces the
        /// default. Clients that are not browsers send no Origin and are not concerned.
        allowed_origins: Vec<String> = vec!["null".into(), "loopback".into()];
    }

    /// What is kept, where, and how firmly.
    RawStorage "storage" {
        /// The directory of the store; made when missing. The default does not depend on where the broker is
        /// started, for a broker that finds another directory would seem to have forgotten everything:
        /// $XDG_STATE_HOME/barnacle, else $HOME/.local/state/barnacle, else /var/lib/barnacle.
        data_dir: String = super::data_dir::default_data_dir();
        /// What an acknowledgement promises. `fsync`: it is on the disk, and survives a power cut.
        /// `interval:MILLISECONDS` (1 to 60000): it is written, and on the disk that much later; a power cut takes
        /// what came since. `os`: it is written, and on the disk when the operating system sees fit.
        /// All three survive a crash of the broker.
        durability: String = "fsync".into();
        /// Below so much free space on the data directory's file system, publishes that would have to be kept are
        /// refused (MQTT 5: Quota exceeded) or held back (older clients); everything else goes on, and what is
        /// delivered makes room. Not less than the store needs to work in; 0 waits until a write fails.
        min_free_bytes: u64 = 268_435_456, from 0..=1_099_511_627_776;
        /// Below so much free space the log warns; at least min_free_bytes.
        warn_free_bytes: u64 = 1_073_741_824, from 1_048_576..=1_099_511_627_776;
        /// The size of a file that keeps space, let go of when the disk is full to the last byte: what makes room
        /// needs some itself. 0: none.
        ballast_bytes: u64 = 67_108_864, from 0..=17_179_869_184;
    }

    /// Bounds for each connection.
    RawLimits "limits" {
        /// The largest packet that a client may send, and that it is told (Maximum Packet Size).
        max_packet_size_bytes: u64 = 1_048_576, from 1_024..=268_435_460;
        /// QoS 1 and 2 messages that a client may have unacknowledged towards the broker (Receive Maximum).
        receive_maximum: u64 = 1_024, from 1..=65_535;
        /// QoS 1 and 2 messages that the broker has unacknowledged towards a client; a client's own Receive Maximum
        /// can only lower it.
        max_inflight_messages: u64 = 256, from 1..=65_535;
        /// Topic aliases that a client may use (Topic Alias Maximum); 0 allows none.
        topic_alias_maximum: u64 = 64, from 0..=65_535;
        /// What may wait in memory for one connection: messages that are not kept on disk. At least
        /// max_packet_size_bytes.
        mailbox_bytes: u64 = 4_194_304, from 65_536..=1_073_741_824;
        /// How long a client may take from connecting to a complete CONNECT, WebSocket handshake included.
        connect_timeout_seconds: u64 = 10, from 1..=3_600;
        /// The longest keep-alive of an MQTT 5 client: one that asks for more, or for none, is told this one
        /// (Server Keep Alive). 0 leaves it to the clients. Older clients cannot be told, and are not concerned.
        server_keep_alive_seconds: u64 = 0, from 0..=65_535;
    }

    /// How much may wait for clients that are away or slow: messages of QoS 1 and 2, until their client's window takes them.
    /// 0 everywhere is without limit: then only the disk limits it. Bytes are those of the messages as they are stored.
    /// What is dropped is counted, by its reason. A policy is `drop-oldest`, `drop-newest`, or `reject`: then the
    /// publish is refused as a whole, and an MQTT 5 publisher is told so (0x97, Quota exceeded); older ones cannot be
    /// told, and their message is left out as with `drop-newest`.
    RawQueue "queue" {
        /// Messages that may wait for one session. Of filters that several sessions share, an upper bound counts: a
        /// message that several filters of the session match counts for each.
        session_max_messages: u64 = 0, from 0..=1_000_000_000_000;
        /// Bytes that may wait for one session.
        session_max_bytes: u64 = 0, from 0..=1_000_000_000_000_000;
        /// What happens to messages beyond the limits of a session.
        session_policy: String = "drop-oldest".into();
        /// Messages that may wait for one group of a shared subscription (`$share/…`): those that no member has taken. What
        /// a member has in its window stays beside the limit.
        group_max_messages: u64 = 0, from 0..=1_000_000_000_000;
        /// Bytes that may wait for one group.
        group_max_bytes: u64 = 0, from 0..=1_000_000_000_000_000;
        /// What happens to messages beyond the limits of a group: of the oldest, those that no member has taken go.
        group_policy: String = "drop-oldest".into();
        /// Messages that may wait in all, those that several sessions share counted once for each filter. What was
        /// consumed is taken off within a few seconds.
        total_max_messages: u64 = 0, from 0..=1_000_000_000_000;
        /// Bytes that may wait in all.
        total_max_bytes: u64 = 0, from 0..=1_000_000_000_000_000;
        /// What happens to messages beyond the limits in total.
        total_policy: String = "reject".into();
        /// Messages a second that a returning session is given of what waited for it, until it has come to the end of
        /// it; what comes to it then is not slowed. 0: as fast as it goes.
        catch_up_rate: u64 = 0, from 0..=1_000_000_000;
        /// The same for all returning sessions together.
        total_catch_up_rate: u64 = 0, from 0..=1_000_000_000;
    }

    /// How long sessions live on after their connection.
    RawSession "session" {
        /// Of an MQTT 3.1 or 3.1.1 client that connects with Clean Session 0: seconds, or `never`.
        mqtt3_expiry_seconds: Expiry = Expiry::Never;
        /// The longest of all: seconds, or `never`. An MQTT 5 client that asks for more is told this one
        /// (Session Expiry Interval); for an older one the shorter of the two applies.
        max_expiry_seconds: Expiry = Expiry::Never;
        /// How long the clients of a broker that died, or was stopped, have from its next start to come back before their
        /// wills are published; one and a half keep-alives if that is less. A Will Delay comes on top.
        will_grace_seconds: u64 = 60, from 0..=86_400;
    }

    /// The log, on standard error.
    RawLog "log" {
        /// `error`, `warn`, `info`, `debug` or `trace`.
        level: String = "info".into();
        /// `text`, or `json`: an object a line.
        format: String = "text".into();
    }
}

/// The file as a whole: the sections above, each under its name.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) listeners: Vec<String>,
    pub(super) websocket: RawWebSocket,
    pub(super) storage: RawStorage,
    pub(super) limits: RawLimits,
    pub(super) queue: RawQueue,
    pub(super) session: RawSession,
    pub(super) log: RawLog,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            // Above the first section there is no table to read: `serde(flatten)` would lift the structure, but not
            // together with `deny_unknown_fields`.
            listeners: RawListeners::default().listeners,
            websocket: RawWebSocket::default(),
            storage: RawStorage::default(),
            limits: RawLimits::default(),
            queue: RawQueue::default(),
            session: RawSession::default(),
            log: RawLog::default(),
        }
    }
}

/// Seconds, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It does not end by itself.
    Never,
    /// It ends after so many seconds.
    Seconds(u32),
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_str("never"),
            Self::Seconds(seconds) => serializer.serialize_u32(*seconds),
        }
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExpiryVisitor;

        impl Visitor<'_> for ExpiryVisitor {
            type Value = Expiry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                // 0xFFFFFFFF is how the standard writes "never" [MQTT 5.0, 3.1.2.11.2].
                write!(formatter, "seconds from 0 to 4294967294, or \"never\"")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Expiry, E> {
                u32::try_from(value)
                    .ok()
                    .filter(|seconds| *seconds != u32::MAX)
                    .map(Expiry::Seconds)
                    .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Expiry, E> {
                // An environment variable has no types: digits in a string are a number.
                match (value, value.parse::<i64>()) {
                    ("never", _) => Ok(Expiry::Never),
                    (_, Ok(seconds)) => self.visit_i64(seconds),
                    _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
                }
            }
        }

        deserializer.deserialize_any(ExpiryVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_structure_name_the_same_keys() {
        let structure = toml::Table::try_from(RawConfig::default()).expect("defaults are TOML");
        let mut from_structure = Vec::new();
        for (name, value) in &structure {
            match value {
                toml::Value::Table(section) => {
                    from_structure.extend(section.keys().map(|key| format!("{name}.{key}")));
                }
                _ => from_structure.push(name.clone()),
            }
        }
        let mut from_table: Vec<_> = all().iter().map(|setting| setting.key.to_owned()).collect();
        from_table.sort();
        from_structure.sort();
        assert_eq!(from_table, from_structure);
    }

    #[test]
    fn every_number_has_limits_and_its_default_is_within_them() {
        for setting in all() {
            match (&setting.default, &setting.limits) {
                (toml::Value::Integer(number), Some(limits)) => {
                    let number = u64::try_from(*number).expect("defaults are not negative");
                    assert!(limits.contains(&number), "{}", setting.key);
                }
                (toml::Value::Integer(_), None) => panic!("{} has no limits", setting.key),
                (_, limits) => assert!(limits.is_none(), "{} is no number", setting.key),
            }
        }
    }

    #[test]
    fn no_two_settings_share_an_environment_variable() {
        let mut names: Vec<_> = all().iter().map(Setting::environment_variable).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }
}
