//! From the first byte to CONNACK: CONNECT, the AUTH exchange, take-over, attachment.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use barnacle_storage as storage;
use bytes::BytesMut;
use bytestring::ByteString;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Surroundings;
use crate::broker::{self, Broker, Claim, Mailbox, Owner};
use crate::kept::Kept;
use crate::protocol::{self, ConnAck, Connect, DecodeError, Decoder, Packet, ProtocolVersion, ReasonCode};
use crate::session::{Limits, Session, Step, Terms, will_of};

/// A client that was let in.
pub(super) struct Connected<T> {
    pub(super) transport: T,
    pub(super) decoder: Decoder,
    /// Bytes read and not yet decoded.
    pub(super) input: BytesMut,
    pub(super) session: Box<Session>,
    pub(super) owner: Owner,
    pub(super) claim: Claim,
    pub(super) reader: Option<storage::Reader>,
    /// What its last transaction is fenced with, if anything is kept of it: its session, or only its will.
    pub(super) fence: Option<(storage::SessionId, storage::Epoch)>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) signal: Arc<Notify>,
}

/// Why a client was not let in.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("it ended before CONNECT was complete")]
    Ended,
    #[error("no CONNECT within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    #[error("CONNACK {0:?}")]
    Refused(ReasonCode),
    #[error("another connection took the client identifier over")]
    TakenOver,
    #[error("the store does not take the session")]
    Store,
}

/// A transport with the bytes that came so far.
struct Link<T> {
    transport: T,
    decoder: Decoder,
    input: BytesMut,
    /// What the client takes at most, in bytes; without bound until its CONNECT has said so.
    maximum_packet_size: usize,
}

/// What a client asks for, agreed on and not yet given.
struct Greeted {
    connect: Connect,
    terms: Terms,
    granted: Granted,
}

/// The client has its time for CONNECT and the exchange that it asks for. From there on nothing is broken off: the
/// transaction that attaches the session would take effect all the same, with nobody there to end it.
pub(super) async fn shake_hands<T>(
    transport: T,
    accepted_at: Instant,
    surroundings: &Surroundings,
) -> Result<Connected<T>, Refusal>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Surroundings { broker, connect_timeout, .. } = surroundings;
    let decoder = Decoder::new(broker.limits.maximum_packet_size as usize);
    let input = BytesMut::with_capacity(1024);
    let mut link = Link { transport, decoder, input, maximum_packet_size: usize::MAX };
    let greeted = timeout_at(accepted_at + *connect_timeout, link.greet(broker)).await;
    let greeted = greeted.map_err(|_| Refusal::Late(*connect_timeout))??;
    let Ok(claim) = broker.registry.claim(&greeted.terms.client_id).await else {
        return Err(Refusal::TakenOver);
    };
    link.attach(greeted, claim, broker).await
}

/// A client identifier for a client without one [MQTT-3.1.3-6].
fn assign_client_id() -> ByteString {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || RandomState::new().build_hasher().finish();
    format!("barnacle-{:016x}{:016x}", half(), half()).into()
}

fn encoded(packet: &Packet, version: ProtocolVersion) -> BytesMut {
    let mut output = BytesMut::new();
    protocol::encode(packet, version, &mut output).expect("packets of our own making are valid");
    output
}

impl<T> Link<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    async fn greet(&mut self, broker: &Broker) -> Result<Greeted, Refusal> {
        let connect = match self.receive().await {
            Ok(Packet::Connect(connect)) => *connect,
            Ok(_) => return Err(Refusal::Refused(ReasonCode::ProtocolError)), // [MQTT-3.1.0-1]
            Err(Refusal::Malformed(error)) => {
                if let Some(version) = error.connect_version() {
                    self.limit_packets(error.connect_maximum_packet_size());
                    self.refuse(version, error.reason_code()).await?;
                }
                return Err(error.into());
            }
            Err(refusal) => return Err(refusal),
        };
        let version = connect.version;
        self.limit_packets(connect.properties.maximum_packet_size);
        let terms = match Terms::negotiate(&connect, &broker.limits, assign_client_id) {
            Ok(terms) => terms,
            Err(reason) => return self.refuse(version, reason).await,
        };
        match self.authenticate(&connect, &terms.client_id, broker).await? {
            // A client cannot be let in without CONNACK, with what the exchange adds to it.
            Ok(granted) if !self.takes(&granted.connack(&terms, true, &broker.limits), version) => {
                self.refuse(version, ReasonCode::ImplementationSpecificError).await
            }
            Ok(granted) => Ok(Greeted { connect, terms, granted }),
            Err(reason) => self.refuse(version, reason).await,
        }
    }

    async fn receive(&mut self) -> Result<Packet, Refusal> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input)? {
                return Ok(packet);
            }
            if self.transport.read_buf(&mut self.input).await? == 0 {
                return Err(Refusal::Ended);
            }
        }
    }

    fn limit_packets(&mut self, maximum: Option<NonZeroU32>) {
        self.maximum_packet_size = maximum.map_or(usize::MAX, |maximum| maximum.get() as usize);
    }

    /// Sends a packet, unless it is larger than the client takes [MQTT-3.1.2-24]; says whether it was sent.
    async fn send(&mut self, packet: &Packet, version: ProtocolVersion) -> Result<bool, Refusal> {
        let output = encoded(packet, version);
        if output.len() > self.maximum_packet_size {
            return Ok(false);
        }
        self.transport.write_all(&output).await?;
        self.transport.flush().await?;
        Ok(true)
    }

    /// Whether a CONNACK is no larger than the client takes.
    fn takes(&self, connack: &ConnAck, version: ProtocolVersion) -> bool {
        let connack = Packet::ConnAck(Box::new(connack.clone()));
        encoded(&connack, version).len() <= self.maximum_packet_size
    }

    /// Answers with CONNACK, unless even that is larger than the client takes, closes, and fails with the reason
    /// [MQTT-3.2.2-7].
    async fn refuse<R>(&mut self, version: ProtocolVersion, reason: ReasonCode) -> Result<R, Refusal> {
        self.send(&Packet::ConnAck(Box::new(Terms::refuse(reason))), version).await?;
        self.transport.shutdown().await?;
        Err(Refusal::Refused(reason))
    }

    /// Goes through the AUTH exchange that CONNECT asks for; the inner error is the reason for CONNACK.
    async fn authenticate(
        &mut self,
        connect: &Connect,
        client_id: &ByteString,
        broker: &Broker,
    ) -> Result<Result<Granted, ReasonCode>, Refusal> {
        let properties = &connect.properties;
        let Some(method) = &properties.authentication_method else { return Ok(Ok(Granted::default())) };
        let data = properties.authentication_data.clone();
        let (mut exchange, mut step) = match broker.methods.begin(method, client_id, data) {
            Ok(begun) => begun,
            Err(reason) => return Ok(Err(reason)),
        };
        loop {
            match step {
                Step::Accept(data) => return Ok(Ok(Granted { method: Some(method.clone()), data })),
                Step::Refuse => return Ok(Err(ReasonCode::NotAuthorized)),
                Step::Challenge(data) => {
                    let auth = exchange.packet(ReasonCode::ContinueAuthentication, Some(data));
                    if !self.send(&Packet::Auth(auth), connect.version).await? {
                        // The client would wait for it until its time is over.
                        return Ok(Err(ReasonCode::ImplementationSpecificError));
                    }
                }
            }
            let answer = match self.receive().await? {
                Packet::Auth(auth) => exchange.proceed(auth),
                _ => Err(ReasonCode::ProtocolError),
            };
            step = match answer {
                Ok(step) => step,
                Err(reason) => return Ok(Err(reason)),
            };
        }
    }

    async fn attach(
        self,
        greeted: Greeted,
        claim: Claim,
        broker: &Arc<Broker>,
    ) -> Result<Connected<T>, Refusal> {
        let Greeted { mut connect, terms, granted } = greeted;
        let now = broker.clock.now();
        let will = will_of(&mut connect).map(|will| broker::will_to_store(&will, &terms.client_id, now));
        let attach = storage::Attach {
            client_id: terms.client_id.clone(),
            clean_start: terms.clean_start,
            session_expiry_interval: terms.session_expiry_interval,
            protocol_level: terms.version.level(),
            keep_alive: terms.keep_alive,
            will,
            now_millis: now.unix_millis,
        };
        let operations = vec![storage::Operation::Attach(attach)];
        let transaction = storage::Transaction { source: None, fence: None, operations };
        let mut committed = broker.commit(transaction).await.map_err(|_| Refusal::Store)?;
        broker.deliver_wills(std::mem::take(&mut committed.wills));
        let kept = Kept::by(&committed.durable);
        let Some(storage::Answer::Attached(attached)) = committed.answers.drain(..).next() else {
            unreachable!("an Attach is answered with Attached");
        };
        let connack = granted.connack(&terms, attached.present, &broker.limits);
        let stored = attached.session.as_ref().map(|session| (session.id, session.epoch));
        let takes_reasons = terms.version == ProtocolVersion::V5;
        let connection = claim.number();
        let owner = Owner { client_id: terms.client_id.clone(), stored, takes_reasons, connection };
        let reader = attached.session.as_ref().map(|session| session.reader.clone());
        let signal = Arc::new(Notify::new());
        let mailbox = Mailbox::new(broker.mailbox_bytes, stored.is_some(), Arc::clone(&signal));
        let restored = attached.session.map(broker::restored);
        let session = Session::start(terms, restored, connack, &broker.limits, &kept, broker.clock.now());
        Ok(Connected {
            transport: self.transport,
            decoder: self.decoder,
            input: self.input,
            session: Box::new(session),
            owner,
            claim,
            reader,
            fence: attached.fence,
            mailbox: Arc::new(mailbox),
            signal,
        })
    }
}

/// What an AUTH exchange adds to CONNACK.
#[derive(Debug, Default)]
struct Granted {
    method: Option<ByteString>,
    data: Option<bytes::Bytes>,
}

impl Granted {
    fn connack(&self, terms: &Terms, session_present: bool, limits: &Limits) -> ConnAck {
        let mut connack = terms.accept(session_present, limits);
        connack.properties.authentication_method.clone_from(&self.method);
        connack.properties.authentication_data.clone_from(&self.data);
        connack
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::ConnectProperties;
    use crate::session::tests::limits;
    use crate::session::{AuthenticationExchange as Exchange, Method, Methods};

    fn surroundings(connect_timeout: Duration, methods: Methods) -> (Surroundings, tempfile::TempDir) {
        let directory = tempfile::TempDir::new().expect("a temporary directory can be made");
        let (store, _) = storage::Store::open(storage::Options::new(directory.path())).expect("a new store");
        let rates = crate::broker::CatchUpRates::default();
        let broker = Broker::new(store, limits(), 1 << 20, rates, methods);
        (Surroundings { broker, connect_timeout, shutdown: crate::shutdown::channel().1 }, directory)
    }

    fn connect(properties: ConnectProperties) -> BytesMut {
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start: false,
            keep_alive: 0,
            properties,
            client_id: ByteString::from_static("client"),
            will: None,
            username: None,
            password: None,
        };
        encoded(&Packet::Connect(Box::new(connect)), ProtocolVersion::V5)
    }

    /// The transaction that attaches a session cannot be called back: were the connection given up meanwhile, the session
    /// would stand as connected, without expiry and will, until the broker starts again.
    #[tokio::test]
    async fn a_client_whose_connect_came_in_time_is_let_in_however_long_that_takes() {
        let connect_timeout = Duration::from_millis(10);
        let (surroundings, _directory) = surroundings(connect_timeout, Methods::default());
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(&connect(ConnectProperties::default())).await.expect("there is room");
        // It is there at the first look, and the time is over at the second.
        let accepted_at = Instant::now() - connect_timeout;
        assert!(shake_hands(server, accepted_at, &surroundings).await.is_ok());
    }

    /// Says one thing, whatever the client does.
    #[derive(Clone)]
    struct Says(Step);

    impl Method for Says {
        fn begin(&self, _: &str, _: Option<Bytes>) -> Box<dyn Exchange> {
            Box::new(self.clone())
        }
    }

    impl Exchange for Says {
        fn proceed(&mut self, _: Option<Bytes>) -> Step {
            self.0.clone()
        }
    }

    /// What an exchange adds to AUTH or CONNACK may make it larger than the client takes: it is told so, if that fits, and not
    /// left to wait for what does not come [MQTT-3.1.2-24].
    #[tokio::test]
    async fn a_client_that_the_exchange_is_too_large_for_is_refused() {
        let long = Bytes::from_static(&[7; 100]);
        let mut methods = Methods::default();
        methods.offer("challenge", Box::new(Says(Step::Challenge(long.clone()))));
        methods.offer("accept", Box::new(Says(Step::Accept(Some(long)))));
        methods.offer("refuse", Box::new(Says(Step::Refuse)));
        let (surroundings, _directory) = surroundings(Duration::from_secs(600), methods);
        let cases = [
            ("challenge", 99, Some(0x83)),
            ("accept", 99, Some(0x83)),
            ("refuse", 99, Some(0x87)),
            ("challenge", 4, None),
            ("accept", 4, None),
            ("refuse", 4, None),
        ];
        for (method, maximum, reason) in cases {
            let properties = ConnectProperties {
                authentication_method: Some(ByteString::from_static(method)),
                maximum_packet_size: std::num::NonZeroU32::new(maximum),
                ..ConnectProperties::default()
            };
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(&connect(properties)).await.expect("there is room");
            let refusal = shake_hands(server, Instant::now(), &surroundings).await.map(|_| ());
            assert!(matches!(refusal, Err(Refusal::Refused(_))), "{method}, {maximum}: {refusal:?}");
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.expect("it ends");
            let wanted = reason.map_or(Vec::new(), |reason| vec![0x20, 3, 0, reason, 0]);
            assert_eq!(told, wanted, "{method}, {maximum}");
        }
    }
}
