//! What went wrong, by kind: the rows of every report.

use serde::Serialize;
use std::fmt;

/// The kinds of wrong that a trial looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An acknowledged message did not reach a session that was subscribed.
    Lost,
    /// Session Present 0 for a session that was acknowledged.
    SessionLost,
    /// Session Present 1 where no session can be.
    SessionFalse,
    /// One message, published and taken at QoS 2, came twice.
    Twice,
    /// Messages of one publisher on one topic at one QoS came in another order.
    Order,
    /// A message that nobody sent, or that the session had not subscribed to.
    Phantom,
    /// A retained message that is not the last one acknowledged, or a later one.
    Retained,
    /// A will that did not come, came twice, or came after a good-bye.
    Will,
    /// Packet identifier, DUP, order or window of a delivery or redelivery.
    Redelivery,
    /// An acknowledgement that was not due, a refusal without need, an answer of the wrong kind.
    Answer,
    /// Bytes that are no MQTT.
    Malformed,
    /// The broker ended by itself, or did not come up again.
    Down,
    /// Publishes or exchanges that were never finished.
    Stuck,
}

impl Kind {
    /// Every kind, in the order of reports.
    pub const ALL: [Kind; 13] = [
        Kind::Lost,
        Kind::SessionLost,
        Kind::SessionFalse,
        Kind::Twice,
        Kind::Order,
        Kind::Phantom,
        Kind::Retained,
        Kind::Will,
        Kind::Redelivery,
        Kind::Answer,
        Kind::Malformed,
        Kind::Down,
        Kind::Stuck,
    ];

    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Lost => "messages lost",
            Kind::SessionLost => "sessions lost",
            Kind::SessionFalse => "sessions that cannot be",
            Kind::Twice => "QoS 2 duplicates",
            Kind::Order => "out of order",
            Kind::Phantom => "phantom messages",
            Kind::Retained => "retained state wrong",
            Kind::Will => "wills wrong",
            Kind::Redelivery => "redelivery wrong",
            Kind::Answer => "answers wrong",
            Kind::Malformed => "malformed packets",
            Kind::Down => "broker down",
            Kind::Stuck => "stuck",
        }
    }

    /// Whether the broker gave up something that it had acknowledged.
    pub fn is_loss(self) -> bool {
        matches!(self, Kind::Lost | Kind::SessionLost | Kind::Twice | Kind::Retained)
    }

    /// Something wrong of this kind.
    pub(crate) fn says(self, text: impl Into<String>) -> Wrong {
        Wrong { kind: self, text: text.into(), count: 1 }
    }
}

/// Something wrong, before it is known who found it and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What kind of wrong.
    pub(crate) kind: Kind,
    /// What was expected and what came.
    pub(crate) text: String,
    /// How often at once.
    pub(crate) count: u64,
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.name(), self.text)
    }
}

/// Something wrong, as reports show it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What kind of wrong.
    pub kind: Kind,
    /// How many of it: lost messages, for instance.
    pub count: u64,
    /// Milliseconds since the store was made.
    pub at_ms: f64,
    /// Which client saw it.
    pub who: String,
    /// What was expected and what came.
    pub text: String,
    /// The last events of that client.
    pub trail: String,
}
