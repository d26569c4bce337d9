//! The end of a TCP connection, such that its last bytes arrive.
//!
//! A socket that is closed with bytes unread is reset, and a reset drops what waits to be sent: the DISCONNECT that
//! says why, or the last megabyte to a slow reader. So our side is closed first, and what still comes is read and
//! thrown away until the peer closes its side too, within bounds.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a peer may take to close its side once we want to close ours.
const LINGER: Duration = Duration::from_secs(2);

/// A connection about to end.
#[derive(Debug)]
pub(super) struct Linger {
    deadline: Pin<Box<Sleep>>,
    is_our_side_closed: bool,
}

impl Linger {
    /// Begins now.
    pub(super) fn begin() -> Self {
        Self { deadline: Box::pin(tokio::time::sleep(LINGER)), is_our_side_closed: false }
    }

    /// Ready once the time is up.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.deadline.as_mut().poll(context)
    }

    /// Ready once the stream can be dropped: both sides are closed, the peer is gone, or the time is up.
    pub(super) fn poll_end<S>(&mut self, mut stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite,
    {
        // The time first: a peer that keeps sending must not keep us reading.
        if self.poll_deadline(context).is_ready() {
            return Poll::Ready(());
        }
        if !self.is_our_side_closed {
            if ready!(stream.as_mut().poll_shutdown(context)).is_err() {
                return Poll::Ready(());
            }
            self.is_our_side_closed = true;
        }
        let mut scratch = [0; 4_096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(stream.as_mut().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}
