//! One subscriber: its session made, left, resumed and drained.

use crate::client::connection::{Connection, Endpoint};
use crate::client::credit::Credit;
use crate::client::pace::Pace;
use crate::client::payload::Account;
use crate::error::LoadError;
use crate::measure::recorder::Recorder;
use crate::options::shape::Shape;
use barnacle_wire::frames::Frame;
use barnacle_wire::{Connect, Property, Version, kind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// At QoS 0, once everything was sent: what does not come within this time of silence is taken for lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// What one subscriber received.
pub(crate) struct Received {
    pub(crate) connected: Instant,
    pub(crate) first_message: Option<Instant>,
    pub(crate) account: Account,
    /// Still open, if that was wanted.
    connection: Option<Connection>,
}

impl Received {
    /// Whether the subscriber is still connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }
}

/// How many messages each publisher has sent, as soon as all are through.
pub(crate) type Ended = watch::Receiver<Option<Vec<u64>>>;

/// What a subscriber shares with the rest of the run.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    /// Records deliveries.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// The open loop's clock, which knows when a message was to be sent.
    pub(crate) pace: Option<Arc<Pace>>,
    /// Of each publisher, in a closed loop at QoS 0.
    pub(crate) credits: Option<Arc<[Arc<Credit>]>>,
    /// The end of all publishers, where there are any.
    pub(crate) ended: Option<Ended>,
    /// More than this stays unread while messages still come: for a backlog that is to stay.
    pub(crate) backlog: Option<Arc<Backlog>>,
    /// Whether the connection stays open when all is there.
    pub(crate) stays: bool,
}

/// A backlog that a subscriber leaves: it reads only while more than so many messages wait.
pub(crate) struct Backlog {
    /// Messages that are to wait.
    pub(crate) messages: u64,
    /// What was acknowledged to publishers.
    pub(crate) published: Arc<Recorder>,
}

/// CONNECT of a subscriber.
pub(crate) fn connect(endpoint: &Endpoint, shape: &Shape, client_id: &str) -> Connect {
    let connect = if shape.clean { endpoint.clean(client_id) } else { endpoint.persistent(client_id) };
    match shape.receive_maximum {
        Some(maximum) if endpoint.version == Version::V5 => {
            connect.property(Property::ReceiveMaximum(maximum))
        }
        _ => connect,
    }
}

/// Makes the session of `client_id` anew, with nothing queued; leaves it offline.
pub(crate) async fn make_session(
    endpoint: &Endpoint,
    shape: &Shape,
    client_id: &str,
    filters: &[String],
) -> Result<(), LoadError> {
    // In 3.1.1 a clean session ends with its connection, so that one is needed to clear and another to keep.
    let clear = connect(endpoint, shape, client_id).clean_start(true);
    Connection::open(endpoint, &clear, 1024).await?.0.close().await?;
    let keep = connect(endpoint, shape, client_id).clean_start(false);
    let (mut connection, _) = Connection::open(endpoint, &keep, 1024).await?;
    // As many in a SUBSCRIBE as most brokers take.
    for filters in filters.chunks(500) {
        connection.subscribe(filters, shape.qos).await?;
    }
    connection.close().await
}

/// A connected subscriber, ready to receive.
pub(crate) struct Subscriber {
    connection: Connection,
    connected: Instant,
    patience: Duration,
    qos: u8,
    account: Account,
    shared: Shared,
    /// QoS 2 identifiers between PUBREC and PUBREL.
    unreleased: u64,
    /// Deliveries of each publisher since the last read.
    credited: Vec<u64>,
    first_message: Option<Instant>,
}

impl Subscriber {
    /// Resumes a session; it must be there. `buffer` is what one read takes.
    pub(crate) async fn resume(
        endpoint: &Endpoint,
        shape: &Shape,
        client_id: &str,
        account: Account,
        buffer: usize,
        shared: Shared,
    ) -> Result<Subscriber, LoadError> {
        let connect = connect(endpoint, shape, client_id);
        let (connection, connack) = Connection::open(endpoint, &connect, buffer).await?;
        if !connack.session_present {
            return Err(LoadError::Unexpected(format!(
                "Session Present is 0: the session of {client_id} is gone"
            )));
        }
        Ok(Subscriber::over(connection, endpoint, shape, account, shared))
    }

    /// Begins a session that ends with its connection.
    pub(crate) async fn begin(
        endpoint: &Endpoint,
        shape: &Shape,
        subscriber: u32,
        account: Account,
        buffer: usize,
        shared: Shared,
    ) -> Result<Subscriber, LoadError> {
        let connect = endpoint.clean(&shape.client_id(subscriber));
        let (mut connection, _) = Connection::open(endpoint, &connect, buffer).await?;
        connection.subscribe(&[shape.filter(subscriber)], shape.qos).await?;
        Ok(Subscriber::over(connection, endpoint, shape, account, shared))
    }

    fn over(
        connection: Connection,
        endpoint: &Endpoint,
        shape: &Shape,
        account: Account,
        shared: Shared,
    ) -> Subscriber {
        Subscriber {
            connection,
            connected: Instant::now(),
            patience: endpoint.patience,
            qos: shape.qos,
            account,
            credited: if shared.credits.is_some() { vec![0; shape.publishers as usize] } else { Vec::new() },
            shared,
            unreleased: 0,
            first_message: None,
        }
    }

    /// Names the clock that messages are sent by.
    pub(crate) fn pace(&mut self, pace: Option<Arc<Pace>>) {
        self.shared.pace = pace;
    }

    /// Receives until everything is here and acknowledged, or nothing comes any more.
    pub(crate) async fn receive(mut self) -> Result<Received, LoadError> {
        let mut out = Vec::new();
        let mut ended = self.shared.ended.take();
        let mut patience = self.patience;
        // What came together with the answer to CONNECT or SUBSCRIBE is here already.
        self.take_all(&mut out).await?;
        while self.account.missing() > 0 || self.unreleased > 0 || ended.is_some() {
            self.leave_a_backlog(ended.as_ref()).await;
            let read = tokio::select! {
                read = tokio::time::timeout(patience, self.connection.fill()) => read,
                sent = end(&mut ended) => {
                    self.account.limit(&sent);
                    ended = None;
                    patience = if self.qos == 0 { LOST_AFTER } else { patience };
                    continue;
                }
            };
            match read {
                // The account says what is missing.
                Err(_) if ended.is_none() => break,
                Err(_) => continue,
                Ok(read) => {
                    if read? == 0 {
                        let missing = self.account.missing();
                        return Err(LoadError::Closed(format!("a subscriber, {missing} messages missing")));
                    }
                }
            }
            self.take_all(&mut out).await?;
        }
        let mut connection = Some(self.connection);
        if !self.shared.stays
            && let Some(connection) = connection.take()
        {
            connection.close().await?;
        }
        let Subscriber { connected, first_message, account, .. } = self;
        Ok(Received { connected, first_message, account, connection })
    }

    /// Waits while no more is to be read, unless publishers are through.
    async fn leave_a_backlog(&self, ended: Option<&Ended>) {
        let Some(backlog) = &self.shared.backlog else { return };
        let goes_on = || ended.is_some_and(|ended| ended.borrow().is_none());
        while goes_on() && backlog.published.count() < self.account.arrived + backlog.messages {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Takes every packet that is here, and answers them with one write.
    async fn take_all(&mut self, out: &mut Vec<u8>) -> Result<(), LoadError> {
        let now = Instant::now();
        let arrived = self.account.arrived;
        {
            let Subscriber { connection, account, shared, unreleased, credited, .. } = self;
            let mut events = shared.recorder.as_ref().map(|recorder| recorder.at(now));
            let version = connection.version;
            while let Some(frame) = connection.frame()? {
                let Some((publisher, number)) = take(frame, version, account, unreleased, out)? else {
                    continue;
                };
                if let Some(count) = credited.get_mut(publisher as usize) {
                    *count += 1;
                }
                match (&mut events, &shared.pace) {
                    (Some(events), Some(pace)) => {
                        events.took(now.saturating_duration_since(pace.moment(publisher, number)));
                    }
                    (Some(events), None) => events.happened(1),
                    (None, _) => {}
                }
            }
        }
        if self.account.arrived > arrived {
            self.first_message.get_or_insert(now);
        }
        for (count, credit) in
            self.credited.iter_mut().zip(self.shared.credits.iter().flat_map(|all| all.iter()))
        {
            if *count > 0 {
                credit.add(std::mem::take(count));
            }
        }
        if !out.is_empty() {
            self.connection.send(out, "acknowledging messages").await?;
            out.clear();
        }
        Ok(())
    }
}

/// Waits for the end of all publishers; for ever if it was seen.
async fn end(ended: &mut Option<Ended>) -> Vec<u64> {
    let Some(ended) = ended else { return std::future::pending().await };
    let sent = ended.wait_for(Option::is_some).await.ok().and_then(|sent| sent.clone());
    match sent {
        Some(sent) => sent,
        // Publishers that failed say so themselves.
        None => std::future::pending().await,
    }
}

/// Takes one packet; its answer goes to `out`. Returns publisher and number of a new message.
fn take(
    frame: Frame<'_>,
    version: Version,
    account: &mut Account,
    unreleased: &mut u64,
    out: &mut Vec<u8>,
) -> Result<Option<(u32, u64)>, LoadError> {
    match frame.kind() {
        kind::PUBLISH => {
            let publish = frame.publish(version)?;
            match publish.qos {
                0 => {}
                1 => put_ack(kind::PUBACK, publish.packet_id, out),
                _ => {
                    *unreleased += 1;
                    put_ack(kind::PUBREC, publish.packet_id, out);
                }
            }
            Ok(account.arrive(publish.payload))
        }
        kind::PUBREL => {
            *unreleased = unreleased.saturating_sub(1);
            put_ack(kind::PUBCOMP, frame.ack()?.0, out);
            Ok(None)
        }
        other => Err(LoadError::Unexpected(format!("a packet of type {other} to a subscriber"))),
    }
}

fn put_ack(packet_kind: u8, packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[packet_kind << 4, 2, high, low]);
}

/// What is wrong with what subscribers received, in a few words each. At QoS 0 nothing is missing: nobody promised it.
pub(crate) fn problems<'a>(received: impl Iterator<Item = &'a Received>, qos: u8) -> Vec<String> {
    let (mut missing, mut repeated, mut disordered, mut foreign) = (0, 0, 0, 0);
    for one in received {
        missing += one.account.missing();
        repeated += one.account.repeated;
        disordered += one.account.out_of_order;
        foreign += one.account.foreign;
    }
    let counts = [
        (if qos > 0 { missing } else { 0 }, "missing"),
        (if qos == 2 { repeated } else { 0 }, "repeated"),
        (disordered, "out of order"),
        (foreign, "of somebody else"),
    ];
    let wrong = counts.iter().filter(|(count, _)| *count > 0);
    wrong.map(|(count, what)| format!("{count} messages {what}")).collect()
}
