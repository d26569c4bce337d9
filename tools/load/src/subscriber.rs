//! The persistent session: made, left, resumed and drained.

use crate::connection::{close, open, read_one};
use crate::options::{Load, Shape};
use crate::payload::Account;
use crate::{During, LoadError};
use barnacle_wire::frames::{Frame, FrameBuffer, fill};
use barnacle_wire::{Connect, Packet, Property, Subscribe, Version, kind};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What the session received.
pub(crate) struct Received {
    pub(crate) connected: Instant,
    pub(crate) first_message: Instant,
    pub(crate) last_message: Instant,
    pub(crate) account: Account,
}

/// CONNECT of the subscriber.
pub(crate) fn connect(shape: &Shape, clean_start: bool) -> Connect {
    let mut connect = Connect::persistent(shape.protocol.version(), &shape.session).clean_start(clean_start);
    if connect.version == Version::V5
        && let Some(receive_maximum) = shape.receive_maximum
    {
        connect = connect.property(Property::ReceiveMaximum(receive_maximum));
    }
    connect
}

/// Makes the session anew, with a subscription to all topics of the load and nothing queued; leaves it offline.
pub(crate) async fn make_session(load: &Load) -> Result<(), LoadError> {
    make_session_with(load, &[format!("{}/#", load.shape.topic)]).await
}

/// Makes the session anew with subscriptions to `filters`.
pub(crate) async fn make_session_with(load: &Load, filters: &[String]) -> Result<(), LoadError> {
    // In 3.1.1 a clean session ends with its connection, so that one is needed to clear and another to keep.
    let clear = connect(&load.shape, true);
    let (mut stream, _) = open(load, &clear).await?;
    close(&mut stream, clear.version).await?;
    let (mut stream, _) = open(load, &connect(&load.shape, false)).await?;
    // As many in a SUBSCRIBE as most brokers take.
    for filters in filters.chunks(500) {
        subscribe(&mut stream, filters, &load.shape).await?;
    }
    close(&mut stream, clear.version).await
}

/// One SUBSCRIBE with `filters`, which must be granted the QoS of the load.
async fn subscribe(stream: &mut TcpStream, filters: &[String], shape: &Shape) -> Result<(), LoadError> {
    let first = Subscribe::new(1, &filters[0], shape.qos);
    let subscribe = filters[1..].iter().fold(first, |subscribe, filter| subscribe.and(filter, shape.qos));
    let version = shape.protocol.version();
    stream.write_all(&subscribe.encode(version)).await.during("sending SUBSCRIBE")?;
    match read_one(stream, version, shape).await? {
        Packet::SubAck(suback) if suback.reasons == vec![shape.qos; filters.len()] => Ok(()),
        other => Err(LoadError::Unexpected(format!("{other:?} instead of a SUBACK that grants the QoS"))),
    }
}

/// A connected subscriber, ready to receive.
pub(crate) struct Subscriber {
    stream: TcpStream,
    connected: Instant,
    shape: Shape,
    account: Account,
    /// QoS 2 identifiers between PUBREC and PUBREL.
    unreleased: u64,
    first_message: Option<Instant>,
    last_message: Option<Instant>,
}

impl Subscriber {
    /// Resumes the session; it must be there.
    pub(crate) async fn resume(load: &Load) -> Result<Subscriber, LoadError> {
        let (stream, connack) = open(load, &connect(&load.shape, false)).await?;
        if !connack.session_present {
            return Err(LoadError::Unexpected("Session Present is 0: the session is gone".to_owned()));
        }
        let shares: Vec<u64> = (0..load.shape.publishers).map(|index| load.shape.share(index)).collect();
        Ok(Subscriber {
            stream,
            connected: Instant::now(),
            shape: load.shape.clone(),
            account: Account::new(&shares),
            unreleased: 0,
            first_message: None,
            last_message: None,
        })
    }

    /// Receives until everything is here and acknowledged, or nothing comes any more.
    pub(crate) async fn receive(mut self) -> Result<Received, LoadError> {
        let mut received = FrameBuffer::new(256 * 1024);
        let mut out = Vec::new();
        let patience = Duration::from_secs(self.shape.patience);
        let version = self.shape.protocol.version();
        while self.account.missing() > 0 || self.unreleased > 0 {
            let Ok(read) = tokio::time::timeout(patience, fill(&mut self.stream, &mut received)).await else {
                // The account says what is missing.
                break;
            };
            if read.during("receiving messages")? == 0 {
                return Err(LoadError::Closed(format!("the subscriber, {} missing", self.account.missing())));
            }
            let arrived = self.account.arrived;
            while let Some(frame) = received.next_frame()? {
                self.take(frame, version, &mut out)?;
            }
            if self.account.arrived > arrived {
                let now = Instant::now();
                self.first_message.get_or_insert(now);
                self.last_message = Some(now);
            }
            self.stream.write_all(&out).await.during("acknowledging messages")?;
            out.clear();
        }
        close(&mut self.stream, version).await?;
        let (first_message, last_message) = self.first_message.zip(self.last_message).unwrap_or_else(|| {
            let now = Instant::now();
            (now, now)
        });
        Ok(Received { connected: self.connected, first_message, last_message, account: self.account })
    }

    fn take(&mut self, frame: Frame<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), LoadError> {
        match frame.kind() {
            kind::PUBLISH => {
                let publish = frame.publish(version)?;
                self.account.arrive(publish.payload);
                let answer = match publish.qos {
                    0 => return Ok(()),
                    1 => kind::PUBACK,
                    _ => {
                        self.unreleased += 1;
                        kind::PUBREC
                    }
                };
                put_ack(answer, publish.packet_id, out);
            }
            kind::PUBREL => {
                self.unreleased = self.unreleased.saturating_sub(1);
                put_ack(kind::PUBCOMP, frame.ack()?.0, out);
            }
            other => {
                return Err(LoadError::Unexpected(format!("a packet of type {other} to the subscriber")));
            }
        }
        Ok(())
    }
}

fn put_ack(packet_kind: u8, packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[packet_kind << 4, 2, high, low]);
}
