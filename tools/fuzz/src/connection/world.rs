//! A broker over a store in memory, and the clients of a script around it.

use std::sync::Arc;
use std::time::Duration;

use barnacle::broker::{Broker, CatchUpRates};
use barnacle::connection::{Surroundings, serve};
use barnacle::session::{Limits, Methods};
use barnacle::shutdown::{self, ShutdownTrigger};
use barnacle_storage::{Memory, Options, Stepper, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use super::script::{AckKind, Line, Script, Step};
use super::spoken;
use super::witness::Witness;

/// Turns that a step may take until nothing happens any more; none has been seen to take a tenth.
const TURNS: usize = 20_000;
/// Turns without anything, after which nothing is under way.
const QUIET_TURNS: usize = 4;
/// Bytes that a pipe holds: a client that does not read is soon noticed.
const PIPE_BYTES: usize = 16 * 1024;
/// A step that waits for a clock is given this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does what a script says.
pub(super) async fn carry_out(script: &Script) {
    let mut world = World::new();
    for step in &script.steps {
        world.take(step).await;
        world.settle().await;
    }
    world.cut_all().await;
    assert_eq!(world.broker.connections(), 0, "all connections have ended, and the broker counts some");
}

struct World {
    memory: Memory,
    broker: Arc<Broker>,
    stepper: Stepper,
    trigger: ShutdownTrigger,
    surroundings: Surroundings,
    now_millis: u64,
    lines: [Option<Connection>; 3],
}

/// A client's connection.
struct Connection {
    pipe: DuplexStream,
    served: JoinHandle<()>,
    witness: Witness,
    deaf: bool,
    ended: bool,
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        let now_millis = 1_000_000_000;
        let (store, stepper, _) = Store::open_stepped(Options::in_memory(&memory), now_millis)
            .expect("an empty disk can be opened");
        Self::over(memory, store, stepper, now_millis)
    }

    fn over(memory: Memory, store: Store, stepper: Stepper, now_millis: u64) -> Self {
        let broker = Broker::new(store, LIMITS, 32 * 1024, CatchUpRates::default(), Methods::default());
        let (trigger, shutdown) = shutdown::channel();
        let surroundings = Surroundings { broker: Arc::clone(&broker), connect_timeout: PATIENCE, shutdown };
        Self { memory, broker, stepper, trigger, surroundings, now_millis, lines: [None, None, None] }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Connect(line, hello) => {
                self.lines[*line as usize] = None;
                let (pipe, served) = self.call();
                let witness = Witness::new(spoken::version(hello.version), spoken::bounds(hello));
                let mut connection = Connection { pipe, served, witness, deaf: false, ended: false };
                connection.say(&spoken::connect(hello)).await;
                self.lines[*line as usize] = Some(connection);
            }
            Step::Cut(line) => self.lines[*line as usize] = None,
            Step::Restart(seconds) => self.restart(*seconds).await,
            Step::Deafen(line, deaf) => {
                if let Some(connection) = self.line(*line) {
                    connection.deaf = *deaf;
                }
            }
            Step::Send(line, sent) => {
                let Some(connection) = self.line(*line) else { return };
                let bytes = spoken::sent(sent, connection.witness.version());
                connection.say(&bytes).await;
            }
            Step::SendDamaged(line, sent, place, value) => {
                let Some(connection) = self.line(*line) else { return };
                let mut bytes = spoken::sent(sent, connection.witness.version());
                let place = usize::from(*place) % bytes.len();
                bytes[place] = *value;
                connection.witness.confuse();
                connection.say(&bytes).await;
            }
            Step::SendBytes(line, bytes) => {
                let Some(connection) = self.line(*line) else { return };
                connection.witness.confuse();
                connection.say(bytes).await;
            }
            Step::Answer(line, count) => {
                let Some(connection) = self.line(*line) else { return };
                for _ in 0..=count % 8 {
                    let Some(answer) = connection.witness.answer() else { return };
                    connection.say(&answer).await;
                }
            }
            Step::AnswerWrongly(line, ack, id, reason) => {
                self.answer_wrongly(*line, *ack, id.value(), *reason).await
            }
        }
    }

    async fn answer_wrongly(&mut self, line: Line, ack: AckKind, id: u16, reason: u8) {
        let Some(connection) = self.line(line) else { return };
        let bytes = spoken::ack(ack, id, reason, connection.witness.version());
        connection.witness.confuse();
        connection.say(&bytes).await;
    }

    fn line(&mut self, line: Line) -> Option<&mut Connection> {
        self.lines[line as usize].as_mut()
    }

    /// A new connection of the broker's.
    fn call(&self) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = duplex(PIPE_BYTES);
        let peer = ([127, 0, 0, 1], 1).into();
        let served = tokio::spawn(serve(theirs, peer, Instant::now(), self.surroundings.clone()));
        (ours, served)
    }

    /// Until nothing happens any more that does not wait for a clock.
    async fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            quiet = if self.turn().await { 0 } else { quiet + 1 };
            if quiet == QUIET_TURNS {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// A turn of everybody. Says whether anything happened.
    async fn turn(&mut self) -> bool {
        yield_now().await;
        let committed = self.stepper.commit();
        self.stepper.notify();
        let mut any = committed;
        for connection in self.lines.iter_mut().flatten() {
            any |= connection.hear().await;
        }
        any
    }

    /// All clients go without a word, and the broker does what is left to do for them.
    async fn cut_all(&mut self) {
        let mut served = Vec::new();
        for connection in self.lines.iter_mut().filter_map(Option::take) {
            served.push(connection.served);
        }
        let begun = Instant::now();
        // Those of earlier steps may still be on their way out.
        while self.broker.connections() > 0 || !served.iter().all(JoinHandle::is_finished) {
            self.turn().await;
            assert!(begun.elapsed() < PATIENCE, "a connection does not end");
        }
        for served in served {
            served.await.expect("a connection does not panic");
        }
    }

    /// The broker ends as if it were killed, and starts again on what it had committed.
    async fn restart(&mut self, seconds: u16) {
        for connection in self.lines.iter_mut().filter_map(Option::take) {
            connection.served.abort();
        }
        self.trigger.trigger();
        self.cut_all().await;
        self.now_millis += u64::from(seconds) * 1000;
        let memory = self.memory.clone();
        // The old store goes when the last task that has it does.
        let fresh = World::new();
        drop(std::mem::replace(self, fresh));
        let begun = Instant::now();
        loop {
            match Store::open_stepped(Options::in_memory(&memory), self.now_millis) {
                Ok((store, stepper, _)) => {
                    let now_millis = self.now_millis;
                    *self = World::over(memory, store, stepper, now_millis);
                    return;
                }
                Err(error) => {
                    assert!(begun.elapsed() < PATIENCE, "the store cannot be opened again: {error}");
                    yield_now().await;
                }
            }
        }
    }
}

impl Connection {
    /// Sends bytes. A broker that does not take them any more is no failure, and not waited for.
    async fn say(&mut self, bytes: &[u8]) {
        let _ = poll_once(self.pipe.write_all(bytes)).await;
    }

    /// Takes what has come. Says whether anything has.
    async fn hear(&mut self) -> bool {
        if self.deaf || self.ended {
            return false;
        }
        let mut bytes = [0; 4096];
        match poll_once(self.pipe.read(&mut bytes)).await {
            None => false,
            Some(Ok(0) | Err(_)) => {
                self.ended = true;
                self.witness.ended();
                true
            }
            Some(Ok(count)) => {
                self.witness.hear(&bytes[..count]);
                true
            }
        }
    }
}

/// Looks once whether it is ready.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
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
