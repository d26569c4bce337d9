//! One type for the bytes of a connection, whatever they travel in.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::linger::Linger;
use super::websocket::WebSocketTransport;

/// The bytes of an accepted connection, both ways.
///
/// Written bytes are sure to travel only after a flush: a WebSocket collects frames. Each write becomes a frame of a
/// WebSocket, so whoever writes gathers what it has, or uses vectored writes.
///
/// At the end call `shutdown`, also after a failed read: it tells the peer and keeps the last bytes from being lost
/// with the connection. It waits for the peer to close its side, but not longer than two seconds, and does not fail
/// because the peer is gone. What was not read by then is thrown away.
#[derive(Debug)]
pub enum Transport {
    /// MQTT over TCP.
    Tcp(TcpTransport),
    /// MQTT over WebSocket.
    WebSocket(Box<WebSocketTransport<TcpStream>>),
}

/// A TCP connection.
#[derive(Debug)]
pub struct TcpTransport {
    pub(super) stream: TcpStream,
    /// Once it is about to end.
    linger: Option<Linger>,
}

impl TcpTransport {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, linger: None }
    }
}

macro_rules! delegate {
    ($transport:expr, $stream:ident => $call:expr) => {
        match $transport.get_mut() {
            Transport::Tcp(transport) => {
                let $stream = Pin::new(&mut transport.stream);
                $call
            }
            Transport::WebSocket(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(transport) => transport.stream.is_write_vectored(),
            Self::WebSocket(transport) => transport.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(TcpTransport { stream, linger }) => {
                linger.get_or_insert_with(Linger::begin).poll_end(Pin::new(stream), context).map(Ok)
            }
            Self::WebSocket(transport) => Pin::new(&mut **transport).poll_shutdown(context),
        }
    }
}
