//! The loop of a connected client.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barnacle_storage as storage;
use bytes::BytesMut;
use bytestring::ByteString;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::Surroundings;
use super::farewell::{self, Farewell};
use super::group::GroupFeed;
use super::handshake::Connected;
use crate::broker::{Batch, Broker, CatchUp, Claim, HeldShare, LiveSubscriber, Mailbox, Owner};
use crate::kept::Kept;
use crate::protocol::{Decoder, ReasonCode};
use crate::session::{Close, Request, Session};
use crate::shutdown::Shutdown;

/// Bytes of publishes that may wait for the committer before we stop reading.
const UNCOMMITTED_BYTES: usize = 4 << 20;

/// Bytes that may wait for the socket before we stop reading.
const UNSENT_BYTES: usize = 1 << 20;

/// Room that a read has: little for a client that says little, more for one that fills it.
const READ_BYTES: std::ops::RangeInclusive<usize> = 2 << 10..=64 << 10;

/// How long a client has to take our last bytes.
const LINGER: Duration = Duration::from_secs(2);

/// How long we look for what a client has sent already when another connection takes over.
const LAST_CHANCE: Duration = Duration::from_millis(10);

/// A connected client, without its transport.
pub(super) struct Running {
    pub(super) broker: Arc<Broker>,
    /// In a box: a connection that waits is to be small, and its task has room for each value on each of its ways.
    pub(super) session: Box<Session>,
    pub(super) owner: Owner,
    pub(super) mailbox: Arc<Mailbox>,
    /// What the last transaction is fenced with.
    pub(super) fence: Option<(storage::SessionId, storage::Epoch)>,
    pub(super) log: Option<LogFeed>,
    pub(super) groups: Vec<GroupFeed>,
    pub(super) signal: Arc<Notify>,
    connection: u64,
    /// Batches on their way, oldest first; those with nothing to commit keep their place.
    in_flight: VecDeque<InFlight>,
    uncommitted_bytes: usize,
    committed: Arc<Committed>,
    /// What of the session is held back because the store cannot keep it now.
    held: HeldShare,
    /// Room for the next read.
    read_bytes: usize,
    /// Something was written and not yet flushed.
    unflushed: bool,
    /// Next time writing is asked before reading.
    writes_next: bool,
    /// The store has failed, or another connection has taken the session over.
    cut_off: bool,
    pub(super) catch_up: CatchUp,
    /// The store could not be read: how long the next failure waits.
    pub(super) read_pause: Option<Duration>,
}

/// The session's logs.
pub(super) struct LogFeed {
    pub(super) reader: storage::Reader,
    /// Read ahead, not yet taken.
    pub(super) ahead: VecDeque<storage::Entry>,
    /// What was read goes up to here.
    pub(super) through: u64,
    /// Messages of what was read that are lost to damage: counted, and at most.
    pub(super) damaged: (u64, u64),
    /// Set by the store when one of the logs grew.
    pub(super) grown: Arc<AtomicBool>,
    _watch: storage::Watch,
}

struct InFlight {
    batch: Batch,
    commits: bool,
}

/// What the committer has told and the connection has not yet heard.
#[derive(Default)]
struct Committed {
    results: Mutex<VecDeque<Result<storage::Outcome, storage::CommitError>>>,
}

/// Serves a client until its connection ends; returns how it ended.
pub(super) async fn run<T>(connected: Connected<T>, surroundings: Surroundings) -> Close
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Surroundings { broker, mut shutdown, .. } = surroundings;
    let Connected {
        transport,
        mut decoder,
        mut input,
        session,
        owner,
        mut claim,
        reader,
        fence,
        mailbox,
        signal,
    } = connected;
    let connection = claim.number();
    let log = reader.map(|reader| LogFeed::new(reader, &broker, &signal));
    let catch_up = CatchUp::new(broker.catch_up_rate, broker.clock.now().monotonic_millis);
    let held = HeldShare::new(&broker.held, connection);
    let mut running = Running {
        broker,
        session,
        owner,
        mailbox,
        fence,
        log,
        groups: Vec::new(),
        signal,
        connection,
        in_flight: VecDeque::new(),
        uncommitted_bytes: 0,
        committed: Arc::default(),
        held,
        read_bytes: *READ_BYTES.start(),
        unflushed: false,
        writes_next: true,
        cut_off: false,
        catch_up,
        read_pause: None,
    };
    running.subscribe_restored();
    running.join_groups(&[]);
    let (mut reader, mut writer) = tokio::io::split(transport);
    running.resume(&mut reader, &mut input, &mut claim, &mut shutdown).await;
    running.decode(&mut decoder, &mut input);
    let close = loop {
        running.turn().await;
        if let Some(close) = running.session.closing() {
            break close;
        }
        running.wait(&mut reader, &mut writer, &mut decoder, &mut input, &mut claim, &mut shutdown).await;
    };
    let farewell = running.leave(close);
    let last_bytes = running.session.output().split();
    let (kept, when_kept) = tokio::sync::oneshot::channel();
    let last_words = async {
        let written = writer.write_all(&last_bytes).await;
        if written.is_ok() {
            let _ = writer.flush().await;
        }
        // DISCONNECT has no acknowledgement but this: once we close in order, what it asked for is kept. If the store has
        // failed meanwhile, the connection breaks off.
        if when_kept.await.unwrap_or(false) || !close.by_client {
            let _ = writer.shutdown().await;
        }
    };
    let last_effects = async move {
        let is_kept = farewell::finish(&mut running, farewell, &mut claim).await;
        // The next connection of this client may attach: our last state is kept, and what it publishes follows what we
        // published to live subscribers too.
        drop(claim);
        // Who waits for it may have given up: the client has its time for our last words.
        let _ = kept.send(is_kept);
    };
    // A client that does not take our last bytes does not keep us.
    let _ = tokio::join!(tokio::time::timeout(LINGER, last_words), last_effects);
    close
}

impl LogFeed {
    fn new(reader: storage::Reader, broker: &Broker, signal: &Arc<Notify>) -> Self {
        let grown = Arc::new(AtomicBool::new(true));
        let wake = {
            let (grown, signal, reader) = (Arc::clone(&grown), Arc::clone(signal), reader.clone());
            Arc::new(move || {
                if !grown.swap(true, Ordering::AcqRel) || reader.is_over_limit() {
                    signal.notify_one();
                }
            })
        };
        let watch = broker.store.watch(&reader, wake);
        Self { reader, ahead: VecDeque::new(), through: 0, damaged: (0, 0), grown, _watch: watch }
    }
}

impl Running {
    /// Takes back what may have been sent, however long the disk gives nothing, unless the connection ends meanwhile: the session
    /// is then as it was found, and the next connection begins where this one began.
    async fn resume<R>(
        &mut self,
        reader: &mut R,
        input: &mut BytesMut,
        claim: &mut Claim,
        shutdown: &mut Shutdown,
    ) where
        R: AsyncRead + Unpin,
    {
        while let Some(pause) = self.take_back().await {
            tokio::select! {
                biased;
                () = claim.taken_over() => self.session.disconnect(ReasonCode::SessionTakenOver), // [MQTT-3.1.4-3]
                () = shutdown.requested() => self.session.disconnect(ReasonCode::ServerShuttingDown),
                () = end_of(reader, input) => self.session.connection_lost(),
                () = tokio::time::sleep(pause) => {}
            }
            if self.session.closing().is_some() {
                return;
            }
        }
    }

    /// Everything that can be done without waiting for the client.
    async fn turn(&mut self) {
        self.hear_committed();
        self.take_acknowledged();
        self.drop_excess().await;
        self.feed().await;
        let now = self.broker.clock.now();
        if self.uncommitted_bytes >= UNCOMMITTED_BYTES {
            // It is not the client that is silent: we do not read, because the store is behind.
            self.session.excuse_silence(now);
        }
        self.session.tick(now);
        if self.mailbox.overflowed() {
            self.session.disconnect(ReasonCode::QuotaExceeded);
        }
        self.submit();
    }

    /// Waits for whatever comes next, and takes it in.
    async fn wait<R, W>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        decoder: &mut Decoder,
        input: &mut BytesMut,
        claim: &mut Claim,
        shutdown: &mut Shutdown,
    ) where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let clock = self.broker.clock;
        let reads = self.reads();
        if reads && !input.is_empty() && self.decode(decoder, input) {
            return;
        }
        input.reserve(self.read_bytes);
        let deadlines = [self.session.deadline(), self.catch_up.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let deadline = deadline.map(|deadline| clock.instant(deadline).into());
        let writes = !self.session.output().is_empty();
        let signal = Arc::clone(&self.signal);
        let write = (writes || self.unflushed).then(|| write(writer, self.session.output()));
        let moved = in_turn(self.writes_next, write, reads.then(|| reader.read_buf(input)));
        self.writes_next = !self.writes_next;
        // Not by chance, which a simulator could not repeat. None of these keeps the others waiting: the first two come
        // once, and what the last two stand for is looked at in every turn.
        tokio::select! {
            biased;
            () = claim.taken_over() => {
                self.hear_out(reader, decoder, input, LAST_CHANCE).await;
                self.session.disconnect(ReasonCode::SessionTakenOver); // [MQTT-3.1.4-3]
            }
            () = shutdown.requested() => self.session.disconnect(ReasonCode::ServerShuttingDown),
            moved = moved => match moved {
                Either::Left(Ok(unflushed)) => {
                    self.unflushed = unflushed;
                    if !reads {
                        // We do not read because the client is slow to take what it gets; but it takes it.
                        self.session.excuse_silence(clock.now());
                    }
                }
                Either::Left(Err(_)) => {
                    self.hear_out(reader, decoder, input, LINGER).await;
                    self.session.connection_lost();
                }
                Either::Right(Ok(0) | Err(_)) => self.session.connection_lost(),
                Either::Right(Ok(count)) => {
                    let fits = if count < self.read_bytes { count } else { 2 * count };
                    self.read_bytes = fits.clamp(*READ_BYTES.start(), *READ_BYTES.end());
                    self.decode(decoder, input);
                }
            },
            () = signal.notified() => {}
            () = sleep_until(deadline) => {}
        }
    }

    /// The connection ends, but not by its client's word as far as we have read. What it said before still counts: a
    /// good-bye perhaps, on a socket that failed behind it, or with its next connection coming right behind.
    async fn hear_out<R>(
        &mut self,
        reader: &mut R,
        decoder: &mut Decoder,
        input: &mut BytesMut,
        patience: Duration,
    ) where
        R: AsyncRead + Unpin,
    {
        let heard = async {
            while self.reads() {
                input.reserve(self.read_bytes);
                if !matches!(reader.read_buf(input).await, Ok(1..)) {
                    break;
                }
                self.decode(decoder, input);
                self.submit();
            }
        };
        let _ = tokio::time::timeout(patience, heard).await;
    }

    fn reads(&mut self) -> bool {
        self.uncommitted_bytes < UNCOMMITTED_BYTES
            && self.session.output().len() < UNSENT_BYTES
            && self.session.accepts_packets()
    }

    /// Hands the packets that are complete to the session; `false` if nothing came of the bytes.
    fn decode(&mut self, decoder: &mut Decoder, input: &mut BytesMut) -> bool {
        let now = self.broker.clock.now();
        let mut any = false;
        while self.session.accepts_packets() {
            match decoder.decode(input) {
                Ok(Some(packet)) => {
                    any = true;
                    self.session.receive(packet, now);
                }
                Ok(None) => break,
                Err(error) => {
                    any = true;
                    tracing::info!(client_id = &*self.owner.client_id, "refused: {error}");
                    self.session.disconnect(error.disconnect_reason_code());
                }
            }
        }
        any
    }

    /// Sends the session's requests on their way.
    fn submit(&mut self) {
        if self.cut_off {
            return;
        }
        self.admit();
        let now = self.broker.clock.now();
        let Some(requests) = self.session.take_batch(now) else { return };
        self.listen_to_new(&requests);
        let (batch, transaction) = Batch::route(requests, &self.owner, &self.broker, now);
        let commits = transaction.is_some();
        self.uncommitted_bytes += batch.weight();
        self.in_flight.push_back(InFlight { batch, commits });
        match transaction {
            Some(transaction) => {
                let (committed, signal) = (Arc::clone(&self.committed), Arc::clone(&self.signal));
                self.broker.store.submit(transaction, move |result| {
                    committed.results.lock().push_back(result);
                    signal.notify_one();
                });
            }
            None => self.hear_committed(),
        }
    }

    /// While the store cannot keep publishes, they are refused or held back; when it can again, what was held goes on.
    fn admit(&mut self) {
        let full = self.broker.store.is_full();
        if !full && !self.session.holds_publishes() {
            return;
        }
        let broker = &self.broker;
        self.session.admit(|incoming| !(full && broker.stores(incoming)));
        let bytes = self.session.held_publish_bytes();
        let maximum_packet_size = self.broker.limits.maximum_packet_size as usize;
        if !self.held.set(bytes, maximum_packet_size, &self.signal) {
            let client_id = &*self.owner.client_id;
            tracing::warn!(
                client_id,
                bytes,
                "too much waits for room on the disk: the client is to send it again"
            );
            self.session.disconnect(ReasonCode::QuotaExceeded);
        }
        if self.broker.store.is_full() != full {
            // It has changed meanwhile, and perhaps nobody was woken who was not yet known to wait.
            self.signal.notify_one();
        }
    }

    /// Finishes the batches that are kept, in the order in which they were taken.
    fn hear_committed(&mut self) {
        while let Some(oldest) = self.in_flight.front().filter(|_| !self.cut_off) {
            let committed = if oldest.commits {
                let heard = self.committed.results.lock().pop_front();
                match heard {
                    None => return,
                    Some(Ok(storage::Outcome::Committed(committed))) => Some(committed),
                    Some(Ok(storage::Outcome::Fenced | storage::Outcome::Withdrawn)) => {
                        return self.cut_off(ReasonCode::SessionTakenOver);
                    }
                    Some(Err(error)) => {
                        tracing::error!(client_id = &*self.owner.client_id, "not committed: {error}");
                        return self.cut_off(ReasonCode::UnspecifiedError);
                    }
                }
            } else {
                None
            };
            let finished = self.in_flight.pop_front().expect("the front was just seen");
            self.finish(finished.batch, committed);
        }
    }

    fn finish(&mut self, batch: Batch, committed: Option<storage::Committed>) {
        self.uncommitted_bytes -= batch.weight();
        let kept =
            committed.as_ref().map_or_else(Kept::nothing_to_keep, |committed| Kept::by(&committed.durable));
        let subscriptions = self.session.subscriptions();
        let (requests, done) =
            batch.finish(committed, &self.broker, &|filter| subscriptions.get(filter).map(|held| held.start));
        let unsubscribed = unsubscribed(&requests);
        self.session.done(requests, done, &kept);
        self.stop_listening(&unsubscribed);
        self.leave_groups(&unsubscribed);
        self.join_groups(&unsubscribed);
    }

    /// Whether every batch is answered.
    pub(super) fn nothing_in_flight(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Nothing more of this connection takes effect.
    fn cut_off(&mut self, reason: ReasonCode) {
        self.cut_off = true;
        self.session.disconnect(reason);
    }

    /// Subscriptions take part before they are committed, so that nothing published after their commit passes them by.
    fn listen_to_new(&self, requests: &[Request]) {
        for request in requests {
            let Request::Subscribe { filters, .. } = request else { continue };
            for filter in filters.iter().flatten() {
                self.listen(filter.filter.as_str(), filter.qos.into());
            }
        }
    }

    fn subscribe_restored(&self) {
        for held in self.session.subscriptions().iter() {
            self.listen(&held.filter, held.options.qos);
        }
    }

    fn listen(&self, filter: &str, qos: u8) {
        let from_logs = self.owner.stored.is_some() && qos > 0;
        let mailbox = Arc::clone(&self.mailbox);
        let subscriber = LiveSubscriber { connection: self.connection, mailbox, from_logs };
        self.broker.live.insert(filter, subscriber);
    }

    /// A filter that was unsubscribed may have been subscribed again since, in the same batch or one on its way.
    fn stop_listening(&self, unsubscribed: &[ByteString]) {
        for filter in unsubscribed {
            let subscribed = self.session.subscriptions().get(filter).is_some()
                || self
                    .in_flight
                    .iter()
                    .any(|later| later.batch.subscribes().any(|asked| asked == &**filter));
            if !subscribed {
                self.broker.live.remove(filter, self.connection);
            }
        }
    }

    /// Nothing is delivered any more: to the subscriptions in force, and to those on their way.
    fn stop_listening_at_all(&self) {
        for held in self.session.subscriptions().iter() {
            self.broker.live.remove(&held.filter, self.connection);
        }
        for filter in self.in_flight.iter().flat_map(|in_flight| in_flight.batch.subscribes()) {
            self.broker.live.remove(filter, self.connection);
        }
    }

    /// Says what the mailbox had to drop, once for all.
    fn report_dropped(&self) -> u64 {
        let dropped = self.mailbox.take_dropped();
        if dropped > 0 {
            let client_id = &*self.owner.client_id;
            tracing::warn!(client_id, dropped, "messages found no room in the client's mailbox");
        }
        dropped
    }

    /// The connection has ended: the last transaction goes out, and nothing is delivered any more.
    fn leave(&mut self, close: Close) -> Option<Farewell> {
        self.take_acknowledged();
        self.submit();
        self.stop_listening_at_all();
        let unroomed = self.report_dropped();
        if self.cut_off {
            self.broker.store.note_drops(storage::DropReason::Mailbox, unroomed);
            return None;
        }
        farewell::say(self, close, unroomed)
    }

    /// What is on its way is still published, though nobody is left to be told.
    pub(super) async fn finish_in_flight(&mut self) {
        loop {
            self.hear_committed();
            if self.cut_off || self.in_flight.is_empty() {
                return;
            }
            let signal = Arc::clone(&self.signal);
            signal.notified().await;
        }
    }
}

/// The filters that a batch unsubscribes.
fn unsubscribed(requests: &[Request]) -> Vec<ByteString> {
    let filters = requests.iter().filter_map(|request| match request {
        Request::Unsubscribe { filters, .. } => Some(filters),
        _ => None,
    });
    filters.flatten().map(|filter| filter.as_byte_string().clone()).collect()
}

/// Waits for the end of what the client sends, and keeps what comes before, as far as there is room for it; cancel-safe.
async fn end_of<R: AsyncRead + Unpin>(reader: &mut R, input: &mut BytesMut) {
    while input.len() < *READ_BYTES.end() {
        input.reserve(*READ_BYTES.start());
        if !matches!(reader.read_buf(input).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}

/// One step: writes, or flushes when all is written. Says whether a flush is still due; cancel-safe.
async fn write<W: AsyncWrite + Unpin>(writer: &mut W, output: &mut BytesMut) -> std::io::Result<bool> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    if writer.write_buf(output).await? == 0 {
        return Err(std::io::ErrorKind::WriteZero.into());
    }
    Ok(true)
}

/// Whichever of two is ready. Where both are, it is the left one's turn or the right one's: taking turns, neither starves.
async fn in_turn<L: Future, R: Future>(
    lefts_turn: bool,
    left: Option<L>,
    right: Option<R>,
) -> Either<L::Output, R::Output> {
    let (left, right) = (pin!(or_never(left)), pin!(or_never(right)));
    if lefts_turn {
        match select(left, right).await {
            Either::Left((left, _)) => Either::Left(left),
            Either::Right((right, _)) => Either::Right(right),
        }
    } else {
        match select(right, left).await {
            Either::Left((right, _)) => Either::Right(right),
            Either::Right((left, _)) => Either::Left(left),
        }
    }
}

async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    or_never(deadline.map(tokio::time::sleep_until)).await;
}
