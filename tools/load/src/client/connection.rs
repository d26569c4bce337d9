//! One connection: its first and last packets, single answers in between, and frames in bulk.

use crate::error::{During, LoadError};
use barnacle_wire::frames::{Frame, FrameBuffer, fill};
use barnacle_wire::{ConnAck, Connect, Disconnect, Packet, Subscribe, Version};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where a broker is, and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) version: Version,
    /// User name and password, if the broker asks for them.
    pub(crate) credentials: Option<(String, String)>,
    /// How long an answer may take.
    pub(crate) patience: Duration,
}

impl Endpoint {
    /// CONNECT of a session that ends with its connection.
    pub(crate) fn clean(&self, client_id: &str) -> Connect {
        self.with_credentials(Connect::new(self.version, client_id))
    }

    /// CONNECT of a session that outlives its connection, resumed if it is there.
    pub(crate) fn persistent(&self, client_id: &str) -> Connect {
        self.with_credentials(Connect::persistent(self.version, client_id))
    }

    fn with_credentials(&self, connect: Connect) -> Connect {
        // No keep alive: a load does not send PINGREQ.
        let connect = connect.keep_alive(0);
        match &self.credentials {
            Some((username, password)) => connect.credentials(username, password),
            None => connect,
        }
    }
}

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: FrameBuffer,
    pub(crate) version: Version,
    patience: Duration,
}

impl Connection {
    /// Opens a connection whose reads take up to `buffer` bytes; the CONNACK must accept it.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        connect: &Connect,
        buffer: usize,
    ) -> Result<(Connection, ConnAck), LoadError> {
        let (host, patience) = (endpoint.host.as_str(), endpoint.patience);
        let stream = tokio::time::timeout(patience, TcpStream::connect((host, endpoint.port))).await;
        let stream =
            stream.map_err(|_| silence(patience, "connecting"))?.during("connecting to the broker")?;
        stream.set_nodelay(true).during("setting TCP_NODELAY")?;
        let received = FrameBuffer::new(buffer);
        let mut connection = Connection { stream, received, version: connect.version, patience };
        connection.send(&connect.encode(), "sending CONNECT").await?;
        let Packet::ConnAck(connack) = connection.packet().await? else {
            return Err(LoadError::Unexpected("the first packet is not CONNACK".to_owned()));
        };
        if connack.reason != 0 {
            return Err(LoadError::Refused(connack.reason));
        }
        Ok((connection, connack))
    }

    /// Writes all of `bytes`.
    pub(crate) async fn send(&mut self, bytes: &[u8], what: &'static str) -> Result<(), LoadError> {
        self.stream.write_all(bytes).await.during(what)
    }

    /// Reads once. Returns the bytes that came, 0 at the end of the connection. Can be cancelled without loss.
    pub(crate) async fn fill(&mut self) -> Result<usize, LoadError> {
        fill(&mut self.stream, &mut self.received).await.during("reading from the broker")
    }

    /// Reads so many bytes and does not look at them.
    pub(crate) async fn skip(&mut self, bytes: usize) -> Result<(), std::io::Error> {
        let mut skipped = vec![0; bytes];
        self.stream.read_exact(&mut skipped).await.map(|_| ())
    }

    /// The next frame that is whole, of what was read.
    pub(crate) fn frame(&mut self) -> Result<Option<Frame<'_>>, LoadError> {
        Ok(self.received.next_frame()?)
    }

    /// Waits for the next packet.
    pub(crate) async fn packet(&mut self) -> Result<Packet, LoadError> {
        loop {
            if let Some(frame) = self.received.next_frame()? {
                return Ok(frame.packet(self.version)?);
            }
            let read = tokio::time::timeout(self.patience, self.fill()).await;
            if read.map_err(|_| silence(self.patience, "the broker did not answer"))?? == 0 {
                return Err(LoadError::Closed("a client that waits for an answer".to_owned()));
            }
        }
    }

    /// One SUBSCRIBE for `filters`, each of which must be granted `qos`.
    pub(crate) async fn subscribe(&mut self, filters: &[String], qos: u8) -> Result<(), LoadError> {
        let first = Subscribe::new(1, &filters[0], qos);
        let subscribe = filters[1..].iter().fold(first, |subscribe, filter| subscribe.and(filter, qos));
        self.send(&subscribe.encode(self.version), "sending SUBSCRIBE").await?;
        match self.packet().await? {
            Packet::SubAck(suback) if suback.reasons == vec![qos; filters.len()] => Ok(()),
            other => {
                Err(LoadError::Unexpected(format!("{other:?} instead of a SUBACK that grants QoS {qos}")))
            }
        }
    }

    /// DISCONNECT, and the broker's end of the connection, so that the session is offline when this returns.
    pub(crate) async fn close(mut self) -> Result<(), LoadError> {
        let disconnect = Disconnect::default().encode(self.version);
        self.send(&disconnect, "disconnecting").await?;
        let mut rest = Vec::new();
        // A broker that resets the connection after DISCONNECT has ended it as well.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.stream.read_to_end(&mut rest)).await;
        Ok(())
    }
}

fn silence(patience: Duration, what: &str) -> LoadError {
    LoadError::Silence(patience.as_secs(), what.to_owned())
}
