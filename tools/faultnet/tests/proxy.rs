//! Each fault as both ends of a connection see it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use barnacle_faultnet::{Choice, Fault, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Nothing here takes that long; a test that hangs is to fail.
const GUARD: Duration = Duration::from_secs(60);

/// A server's listener with a proxy before it.
struct Lab {
    listener: TcpListener,
    proxy: Proxy,
}

impl Lab {
    async fn new(choice: Choice) -> Lab {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy::start(listener.local_addr().expect("bound"), choice).await.expect("a port");
        Lab { listener, proxy }
    }

    /// Both ends of a new connection that has passed a byte.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let mut client = TcpStream::connect(self.proxy.address()).await.expect("connected");
        let (mut server, _) = self.listener.accept().await.expect("accepted");
        client.write_all(b"a").await.expect("sent");
        assert_eq!(server.read_u8().await.expect("received"), b'a');
        (client, server)
    }
}

async fn guarded<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, what).await.expect("it hangs")
}

/// What an end hears: the bytes until its end, or the error.
async fn rest(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    guarded(stream.read_to_end(&mut bytes)).await.map(|_| bytes)
}

/// Whether an end hears nothing for a while: no byte, no end, no error.
async fn silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn without_a_fault_bytes_and_ends_pass_both_ways() {
    let lab = Lab::new(Choice::ALL).await;
    let (mut client, mut server) = lab.connect().await;
    let long: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let sent = long.clone();
    let writer = tokio::spawn(async move {
        client.write_all(&sent).await.expect("sent");
        client.shutdown().await.expect("ended");
        client
    });
    assert!(rest(&mut server).await.expect("received") == long);
    let mut client = writer.await.expect("sent");
    server.write_all(b"answer").await.expect("sent");
    drop(server);
    assert_eq!(rest(&mut client).await.expect("received"), b"answer");
    let counts = lab.proxy.counts();
    assert_eq!((counts.connections, counts.bytes_to_server, counts.bytes_to_client), (1, 1_000_001, 6));
}

#[tokio::test]
async fn an_end_that_is_reset_resets_the_other() {
    let lab = Lab::new(Choice::ALL).await;
    let (client, mut server) = lab.connect().await;
    client.set_zero_linger().expect("set");
    drop(client);
    assert_eq!(rest(&mut server).await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(lab.proxy.counts().resets, 0, "it was none of ours");
}

#[tokio::test]
async fn a_cut_closes_both_ends() {
    let lab = Lab::new(Choice::ALL).await;
    let (mut client, mut server) = lab.connect().await;
    assert_eq!(lab.proxy.strike(Fault::Cut), 1);
    assert!(rest(&mut client).await.expect("in order").is_empty());
    assert!(rest(&mut server).await.expect("in order").is_empty());
    assert_eq!(lab.proxy.counts().cuts, 1);
    lab.connect().await;
}

#[tokio::test]
async fn one_end_is_gone_and_the_other_does_not_know() {
    for (fault, client_is_gone) in [(Fault::ClientGone, true), (Fault::ServerGone, false)] {
        let lab = Lab::new(Choice::ALL).await;
        let (client, server) = lab.connect().await;
        lab.proxy.strike(fault);
        let (mut gone, mut waiting) = if client_is_gone { (client, server) } else { (server, client) };
        assert!(rest(&mut gone).await.expect("in order").is_empty());
        waiting.write_all(b"is anybody there").await.expect("it may try");
        assert!(silent(&mut waiting).await, "{fault:?}");
        assert_eq!(lab.proxy.counts().half_open, 1);
        // A new one is not in its way, and the end of the fault ends it.
        lab.connect().await;
        lab.proxy.set(Fault::None);
        assert!(rest(&mut waiting).await.is_err(), "it had sent something that nobody took");
    }
}

#[tokio::test]
async fn a_stalled_connection_stays_and_so_do_its_bytes() {
    let lab = Lab::new(Choice::ALL).await;
    let (mut client, mut server) = lab.connect().await;
    lab.proxy.set(Fault::Stall);
    client.write_all(b"to server").await.expect("taken");
    server.write_all(b"to client").await.expect("taken");
    assert!(silent(&mut client).await && silent(&mut server).await);
    let mut late = TcpStream::connect(lab.proxy.address()).await.expect("connected");
    late.write_all(b"late").await.expect("taken");
    let (mut late_server, _) = guarded(lab.listener.accept()).await.expect("accepted");
    assert!(silent(&mut late_server).await, "newcomers are stalled too");
    lab.proxy.set(Fault::None);
    let mut text = [0; 9];
    guarded(server.read_exact(&mut text)).await.expect("received");
    assert_eq!(&text, b"to server");
    guarded(client.read_exact(&mut text)).await.expect("received");
    assert_eq!(&text, b"to client");
    drop(late);
    assert_eq!(rest(&mut late_server).await.expect("received"), b"late");
    assert_eq!(lab.proxy.counts().stalls, 2);
}

#[tokio::test]
async fn a_reset_comes_after_the_bytes_that_the_seed_says() {
    let mut lengths = Vec::new();
    for seed in [1, 1, 2, 3, 4] {
        let lab = Lab::new(Choice { seed, percent: 100 }).await;
        let (mut client, mut server) = lab.connect().await;
        lab.proxy.strike(Fault::Reset { within: 10_000 });
        let writer = tokio::spawn(async move {
            let _ = client.write_all(&[7; 20_000]).await;
            rest(&mut client).await.expect_err("reset").kind()
        });
        let error = rest(&mut server).await.expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.await.expect("ended"), ErrorKind::ConnectionReset);
        let counts = lab.proxy.counts();
        assert_eq!(counts.resets, 1);
        assert!(counts.bytes_to_server <= 10_000, "{counts:?}");
        lengths.push(counts.bytes_to_server);
    }
    assert_eq!(lengths[0], lengths[1], "the same seed");
    lengths.dedup();
    assert!(lengths.len() > 2, "{lengths:?}");
}

#[tokio::test]
async fn delay_and_bandwidth_slow_what_passes_and_lose_nothing() {
    let lab = Lab::new(Choice::ALL).await;
    let (mut client, mut server) = lab.connect().await;
    lab.proxy.set(Fault::Delay(Duration::from_millis(100)));
    let began = Instant::now();
    client.write_u8(b'b').await.expect("sent");
    assert_eq!(guarded(server.read_u8()).await.expect("received"), b'b');
    assert!(began.elapsed() >= Duration::from_millis(100));
    lab.proxy.set(Fault::Bandwidth { bytes_per_second: 20 });
    let began = Instant::now();
    client.write_all(b"abcdefgh").await.expect("sent");
    let mut text = [0; 8];
    guarded(server.read_exact(&mut text)).await.expect("received");
    assert_eq!(&text, b"abcdefgh");
    assert!(began.elapsed() >= Duration::from_millis(8 * 50), "{:?}", began.elapsed());
    assert_eq!(lab.proxy.counts().slowed, 2);
    lab.proxy.set(Fault::Bandwidth { bytes_per_second: 1 });
    client.write_all(&[b'x'; 500]).await.expect("sent");
    assert_eq!(guarded(server.read_u8()).await.expect("received"), b'x');
    // What crawls is freed by the end of the fault.
    lab.proxy.set(Fault::None);
    let mut text = [0; 499];
    guarded(server.read_exact(&mut text)).await.expect("received");
}

#[tokio::test]
async fn the_seed_chooses_the_connections_that_are_hit() {
    let hit = async |seed| {
        let lab = Lab::new(Choice { seed, percent: 50 }).await;
        let mut ends = Vec::new();
        for _ in 0..20 {
            ends.push(lab.connect().await);
        }
        let count = lab.proxy.strike(Fault::Cut);
        let mut hit = Vec::new();
        for (number, (client, _server)) in ends.iter_mut().enumerate() {
            if !silent(client).await {
                hit.push(number);
            }
        }
        assert_eq!(hit.len(), count);
        hit
    };
    let (once, again, other) = tokio::join!(hit(1), hit(1), hit(2));
    assert_eq!(once, again);
    assert_ne!(once, other);
    assert!((1..20).contains(&once.len()), "{once:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_seen_as_such() {
    let lab = Lab::new(Choice::ALL).await;
    drop(lab.listener);
    let mut client = TcpStream::connect(lab.proxy.address()).await.expect("connected");
    assert_eq!(rest(&mut client).await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(lab.proxy.counts().refused, 1);
}

#[tokio::test]
async fn the_end_of_the_proxy_closes_what_is_open() {
    let lab = Lab::new(Choice::ALL).await;
    let (mut client, mut server) = lab.connect().await;
    let Lab { listener: _listener, proxy } = lab;
    drop(proxy);
    assert!(rest(&mut client).await.expect("in order").is_empty());
    assert!(rest(&mut server).await.expect("in order").is_empty());
}
