//! Messages by number.

use crate::books::topics::{Topic, topics};
use std::fmt;

/// Which message: publisher and number. A retained message is cleared by an empty payload, which cannot say its
/// number: those are one message for each topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum MessageId {
    /// Number `number` of publisher `publisher`.
    Numbered {
        /// Index of the publisher.
        publisher: usize,
        /// Counts from 0 for each publisher.
        number: usize,
    },
    /// An empty payload.
    Cleared(Topic),
}

impl MessageId {
    /// A payload that says which message it is, and some filler.
    pub(crate) fn payload(self, filler: usize) -> Vec<u8> {
        match self {
            MessageId::Numbered { publisher, number } => {
                let mut payload = format!("{publisher}:{number}:").into_bytes();
                payload.resize(payload.len() + filler, b'.');
                payload
            }
            MessageId::Cleared(_) => Vec::new(),
        }
    }

    /// Which message a received PUBLISH carries; `None` if it is none of a trial.
    pub(crate) fn parse(topic: &str, payload: &[u8]) -> Option<(MessageId, Topic)> {
        let topic = topics().iter().position(|known| known == topic)?;
        if payload.is_empty() {
            return Some((MessageId::Cleared(topic), topic));
        }
        let mut fields = payload.split(|byte| *byte == b':');
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let id = MessageId::Numbered { publisher: number()?, number: number()? };
        Some((id, topic))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageId::Numbered { publisher, number } => write!(formatter, "{publisher}:{number}"),
            MessageId::Cleared(topic) => write!(formatter, "clear of {}", topics()[*topic]),
        }
    }
}

#[test]
fn payloads_say_which_message_they_are() {
    let id = MessageId::Numbered { publisher: 3, number: 12_345 };
    assert_eq!(MessageId::parse(&topics()[4], &id.payload(100)), Some((id, 4)));
    assert_eq!(MessageId::parse(&topics()[4], b""), Some((MessageId::Cleared(4), 4)));
    assert_eq!(MessageId::parse(&topics()[4], b"x:1:"), None);
    assert_eq!(MessageId::parse("elsewhere", b"1:1:"), None);
}
