//! One publisher: keeps a window of messages in flight until all are acknowledged.
//!
//! It does as little as it can for a message, since it shares the processor with the broker: packets are written
//! from a template into one buffer, what a read brings is answered by one write, and an identifier is a place in the
//! window, because acknowledgements come in the order of the messages [MQTT-4.6.0-2], [MQTT-4.6.0-3].

use crate::options::Shape;
use crate::payload::Filler;
use crate::report::latency_histogram;
use crate::{During, LoadError};
use barnacle_wire::frames::{Frame, FrameBuffer, fill};
use barnacle_wire::raw::put_variable;
use barnacle_wire::{Disconnect, Version, kind};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What one publisher saw.
pub(crate) struct Published {
    pub(crate) first_acknowledgement: Instant,
    pub(crate) last_acknowledgement: Instant,
    pub(crate) acknowledged: u64,
    /// Microseconds from the write of a message to its last acknowledgement.
    pub(crate) latency: Histogram<u64>,
    /// The longest time between two acknowledgements.
    pub(crate) longest_pause: Duration,
}

/// Publishes everything that is the share of publisher `index`.
pub(crate) async fn publish(
    mut stream: TcpStream,
    mut received: FrameBuffer,
    shape: Shape,
    index: u32,
    window: u16,
) -> Result<Published, LoadError> {
    let mut publisher = Publisher::new(&shape, index, window);
    let patience = Duration::from_secs(shape.patience);
    let mut out = Vec::new();
    while publisher.acknowledged < publisher.share {
        if publisher.is_worth_a_write() {
            publisher.top_up(&mut out);
            stream.write_all(&out).await.during("writing messages")?;
            out.clear();
            publisher.releases_held = 0;
        }
        let read = tokio::time::timeout(patience, fill(&mut stream, &mut received)).await;
        let read = read.map_err(|_| LoadError::Silence(shape.patience, publisher.progress()))?;
        if read.during("reading acknowledgements")? == 0 {
            return Err(LoadError::Closed(publisher.progress()));
        }
        let now = Instant::now();
        while let Some(frame) = received.next_frame()? {
            publisher.acknowledge(frame, now, &mut out)?;
        }
    }
    out.extend(Disconnect::default().encode(shape.protocol.version()));
    stream.write_all(&out).await.during("disconnecting")?;
    publisher.published()
}

struct Publisher {
    index: u32,
    share: u64,
    qos: u8,
    window: u64,
    shape: Shape,
    /// Fixed header and topic of a message; the packet identifier follows. With one topic it is the same for all.
    head: Vec<u8>,
    /// What stands between packet identifier and payload.
    properties: &'static [u8],
    filler: Filler,
    sent: u64,
    received: u64,
    acknowledged: u64,
    /// PUBRELs that wait to be written.
    releases_held: u64,
    /// When the message in each place of the window was written.
    sent_at: Vec<Instant>,
    first_acknowledgement: Option<Instant>,
    last_acknowledgement: Option<Instant>,
    latency: Histogram<u64>,
    longest_pause: Duration,
}

impl Publisher {
    fn new(shape: &Shape, index: u32, window: u16) -> Publisher {
        let properties: &[u8] = if shape.protocol.version() == Version::V5 { &[0] } else { &[] };
        Publisher {
            index,
            share: shape.share(index),
            qos: shape.qos,
            window: u64::from(window),
            shape: shape.clone(),
            head: Vec::new(),
            properties,
            filler: Filler::new(shape.size as usize),
            sent: 0,
            received: 0,
            acknowledged: 0,
            releases_held: 0,
            sent_at: vec![Instant::now(); usize::from(window)],
            first_acknowledgement: None,
            last_acknowledgement: None,
            latency: latency_histogram(),
            longest_pause: Duration::ZERO,
        }
    }

    /// Whether enough has gathered for a write: a quarter of the window, so that a broker which acknowledges one by
    /// one does not cost a system call for each, and is never without three quarters of it to work on.
    fn is_worth_a_write(&self) -> bool {
        let sendable = self.share.min(self.acknowledged + self.window) - self.sent;
        let gathered = sendable + self.releases_held;
        gathered > 0 && (self.sent + sendable == self.share || gathered >= (self.window / 4).max(1))
    }

    /// Fills the window.
    fn top_up(&mut self, out: &mut Vec<u8>) {
        let end = self.share.min(self.acknowledged + self.window);
        if self.sent == end {
            return;
        }
        let now = Instant::now();
        while self.sent < end {
            if self.head.is_empty() || self.shape.topics > 0 {
                self.write_head();
            }
            out.extend_from_slice(&self.head);
            out.extend_from_slice(&self.packet_id(self.sent).to_be_bytes());
            out.extend_from_slice(self.properties);
            self.filler.put(self.index, self.sent, out);
            let place = self.place(self.sent);
            self.sent_at[place] = now;
            self.sent += 1;
        }
    }

    /// Writes fixed header and topic of the next message.
    fn write_head(&mut self) {
        let shape = &self.shape;
        let topic = format!("{}/{}", shape.topic, shape.topic_number(self.index, self.sent));
        let length = 2 + topic.len() + 2 + self.properties.len() + shape.size as usize;
        self.head.clear();
        self.head.push(kind::PUBLISH << 4 | self.qos << 1 | u8::from(shape.retain));
        put_variable(&mut self.head, u32::try_from(length).expect("the size is bounded by the command line"));
        self.head.extend_from_slice(&u16::try_from(topic.len()).expect("a short topic").to_be_bytes());
        self.head.extend_from_slice(topic.as_bytes());
    }

    /// Takes one packet of the broker; what it asks for goes to `out`.
    fn acknowledge(&mut self, frame: Frame<'_>, now: Instant, out: &mut Vec<u8>) -> Result<(), LoadError> {
        // The number of the message this must be for, and of the first that it cannot be for.
        let (number, end) = match (frame.kind(), self.qos) {
            (kind::PUBACK, 1) => (self.acknowledged, self.sent),
            (kind::PUBREC, 2) => (self.received, self.sent),
            (kind::PUBCOMP, 2) => (self.acknowledged, self.received),
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
        self.first_acknowledgement.get_or_insert(now);
        let pause = now.duration_since(self.last_acknowledgement.unwrap_or(now));
        self.longest_pause = self.longest_pause.max(pause);
        self.last_acknowledgement = Some(now);
        let latency = now.duration_since(self.sent_at[self.place(number)]);
        self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
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

    fn published(self) -> Result<Published, LoadError> {
        let times = self.first_acknowledgement.zip(self.last_acknowledgement);
        let now = Instant::now();
        // A publisher without a share acknowledges nothing, at no time that matters.
        let (first, last) = times.unwrap_or((now, now));
        Ok(Published {
            first_acknowledgement: first,
            last_acknowledgement: last,
            acknowledged: self.acknowledged,
            latency: self.latency,
            longest_pause: self.longest_pause,
        })
    }
}
