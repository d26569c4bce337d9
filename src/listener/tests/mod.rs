//! Listeners with real sockets and a client that is not ours.

mod handshake;
mod websocket;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::shutdown::{self, ShutdownTrigger};

/// Long beside what is awaited, short beside a run of the tests.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    addresses: Vec<String>,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    trigger: ShutdownTrigger,
    ended: JoinHandle<()>,
}

async fn start(toml: &str) -> Running {
    let config = Config::from_toml(Path::new("test.toml"), toml).expect("the test's configuration is valid");
    let listeners = Listeners::bind(config.listeners()).await.expect("port 0 is free");
    let addresses = listeners.addresses().map(str::to_owned).collect();
    let (trigger, shutdown) = shutdown::channel();
    let (sender, accepted) = mpsc::unbounded_channel();
    let accepting = listeners.accept(Rules::from_config(&config), shutdown, move |accepted| {
        // A test that has seen enough no longer listens.
        let _ = sender.send(accepted);
    });
    Running { addresses, accepted, trigger, ended: tokio::spawn(accepting) }
}

impl Running {
    /// `127.0.0.1:PORT` of the first listener.
    fn socket(&self) -> String {
        let (_, rest) = self.addresses[0].split_once("://").expect("a URL");
        rest.split('/').next().expect("a host and port").to_owned()
    }

    async fn next(&mut self) -> Accepted {
        let accepted = tokio::time::timeout(PATIENCE, self.accepted.recv()).await;
        accepted.expect("in time").expect("the listeners run")
    }

    /// A WebSocket, seen from both sides.
    async fn websocket(&mut self) -> (Transport, WebSocketStream<TcpStream>) {
        let (client, _) =
            self.open("/mqtt", &[("sec-websocket-protocol", "mqtt")]).await.expect("it is let in");
        (self.next().await.transport, client)
    }

    async fn open(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(WebSocketStream<TcpStream>, Response<Option<Vec<u8>>>), Error> {
        let stream = TcpStream::connect(self.socket()).await?;
        let mut request = format!("ws://{}{path}", self.socket()).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value)?);
        }
        client_async(request, stream).await
    }

    /// The status and the body of a refused handshake.
    async fn refused(&self, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        match self.open(path, headers).await {
            // The client takes the head only; the text is checked on the raw answer.
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                (response.status().as_u16(), String::from_utf8(body).expect("text"))
            }
            Err(error) => panic!("{path} {headers:?}: {error}"),
            Ok(_) => panic!("{path} {headers:?} was let in"),
        }
    }

    /// What a request gets, to the end of the connection.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.socket()).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it takes the request");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("in time").expect("the answer is not reset");
        String::from_utf8(answer).expect("text")
    }
}

const TCP: &str = "listeners = ['mqtt://127.0.0.1:0']";
const WEBSOCKET: &str = "listeners = ['ws://127.0.0.1:0/mqtt']";

#[tokio::test]
async fn a_tcp_connection_is_handed_over() {
    let mut running = start(TCP).await;
    let mut client = TcpStream::connect(running.socket()).await.expect("it listens");
    let mut accepted = running.next().await;
    assert_eq!(accepted.peer, client.local_addr().expect("it is connected"));
    assert_eq!(*accepted.listener, *running.addresses[0]);
    let Transport::Tcp(tcp) = &accepted.transport else { panic!("it is TCP") };
    assert!(tcp.stream.nodelay().expect("it is open"));

    client.write_all(b"to the broker").await.expect("it is open");
    let mut buffer = [0; 13];
    accepted.transport.read_exact(&mut buffer).await.expect("it was sent");
    assert_eq!(&buffer, b"to the broker");
    accepted.transport.write_all(b"to the client").await.expect("it is open");
    let receiving = async {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("it was sent");
        drop(client);
        answer
    };
    let (answer, shutdown) = tokio::join!(receiving, accepted.transport.shutdown());
    shutdown.expect("both sides closed");
    assert_eq!(answer, "to the client");
}

#[tokio::test]
async fn the_last_bytes_arrive_over_tcp_though_the_client_was_still_sending() {
    let mut running = start(TCP).await;
    let mut client = TcpStream::connect(running.socket()).await.expect("it listens");
    // Never read by the broker: closed with unread bytes, TCP resets, and drops what waits to be sent.
    client.write_all(&[0; 100_000]).await.expect("it is open");
    let mut transport = running.next().await.transport;
    let last = vec![7; 4 << 20];
    let receiving = async {
        let (mut received, mut piece) = (Vec::new(), vec![0; 65_536]);
        loop {
            // So slowly that the kernel still holds a good part when the broker is done.
            tokio::time::sleep(Duration::from_millis(1)).await;
            match client.read(&mut piece).await.expect("the connection is not reset") {
                0 => break,
                length => received.extend_from_slice(&piece[..length]),
            }
        }
        drop(client);
        received
    };
    let shutting = async {
        transport.write_all(&last).await.expect("it is open");
        transport.shutdown().await.expect("both sides closed");
        drop(transport);
    };
    let (received, ()) = tokio::join!(receiving, shutting);
    assert!(received == last, "{} bytes of {}", received.len(), last.len());
}

#[tokio::test]
async fn localhost_is_both_families_on_one_port() {
    let running = start("listeners = ['mqtt://localhost:0']").await;
    let port = running.socket().rsplit(':').next().expect("a port").to_owned();
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let expected: &[String] = &[format!("mqtt://127.0.0.1:{port}"), format!("mqtt://[::1]:{port}")];
    assert_eq!(running.addresses, expected[..1 + usize::from(has_ipv6)]);
    TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("it listens over IPv4");
    if has_ipv6 {
        TcpStream::connect(format!("[::1]:{port}")).await.expect("it listens over IPv6");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = start(TCP).await;
    let taken: ListenerAddress = running.addresses[0].parse().expect("an address");
    let error = Listeners::bind(&[taken]).await.expect_err("it is in use").to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", running.addresses[0])), "{error}");
    assert!(error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn an_unknown_host_is_named() {
    // No label of a name is longer than 63, so that nobody has to be asked.
    let unknown = format!("mqtt://{}:0", "x".repeat(64));
    let address: ListenerAddress = unknown.parse().expect("a name");
    let error = Listeners::bind(&[address]).await.expect_err("there is no such name").to_string();
    assert!(error.starts_with(&format!("cannot listen on {unknown}: ")), "{error}");
}

#[tokio::test]
async fn stopping_closes_the_listeners_and_leaves_connections_open() {
    let mut running = start("listeners = ['mqtt://127.0.0.1:0', 'ws://127.0.0.1:0']").await;
    let mut client = TcpStream::connect(running.socket()).await.expect("it listens");
    let mut accepted = running.next().await;
    let websocket = running.addresses[1].trim_start_matches("ws://").trim_end_matches("/mqtt").to_owned();
    let mut unfinished = TcpStream::connect(websocket).await.expect("it listens");
    running.trigger.trigger();
    let socket = running.socket();
    tokio::time::timeout(PATIENCE, running.ended).await.expect("in time").expect("without a panic");

    let refused = TcpStream::connect(socket).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // Reset or ended, depending on whether it was accepted already: over it is.
    let _ = tokio::time::timeout(PATIENCE, unfinished.read(&mut [0])).await.expect("in time");
    accepted.transport.write_all(b"still").await.expect("it is open");
    client.read_exact(&mut [0; 5]).await.expect("it is open");
}
