//! What a script says, as bytes.

use barnacle_wire::property::{Pair, Variable};
use barnacle_wire::{
    Ack, Auth, Connect, Disconnect, Property, Publish, Subscribe, Subscription, Unsubscribe, Version, Will,
    kind, packets,
};

use super::script::{AckKind, Hello, Published, Sent};
use super::{script, witness};

pub(super) fn version(version: script::Version) -> Version {
    match version {
        script::Version::V31 => Version::V31,
        script::Version::V311 => Version::V311,
        script::Version::V5 | script::Version::V5Again => Version::V5,
    }
}

/// What the client takes at most, in its version.
pub(super) fn bounds(hello: &Hello) -> witness::Bounds {
    let has_properties = version(hello.version).has_properties();
    let said = |value: Option<u8>| value.filter(|_| has_properties).map(usize::from);
    // What is wrong before its size was read is refused without knowing it.
    let refused_before =
        hello.bounds.receive_maximum == Some(0) || hello.will.as_ref().is_some_and(|will| qos(will) == 3);
    witness::Bounds {
        receive_maximum: said(hello.bounds.receive_maximum).unwrap_or(usize::from(u16::MAX)),
        maximum_packet_size: said(hello.bounds.maximum_packet_size)
            .filter(|size| *size > 0 && !refused_before)
            .unwrap_or(usize::MAX),
        topic_alias_maximum: said(hello.bounds.topic_alias_maximum).unwrap_or(0) as u16,
    }
}

pub(super) fn connect(hello: &Hello) -> Vec<u8> {
    let version = version(hello.version);
    let client_id = hello.client.map_or(String::new(), |client| format!("{client:?}"));
    let mut connect = Connect::new(version, &client_id).clean_start(hello.clean).keep_alive(0);
    if let Some(expiry) = hello.expiry {
        connect = connect.property(Property::SessionExpiryInterval(expiry.seconds()));
    }
    if let Some(maximum) = hello.bounds.receive_maximum {
        connect = connect.property(Property::ReceiveMaximum(maximum.into()));
    }
    if let Some(maximum) = hello.bounds.maximum_packet_size {
        connect = connect.property(Property::MaximumPacketSize(maximum.into()));
    }
    if let Some(maximum) = hello.bounds.topic_alias_maximum {
        connect = connect.property(Property::TopicAliasMaximum(maximum.into()));
    }
    if let Some(will) = &hello.will {
        let message = publish(will, 0);
        let mut properties = message.properties;
        properties.retain(|property| !matches!(property, Property::TopicAlias(_)));
        properties.extend(hello.will_delay.map(|delay| Property::WillDelayInterval(delay.into())));
        let Publish { topic, payload, qos, retain, .. } = message;
        connect = connect.will(Will { topic, payload, qos, retain, properties });
    }
    connect.encode()
}

pub(super) fn sent(sent: &Sent, version: Version) -> Vec<u8> {
    match sent {
        Sent::Publish(published, id) => publish(published, id.value()).encode(version),
        Sent::Release(id) => Ack::new(id.value()).encode(kind::PUBREL, version),
        Sent::Subscribe(id, filter, options, second, identifier) => {
            let mut subscriptions = vec![(*filter, *options)];
            subscriptions.extend(second);
            let subscription = |(filter, options): (script::Topic, u8)| Subscription {
                filter: filter.text().to_owned(),
                options: if version.has_properties() { options & 0x3F } else { options & 3 },
            };
            let properties =
                identifier.map(|identifier| Property::SubscriptionIdentifier(Variable(identifier.into())));
            let subscribe = Subscribe {
                packet_id: id.value(),
                properties: properties.into_iter().collect(),
                subscriptions: subscriptions.into_iter().map(subscription).collect(),
            };
            subscribe.encode(version)
        }
        Sent::Unsubscribe(id, filter) => Unsubscribe::new(id.value(), filter.text()).encode(version),
        Sent::Ping => packets::ping(),
        Sent::Disconnect(reason, expiry) => {
            let properties = expiry.map(|expiry| Property::SessionExpiryInterval(expiry.seconds()));
            Disconnect { reason: *reason, properties: properties.into_iter().collect() }.encode(version)
        }
        Sent::Auth(reason) => Auth { reason: *reason, properties: Vec::new() }.encode(),
        Sent::Connect(hello) => connect(hello),
    }
}

pub(super) fn ack(ack: AckKind, id: u16, reason: u8, version: Version) -> Vec<u8> {
    let packet_kind = match ack {
        AckKind::Ack => kind::PUBACK,
        AckKind::Rec => kind::PUBREC,
        AckKind::Rel => kind::PUBREL,
        AckKind::Comp => kind::PUBCOMP,
    };
    Ack::reason(id, reason).encode(packet_kind, version)
}

fn qos(published: &Published) -> u8 {
    published.flags >> 1 & 3
}

fn publish(published: &Published, id: u16) -> Publish {
    let length = match published.payload {
        short @ 0..=199 => usize::from(short) / 4,
        long => usize::from(long - 199) * 80,
    };
    let mut properties = Vec::new();
    properties.extend(published.alias.map(|(alias, _)| Property::TopicAlias(alias.into())));
    properties.extend(published.expiry.map(|seconds| Property::MessageExpiryInterval(seconds.into())));
    if published.forwarded {
        properties.push(Property::ContentType("text".to_owned()));
        properties.push(Property::UserProperty(Pair("name".to_owned(), "value".to_owned())));
        properties.push(Property::CorrelationData(vec![1, 2]));
    }
    let topic = if matches!(published.alias, Some((_, true))) { "" } else { published.topic.text() };
    Publish {
        dup: published.flags & 8 != 0,
        qos: qos(published),
        retain: published.flags & 1 != 0,
        topic: topic.to_owned(),
        packet_id: id,
        properties,
        payload: vec![b'x'; length],
    }
}
