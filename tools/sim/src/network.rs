//! The network: links with latency, on which bytes are cut into pieces, delayed and lost with their link.
//!
//! Each direction of a link is in order, as TCP is; between links everything can overtake everything. The broker has one end
//! as a stream; the simulator holds the other and delivers what is due.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::random::Random;

/// A link, as the simulator holds it.
#[derive(Clone)]
pub(crate) struct Link(Arc<Mutex<State>>);

/// The broker's end.
pub(crate) struct ServerEnd(Arc<Mutex<State>>);

struct State {
    random: Random,
    /// Longest latency of a piece, in milliseconds.
    latency_millis: u64,
    up: Pipe,
    down: Pipe,
    /// Bytes towards the client that the network holds before the broker has to wait.
    capacity: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The broker has let go of its end.
    is_left: bool,
    /// When it last wrote something.
    last_written: Instant,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    arrived: VecDeque<u8>,
    flying: VecDeque<(Instant, Vec<u8>)>,
    end: End,
}

/// How a direction ends, behind what flies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Closed,
    Reset,
    /// Nothing comes any more, and nobody is told.
    Silent,
}

impl Pipe {
    fn send(&mut self, at: Instant, bytes: &[u8]) {
        if self.end != End::Open {
            return;
        }
        let at = self.flying.back().map_or(at, |(last, _)| at.max(*last));
        self.flying.push_back((at, bytes.to_vec()));
    }

    fn deliver(&mut self, now: Instant) {
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            self.arrived.extend(self.flying.pop_front().expect("just seen").1);
        }
    }

    fn bytes(&self) -> usize {
        self.arrived.len() + self.flying.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// The link breaks: of what flies only a part arrives, perhaps half of a packet.
    fn cut(&mut self, end: End, random: &mut Random) {
        if self.end != End::Open {
            return;
        }
        self.flying.truncate(random.below(self.flying.len() + 1));
        if let Some((_, last)) = self.flying.back_mut() {
            last.truncate(random.below(last.len() + 1));
        }
        self.end = end;
    }

    /// How the direction has ended, once all that was on its way has been read.
    fn ended(&self) -> Option<End> {
        (self.arrived.is_empty() && self.flying.is_empty() && self.end != End::Open).then_some(self.end)
    }
}

impl Link {
    pub(crate) fn new(random: Random, latency_millis: u64, capacity: usize) -> (Link, ServerEnd) {
        let state = State {
            random,
            latency_millis,
            up: Pipe::default(),
            down: Pipe::default(),
            capacity,
            reader: None,
            writer: None,
            is_left: false,
            last_written: Instant::now(),
        };
        let state = Arc::new(Mutex::new(state));
        (Link(state.clone()), ServerEnd(state))
    }

    /// Sends bytes to the broker, in one piece or in several.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = state.random.percent(70);
            let length = if whole { rest.len() } else { 1 + state.random.below(rest.len()) };
            let at = state.arrival();
            state.up.send(at, &rest[..length]);
            rest = &rest[length..];
        }
    }

    /// Delivers what is due.
    pub(crate) fn deliver(&self) {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.up.deliver(now);
        state.down.deliver(now);
        let readable = !state.up.arrived.is_empty() || state.up.ended().is_some();
        let writable = state.capacity > state.down.bytes() || state.down.end != End::Open;
        let reader = readable.then(|| state.reader.take()).flatten();
        let writer = writable.then(|| state.writer.take()).flatten();
        drop(state);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    /// What has arrived at the client.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut state = self.0.lock();
        if state.down.end == End::Silent {
            state.down.arrived.clear();
        }
        state.down.arrived.drain(..).collect()
    }

    /// Whether the broker has ended the link, and everything before that was received.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.lock().down.ended().is_some_and(|end| end != End::Silent)
    }

    /// When the broker last wrote something.
    pub(crate) fn last_written(&self) -> Instant {
        self.0.lock().last_written
    }

    /// Whether the broker has closed the link, and not died or let go of it.
    pub(crate) fn ended_in_order(&self) -> bool {
        self.0.lock().down.end == End::Closed
    }

    /// The link breaks, and both sides notice.
    pub(crate) fn cut(&self) {
        self.end(End::Reset);
    }

    /// The client's side is gone, and the broker does not notice.
    pub(crate) fn vanish(&self) {
        self.end(End::Silent);
    }

    /// What is on its way to the broker does not arrive.
    pub(crate) fn lose_what_flies(&self) {
        self.0.lock().up.flying.clear();
    }

    /// The broker's machine has died: of what it had sent, a part arrives.
    pub(crate) fn break_off(&self) {
        let mut guard = self.0.lock();
        let State { down, random, .. } = &mut *guard;
        if down.end == End::Reset {
            down.end = End::Open;
            down.cut(End::Reset, random);
        }
    }

    /// The broker has let go of it.
    pub(crate) fn is_left(&self) -> bool {
        self.0.lock().is_left
    }

    /// The broker has let go of it, and nothing is on its way to the client.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.is_left && state.down.flying.is_empty()
    }

    fn end(&self, end: End) {
        let mut guard = self.0.lock();
        let State { up, down, random, .. } = &mut *guard;
        up.cut(end, random);
        down.cut(end, random);
    }
}

impl State {
    fn arrival(&mut self) -> Instant {
        let slow = self.random.percent(3);
        let longest = if slow { 20 * self.latency_millis } else { self.latency_millis };
        Instant::now() + Duration::from_millis(self.random.between(0, longest))
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.up.arrived.is_empty() {
            return match state.up.ended() {
                Some(End::Closed) => Poll::Ready(Ok(())),
                Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                _ => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            };
        }
        let count = buffer.remaining().min(state.up.arrived.len());
        let bytes: Vec<u8> = state.up.arrived.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if matches!(state.down.end, End::Reset | End::Closed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = state.capacity.saturating_sub(state.down.bytes());
        if room == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        state.last_written = Instant::now();
        let at = state.arrival();
        state.down.send(at, &bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.down.end == End::Open {
            state.down.end = End::Closed;
        }
        Poll::Ready(Ok(()))
    }
}

/// The broker has let go of the connection, or has died.
impl Drop for ServerEnd {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_left = true;
        if state.down.end == End::Open {
            state.down.end = End::Reset;
        }
    }
}
