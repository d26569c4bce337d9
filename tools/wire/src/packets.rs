//! Builders of everything that a client sends. Fields are public and unchecked: a test may want them wrong.

use crate::property::{Properties, Property, put_properties};
use crate::raw::{RawPacket, put_binary};
use crate::{Version, kind};

/// CONNECT.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Protocol level, and with it the form of all packets of the connection.
    pub version: Version,
    /// Clean Start, in 3.1.1 clean session.
    pub clean_start: bool,
    /// Keep alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// Client identifier, possibly empty.
    pub client_id: String,
    /// Properties, 5.0 only.
    pub properties: Properties,
    /// The will message.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
}

/// The will in a CONNECT.
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// Will topic.
    pub topic: String,
    /// Will payload.
    pub payload: Vec<u8>,
    /// Will QoS.
    pub qos: u8,
    /// Will retain.
    pub retain: bool,
    /// Will properties, 5.0 only.
    pub properties: Properties,
}

impl Connect {
    /// A clean connection of `client_id`, keep alive 60 s.
    pub fn new(version: Version, client_id: &str) -> Connect {
        Connect {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id: client_id.to_owned(),
            properties: Properties::new(),
            will: None,
            username: None,
            password: None,
        }
    }

    /// A session that outlives the connection, resumed if it is there: Clean Start 0 and, in 5.0, a Session Expiry
    /// Interval that never ends.
    pub fn persistent(version: Version, client_id: &str) -> Connect {
        let mut connect = Connect::new(version, client_id);
        connect.clean_start = false;
        if version.has_properties() {
            connect.properties.push(Property::SessionExpiryInterval(u32::MAX));
        }
        connect
    }

    /// Sets Clean Start.
    pub fn clean_start(mut self, clean_start: bool) -> Connect {
        self.clean_start = clean_start;
        self
    }

    /// Sets keep alive in seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Connect {
        self.keep_alive = seconds;
        self
    }

    /// Adds a property.
    pub fn property(mut self, property: Property) -> Connect {
        self.properties.push(property);
        self
    }

    /// Sets the will.
    pub fn will(mut self, will: Will) -> Connect {
        self.will = Some(will);
        self
    }

    /// Sets user name and password.
    pub fn credentials(mut self, username: &str, password: &str) -> Connect {
        self.username = Some(username.to_owned());
        self.password = Some(password.as_bytes().to_vec());
        self
    }

    /// The bytes of the packet.
    pub fn encode(&self) -> Vec<u8> {
        let name = if self.version == Version::V31 { "MQIsdp" } else { "MQTT" };
        let mut body = Vec::new();
        if self.version.has_properties() {
            put_properties(&mut body, &self.properties);
        }
        put_binary(&mut body, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if self.version.has_properties() {
                put_properties(&mut body, &will.properties);
            }
            put_binary(&mut body, will.topic.as_bytes());
            put_binary(&mut body, &will.payload);
        }
        if let Some(username) = &self.username {
            put_binary(&mut body, username.as_bytes());
        }
        if let Some(password) = &self.password {
            put_binary(&mut body, password);
        }
        RawPacket::new(kind::CONNECT << 4)
            .string(name)
            .u8(self.version.level())
            .u8(self.flags())
            .u16(self.keep_alive)
            .bytes(&body)
            .finish()
    }

    fn flags(&self) -> u8 {
        let mut flags = u8::from(self.clean_start) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        flags | u8::from(self.password.is_some()) << 6 | u8::from(self.username.is_some()) << 7
    }
}

/// PUBLISH, sent or received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// DUP flag.
    pub dup: bool,
    /// QoS.
    pub qos: u8,
    /// RETAIN flag.
    pub retain: bool,
    /// Topic name; empty with a topic alias.
    pub topic: String,
    /// Packet identifier, written only when QoS is not 0. 0 where there is none.
    pub packet_id: u16,
    /// Properties, 5.0 only.
    pub properties: Properties,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Publish {
    /// A QoS 0 message.
    pub fn new(topic: &str, payload: impl Into<Vec<u8>>) -> Publish {
        Publish { topic: topic.to_owned(), payload: payload.into(), ..Publish::default() }
    }

    /// Sets QoS and packet identifier.
    pub fn qos(mut self, qos: u8, packet_id: u16) -> Publish {
        self.qos = qos;
        self.packet_id = packet_id;
        self
    }

    /// Sets the RETAIN flag.
    pub fn retain(mut self, retain: bool) -> Publish {
        self.retain = retain;
        self
    }

    /// Sets the DUP flag.
    pub fn dup(mut self, dup: bool) -> Publish {
        self.dup = dup;
        self
    }

    /// Adds a property.
    pub fn property(mut self, property: Property) -> Publish {
        self.properties.push(property);
        self
    }

    /// The bytes of the packet.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let first = kind::PUBLISH << 4 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut packet = RawPacket::new(first).string(&self.topic);
        if self.qos > 0 {
            packet = packet.u16(self.packet_id);
        }
        let mut properties = Vec::new();
        if version.has_properties() {
            put_properties(&mut properties, &self.properties);
        }
        packet.bytes(&properties).bytes(&self.payload).finish()
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, sent or received; also UNSUBACK of 3.1.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Packet identifier.
    pub packet_id: u16,
    /// Reason code, 0 before 5.0.
    pub reason: u8,
    /// Properties, 5.0 only.
    pub properties: Properties,
}

impl Ack {
    /// Success for `packet_id`.
    pub fn new(packet_id: u16) -> Ack {
        Ack { packet_id, ..Ack::default() }
    }

    /// With a reason code.
    pub fn reason(packet_id: u16, reason: u8) -> Ack {
        Ack { packet_id, reason, properties: Properties::new() }
    }

    /// The bytes of the packet of type `packet_kind`, in the shortest form that says it all.
    pub fn encode(&self, packet_kind: u8, version: Version) -> Vec<u8> {
        let flags = if packet_kind == kind::PUBREL { 2 } else { 0 };
        let packet = RawPacket::new(packet_kind << 4 | flags).u16(self.packet_id);
        if !version.has_properties() || (self.reason == 0 && self.properties.is_empty()) {
            return packet.finish();
        }
        let mut properties = Vec::new();
        if !self.properties.is_empty() {
            put_properties(&mut properties, &self.properties);
        }
        packet.u8(self.reason).bytes(&properties).finish()
    }
}

/// SUBSCRIBE.
#[derive(Clone, Debug, Default)]
pub struct Subscribe {
    /// Packet identifier.
    pub packet_id: u16,
    /// Properties, 5.0 only.
    pub properties: Properties,
    /// Filters with their options.
    pub subscriptions: Vec<Subscription>,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// Topic filter.
    pub filter: String,
    /// The options byte: QoS in bits 0 and 1, No Local 2, Retain As Published 3, Retain Handling 4 and 5.
    pub options: u8,
}

impl Subscribe {
    /// A SUBSCRIBE for one filter; more with [`Subscribe::and`].
    pub fn new(packet_id: u16, filter: &str, options: u8) -> Subscribe {
        Subscribe { packet_id, ..Subscribe::default() }.and(filter, options)
    }

    /// Adds a filter.
    pub fn and(mut self, filter: &str, options: u8) -> Subscribe {
        self.subscriptions.push(Subscription { filter: filter.to_owned(), options });
        self
    }

    /// Adds a property.
    pub fn property(mut self, property: Property) -> Subscribe {
        self.properties.push(property);
        self
    }

    /// The bytes of the packet.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        if version.has_properties() {
            put_properties(&mut body, &self.properties);
        }
        for subscription in &self.subscriptions {
            put_binary(&mut body, subscription.filter.as_bytes());
            body.push(subscription.options);
        }
        RawPacket::new(kind::SUBSCRIBE << 4 | 2).u16(self.packet_id).bytes(&body).finish()
    }
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, Default)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub packet_id: u16,
    /// Properties, 5.0 only.
    pub properties: Properties,
    /// Topic filters.
    pub filters: Vec<String>,
}

impl Unsubscribe {
    /// An UNSUBSCRIBE for one filter.
    pub fn new(packet_id: u16, filter: &str) -> Unsubscribe {
        Unsubscribe { packet_id, properties: Properties::new(), filters: vec![filter.to_owned()] }
    }

    /// The bytes of the packet.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        if version.has_properties() {
            put_properties(&mut body, &self.properties);
        }
        for filter in &self.filters {
            put_binary(&mut body, filter.as_bytes());
        }
        RawPacket::new(kind::UNSUBSCRIBE << 4 | 2).u16(self.packet_id).bytes(&body).finish()
    }
}

/// DISCONNECT, sent or received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// Reason code, 0 before 5.0.
    pub reason: u8,
    /// Properties, 5.0 only.
    pub properties: Properties,
}

impl Disconnect {
    /// The bytes of the packet, in the shortest form that says it all.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        encode_reason(kind::DISCONNECT, self.reason, &self.properties, version)
    }
}

/// AUTH, sent or received; 5.0 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Reason code.
    pub reason: u8,
    /// Properties.
    pub properties: Properties,
}

impl Auth {
    /// The bytes of the packet, in the shortest form that says it all.
    pub fn encode(&self) -> Vec<u8> {
        encode_reason(kind::AUTH, self.reason, &self.properties, Version::V5)
    }
}

/// The bytes of a PINGREQ.
pub fn ping() -> Vec<u8> {
    RawPacket::new(kind::PINGREQ << 4).finish()
}

fn encode_reason(packet_kind: u8, reason: u8, properties: &[Property], version: Version) -> Vec<u8> {
    let packet = RawPacket::new(packet_kind << 4);
    if !version.has_properties() || (reason == 0 && properties.is_empty()) {
        return packet.finish();
    }
    let mut block = Vec::new();
    put_properties(&mut block, properties);
    packet.u8(reason).bytes(&block).finish()
}
