//! What the broker grants any session.

/// Limits that CONNACK announces and the session holds to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet accepted, in bytes.
    pub maximum_packet_size: u32,
    /// QoS 1 and 2 publishes a client may have unanswered (MQTT 5).
    pub receive_maximum: u16,
    /// Exchanges that may be open towards a client, whatever its Receive Maximum.
    pub window: u16,
    /// Topic aliases a client may set.
    pub topic_alias_maximum: u16,
    /// Topic aliases we set towards a client at most.
    pub outbound_topic_aliases: u16,
    /// Longest Session Expiry Interval granted, in seconds; `u32::MAX`: no limit.
    pub maximum_session_expiry_interval: u32,
    /// Session Expiry Interval of MQTT 3.1 and 3.1.1 sessions, in seconds; `u32::MAX`: never.
    pub default_session_expiry_interval: u32,
    /// Longest keep-alive granted (MQTT 5), in seconds; 0: no limit.
    pub maximum_keep_alive: u16,
}
