//! A WebSocket as a stream of bytes.
//!
//! MQTT takes the binary messages of a WebSocket for one stream: a packet may span messages, a message may hold many
//! packets [MQTT-6.0.0-2]. A text message closes the connection [MQTT-6.0.0-1]. Pings are answered beneath.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::linger::Linger;

/// The largest frame that is sent. Whoever receives it must take it as a whole.
const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Frames collected before they are written without a flush.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Allocated for each connection and kept: most connections are many and quiet.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// The largest message that is taken for a largest packet. A message may hold several packets, so it is not the
/// same; but it waits in memory until it is complete, so it has to have a bound.
pub(super) fn max_message_bytes(max_packet_size_bytes: usize) -> usize {
    2 * max_packet_size_bytes.max(64 * 1024)
}

/// What the library is to keep to.
pub(super) fn socket_config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

/// The server's side of a WebSocket after its handshake, as a stream of bytes. See
/// [`Transport`](super::Transport) for what whoever uses it keeps to.
#[derive(Debug)]
pub struct WebSocketTransport<S> {
    socket: WebSocketStream<S>,
    /// What is left of the last binary message.
    unread: Bytes,
    closing: Closing,
}

/// How far the end has come.
#[derive(Debug)]
enum Closing {
    /// It has not.
    Open,
    /// The peer broke the rules: it is told so, and nothing it sends is read any more.
    Refused,
    /// Our last bytes and our Close are being sent.
    Flushing(Linger),
    /// They are sent, and the TCP connection ends.
    Ending(Linger),
    /// The connection can be dropped.
    Closed,
}

impl<S> WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) async fn new(stream: S, config: WebSocketConfig) -> Self {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, unread: Bytes::new(), closing: Closing::Open }
    }

    /// Queues a Close that says what the peer did wrong, and gives it one try to leave; `shutdown` does the rest.
    fn refuse(&mut self, context: &mut Context<'_>, code: CloseCode, reason: &'static str) -> io::Error {
        self.closing = Closing::Refused;
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if Pin::new(&mut self.socket).start_send(close).is_ok() {
            let _ = Pin::new(&mut self.socket).poll_flush(context);
        }
        io::Error::new(io::ErrorKind::InvalidData, reason)
    }

    /// What a failed read means: the end, or something to refuse.
    fn failed(&mut self, context: &mut Context<'_>, error: WebSocketError) -> io::Result<()> {
        match error {
            WebSocketError::Io(error) => Err(error),
            WebSocketError::Capacity(_) => {
                Err(self.refuse(context, CloseCode::Size, "the WebSocket message is too large"))
            }
            WebSocketError::Utf8(_) => Err(self.refuse(context, CloseCode::Invalid, "the text is not UTF-8")),
            // Gone without a Close: for MQTT no different from a TCP connection that ends.
            _ if is_disconnect(&error) => Ok(()),
            _ => Err(self.refuse(context, CloseCode::Protocol, "the WebSocket frame is malformed")),
        }
    }

    /// One frame of `bytes`, which are at most [`MAX_FRAME_BYTES`].
    fn send_frame(&mut self, bytes: Bytes) -> io::Result<usize> {
        let length = bytes.len();
        Pin::new(&mut self.socket).start_send(Message::Binary(bytes)).map_err(write_error)?;
        Ok(length)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !matches!(self.closing, Closing::Open) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.socket).poll_ready(context).map_err(write_error)
    }
}

impl<S> AsyncRead for WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !matches!(this.closing, Closing::Open) || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if !this.unread.is_empty() {
                let length = this.unread.len().min(buffer.remaining());
                buffer.put_slice(&this.unread[..length]);
                this.unread.advance(length);
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut this.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => this.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    let reason = "MQTT travels in binary messages";
                    return Poll::Ready(Err(this.refuse(context, CloseCode::Unsupported, reason)));
                }
                // The answers to Ping and Close leave with the next poll.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(this.failed(context, error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S> AsyncWrite for WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_ready(context))?;
        let bytes = &bytes[..bytes.len().min(MAX_FRAME_BYTES)];
        Poll::Ready(if bytes.is_empty() { Ok(0) } else { this.send_frame(Bytes::copy_from_slice(bytes)) })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_ready(context))?;
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut bytes = BytesMut::with_capacity(total.min(MAX_FRAME_BYTES));
        for slice in slices {
            let room = MAX_FRAME_BYTES - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(if bytes.is_empty() { Ok(0) } else { this.send_frame(bytes.freeze()) })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context).map_err(write_error)
    }

    /// Sends Close unless one was sent, and ends the TCP connection. A peer that is gone is no error.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.closing = match std::mem::replace(&mut this.closing, Closing::Closed) {
                Closing::Open | Closing::Refused => {
                    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                    // It fails when a Close was sent already, or the connection is gone.
                    let _ = Pin::new(&mut this.socket).start_send(Message::Close(Some(close)));
                    Closing::Flushing(Linger::begin())
                }
                Closing::Flushing(mut linger) => match Pin::new(&mut this.socket).poll_flush(context) {
                    Poll::Ready(Ok(())) => Closing::Ending(linger),
                    Poll::Pending if linger.poll_deadline(context).is_pending() => {
                        this.closing = Closing::Flushing(linger);
                        return Poll::Pending;
                    }
                    _ => Closing::Closed,
                },
                Closing::Ending(mut linger) => {
                    match linger.poll_end(Pin::new(this.socket.get_mut()), context) {
                        Poll::Ready(()) => Closing::Closed,
                        Poll::Pending => {
                            this.closing = Closing::Ending(linger);
                            return Poll::Pending;
                        }
                    }
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            };
        }
    }
}

/// Whether this says no more than that the connection is over.
fn is_disconnect(error: &WebSocketError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError::{
        ReceivedAfterClosing, ResetWithoutClosingHandshake, SendAfterClosing,
    };
    match error {
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => true,
        WebSocketError::Protocol(error) => {
            matches!(error, ReceivedAfterClosing | ResetWithoutClosingHandshake | SendAfterClosing)
        }
        _ => false,
    }
}

fn write_error(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        error if is_disconnect(&error) => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::other(error),
    }
}
