//! The shell around a session machine: moves bytes in and effects out, and decides nothing about MQTT.
//!
//! - `handshake`: from the first byte to CONNACK;
//! - `running`: the loop of a connected client;
//! - `feed`: from the store's logs and the mailbox into the window;
//! - `group`: from the groups of shared subscriptions into the window;
//! - `farewell`: the last transaction, and the will.

mod farewell;
mod feed;
mod group;
mod handshake;
mod running;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::shutdown::Shutdown;

/// What a connection needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The broker.
    pub broker: Arc<Broker>,
    /// How long a client has from connecting to its CONNECT.
    pub connect_timeout: Duration,
    /// The broker shuts down.
    pub shutdown: Shutdown,
}

/// Serves one connection until it ends. Its time for CONNECT counts from `accepted_at`.
pub async fn serve<T>(transport: T, peer: SocketAddr, accepted_at: Instant, surroundings: Surroundings)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    // What only the beginning needs is not kept by the task for as long as the connection lasts.
    let connected = match Box::pin(handshake::shake_hands(transport, accepted_at, &surroundings)).await {
        Ok(connected) => connected,
        Err(refusal) => {
            tracing::info!(%peer, "connection refused: {refusal}");
            return;
        }
    };
    let client_id = connected.session.terms().client_id.clone();
    tracing::debug!(%peer, client_id = &*client_id, "connected");
    let reason = running::run(connected, surroundings).await;
    tracing::debug!(%peer, client_id = &*client_id, "disconnected: {reason:?}");
}
