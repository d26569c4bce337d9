//! One publisher: keeps a window of messages in flight until all are acknowledged.
//!
//! It does as little as it can for a message, since it shares the processor with the broker: packets are written
//! from a template into one buffer, what a read brings is answered by one write, and an identifier is a place in the
//! window, because acknowledgements come in the order of the messages [MQTT-4.6.0-2], [MQTT-4.6.0-3].

use crate::client::connection::Connection;
use crate::client::credit::Credit;
use crate::client::pace::Pace;
use crate::client::payload::Filler;
use crate::error::LoadError;
use crate::measure::recorder::{Events, Recorder};
use crate::options::shape::Shape;
use barnacle_wire::frames::Frame;
use barnacle_wire::packets::ping;
use barnacle_wire::raw::put_variable;
use barnacle_wire::{Version, kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// At QoS 0: what was not delivered within this time of silence is taken for lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Bytes that gather before a write, at most, beside the last message.
const BURST: usize = 256 * 1024;

/// What a publisher shares with the rest of the run.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Records acknowledgements, at QoS 0 messages written.
    pub(crate) recorder: Arc<Recorder>,
    /// The open loop's clock; without it the loop is closed.
    pub(crate) pace: Option<Arc<Pace>>,
    /// Of a closed loop at QoS 0.
    pub(crate) credit: Option<Arc<Credit>>,
    /// Keeps publishers from running away from slow subscribers.
    pub(crate) brake: Option<Arc<Brake>>,
    /// Nothing more is to be sent.
    pub(crate) stop: Arc<AtomicBool>,
}

/// Holds publishers while more than so many messages wait.
pub(crate) struct Brake {
    pub(crate) published: Arc<Recorder>,
    pub(crate) delivered: Arc<Recorder>,
    pub(crate) most: u64,
}

impl Brake {
    fn holds(&self) -> bool {
        self.published.count() > self.delivered.count() + self.most
    }
}

/// What one publisher did.
pub(crate) struct Sent {
    pub(crate) index: u32,
    /// Messages that were sent, and with QoS 1 and 2 acknowledged.
    pub(crate) messages: u64,
    /// The longest time between two acknowledgements.
    pub(crate) longest_pause: Duration,
}

/// Publishes everything that is the share of publisher `index`, or until it is told to stop.
pub(crate) async fn publish(
    mut connection: Connection,
    shape: Shape,
    index: u32,
    window: u16,
    patience: Duration,
    shared: Shared,
) -> Result<Sent, LoadError> {
    let mut publisher = Publisher::new(shape, index, window, connection.version, shared);
    let mut out = Vec::new();
    let mut is_pinged = false;
    while publisher.goes_on() {
        publisher.look_at_the_clock();
        while publisher.is_worth_a_write() {
            publisher.top_up(&mut out);
            connection.send(&out, "writing messages").await?;
            out.clear();
            publisher.releases_held = 0;
            publisher.note_written();
        }
        if publisher.shape.qos == 0 && publisher.has_sent_all() && !is_pinged {
            // The broker answers it when it has taken everything before it.
            connection.send(&ping(), "sending PINGREQ").await?;
            is_pinged = true;
        }
        if !publisher.goes_on() {
            break;
        }
        let is_whole = tokio::select! {
            read = tokio::time::timeout(patience, connection.fill()) => match read {
                Err(_) if publisher.may_be_silent() => false,
                Err(_) => return Err(LoadError::Silence(patience.as_secs(), publisher.progress())),
                Ok(read) => match read? {
                    0 => return Err(LoadError::Closed(publisher.progress())),
                    _ => true,
                },
            },
            () = publisher.wait() => false,
        };
        if is_whole {
            publisher.take(&mut connection, &mut out)?;
        }
    }
    connection.send(&out, "releasing messages").await?;
    connection.close().await?;
    Ok(Sent { index, messages: publisher.acknowledged, longest_pause: publisher.longest_pause })
}

struct Publisher {
    index: u32,
    share: u64,
    window: u64,
    shape: Shape,
    shared: Shared,
    /// Fixed header and topic of a message; the packet identifier follows. With one topic it is the same for all.
    head: Vec<u8>,
    /// What stands between packet identifier and payload.
    properties: &'static [u8],
    filler: Filler,
    /// Messages that may be sent by now, whatever is in flight.
    allowed: u64,
    /// QoS 0: messages of which nothing is heard any more.
    forgiven: u64,
    /// QoS 0: PINGRESP came.
    is_taken: bool,
    sent: u64,
    received: u64,
    acknowledged: u64,
    /// PUBRELs that wait to be written.
    releases_held: u64,
    /// When the message in each place of the window was written, in an open loop: was to be.
    sent_at: Vec<Instant>,
    last_acknowledgement: Option<Instant>,
    longest_pause: Duration,
}

impl Publisher {
    fn new(shape: Shape, index: u32, window: u16, version: Version, shared: Shared) -> Publisher {
        let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        Publisher {
            index,
            share: shape.share(index),
            window: u64::from(window),
            head: Vec::new(),
            properties,
            filler: Filler::new(shape.size as usize),
            shape,
            shared,
            allowed: u64::MAX,
            forgiven: 0,
            is_taken: false,
            sent: 0,
            received: 0,
            acknowledged: 0,
            releases_held: 0,
            sent_at: vec![Instant::now(); usize::from(window)],
            last_acknowledgement: None,
            longest_pause: Duration::ZERO,
        }
    }

    fn goes_on(&self) -> bool {
        self.acknowledged < self.share || (self.shape.qos == 0 && !self.is_taken)
    }

    fn has_sent_all(&self) -> bool {
        self.sent == self.share
    }

    /// Sees how much may be sent by now.
    fn look_at_the_clock(&mut self) {
        if self.shared.stop.load(Ordering::Relaxed) {
            self.share = self.share.min(self.sent);
        }
        if let Some(pace) = &self.shared.pace {
            self.allowed = pace.due(self.index, Instant::now());
        } else if let Some(credit) = &self.shared.credit {
            self.allowed = credit.messages() + self.forgiven + self.window;
        } else if let Some(brake) = &self.shared.brake {
            self.allowed = if brake.holds() { self.sent } else { u64::MAX };
        }
    }

    /// The first message that must not be sent yet.
    fn end(&self) -> u64 {
        let in_window = if self.shape.qos == 0 { u64::MAX } else { self.acknowledged + self.window };
        self.share.min(in_window).min(self.allowed).max(self.sent)
    }

    /// Whether enough has gathered for a write: in a closed loop a quarter of the window, so that a broker which acknowledges
    /// one by one does not cost a system call for each, and is never without three quarters of it to work on.
    fn is_worth_a_write(&self) -> bool {
        let sendable = self.end() - self.sent;
        let gathered = sendable + self.releases_held;
        let enough = if self.shared.pace.is_some() { 1 } else { (self.window / 4).max(1) };
        gathered > 0 && (self.sent + sendable == self.share || gathered >= enough)
    }

    /// Waits for the clock, or for deliveries at QoS 0; for ever where neither counts.
    async fn wait(&mut self) {
        if self.has_sent_all() {
            return std::future::pending().await;
        }
        if let Some(pace) = &self.shared.pace {
            // What is due waits for the window, and not for the clock.
            if self.end() < self.allowed && self.shape.qos > 0 {
                return std::future::pending().await;
            }
            return pace.wait(self.index).await;
        }
        if self.shared.brake.is_some() && self.allowed == self.sent {
            return tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let Some(credit) = &self.shared.credit else { return std::future::pending().await };
        if tokio::time::timeout(LOST_AFTER, credit.wait()).await.is_err() {
            self.forgiven = self.sent.saturating_sub(credit.messages());
        }
    }

    /// Nothing is in flight that the broker could be silent about.
    fn may_be_silent(&self) -> bool {
        self.acknowledged == self.sent && !self.has_sent_all()
    }

    /// Fills the window.
    fn top_up(&mut self, out: &mut Vec<u8>) {
        let end = self.end();
        let now = Instant::now();
        while self.sent < end && out.len() < BURST {
            if self.head.is_empty() || self.shape.topics > 0 {
                self.write_head();
            }
            out.extend_from_slice(&self.head);
            if self.shape.qos > 0 {
                out.extend_from_slice(&self.packet_id(self.sent).to_be_bytes());
            }
            out.extend_from_slice(self.properties);
            self.filler.put(self.index, self.sent, out);
            let place = self.place(self.sent);
            self.sent_at[place] = match &self.shared.pace {
                Some(pace) => {
                    let moment = pace.moment(self.index, self.sent);
                    pace.note_written(moment, now);
                    moment
                }
                None => now,
            };
            self.sent += 1;
        }
    }

    /// At QoS 0 what is written is all that there is to know.
    fn note_written(&mut self) {
        if self.shape.qos == 0 && self.sent > self.acknowledged {
            self.shared.recorder.at(Instant::now()).happened(self.sent - self.acknowledged);
            self.acknowledged = self.sent;
        }
    }

    /// Writes fixed header and topic of the next message.
    fn write_head(&mut self) {
        let shape = &self.shape;
        let topic = format!("{}/{}", shape.topic, shape.topic_number(self.index, self.sent));
        let packet_id = if shape.qos > 0 { 2 } else { 0 };
        let length = 2 + topic.len() + packet_id + self.properties.len() + shape.size as usize;
        self.head.clear();
        self.head.push(kind::PUBLISH << 4 | shape.qos << 1 | u8::from(shape.retain));
        put_variable(&mut self.head, u32::try_from(length).expect("the size is bounded by the command line"));
        self.head.extend_from_slice(&u16::try_from(topic.len()).expect("a short topic").to_be_bytes());
        self.head.extend_from_slice(topic.as_bytes());
    }

    /// Takes all packets of the broker that are here; what they ask for goes to `out`.
    fn take(&mut self, connection: &mut Connection, out: &mut Vec<u8>) -> Result<(), LoadError> {
        let now = Instant::now();
        let recorder = Arc::clone(&self.shared.recorder);
        let mut events = recorder.at(now);
        while let Some(frame) = connection.frame()? {
            self.acknowledge(frame, now, &mut events, out)?;
        }
        Ok(())
    }

    fn acknowledge(
        &mut self,
        frame: Frame<'_>,
        now: Instant,
        events: &mut Events<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), LoadError> {
        // The number of the message this must be for, and of the first that it cannot be for.
        let (number, end) = match (frame.kind(), self.shape.qos) {
            (kind::PUBACK, 1) => (self.acknowledged, self.sent),
            (kind::PUBREC, 2) => (self.received, self.sent),
            (kind::PUBCOMP, 2) => (self.acknowledged, self.received),
            (kind::PINGRESP, 0) => {
                self.is_taken = true;
                return Ok(());
            }
            (other, _) => return Err(self.unexpected(&format!("a packet of type {other}"))),
        };
        let (packet_id, reason) = frame.ack()?;
        if reason >= 0x80 {
            return Err(self.unexpected(&format!("a message was refused with {reason:#04x}")));
        }
        if number >= end || packet_id != self.packet_id(number) {
            return Err(
                self.unexpected(&format!("an acknowledgement of {packet_id}, out of order or of nothing"))
            );
        }
        if frame.kind() == kind::PUBREC {
            self.received += 1;
            self.releases_held += 1;
            out.extend_from_slice(&[kind::PUBREL << 4 | 2, 2]);
            out.extend_from_slice(&packet_id.to_be_bytes());
            return Ok(());
        }
        self.acknowledged += 1;
        let pause = now.saturating_duration_since(self.last_acknowledgement.unwrap_or(now));
        self.longest_pause = self.longest_pause.max(pause);
        self.last_acknowledgement = Some(now);
        events.took(now.saturating_duration_since(self.sent_at[self.place(number)]));
        Ok(())
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.window).expect("a window is at most 65,535")
    }

    fn packet_id(&self, number: u64) -> u16 {
        u16::try_from(number % self.window + 1).expect("a window is at most 65,535")
    }

    fn unexpected(&self, what: &str) -> LoadError {
        LoadError::Unexpected(format!("{what}, to {}", self.progress()))
    }

    fn progress(&self) -> String {
        let Publisher { index, sent, acknowledged, .. } = self;
        format!("publisher {index} with {acknowledged} of {sent} sent messages acknowledged")
    }
}
