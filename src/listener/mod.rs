//! Where connections come from: TCP and WebSocket listeners.
//!
//! Binds, accepts, does the WebSocket handshake, and hands over each connection as an [`Accepted`], a stream of
//! bytes whatever it came in. Knows nothing of MQTT beyond the name of its WebSocket subprotocol, keeps no
//! connection, and never stops for an error that one connection or a shortage of descriptors causes.

mod accept;
mod bind;
mod handshake;
mod linger;
mod transport;
mod websocket;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

pub use bind::BindError;
pub use transport::{TcpTransport, Transport};
pub use websocket::WebSocketTransport;

use crate::config::{AllowedOrigins, Config, ListenerAddress};
use crate::shutdown::Shutdown;

/// A connection that was accepted, its WebSocket handshake done if it has one; no byte of MQTT is read yet.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes, both ways.
    pub transport: Transport,
    /// Who connected.
    pub peer: SocketAddr,
    /// The address it came in by, as a client would write it: `ws://127.0.0.1:8083/mqtt`.
    pub listener: Arc<str>,
    /// When the connection was accepted, before its WebSocket handshake: the time for CONNECT counts from here.
    pub accepted_at: Instant,
}

/// What the listeners ask of a connection.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a WebSocket handshake may take.
    handshake_timeout: Duration,
    /// The web pages that may connect.
    allowed_origins: AllowedOrigins,
    /// The largest WebSocket message that is taken, in bytes.
    max_message_bytes: usize,
}

impl Rules {
    /// The rules that a configuration gives.
    pub fn from_config(config: &Config) -> Self {
        let max_packet_size_bytes = config.limits().max_packet_size_bytes as usize;
        Self {
            handshake_timeout: config.limits().connect_timeout,
            allowed_origins: config.websocket().allowed_origins.clone(),
            max_message_bytes: websocket::max_message_bytes(max_packet_size_bytes),
        }
    }
}

/// Listeners that are bound: clients can connect, and wait until [`Listeners::accept`] takes them.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<bind::Bound>,
}

impl Listeners {
    /// Binds every address. `localhost` becomes 127.0.0.1 and, where there is IPv6, ::1.
    ///
    /// # Errors
    ///
    /// The first address that cannot be listened on; nothing stays bound then.
    pub async fn bind(addresses: &[ListenerAddress]) -> Result<Self, BindError> {
        let mut bound = Vec::new();
        for address in addresses {
            bound.extend(bind::bind(address).await?);
        }
        Ok(Self { bound })
    }

    /// What clients connect to, a URL for each bound address; the port that the operating system chose stands in
    /// place of port 0.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.bound.iter().map(|bound| &*bound.name)
    }

    /// Accepts connections until `shutdown` is requested, and gives each to `on_accept`, which must not block: it
    /// spawns a task. Returns with the listeners closed and unfinished handshakes dropped; what was handed over
    /// stays open.
    pub async fn accept<F>(self, rules: Rules, shutdown: Shutdown, on_accept: F)
    where
        F: Fn(Accepted) + Send + Sync + 'static,
    {
        let (rules, on_accept) = (Arc::new(rules), Arc::new(on_accept));
        let mut loops = JoinSet::new();
        for bound in self.bound {
            loops.spawn(accept::run(bound, rules.clone(), shutdown.clone(), on_accept.clone()));
        }
        // A loop ends for `shutdown` only, or by a panic, which goes on here.
        loops.join_all().await;
    }
}
