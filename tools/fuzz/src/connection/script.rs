//! What an input says: who does what, in which order.

use arbitrary::{Arbitrary, Unstructured};

/// Longest conversation, in steps.
const STEPS: usize = 48;

/// A conversation.
#[derive(Debug)]
pub struct Script {
    /// What is done, one after the other.
    pub steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut steps = Vec::new();
        while steps.len() < STEPS && !input.is_empty() {
            steps.push(Step::arbitrary(input)?);
        }
        Ok(Self { steps })
    }
}

/// One of the connections that may be open at a time.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The first.
    One,
    /// The second.
    Two,
    /// The third.
    Three,
}

/// What is done next.
#[derive(Arbitrary, Debug)]
pub enum Step {
    /// A client connects on a line; one that is there is cut.
    Connect(Line, Hello),
    /// It sends a packet.
    Send(Line, Sent),
    /// It sends a packet whose bytes are damaged.
    SendDamaged(Line, Sent, u8, u8),
    /// It sends any bytes.
    SendBytes(Line, [u8; 6]),
    /// It answers what it was sent and has not answered, as it should; so many of it.
    Answer(Line, u8),
    /// It answers something, as it should not.
    AnswerWrongly(Line, AckKind, SmallId, u8),
    /// It does not read any more, and a moment passes; or it does again, and a longer time passes.
    Deafen(Line, bool),
    /// Its connection is cut.
    Cut(Line),
    /// The broker ends, and starts again on its store so many seconds later.
    Restart(u16),
}

/// A CONNECT.
#[derive(Arbitrary, Debug)]
pub struct Hello {
    /// Protocol version.
    pub version: Version,
    /// One of few client identifiers, or none.
    pub client: Option<Line>,
    /// Clean Start.
    pub clean: bool,
    /// Session Expiry Interval.
    pub expiry: Option<Expiry>,
    /// Receive Maximum, Maximum Packet Size, Topic Alias Maximum.
    pub bounds: Bounds,
    /// A will.
    pub will: Option<Published>,
    /// Will Delay Interval.
    pub will_delay: Option<u8>,
}

/// Protocol versions.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Version {
    /// 3.1
    V31,
    /// 3.1.1
    V311,
    /// 5.0
    V5,
    /// 5.0 again: it has the most to say.
    V5Again,
}

/// Session Expiry Intervals.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Expiry {
    /// 0
    Zero,
    /// 10 seconds.
    Soon,
    /// An hour.
    Later,
    /// 0xFFFFFFFF
    Never,
}

/// What a client takes at most.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Bounds {
    /// Receive Maximum; 0 is wrong.
    pub receive_maximum: Option<u8>,
    /// Maximum Packet Size; 0 is wrong.
    pub maximum_packet_size: Option<u8>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u8>,
}

/// Packet identifiers are few, so that they meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum SmallId {
    /// 0, which is wrong.
    Zero,
    /// 1
    One,
    /// 2
    Two,
    /// 3
    Three,
    /// 65,535
    Last,
}

/// Acknowledgements.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum AckKind {
    /// PUBACK
    Ack,
    /// PUBREC
    Rec,
    /// PUBREL
    Rel,
    /// PUBCOMP
    Comp,
}

/// A packet.
#[derive(Arbitrary, Debug)]
pub enum Sent {
    /// PUBLISH
    Publish(Published, SmallId),
    /// PUBREL: the publisher's part at QoS 2.
    Release(SmallId),
    /// SUBSCRIBE with one or two filters, and perhaps a Subscription Identifier.
    Subscribe(SmallId, Topic, u8, Option<(Topic, u8)>, Option<u8>),
    /// UNSUBSCRIBE
    Unsubscribe(SmallId, Topic),
    /// PINGREQ
    Ping,
    /// DISCONNECT, with a reason code and perhaps a Session Expiry Interval.
    Disconnect(u8, Option<Expiry>),
    /// AUTH
    Auth(u8),
    /// A second CONNECT.
    Connect(Box<Hello>),
}

/// A message.
#[derive(Arbitrary, Clone, Debug)]
pub struct Published {
    /// Where to.
    pub topic: Topic,
    /// The lower bits of the first byte: RETAIN, QoS, DUP.
    pub flags: u8,
    /// Length of the payload, in units that grow.
    pub payload: u8,
    /// A Topic Alias, and whether the topic is left out for it.
    pub alias: Option<(u8, bool)>,
    /// Message Expiry Interval.
    pub expiry: Option<u8>,
    /// Properties that are forwarded.
    pub forwarded: bool,
}

/// Topics and filters; some are only one of them.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Topic {
    /// `a`
    A,
    /// `a/b`
    Ab,
    /// `a/b/c`
    Abc,
    /// `/`
    Slash,
    /// `$SYS/x`
    Dollar,
    /// `#`
    All,
    /// `a/#`
    BelowA,
    /// `+/b`
    Plus,
    /// `$share/g/a/#`
    SharedBelowA,
    /// `$share/h/#`
    SharedAll,
    /// Empty.
    Empty,
    /// `a/#/b`, a filter no more than a topic.
    Wrong,
}

impl Topic {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::Ab => "a/b",
            Self::Abc => "a/b/c",
            Self::Slash => "/",
            Self::Dollar => "$SYS/x",
            Self::All => "#",
            Self::BelowA => "a/#",
            Self::Plus => "+/b",
            Self::SharedBelowA => "$share/g/a/#",
            Self::SharedAll => "$share/h/#",
            Self::Empty => "",
            Self::Wrong => "a/#/b",
        }
    }
}

impl SmallId {
    pub(crate) fn value(self) -> u16 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Last => u16::MAX,
        }
    }
}

impl Expiry {
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Zero => 0,
            Self::Soon => 10,
            Self::Later => 3600,
            Self::Never => u32::MAX,
        }
    }
}
