//! The properties of MQTT 5.0, section 2.2.2.

use crate::parse::{ParseError, Reader};
use crate::raw::{put_binary, put_variable};

/// The properties of one packet in the order they were sent.
pub type Properties = Vec<Property>;

/// How the value of a property is written.
trait Value: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError>;
}

impl Value for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        reader.u8()
    }
}

impl Value for u16 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        reader.u16()
    }
}

impl Value for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        reader.u32()
    }
}

impl Value for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_binary(out, self.as_bytes());
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(reader.string()?.to_owned())
    }
}

impl Value for Vec<u8> {
    fn put(&self, out: &mut Vec<u8>) {
        put_binary(out, self);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(reader.binary()?.to_vec())
    }
}

/// A variable byte integer, which only the Subscription Identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable(pub u32);

impl Value for Variable {
    fn put(&self, out: &mut Vec<u8>) {
        put_variable(out, self.0);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Variable(reader.variable()?))
    }
}

/// A pair of strings, which only the User Property is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair(pub String, pub String);

impl Value for Pair {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Pair(String::take(reader)?, String::take(reader)?))
    }
}

macro_rules! properties {
    ($($identifier:literal $name:ident($value:ty) $text:literal;)*) => {
        /// One property, named as in the standard.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Property {
            $(#[doc = $text] $name($value),)*
        }

        impl Property {
            /// The identifier that stands before the value.
            pub fn identifier(&self) -> u32 {
                match self { $(Property::$name(_) => $identifier,)* }
            }

            fn put_value(&self, out: &mut Vec<u8>) {
                match self { $(Property::$name(value) => value.put(out),)* }
            }

            fn take(reader: &mut Reader<'_>) -> Result<Property, ParseError> {
                match reader.variable()? {
                    $($identifier => Ok(Property::$name(<$value>::take(reader)?)),)*
                    other => Err(ParseError::UnknownProperty(other)),
                }
            }
        }
    };
}

properties! {
    0x01 PayloadFormatIndicator(u8) "Payload Format Indicator: 1 for UTF-8.";
    0x02 MessageExpiryInterval(u32) "Message Expiry Interval in seconds.";
    0x03 ContentType(String) "Content Type.";
    0x08 ResponseTopic(String) "Response Topic.";
    0x09 CorrelationData(Vec<u8>) "Correlation Data.";
    0x0b SubscriptionIdentifier(Variable) "Subscription Identifier.";
    0x11 SessionExpiryInterval(u32) "Session Expiry Interval in seconds.";
    0x12 AssignedClientIdentifier(String) "Assigned Client Identifier.";
    0x13 ServerKeepAlive(u16) "Server Keep Alive in seconds.";
    0x15 AuthenticationMethod(String) "Authentication Method.";
    0x16 AuthenticationData(Vec<u8>) "Authentication Data.";
    0x17 RequestProblemInformation(u8) "Request Problem Information.";
    0x18 WillDelayInterval(u32) "Will Delay Interval in seconds.";
    0x19 RequestResponseInformation(u8) "Request Response Information.";
    0x1a ResponseInformation(String) "Response Information.";
    0x1c ServerReference(String) "Server Reference.";
    0x1f ReasonString(String) "Reason String.";
    0x21 ReceiveMaximum(u16) "Receive Maximum: QoS 1 and 2 messages in flight.";
    0x22 TopicAliasMaximum(u16) "Topic Alias Maximum.";
    0x23 TopicAlias(u16) "Topic Alias.";
    0x24 MaximumQos(u8) "Maximum QoS.";
    0x25 RetainAvailable(u8) "Retain Available.";
    0x26 UserProperty(Pair) "User Property.";
    0x27 MaximumPacketSize(u32) "Maximum Packet Size in bytes.";
    0x28 WildcardSubscriptionAvailable(u8) "Wildcard Subscription Available.";
    0x29 SubscriptionIdentifierAvailable(u8) "Subscription Identifier Available.";
    0x2a SharedSubscriptionAvailable(u8) "Shared Subscription Available.";
}

/// Appends the property length and the properties.
pub fn put_properties(out: &mut Vec<u8>, properties: &[Property]) {
    let mut block = Vec::new();
    for property in properties {
        put_variable(&mut block, property.identifier());
        property.put_value(&mut block);
    }
    put_variable(out, u32::try_from(block.len()).expect("properties built in a test are below 4 GiB"));
    out.extend_from_slice(&block);
}

/// Reads the property length and the properties. All but User Property and Subscription Identifier stand once.
pub(crate) fn take_properties(reader: &mut Reader<'_>) -> Result<Properties, ParseError> {
    let length = reader.variable()? as usize;
    let mut block = Reader::new(reader.take(length)?);
    let mut properties = Properties::new();
    while !block.is_empty() {
        let property = Property::take(&mut block)?;
        let repeats = matches!(property, Property::UserProperty(_) | Property::SubscriptionIdentifier(_));
        if !repeats && properties.iter().any(|seen| seen.identifier() == property.identifier()) {
            return Err(ParseError::RepeatedProperty(property.identifier()));
        }
        properties.push(property);
    }
    Ok(properties)
}
