//! Who is let in, and what the others are told.

use super::*;

/// The headers of every handshake [RFC 6455, 1.3].
const HANDSHAKE: &str = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// [MQTT-6.0.0-3] [MQTT-6.0.0-4]
#[tokio::test]
async fn the_subprotocol_must_be_offered_and_is_selected() {
    let mut running = start(WEBSOCKET).await;
    for (offer, selected) in [("mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("mqttv3.1, mqtt", "mqtt")] {
        let (_, response) =
            running.open("/mqtt", &[("sec-websocket-protocol", offer)]).await.expect("it is let in");
        assert_eq!(response.headers()["sec-websocket-protocol"], selected, "{offer}");
        assert_eq!(*running.next().await.listener, *running.addresses[0]);
    }
    // As clients less tidy than ours write it.
    for offers in ["chat,mqtt ,x", "chat\r\nSec-WebSocket-Protocol: mqtt"] {
        let mut stream = TcpStream::connect(running.socket()).await.expect("it listens");
        let request = format!("GET /mqtt HTTP/1.1\r\n{HANDSHAKE}Sec-WebSocket-Protocol: {offers}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is open");
        running.next().await;
        let mut answer = vec![0; 1_000];
        let length = stream.read(&mut answer).await.expect("it is answered");
        let answer = String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase();
        assert!(answer.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{answer}");
    }
    assert_eq!(running.refused("/mqtt", &[]).await.0, 400);
    assert_eq!(running.refused("/mqtt", &[("sec-websocket-protocol", "mqttx, MQTT")]).await.0, 400);
}

#[tokio::test]
async fn the_path_must_be_the_configured_one() {
    let running = start("listeners = ['ws://127.0.0.1:0/broker']").await;
    let mqtt = ("sec-websocket-protocol", "mqtt");
    for path in ["/", "/mqtt", "/broker/", "/Broker"] {
        assert_eq!(running.refused(path, &[mqtt]).await.0, 404, "{path}");
    }
    for path in ["/broker", "/broker?token=1"] {
        running.open(path, &[mqtt]).await.expect(path);
    }
}

#[tokio::test]
async fn only_pages_of_this_machine_may_connect_by_default() {
    let running = start(WEBSOCKET).await;
    let mqtt = ("sec-websocket-protocol", "mqtt");
    for origin in ["null", "http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
        running.open("/mqtt", &[mqtt, ("origin", origin)]).await.expect(origin);
    }
    for origin in ["https://evil.example", "http://localhost.evil.example", "http://192.168.1.1", ""] {
        assert_eq!(running.refused("/mqtt", &[mqtt, ("origin", origin)]).await.0, 403, "{origin}");
    }
    let two = [mqtt, ("origin", "http://localhost"), ("origin", "https://evil.example")];
    assert_eq!(running.refused("/mqtt", &two).await.0, 403);
}

#[tokio::test]
async fn a_configured_list_of_origins_replaces_the_default() {
    let running =
        start(&format!("{WEBSOCKET}\n[websocket]\nallowed_origins = ['https://app.example']")).await;
    let mqtt = ("sec-websocket-protocol", "mqtt");
    running.open("/mqtt", &[mqtt, ("origin", "https://app.example")]).await.expect("it is in the list");
    running.open("/mqtt", &[mqtt]).await.expect("it is no browser");
    assert_eq!(running.refused("/mqtt", &[mqtt, ("origin", "http://localhost")]).await.0, 403);
    assert_eq!(running.refused("/mqtt", &[mqtt, ("origin", "null")]).await.0, 403);
}

#[tokio::test]
async fn a_refusal_says_why() {
    let running = start(WEBSOCKET).await;
    for (request, status, why) in [
        (format!("GET /x HTTP/1.1\r\n{HANDSHAKE}\r\n"), "404", "no WebSocket at \"/x\""),
        (
            format!("GET /mqtt HTTP/1.1\r\n{HANDSHAKE}Origin: https://evil.example\r\n\r\n"),
            "403",
            "\"https://evil.example\" is not in the broker's websocket.allowed_origins",
        ),
        (format!("GET /mqtt HTTP/1.1\r\n{HANDSHAKE}\r\n"), "400", "subprotocol `mqtt` must be offered"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426", "speaks MQTT over WebSocket"),
        ("POST /mqtt HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "405", "speaks MQTT over WebSocket"),
        // What a client sends that takes the port for MQTT over TCP.
        ("\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0".to_owned(), "400", "speaks MQTT over WebSocket"),
    ] {
        let answer = running.raw(&request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(head.to_ascii_lowercase().contains(&format!("content-length: {}", body.len())), "{answer}");
        assert!(body.contains(why), "{answer}");
    }
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let running = start(&format!("{WEBSOCKET}\n[limits]\nconnect_timeout_seconds = 1")).await;
    let began = Instant::now();
    let answer = running.raw("GET /mqtt HTTP/1.1\r\nHost: x\r\n").await;
    assert_eq!(answer, "");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}
