//! Properties (section 2.2.2): a block of them, read one by one.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::reader::Reader;
use super::{Fault, UserProperties};

macro_rules! properties {
    ($($name:ident = $value:literal $text:literal,)+) => {
        /// Identifier of a property (section 2.2.2.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is named as in the standard")]
        pub enum PropertyId {
            $($name = $value,)+
        }

        impl PropertyId {
            pub(super) const fn of(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The standard's name of it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

properties! {
    PayloadFormatIndicator = 1 "payload format indicator",
    MessageExpiryInterval = 2 "message expiry interval",
    ContentType = 3 "content type",
    ResponseTopic = 8 "response topic",
    CorrelationData = 9 "correlation data",
    SubscriptionIdentifier = 11 "subscription identifier",
    SessionExpiryInterval = 17 "session expiry interval",
    AssignedClientIdentifier = 18 "assigned client identifier",
    ServerKeepAlive = 19 "server keep alive",
    AuthenticationMethod = 21 "authentication method",
    AuthenticationData = 22 "authentication data",
    RequestProblemInformation = 23 "request problem information",
    WillDelayInterval = 24 "will delay interval",
    RequestResponseInformation = 25 "request response information",
    ResponseInformation = 26 "response information",
    ServerReference = 28 "server reference",
    ReasonString = 31 "reason string",
    ReceiveMaximum = 33 "receive maximum",
    TopicAliasMaximum = 34 "topic alias maximum",
    TopicAlias = 35 "topic alias",
    MaximumQoS = 36 "maximum QoS",
    RetainAvailable = 37 "retain available",
    UserProperty = 38 "user property",
    MaximumPacketSize = 39 "maximum packet size",
    WildcardSubscriptionAvailable = 40 "wildcard subscription available",
    SubscriptionIdentifiersAvailable = 41 "subscription identifiers available",
    SharedSubscriptionAvailable = 42 "shared subscription available",
}

impl fmt::Display for PropertyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A block of properties. [`next`](Self::next) goes to a property; one of the other methods reads its value.
#[derive(Debug)]
pub(super) struct PropertyBlock {
    reader: Reader,
    /// A bit for each property seen that may stand only once.
    seen: u64,
    current: PropertyId,
    /// Where the current property begins.
    start: usize,
}

impl PropertyBlock {
    /// Reads the length of the block and takes it from the packet.
    pub(super) fn read(packet: &mut Reader) -> Result<Self, Fault> {
        packet.block().map(Self::new)
    }

    /// A block without the length in front.
    pub(super) fn of(block: Bytes) -> Self {
        Self::new(Reader::new(block))
    }

    fn new(reader: Reader) -> Self {
        Self { reader, seen: 0, current: PropertyId::UserProperty, start: 0 }
    }

    /// Goes to the next property; its value is to be read before the next call. Refuses what is there twice, but for
    /// User Property and Subscription Identifier.
    pub(super) fn next(&mut self) -> Result<Option<PropertyId>, Fault> {
        if self.reader.remaining() == 0 {
            return Ok(None);
        }
        self.start = self.reader.position();
        let value = self.reader.variable_integer("property identifier")?;
        self.current = PropertyId::of(value).ok_or(Fault::UnknownProperty(value))?;
        if !matches!(self.current, PropertyId::UserProperty | PropertyId::SubscriptionIdentifier) {
            self.once()?;
        }
        Ok(Some(self.current))
    }

    /// Refuses the current property if it was there before.
    pub(super) fn once(&mut self) -> Result<(), Fault> {
        let bit = 1 << self.current as u8;
        if self.seen & bit != 0 {
            return Err(Fault::RepeatedProperty(self.current));
        }
        self.seen |= bit;
        Ok(())
    }

    /// The error for a property that the packet does not have.
    pub(super) fn misplaced<T>(&self) -> Result<T, Fault> {
        Err(Fault::MisplacedProperty(self.current))
    }

    /// Where the current property stands, after its value was read.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.reader.position()
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.reader.into_all()
    }

    fn out_of_range<T>(&self, value: impl Into<u32>) -> Result<T, Fault> {
        Err(Fault::PropertyValue(self.current, value.into()))
    }

    /// 0 or 1.
    pub(super) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.reader.u8(self.current.name())? {
            0 => Ok(false),
            1 => Ok(true),
            value => self.out_of_range(value),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.reader.u16(self.current.name())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.reader.u32(self.current.name())
    }

    pub(super) fn non_zero_u16(&mut self) -> Result<NonZeroU16, Fault> {
        NonZeroU16::new(self.u16()?).map_or_else(|| self.out_of_range(0u8), Ok)
    }

    pub(super) fn non_zero_u32(&mut self) -> Result<NonZeroU32, Fault> {
        NonZeroU32::new(self.u32()?).map_or_else(|| self.out_of_range(0u8), Ok)
    }

    /// A variable byte integer that is not zero.
    pub(super) fn subscription_identifier(&mut self) -> Result<u32, Fault> {
        match self.reader.variable_integer(self.current.name())? {
            0 => self.out_of_range(0u8),
            identifier => Ok(identifier),
        }
    }

    pub(super) fn string(&mut self) -> Result<ByteString, Fault> {
        self.reader.string(self.current.name())
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, Fault> {
        self.reader.binary(self.current.name())
    }

    /// Checks a string that stays where it is.
    pub(super) fn check_string(&mut self) -> Result<&str, Fault> {
        self.reader.check_string(self.current.name())
    }

    /// Checks binary data that stays where it is.
    pub(super) fn check_binary(&mut self) -> Result<(), Fault> {
        self.reader.check_binary(self.current.name())
    }

    /// Checks a pair of strings that stays where it is.
    pub(super) fn check_pair(&mut self) -> Result<(), Fault> {
        self.check_string()?;
        self.check_string().map(drop)
    }

    /// Checks a User Property and gathers it.
    pub(super) fn user_property(&mut self, gathered: &mut Gathered) -> Result<(), Fault> {
        self.check_pair()?;
        gathered.add(self);
        Ok(())
    }
}

/// Properties of a block that are kept as they stand on the wire: a slice of the block while they stand side by side,
/// a copy once something else came between them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    range: Range<usize>,
    copied: BytesMut,
}

impl Gathered {
    /// Adds the current property of the block.
    pub(super) fn add(&mut self, block: &PropertyBlock) {
        let span = block.span();
        if self.range.end == span.start {
            self.range.end = span.end;
        } else {
            self.copy(&block.reader);
            self.range = span;
        }
    }

    fn copy(&mut self, reader: &Reader) {
        self.copied.extend_from_slice(reader.part(self.range.clone()));
    }

    /// What was gathered.
    pub(super) fn into_bytes(mut self, block: PropertyBlock) -> Bytes {
        if self.copied.is_empty() {
            let bytes = block.into_bytes();
            return if self.range.len() == bytes.len() { bytes } else { bytes.slice(self.range) };
        }
        self.copy(&block.reader);
        self.copied.freeze()
    }

    /// The User Properties that were gathered.
    pub(super) fn into_user_properties(self, block: PropertyBlock) -> UserProperties {
        UserProperties::validated(self.into_bytes(block))
    }
}
