//! Hears what a broker says to a client: a pipe of TCP between them that keeps the broker's packets.
//!
//! For clients that hand a message to their program twice: it shows whether the broker gave them a reason to.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Packet, Version, parse};

/// How long a broker that is being started may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pipe to a broker.
pub(super) struct Tap {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Packet>>>,
}

impl Tap {
    /// Leads to the broker of an address, started again or not.
    pub(super) fn to(broker: SocketAddr, version: Version) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener.local_addr().expect("it listens");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (server, keep) = (reach(broker), Arc::clone(&keep));
                let (to_client, to_server) = (twin(&client), twin(&server));
                thread::spawn(move || pass(client, to_server, |_| ()));
                thread::spawn(move || {
                    let mut unread = Vec::new();
                    pass(server, to_client, |bytes| listen(version, &mut unread, bytes, &keep));
                });
            }
        });
        Self { address, heard }
    }

    /// Where the client connects.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often each payload was sent at QoS 1 and 2. Sent again, it was in the exchange that had begun: with DUP, the same
    /// packet identifier, and no PUBREL before, which would have told that the PUBREC had been taken [MQTT-4.4.0-1].
    pub(super) fn times_sent(&self) -> HashMap<Vec<u8>, usize> {
        let mut unreleased = HashMap::new();
        let mut times: HashMap<Vec<u8>, usize> = HashMap::new();
        for packet in self.heard.lock().expect("nobody panics with it locked").iter() {
            match packet {
                Packet::Publish(publish) if publish.qos > 0 => {
                    let count = times.entry(publish.payload.clone()).or_default();
                    if *count > 0 {
                        let begun = unreleased.get(&publish.packet_id) == Some(&publish.payload);
                        assert!(publish.dup && begun, "sent again, and not in its exchange: {publish:?}");
                    }
                    *count += 1;
                    unreleased.insert(publish.packet_id, publish.payload.clone());
                }
                Packet::PubRel(ack) => drop(unreleased.remove(&ack.packet_id)),
                _ => {}
            }
        }
        times
    }
}

fn twin(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket has two ends")
}

/// Connects as soon as somebody listens there.
fn reach(broker: SocketAddr) -> TcpStream {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(broker) {
            Ok(stream) => return stream,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "no broker: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Passes bytes on until either side is gone; the other is, too, then, when everything that came has been heard.
fn pass(mut from: TcpStream, mut to: TcpStream, mut hear: impl FnMut(&[u8])) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        hear(&bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // One that is closed already is no worse.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Keeps the packets that are complete.
fn listen(version: Version, unread: &mut Vec<u8>, bytes: &[u8], heard: &Mutex<Vec<Packet>>) {
    unread.extend_from_slice(bytes);
    while let Some((packet, length)) = parse(version, unread).expect("the broker speaks MQTT") {
        unread.drain(..length);
        heard.lock().expect("nobody panics with it locked").push(packet);
    }
}
