//! The persistent session: made, left, resumed and drained.

use crate::options::{Load, Shape};
use crate::payload::Account;
use crate::{During, LoadError};
use barnacle_wire::frames::{Frame, FrameBuffer, fill};
use barnacle_wire::{ConnAck, Connect, Disconnect, Packet, Property, Subscribe, Version, kind, parse};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the session received.
pub(crate) struct Received {
    pub(crate) connected: Instant,
    pub(crate) first_message: Instant,
    pub(crate) last_message: Instant,
    pub(crate) account: Account,
}

/// Opens a connection; the CONNACK must accept it.
pub(crate) async fn open(load: &Load, connect: &Connect) -> Result<(TcpStream, ConnAck), LoadError> {
    let stream =
        TcpStream::connect((load.host.as_str(), load.port)).await.during("connecting to the broker")?;
    stream.set_nodelay(true).during("setting TCP_NODELAY")?;
    let mut stream = stream;
    stream.write_all(&connect.encode()).await.during("sending CONNECT")?;
    let Packet::ConnAck(connack) = read_one(&mut stream, connect.version, &load.shape).await? else {
        return Err(LoadError::Unexpected("the first packet is not CONNACK".to_owned()));
    };
    if connack.reason != 0 {
        return Err(LoadError::Refused(connack.reason));
    }
    Ok((stream, connack))
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

/// Makes the session anew, with its subscription and nothing queued; leaves it offline.
pub(crate) async fn make_session(load: &Load) -> Result<(), LoadError> {
    // In 3.1.1 a clean session ends with its connection, so that one is needed to clear and another to keep.
    let clear = connect(&load.shape, true);
    let (mut stream, _) = open(load, &clear).await?;
    close(&mut stream, clear.version).await?;
    let (mut stream, _) = open(load, &connect(&load.shape, false)).await?;
    subscribe(&mut stream, &load.shape).await?;
    close(&mut stream, clear.version).await
}

/// Subscribes to all topics of the load.
async fn subscribe(stream: &mut TcpStream, shape: &Shape) -> Result<(), LoadError> {
    let subscribe = Subscribe::new(1, &format!("{}/#", shape.topic), shape.qos);
    let version = shape.protocol.version();
    stream.write_all(&subscribe.encode(version)).await.during("sending SUBSCRIBE")?;
    match read_one(stream, version, shape).await? {
        Packet::SubAck(suback) if suback.reasons == [shape.qos] => Ok(()),
        other => Err(LoadError::Unexpected(format!("{other:?} instead of a SUBACK that grants the QoS"))),
    }
}

/// DISCONNECT, and the broker's end of the connection, so that the session is offline when this returns.
async fn close(stream: &mut TcpStream, version: Version) -> Result<(), LoadError> {
    stream.write_all(&Disconnect::default().encode(version)).await.during("disconnecting")?;
    let mut rest = Vec::new();
    // A broker that resets the connection after DISCONNECT has ended it as well.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    Ok(())
}

/// Reads exactly one packet, byte by byte where its length is not known yet, so that nothing behind it is taken.
async fn read_one(stream: &mut TcpStream, version: Version, shape: &Shape) -> Result<Packet, LoadError> {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            bytes.push(stream.read_u8().await.during("waiting for the broker's answer")?);
            if let Some((packet, _)) = parse(version, &bytes)? {
                return Ok(packet);
            }
        }
    };
    let patience = Duration::from_secs(shape.patience);
    let silence = |_| LoadError::Silence(shape.patience, "the broker did not answer".to_owned());
    tokio::time::timeout(patience, read).await.map_err(silence)?
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
