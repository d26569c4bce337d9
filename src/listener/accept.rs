//! The accept loop of one listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::bind::Bound;
use super::handshake::{self, Refusal};
use super::transport::{TcpTransport, Transport};
use super::{Accepted, Rules};
use crate::config::Scheme;
use crate::shutdown::Shutdown;

/// The pause after the first failure to accept in a row; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Also how often a lasting failure is logged.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until `shutdown` is requested. WebSocket handshakes run beside, each in a task of its own, so that a slow
/// one holds up nobody; those that are not done at the end are dropped.
pub(super) async fn run<F>(bound: Bound, rules: Arc<Rules>, mut shutdown: Shutdown, on_accept: Arc<F>)
where
    F: Fn(Accepted) + Send + Sync + 'static,
{
    let mut handshakes = JoinSet::new();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => return,
            Some(done) = handshakes.join_next() => {
                if let Err(error) = done && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
                continue;
            }
            accepted = bound.socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                let listener = &*bound.name;
                warn!(listener, %error, "cannot accept connections for now; is the limit of open files reached?");
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = SHORTEST_PAUSE;
        let accepted_at = Instant::now();
        // MQTT's packets are small and somebody waits for each: holding one back for the next would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(listener = &*bound.name, %peer, %error, "the connection ended at once");
            continue;
        }
        let listener = bound.name.clone();
        match &bound.scheme {
            Scheme::Mqtt => {
                on_accept(Accepted {
                    transport: Transport::Tcp(TcpTransport::new(stream)),
                    peer,
                    listener,
                    accepted_at,
                });
            }
            Scheme::WebSocket { path } => {
                let (path, rules, on_accept) = (path.clone(), rules.clone(), on_accept.clone());
                handshakes.spawn(async move {
                    if let Some(transport) = websocket(stream, &path, &rules, peer, &listener).await {
                        on_accept(Accepted { transport, peer, listener, accepted_at });
                    }
                });
            }
        }
    }
}

/// Whether only the connection that was about to be accepted is concerned [accept(2)]: it is gone, the next may well
/// be there.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A WebSocket handshake within its time, its refusal logged.
async fn websocket(
    stream: TcpStream,
    path: &str,
    rules: &Rules,
    peer: SocketAddr,
    listener: &str,
) -> Option<Transport> {
    let handshake = handshake::accept(stream, path, &rules.allowed_origins, rules.max_message_bytes);
    match tokio::time::timeout(rules.handshake_timeout, handshake).await {
        Ok(Ok(transport)) => return Some(Transport::WebSocket(Box::new(transport))),
        Ok(Err(Refusal::Origin(origin))) => warn!(
            listener,
            %peer,
            origin,
            "refused a web page with 403: its origin is not among those of the setting websocket.allowed_origins"
        ),
        Ok(Err(refusal)) => debug!(listener, %peer, %refusal, "no WebSocket handshake"),
        Err(_) => debug!(listener, %peer, "no WebSocket handshake within limits.connect_timeout_seconds"),
    }
    None
}
