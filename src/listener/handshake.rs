//! The opening of a WebSocket [RFC 6455, 4.2], and who is let in.
//!
//! A request must ask for the right path (else 404), come from an allowed web page if it comes from one (else 403),
//! and offer the subprotocol `mqtt` [MQTT-6.0.0-3], which is then selected [MQTT-6.0.0-4] (else 400). What is no
//! WebSocket request at all gets an answer too: a browser pointed at the port should say more than "reset".

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::websocket::{WebSocketTransport, socket_config};
use crate::config::AllowedOrigins;

/// Subprotocols that are selected, the best first. `mqttv3.1` is what clients offered before MQTT 3.1.1 gave it its
/// name; some still do.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why there is no WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The path is not the configured one.
    Path(String),
    /// The web page may not connect.
    Origin(String),
    /// No subprotocol of ours is offered.
    Subprotocol,
    /// The request is none for a WebSocket, or the connection ended before it was complete.
    Request(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(formatter, "there is no WebSocket at {path:?}"),
            Self::Origin(origin) => {
                write!(formatter, "the origin {origin:?} is not in the broker's websocket.allowed_origins")
            }
            Self::Subprotocol => {
                write!(formatter, "the WebSocket subprotocol `mqtt` must be offered (Sec-WebSocket-Protocol)")
            }
            Self::Request(reason) => write!(formatter, "this port speaks MQTT over WebSocket: {reason}"),
        }
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Path(_) => StatusCode::NOT_FOUND,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Subprotocol | Self::Request(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Answers the request on `stream`. The caller bounds the time.
pub(super) async fn accept<S>(
    mut stream: S,
    path: &str,
    allowed_origins: &AllowedOrigins,
    max_message_bytes: usize,
) -> Result<WebSocketTransport<S>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = socket_config(max_message_bytes);
    let mut refusal = None;
    // The library's own signature.
    #[allow(clippy::result_large_err)]
    let answer = |request: &Request, response: Response| {
        check(request, path, allowed_origins).map(|subprotocol| select(subprotocol, response)).map_err(
            |reason| {
                let response = refuse(&reason);
                refusal = Some(reason);
                response
            },
        )
    };
    // The handshake borrows the stream, so that what it cannot answer is answered below. Nothing is read past the
    // request: a client that sends more before the answer is refused.
    let outcome = accept_hdr_async_with_config(&mut stream, answer, Some(config)).await.map(drop);
    match (outcome, refusal) {
        (Ok(()), _) => Ok(WebSocketTransport::new(stream, config).await),
        (Err(_), Some(refusal)) => Err(refusal),
        (Err(error), None) => {
            let refusal = Refusal::Request(error.to_string());
            answer_what_is_no_request(&mut stream, &error, &refusal).await;
            Err(refusal)
        }
    }
}

/// The subprotocol to select, or why there is none.
fn check(request: &Request, path: &str, allowed_origins: &AllowedOrigins) -> Result<&'static str, Refusal> {
    if request.uri().path() != path {
        return Err(Refusal::Path(request.uri().path().to_owned()));
    }
    for origin in request.headers().get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| allowed_origins.allows(origin)) {
            return Err(Refusal::Origin(String::from_utf8_lossy(origin.as_bytes()).into_owned()));
        }
    }
    let offers = |wanted: &&&str| offered(request.headers()).any(|offered| offered == **wanted);
    SUBPROTOCOLS.iter().find(offers).copied().ok_or(Refusal::Subprotocol)
}

/// The subprotocols that the client offers; a header may come more than once [RFC 6455, 11.3.4].
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

fn select(subprotocol: &'static str, mut response: Response) -> Response {
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    response
}

fn refuse(refusal: &Refusal) -> ErrorResponse {
    let body = format!("{refusal}\n");
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    *response.body_mut() = Some(body);
    response
}

/// The library drops the connection without a word when the request is no WebSocket handshake: say what is missing.
async fn answer_what_is_no_request<S>(stream: &mut S, error: &WebSocketError, refusal: &Refusal)
where
    S: AsyncWrite + Unpin,
{
    let (status, more) = match error {
        // There is nobody to answer.
        WebSocketError::Io(_) | WebSocketError::Protocol(ProtocolError::HandshakeIncomplete) => return,
        WebSocketError::Protocol(ProtocolError::WrongHttpMethod) => {
            ("405 Method Not Allowed", "Allow: GET\r\n")
        }
        WebSocketError::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => ("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        _ => ("400 Bad Request", ""),
    };
    let body = format!("{refusal}\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    // The connection is given up either way.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
