//! MQTT over WebSocket (chapter 6): handshake and frames byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use barnacle_wire::{ConnAck, Packet, Publish, Subscribe, Version, parse};

use crate::server::Server;

tests! {
    the_server_selects_mqtt: BOTH;
    a_client_that_does_not_offer_mqtt_gets_no_websocket: BOTH;
    packets_come_in_binary_frames: BOTH;
    a_text_frame_ends_the_connection: BOTH;
    frames_and_packets_have_nothing_to_do_with_each_other: BOTH;
    a_frame_in_fragments_is_one_frame: BOTH;
    what_is_malformed_is_malformed_in_a_frame_too: BOTH;
}

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// The frame is the last of its message.
const LAST: u8 = 0x80;

/// A connection and what came on it.
struct WebSocket {
    stream: TcpStream,
    version: Version,
    /// MQTT, taken out of binary frames.
    received: Vec<u8>,
}

/// Asks for a WebSocket with these subprotocols. Returns the connection and the head of the answer.
fn ask(server: &Server, subprotocols: Option<&str>) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.websocket).expect("the server listens");
    stream.set_read_timeout(Some(server.patience)).expect("a socket takes the option");
    let offered =
        subprotocols.map(|names| format!("Sec-WebSocket-Protocol: {names}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        answer.extend(byte);
    }
    (stream, String::from_utf8(answer).expect("the head of an answer is text").to_ascii_lowercase())
}

impl WebSocket {
    fn open(server: &Server) -> Self {
        let (stream, answer) = ask(server, Some("mqtt"));
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        Self { stream, version: server.version, received: Vec::new() }
    }

    /// A connection that was let in.
    fn connected(server: &Server, client_id: &str) -> Self {
        let mut socket = Self::open(server);
        socket.send(LAST | BINARY, &server.hello(client_id).encode());
        assert!(matches!(socket.packet(), Packet::ConnAck(ConnAck { reason: 0, .. })));
        socket
    }

    /// Sends a frame, masked as a client's has to be. A server that has closed is met when reading.
    fn send(&mut self, first: u8, payload: &[u8]) {
        const MASK: [u8; 4] = [0x12, 0x00, 0xff, 0x9a];
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).expect("these frames are short").to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let _ = self.stream.write_all(&frame);
    }

    /// The next frame: opcode and payload; `None` at the end of the connection.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                ) =>
            {
                return None;
            }
            Err(error) => panic!("no frame: {error}"),
        }
        let [first, length] = head;
        assert_eq!(first & 0xf0, LAST, "a frame of its own, without extensions");
        let length = match length {
            0..=125 => usize::from(length),
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).expect("the length comes");
                u16::from_be_bytes(length).into()
            }
            _ => panic!("a frame of length {length:#x}"),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("the payload comes");
        Some((first & 0x0f, payload))
    }

    /// The next packet; all frames on the way have to be binary.
    fn packet(&mut self) -> Packet {
        loop {
            if let Some((packet, length)) =
                parse(self.version, &self.received).expect("packets are well-formed")
            {
                self.received.drain(..length);
                return packet;
            }
            let (opcode, payload) = self.frame().expect("a frame comes");
            assert_eq!(opcode, BINARY, "packets come in binary frames");
            self.received.extend(payload);
        }
    }

    /// Sees that the connection is closed. Returns the packets that came before.
    fn end(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some((opcode, payload)) = self.frame() {
            assert!([BINARY, CLOSE].contains(&opcode), "a frame of type {opcode}");
            if opcode == BINARY {
                self.received.extend(payload);
            }
        }
        while let Some((packet, length)) =
            parse(self.version, &self.received).expect("packets are well-formed")
        {
            self.received.drain(..length);
            packets.push(packet);
        }
        packets
    }

    /// Sees that the connection is one to a broker.
    fn works(&mut self) {
        self.send(LAST | BINARY, &Subscribe::new(1, "framed", 0).encode(self.version));
        assert!(matches!(self.packet(), Packet::SubAck(suback) if suback.reasons == [0]));
        let message = Publish::new("framed", "v");
        self.send(LAST | BINARY, &message.encode(self.version));
        assert_eq!(self.packet(), Packet::Publish(message));
    }
}

/// The subprotocol that the server selects is `mqtt`, also where a client offers others beside it; then MQTT goes over it.
/// [MQTT5 6.0.0-4] [MQTT311 6.0.0-4]
fn the_server_selects_mqtt(server: &Server) {
    for offered in ["mqtt", "other, mqtt", "mqtt, mqttv3.1"] {
        let (_, answer) = ask(server, Some(offered));
        assert!(answer.starts_with("http/1.1 101 "), "{offered}: {answer}");
        assert!(answer.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{offered}: {answer}");
    }
    WebSocket::connected(server, "framed").works();
}

/// A client offers `mqtt`. One that does not gets no WebSocket, rather than one that speaks something else than it expects.
/// [MQTT5 6.0.0-3] [MQTT311 6.0.0-3]
fn a_client_that_does_not_offer_mqtt_gets_no_websocket(server: &Server) {
    for offered in [None, Some("chat"), Some("mqttv5"), Some("MQTT5, soap")] {
        let (_, answer) = ask(server, offered);
        assert!(answer.starts_with("http/1.1 400 "), "{offered:?}: {answer}");
    }
    WebSocket::connected(server, "framed").works();
}

/// What the server sends comes in binary frames, CONNACK and messages alike; a PING of the WebSocket is answered with PONG,
/// and is no packet.
/// [MQTT5 6.0.0-1] [MQTT311 6.0.0-1]
fn packets_come_in_binary_frames(server: &Server) {
    let mut socket = WebSocket::connected(server, "framed");
    socket.works();
    socket.send(LAST | PING, b"still there?");
    assert_eq!(socket.frame(), Some((PONG, b"still there?".to_vec())));
    socket.send(LAST | BINARY, &[0xc0, 0]);
    assert_eq!(socket.packet(), Packet::PingResp);
    socket.works();
}

/// A text frame is none that MQTT comes in: the connection is closed, though its bytes are a packet, or nothing at all.
/// Before CONNECT as well as after it.
/// [MQTT5 6.0.0-1] [MQTT311 6.0.0-1]
fn a_text_frame_ends_the_connection(server: &Server) {
    for text in [&[0x40, 2, 0, 9][..], b"", b"\x0c\0"] {
        let mut socket = WebSocket::connected(server, "texting");
        socket.works();
        socket.send(LAST | TEXT, text);
        socket.end();
    }
    let mut socket = WebSocket::open(server);
    socket.send(LAST | TEXT, b"\x10");
    assert_eq!(socket.end(), []);
}

/// A frame may hold several packets, a part of one, or nothing: they are read as if there were no frames.
/// [MQTT5 6.0.0-2] [MQTT311 6.0.0-2]
fn frames_and_packets_have_nothing_to_do_with_each_other(server: &Server) {
    let version = server.version;
    let mut bytes = server.hello("in pieces").encode();
    bytes.extend(Subscribe::new(1, "pieces", 0).encode(version));
    bytes.extend(Publish::new("pieces", "joined").encode(version));
    for size in [1, 2, 5, bytes.len()] {
        let mut socket = WebSocket::open(server);
        for piece in bytes.chunks(size) {
            socket.send(LAST | BINARY, piece);
            socket.send(LAST | BINARY, &[]);
        }
        assert!(matches!(socket.packet(), Packet::ConnAck(ConnAck { reason: 0, .. })));
        assert!(matches!(socket.packet(), Packet::SubAck(suback) if suback.reasons == [0]));
        assert_eq!(socket.packet(), Packet::Publish(Publish::new("pieces", "joined")));
    }
}

/// A message of WebSocket may come in fragments, with a PING between them: together they are one binary frame.
/// [MQTT5 6.0.0-1, 6.0.0-2] [MQTT311 6.0.0-1, 6.0.0-2]
fn a_frame_in_fragments_is_one_frame(server: &Server) {
    let connect = server.hello("in fragments").encode();
    let (first, rest) = connect.split_at(connect.len() / 3);
    let (second, last) = rest.split_at(rest.len() / 2);
    let mut socket = WebSocket::open(server);
    socket.send(BINARY, first);
    socket.send(LAST | PING, b"between");
    socket.send(0, second);
    socket.send(LAST, last);
    assert_eq!(socket.frame(), Some((PONG, b"between".to_vec())));
    assert!(matches!(socket.packet(), Packet::ConnAck(ConnAck { reason: 0, .. })));
    socket.works();
}

/// What is malformed or misused is so in a frame too, and is answered as without one.
/// [MQTT5 4.13.1-1, 6.0.0-1] [MQTT311 4.8.0-1, 6.0.0-1]
fn what_is_malformed_is_malformed_in_a_frame_too(server: &Server) {
    for (bytes, reason) in
        [(&[0x00, 0][..], 0x81), (&[0xd0, 0], 0x82), (&[0x30, 0xff, 0xff, 0xff, 0xff], 0x81)]
    {
        let mut socket = WebSocket::connected(server, "violent");
        socket.works();
        socket.send(LAST | BINARY, bytes);
        match (server.version, &socket.end()[..]) {
            (Version::V5, [Packet::Disconnect(disconnect)]) => assert_eq!(disconnect.reason, reason),
            (Version::V311, []) => {}
            other => panic!("{bytes:02x?}: {other:?}"),
        }
    }
}
