//! A broker over a store in memory, and the clients of a script around it.
//!
//! Nothing here waits: the tasks of the broker are polled by hand when they have been woken, until none is, and time is tokio's, which
//! stands until a step lets it pass. That makes a conversation repeatable, and cheap.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use barnacle::broker::{Broker, CatchUpRates};
use barnacle::connection::{Surroundings, serve};
use barnacle::session::{Limits, Methods};
use barnacle::shutdown::{self, ShutdownTrigger};
use barnacle_storage::{Memory, Options, Stepper, Store};
use bytes::BufMut as _;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::script::{AckKind, Line, Script, Step};
use super::spoken;
use super::witness::Witness;

/// Turns that a step may take until nothing happens any more; none has been seen to take a tenth.
const TURNS: usize = 2_000;
/// Bytes that a pipe holds: a client that does not read is soon noticed.
const PIPE_BYTES: usize = 16 * 1024;
/// How long a connection may take to end once its client is gone, and what a client has for CONNECT.
const PATIENCE: Duration = Duration::from_secs(30);
/// Restarts in one conversation: opening a store takes as long as a dozen other steps.
const RESTARTS: usize = 3;
/// What the broker gives a connection for its last word when another takes its session over.
const TAKE_OVER: Duration = Duration::from_millis(10);
/// Longer than an acknowledgement of a client may go unrecorded.
const DEAF: Duration = Duration::from_millis(300);
/// Longer than a session lasts that is to end soon.
const LONG_DEAF: Duration = Duration::from_secs(11);

thread_local! {
    /// When the conversation began.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Does what a script says.
pub(super) fn carry_out(script: &Script, runtime: &Runtime) {
    let _entered = runtime.enter();
    let mut world = World::new(runtime);
    for step in &script.steps {
        world.take(step);
        world.settle();
    }
    world.cut_all();
    assert_eq!(world.life.broker.connections(), 0, "all connections have ended, and the broker counts some");
}

struct World<'a> {
    runtime: &'a Runtime,
    memory: Memory,
    life: Life,
    restarts: usize,
    lines: [Option<Connection>; 3],
}

/// A broker between two restarts.
struct Life {
    broker: Arc<Broker>,
    stepper: Stepper,
    /// Dropped, it would ask everybody to stop.
    _trigger: ShutdownTrigger,
    surroundings: Surroundings,
    /// What meets the deadlines of sessions and wills.
    housekeeping: Task,
    /// One for each connection that has not ended.
    connections: Vec<Task>,
}

/// A client's end of a connection.
struct Connection {
    pipe: DuplexStream,
    witness: Witness,
    deaf: bool,
    ended: bool,
}

/// Something of the broker's that goes on when it is woken.
struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Task {
    fn new(future: impl Future<Output = ()> + 'static) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&woken)), woken }
    }

    /// Goes on, if it was woken: says whether it was, and whether it is at its end.
    fn turn(&mut self) -> (bool, bool) {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return (false, false);
        }
        let ended = self.future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready();
        (true, ended)
    }
}

/// The wall clock of a conversation, which goes with tokio's time.
fn wall_clock() -> SystemTime {
    const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
    let elapsed = BEGAN.get().map(|began| began.elapsed()).unwrap_or_default();
    UNIX_EPOCH + BEGINNING + elapsed
}

fn monotonic_clock() -> std::time::Instant {
    Instant::now().into_std()
}

impl Life {
    fn over(memory: &Memory) -> Self {
        let options = Options { wall_clock, monotonic_clock, ..Options::in_memory(memory) };
        let (store, stepper, _) =
            Store::open_stepped_by_clocks(options).expect("what a broker has left can be opened");
        let broker = Broker::new(store, LIMITS, 32 * 1024, CatchUpRates::default(), Methods::default());
        let (trigger, shutdown) = shutdown::channel();
        let surroundings = Surroundings { broker: Arc::clone(&broker), connect_timeout: PATIENCE, shutdown };
        let keeper = Arc::clone(&broker);
        let housekeeping = Task::new(async move {
            let reason = keeper.meet_deadlines().await;
            unreachable!("the store refuses nothing, and {reason:?}");
        });
        Self { broker, stepper, _trigger: trigger, surroundings, housekeeping, connections: Vec::new() }
    }

    /// A turn of everything that was woken. Says whether anything was.
    fn turn(&mut self) -> bool {
        let (mut any, _) = self.housekeeping.turn();
        self.connections.retain_mut(|connection| {
            let (woken, ended) = connection.turn();
            any |= woken;
            !ended
        });
        any |= self.stepper.commit();
        self.stepper.notify();
        any
    }
}

impl<'a> World<'a> {
    fn new(runtime: &'a Runtime) -> Self {
        BEGAN.set(Some(Instant::now()));
        let memory = Memory::new();
        let life = Life::over(&memory);
        Self { runtime, memory, life, restarts: 0, lines: [None, None, None] }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Connect(line, hello) => {
                let pipe = self.call();
                let witness = Witness::new(spoken::version(hello.version), spoken::bounds(hello));
                let mut connection = Connection { pipe, witness, deaf: false, ended: false };
                connection.say(&spoken::connect(hello));
                self.lines[*line as usize] = Some(connection);
                self.settle();
                self.pass(TAKE_OVER);
            }
            Step::Cut(line) => self.lines[*line as usize] = None,
            Step::Restart(seconds) => self.restart(*seconds),
            Step::Deafen(line, deaf) => {
                if let Some(connection) = self.line(*line) {
                    connection.deaf = *deaf;
                    self.pass(if *deaf { DEAF } else { LONG_DEAF });
                }
            }
            Step::Send(line, sent) => {
                let Some(connection) = self.line(*line) else { return };
                let bytes = spoken::sent(sent, connection.witness.version());
                connection.say(&bytes);
            }
            Step::SendDamaged(line, sent, place, value) => {
                let Some(connection) = self.line(*line) else { return };
                let mut bytes = spoken::sent(sent, connection.witness.version());
                let place = usize::from(*place) % bytes.len();
                bytes[place] = *value;
                connection.witness.confuse();
                connection.say(&bytes);
            }
            Step::SendBytes(line, bytes) => {
                let Some(connection) = self.line(*line) else { return };
                connection.witness.confuse();
                connection.say(bytes);
            }
            Step::Answer(line, count) => {
                let Some(connection) = self.line(*line) else { return };
                for _ in 0..=count % 8 {
                    let Some(answer) = connection.witness.answer() else { return };
                    connection.say(&answer);
                }
            }
            Step::AnswerWrongly(line, ack, id, reason) => {
                self.answer_wrongly(*line, *ack, id.value(), *reason)
            }
        }
    }

    fn answer_wrongly(&mut self, line: Line, ack: AckKind, id: u16, reason: u8) {
        let Some(connection) = self.line(line) else { return };
        let bytes = spoken::ack(ack, id, reason, connection.witness.version());
        connection.witness.confuse();
        connection.say(&bytes);
    }

    fn line(&mut self, line: Line) -> Option<&mut Connection> {
        self.lines[line as usize].as_mut()
    }

    /// A new connection to the broker.
    fn call(&mut self) -> DuplexStream {
        let (ours, theirs) = duplex(PIPE_BYTES);
        let peer = ([127, 0, 0, 1], 1).into();
        let served = serve(theirs, peer, Instant::now(), self.life.surroundings.clone());
        self.life.connections.push(Task::new(served));
        ours
    }

    /// Until nothing happens any more that does not wait for a clock.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            if !self.turn() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// A turn of everybody. Says whether anything happened.
    fn turn(&mut self) -> bool {
        let mut any = self.life.turn();
        for connection in self.lines.iter_mut().flatten() {
            any |= connection.hear();
        }
        any
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) {
        self.runtime.block_on(tokio::time::advance(time));
    }

    /// All clients go without a word, and the broker does what is left to do for them.
    fn cut_all(&mut self) {
        self.lines = [None, None, None];
        let begun = Instant::now();
        self.settle();
        while !self.life.connections.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "a connection does not end");
            self.pass(Duration::from_secs(1));
            self.settle();
        }
    }

    /// The broker ends as if it were killed, and starts again on what it had committed.
    fn restart(&mut self, seconds: u16) {
        if self.restarts == RESTARTS {
            return;
        }
        self.restarts += 1;
        self.lines = [None, None, None];
        self.pass(Duration::from_secs(seconds.into()));
        self.memory = self.memory.fork();
        let ended = std::mem::replace(&mut self.life, Life::over(&self.memory));
        let left = Arc::downgrade(&ended.broker);
        drop(ended);
        assert_eq!(left.strong_count(), 0, "somebody keeps a broker that has ended");
    }
}

impl Connection {
    /// Sends bytes. A broker that does not take them any more is no failure, and not waited for.
    fn say(&mut self, mut bytes: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        while !bytes.is_empty()
            && let Poll::Ready(Ok(count @ 1..)) = Pin::new(&mut self.pipe).poll_write(&mut context, bytes)
        {
            bytes = &bytes[count..];
        }
    }

    /// Takes what has come. Says whether anything has.
    fn hear(&mut self) -> bool {
        if self.deaf || self.ended {
            return false;
        }
        let mut context = Context::from_waker(Waker::noop());
        let received = self.witness.received();
        let before = received.len();
        let mut bytes = [std::mem::MaybeUninit::uninit(); PIPE_BYTES];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        let read = Pin::new(&mut self.pipe).poll_read(&mut context, &mut bytes);
        if read.is_pending() {
            return false;
        }
        received.put_slice(bytes.filled());
        if received.len() == before {
            self.ended = true;
            self.witness.ended();
        } else {
            self.witness.hear();
        }
        true
    }
}

/// Small, so that they are reached.
const LIMITS: Limits = Limits {
    maximum_packet_size: 4096,
    receive_maximum: 3,
    window: 4,
    topic_alias_maximum: 2,
    outbound_topic_aliases: 2,
    maximum_session_expiry_interval: u32::MAX,
    default_session_expiry_interval: u32::MAX,
    maximum_keep_alive: 0,
};
