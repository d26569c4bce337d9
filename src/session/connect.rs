//! CONNECT and CONNACK: what a client asks for, what it gets.

use std::num::NonZeroU16;

use bytestring::ByteString;

use super::{Limits, Will, detached};
use crate::protocol::{ConnAck, ConnAckProperties, Connect, ProtocolVersion, ReasonCode};

/// The terms of one connection, as agreed.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Protocol version.
    pub version: ProtocolVersion,
    /// Client identifier, the client's or assigned.
    pub client_id: ByteString,
    /// The identifier was assigned by us.
    pub client_id_assigned: bool,
    /// Clean Start.
    pub clean_start: bool,
    /// Session Expiry Interval in seconds, as granted; 0: the session ends with the connection.
    pub session_expiry_interval: u32,
    /// The interval differs from what was asked for.
    pub session_expiry_changed: bool,
    /// Keep-alive in seconds, as granted.
    pub keep_alive: u16,
    /// The keep-alive differs from what was asked for: Server Keep Alive [MQTT-3.2.2-21].
    pub keep_alive_changed: bool,
    /// Exchanges that may be open towards the client.
    pub window: u16,
    /// Maximum Packet Size of the client.
    pub maximum_packet_size: Option<u32>,
    /// Topic aliases that we may set.
    pub outbound_topic_aliases: u16,
    /// Reason Strings may be sent [MQTT-3.1.2-29].
    pub problem_information: bool,
}

impl Terms {
    /// Agrees on the terms of a connection.
    ///
    /// `assign` makes a client identifier when the client has none.
    ///
    /// # Errors
    /// The reason for CONNACK.
    pub fn negotiate(
        connect: &Connect,
        limits: &Limits,
        assign: impl FnOnce() -> ByteString,
    ) -> Result<Self, ReasonCode> {
        let version = connect.version;
        let client_id_assigned = connect.client_id.is_empty();
        if client_id_assigned && version != ProtocolVersion::V5 && !connect.clean_start {
            // [MQTT-3.1.3-8 of 3.1.1]
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        let asked = match version {
            ProtocolVersion::V5 => connect.properties.session_expiry_interval.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => limits.default_session_expiry_interval,
        };
        let session_expiry_interval = asked.min(limits.maximum_session_expiry_interval);
        let keep_alive = granted_keep_alive(connect, limits);
        let properties = &connect.properties;
        Ok(Self {
            version,
            client_id: if client_id_assigned { assign() } else { detached(&connect.client_id) },
            client_id_assigned,
            clean_start: connect.clean_start,
            session_expiry_interval,
            session_expiry_changed: session_expiry_interval != asked,
            keep_alive,
            keep_alive_changed: keep_alive != connect.keep_alive,
            window: properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get).min(limits.window),
            maximum_packet_size: properties.maximum_packet_size.map(std::num::NonZeroU32::get),
            outbound_topic_aliases: properties
                .topic_alias_maximum
                .unwrap_or(0)
                .min(limits.outbound_topic_aliases),
            problem_information: properties.request_problem_information.unwrap_or(true),
        })
    }

    /// The CONNACK that accepts.
    #[must_use]
    pub fn accept(&self, session_present: bool, limits: &Limits) -> ConnAck {
        let mut properties = ConnAckProperties::default();
        if self.version == ProtocolVersion::V5 {
            properties.session_expiry_interval =
                self.session_expiry_changed.then_some(self.session_expiry_interval);
            properties.receive_maximum = NonZeroU16::new(limits.receive_maximum);
            properties.maximum_packet_size = std::num::NonZeroU32::new(limits.maximum_packet_size);
            properties.topic_alias_maximum = Some(limits.topic_alias_maximum);
            properties.assigned_client_identifier = self.client_id_assigned.then(|| self.client_id.clone());
            properties.server_keep_alive = self.keep_alive_changed.then_some(self.keep_alive);
        }
        ConnAck { session_present, reason: ReasonCode::Success, properties }
    }

    /// The CONNACK that refuses [MQTT-3.2.2-6].
    #[must_use]
    pub fn refuse(reason: ReasonCode) -> ConnAck {
        ConnAck { session_present: false, reason, properties: ConnAckProperties::default() }
    }
}

/// The will of a CONNECT, if it has one.
#[must_use]
pub fn will_of(connect: &mut Connect) -> Option<Will> {
    connect.will.take().map(Will::from_connect)
}

/// Only MQTT 5 lets a server shorten the keep-alive; a client that asks for none is held to the longest.
fn granted_keep_alive(connect: &Connect, limits: &Limits) -> u16 {
    let longest = limits.maximum_keep_alive;
    let unlimited = longest == 0 || connect.version != ProtocolVersion::V5;
    if unlimited || (1..=longest).contains(&connect.keep_alive) { connect.keep_alive } else { longest }
}
