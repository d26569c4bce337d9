//! A WebSocket as a stream of bytes, and its end.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

fn masked_frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Message {
    let header = FrameHeader { is_final, opcode, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
    Message::Frame(Frame::from_payload(header, Bytes::copy_from_slice(payload)))
}

/// The code of the Close that the client gets, passing over what comes before; the client then closes its side.
async fn closed_with(mut client: WebSocketStream<TcpStream>) -> CloseCode {
    let close = async {
        let mut code = None;
        while let Some(Ok(message)) = client.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code);
            }
        }
        code.expect("there is a Close with a code")
    };
    tokio::time::timeout(PATIENCE, close).await.expect("in time")
}

/// [MQTT-6.0.0-2]
#[tokio::test]
async fn messages_are_one_stream_of_bytes() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, mut client) = running.websocket().await;
    let sent = pattern(1_000);
    let binary = |range: std::ops::Range<usize>| Message::Binary(Bytes::copy_from_slice(&sent[range]));
    client.send(binary(0..1)).await.expect("it is open");
    client.send(binary(1..1)).await.expect("an empty message is none of the stream");
    client.send(binary(1..400)).await.expect("it is open");
    client.send(Message::Ping(Bytes::from_static(b"there?"))).await.expect("it is open");
    for (opcode, is_final, range) in [
        (Data::Binary, false, 400..500),
        (Data::Continue, false, 500..500),
        (Data::Continue, true, 500..1_000),
    ] {
        let frame = masked_frame(OpCode::Data(opcode), is_final, &sent[range]);
        client.send(frame).await.expect("it is open");
    }

    // Read in pieces that fit no message.
    let mut received = Vec::new();
    for length in [1, 7, 500, 492] {
        let mut piece = vec![0; length];
        transport.read_exact(&mut piece).await.expect("it was sent");
        received.extend(piece);
    }
    assert_eq!(received, sent);
    assert!(matches!(client.next().await, Some(Ok(Message::Pong(payload))) if payload == "there?"));
}

#[tokio::test]
async fn writes_travel_as_binary_messages() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, mut client) = running.websocket().await;
    transport.write_all(b"one").await.expect("it is open");
    let slices = [std::io::IoSlice::new(b"t"), std::io::IoSlice::new(b""), std::io::IoSlice::new(b"wo")];
    assert_eq!(transport.write_vectored(&slices).await.expect("it is open"), 3);
    assert_eq!(transport.write(b"").await.expect("it is open"), 0);
    transport.flush().await.expect("it is open");
    for expected in ["one", "two"] {
        match client.next().await {
            Some(Ok(Message::Binary(bytes))) => assert_eq!(bytes, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn much_goes_both_ways_at_once_against_slow_readers() {
    let mut running = start(WEBSOCKET).await;
    let (transport, client) = running.websocket().await;
    let bytes = pattern(8 << 20);
    let (mut outgoing, mut incoming) = client.split();
    let (mut reader, mut writer) = tokio::io::split(transport);

    let (sent, to_send) = (bytes.clone(), bytes.clone());
    let upload = tokio::spawn(async move {
        for piece in to_send.chunks(1_000_000) {
            outgoing.send(Message::Binary(Bytes::copy_from_slice(piece))).await.expect("it is open");
        }
        outgoing
    });
    let download = tokio::spawn(async move {
        writer.write_all(&sent).await.expect("it is open");
        writer.flush().await.expect("it is open");
        writer
    });
    // Until both wait for a reader.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let to_client = async {
        let mut received = Vec::new();
        while received.len() < bytes.len() {
            match incoming.next().await {
                Some(Ok(Message::Binary(piece))) => {
                    assert!(piece.len() <= 64 * 1024);
                    received.extend_from_slice(&piece);
                }
                other => panic!("{other:?}"),
            }
        }
        received
    };
    let mut at_broker = vec![0; bytes.len()];
    let (at_client, read) = tokio::join!(to_client, reader.read_exact(&mut at_broker));
    read.expect("it was sent");
    assert!(at_client == bytes && at_broker == bytes);
    drop(upload.await.expect("it was sent"));
    download.await.expect("it was sent");
}

/// [MQTT-6.0.0-1]
#[tokio::test]
async fn a_text_message_closes_with_1003() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, mut client) = running.websocket().await;
    client.send(Message::Binary(Bytes::from_static(b"before"))).await.expect("it is open");
    client.send(Message::text("text")).await.expect("it is open");
    client.send(Message::Binary(Bytes::from_static(b"after"))).await.expect("it is open");
    let mut received = Vec::new();
    let error = transport.read_to_end(&mut received).await.expect_err("text is refused");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(received, b"before");
    assert_eq!(transport.read(&mut [0; 8]).await.expect("the end"), 0, "nothing after it is read");
    let error = transport.write(b"x").await.expect_err("it is closing");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let (code, shutdown) = tokio::join!(closed_with(client), transport.shutdown());
    shutdown.expect("both sides closed");
    assert_eq!(code, CloseCode::Unsupported);
}

#[tokio::test]
async fn what_breaks_the_rules_of_websocket_is_closed_with_its_code() {
    let unmasked = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
    let unmasked = Frame::from_payload(unmasked, Bytes::from_static(b"x"));
    let mut unmasked_bytes = Vec::new();
    unmasked.format(&mut unmasked_bytes).expect("it is small");
    for (frame, code) in [
        (unmasked_bytes, CloseCode::Protocol),
        // A text of one byte that is not UTF-8, masked with zeros.
        (vec![0x81, 0x81, 0, 0, 0, 0, 0xff], CloseCode::Invalid),
        // A message that says it has 2^62 bytes.
        (vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], CloseCode::Size),
    ] {
        let mut running = start(WEBSOCKET).await;
        let (mut transport, mut client) = running.websocket().await;
        client.get_mut().write_all(&frame).await.expect("it is open");
        let error = transport.read(&mut [0; 8]).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        let (closed, shutdown) = tokio::join!(closed_with(client), transport.shutdown());
        shutdown.expect("both sides closed");
        assert_eq!(closed, code);
    }
}

#[tokio::test]
async fn a_message_may_hold_two_of_the_largest_packets_and_no_more() {
    let mut running = start(&format!("{WEBSOCKET}\n[limits]\nmax_packet_size_bytes = 100000")).await;
    let (mut transport, mut client) = running.websocket().await;
    client.send(Message::Binary(pattern(200_000).into())).await.expect("it is open");
    let mut received = vec![0; 200_000];
    transport.read_exact(&mut received).await.expect("it is taken");
    assert!(received == pattern(200_000));
    // In two frames: the bound is that of the message.
    let first = masked_frame(OpCode::Data(Data::Binary), false, &pattern(100_000));
    client.send(first).await.expect("it is open");
    let second = masked_frame(OpCode::Data(Data::Continue), true, &pattern(100_001));
    client.send(second).await.expect("it is open");
    let error = transport.read(&mut [0; 8]).await.expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let (code, _) = tokio::join!(closed_with(client), transport.shutdown());
    assert_eq!(code, CloseCode::Size);
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_and_is_the_end() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, mut client) = running.websocket().await;
    client.send(Message::Binary(Bytes::from_static(b"last"))).await.expect("it is open");
    client.close(None).await.expect("it is open");
    let mut received = Vec::new();
    transport.read_to_end(&mut received).await.expect("the end is no error");
    assert_eq!(received, b"last");
    let answered = async {
        let answer = client.next().await;
        assert!(matches!(answer, Some(Ok(Message::Close(None)))), "{answer:?}");
        assert!(client.next().await.is_none(), "the handshake of the close is complete");
        drop(client);
    };
    let ((), shutdown) = tokio::join!(answered, transport.shutdown());
    shutdown.expect("both sides closed");
}

#[tokio::test]
async fn a_connection_that_just_ends_is_the_end() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, client) = running.websocket().await;
    drop(client);
    assert_eq!(transport.read(&mut [0; 8]).await.expect("the end is no error"), 0);
    transport.shutdown().await.expect("nobody is there to mind");
}

#[tokio::test]
async fn the_last_bytes_arrive_though_the_client_was_still_sending() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, mut client) = running.websocket().await;
    // Never read by the broker: closed with unread bytes, TCP resets, and drops what waits to be sent.
    client.send(Message::Binary(pattern(100_000).into())).await.expect("it is open");
    let last = pattern(4 << 20);
    let receiving = async {
        let mut received = Vec::new();
        loop {
            // So slowly that the kernel still holds a good part when the broker is done.
            tokio::time::sleep(Duration::from_millis(1)).await;
            match client.next().await {
                Some(Ok(Message::Binary(bytes))) => received.extend_from_slice(&bytes),
                Some(Ok(Message::Close(Some(frame)))) => {
                    closed_normally(client, frame.code).await;
                    return received;
                }
                other => panic!("{} bytes, then {other:?}", received.len()),
            }
        }
    };
    let shutting = async {
        transport.write_all(&last).await.expect("it is open");
        transport.shutdown().await.expect("both sides closed");
        drop(transport);
    };
    let (received, ()) = tokio::join!(receiving, shutting);
    assert!(received == last, "{} bytes of {}", received.len(), last.len());
}

/// Ends the client's side of a Close.
async fn closed_normally(mut client: WebSocketStream<TcpStream>, code: CloseCode) {
    assert_eq!(code, CloseCode::Normal);
    assert!(client.next().await.is_none(), "nothing comes after Close");
}

#[tokio::test]
async fn a_client_that_ignores_the_close_is_given_up() {
    let mut running = start(WEBSOCKET).await;
    let (mut transport, client) = running.websocket().await;
    let began = Instant::now();
    let shutdown = tokio::time::timeout(PATIENCE, transport.shutdown()).await;
    shutdown.expect("in time").expect("it is no error");
    assert!(began.elapsed() >= Duration::from_millis(1_900), "{:?}", began.elapsed());
    drop(client);
}
