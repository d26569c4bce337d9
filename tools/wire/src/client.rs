//! A blocking client with time limits, for tests. It answers nothing by itself: what a client owes the server, the
//! test sends.

use crate::packets::{Ack, Connect, Disconnect, Publish, Subscribe, Unsubscribe};
use crate::parse::{ConnAck, Packet, ParseError, SubAck, parse};
use crate::{Version, kind};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long [`Client::expect`] and the like wait.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why a packet was not read.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No whole packet within the time given.
    #[error("no packet came within {0:?}")]
    Timeout(Duration),
    /// The server closed the connection, or it broke.
    #[error("the connection was closed")]
    Closed,
    /// The server sent something malformed.
    #[error("the server sent a malformed packet: {0}")]
    Malformed(#[from] ParseError),
    /// Anything else.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A connection, from CONNECT on.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    version: Version,
    received: Vec<u8>,
}

impl Client {
    /// Opens a connection without sending anything.
    pub fn open(address: impl ToSocketAddrs, version: Version) -> Result<Client, ClientError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, version, received: Vec::new() })
    }

    /// Opens a connection, sends `connect` and waits for the CONNACK, whatever it says.
    pub fn connect(address: impl ToSocketAddrs, connect: &Connect) -> Result<(Client, ConnAck), ClientError> {
        let mut client = Client::open(address, connect.version)?;
        client.send(&connect.encode())?;
        match client.read(PATIENCE)? {
            Packet::ConnAck(connack) => Ok((client, connack)),
            other => panic!("{other:?} came before CONNACK"),
        }
    }

    /// The protocol of the connection.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The socket, to set or break what the client does not.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// A second handle that writes to the same connection, for another thread.
    pub fn writer(&self) -> Result<TcpStream, ClientError> {
        Ok(self.stream.try_clone()?)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(bytes).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ClientError::Closed,
            _ => ClientError::Io(error),
        })
    }

    /// Sends a PUBLISH.
    pub fn publish(&mut self, publish: &Publish) -> Result<(), ClientError> {
        self.send(&publish.encode(self.version))
    }

    /// Sends a PUBACK, PUBREC, PUBREL or PUBCOMP of type `packet_kind` (see [`kind`]).
    pub fn ack(&mut self, packet_kind: u8, packet_id: u16) -> Result<(), ClientError> {
        self.send(&Ack::new(packet_id).encode(packet_kind, self.version))
    }

    /// Sends a SUBSCRIBE and waits for its SUBACK, which must be the next packet.
    #[track_caller]
    pub fn subscribe(&mut self, subscribe: &Subscribe) -> SubAck {
        self.send(&subscribe.encode(self.version)).expect("SUBSCRIBE is sent");
        match self.read(PATIENCE) {
            Ok(Packet::SubAck(suback)) if suback.packet_id == subscribe.packet_id => suback,
            other => panic!("{other:?} came where the SUBACK of {} belongs", subscribe.packet_id),
        }
    }

    /// Sends an UNSUBSCRIBE and waits for its UNSUBACK, which must be the next packet.
    #[track_caller]
    pub fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> SubAck {
        self.send(&unsubscribe.encode(self.version)).expect("UNSUBSCRIBE is sent");
        match self.read(PATIENCE) {
            Ok(Packet::UnsubAck(unsuback)) if unsuback.packet_id == unsubscribe.packet_id => unsuback,
            other => panic!("{other:?} came where the UNSUBACK of {} belongs", unsubscribe.packet_id),
        }
    }

    /// Sends a message of QoS 0, 1 or 2 and goes through its whole exchange; nothing else may come meanwhile.
    #[track_caller]
    pub fn deliver(&mut self, publish: &Publish) {
        self.publish(publish).expect("PUBLISH is sent");
        match publish.qos {
            0 => {}
            1 => self.expect(&Packet::PubAck(Ack::new(publish.packet_id))),
            _ => {
                self.expect(&Packet::PubRec(Ack::new(publish.packet_id)));
                self.ack(kind::PUBREL, publish.packet_id).expect("PUBREL is sent");
                self.expect(&Packet::PubComp(Ack::new(publish.packet_id)));
            }
        }
    }

    /// The next packet, within `patience`.
    pub fn read(&mut self, patience: Duration) -> Result<Packet, ClientError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some((packet, length)) = parse(self.version, &self.received)? {
                self.received.drain(..length);
                return Ok(packet);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout(patience));
            }
            self.receive(left)?;
        }
    }

    /// Reads until `wanted` comes next.
    ///
    /// # Panics
    ///
    /// If another packet comes, or none.
    #[track_caller]
    pub fn expect(&mut self, wanted: &Packet) {
        match self.read(PATIENCE) {
            Ok(packet) if packet == *wanted => {}
            Ok(packet) => panic!("expected {wanted:?}, got {packet:?}"),
            Err(error) => panic!("expected {wanted:?}, but {error}"),
        }
    }

    /// The next packet, which must be a PUBLISH.
    #[track_caller]
    pub fn expect_publish(&mut self) -> Publish {
        match self.read(PATIENCE) {
            Ok(Packet::Publish(publish)) => publish,
            other => panic!("expected a PUBLISH, got {other:?}"),
        }
    }

    /// Sees that nothing comes for `quiet`.
    #[track_caller]
    pub fn expect_nothing(&mut self, quiet: Duration) {
        match self.read(quiet) {
            Err(ClientError::Timeout(_)) => {}
            other => panic!("expected nothing for {quiet:?}, got {other:?}"),
        }
    }

    /// Sees that the server closes the connection; packets before that are returned.
    #[track_caller]
    pub fn expect_close(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.read(PATIENCE) {
                Ok(packet) => packets.push(packet),
                Err(ClientError::Closed) => return packets,
                Err(error) => panic!("expected the end of the connection, but {error}; before: {packets:?}"),
            }
        }
    }

    /// Sends DISCONNECT and waits until the server has closed.
    pub fn disconnect(mut self) {
        if self.send(&Disconnect::default().encode(self.version)).is_ok() {
            let deadline = Instant::now() + PATIENCE;
            while self.receive(deadline.saturating_duration_since(Instant::now())).is_ok() {}
        }
    }

    /// Ends the connection without DISCONNECT.
    pub fn abort(self) {
        // The peer may have closed already: then there is nothing to end.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn receive(&mut self, patience: Duration) -> Result<(), ClientError> {
        // A zero timeout would mean none at all.
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut chunk = [0; 65_536];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ClientError::Closed),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(ClientError::Timeout(patience)),
                ErrorKind::Interrupted => Ok(()),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(ClientError::Closed),
                _ => Err(ClientError::Io(error)),
            },
        }
    }
}
