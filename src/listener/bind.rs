//! From the address that the operator wrote to sockets that listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tracing::debug;

use crate::config::{Host, ListenerAddress, Scheme};

/// Connections that the operating system holds until they are accepted. After a restart every client comes at once;
/// Linux cuts this down to `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 4_096;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: TcpListener,
    pub(super) scheme: Scheme,
    /// What a client connects to: `mqtt://127.0.0.1:1883`.
    pub(super) name: Arc<str>,
}

/// An address cannot be listened on: it is the operator's to choose another, or to stop who has it.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {name}: {source}{}", hint(source))]
pub struct BindError {
    name: String,
    source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; is another broker running? --listen chooses other addresses",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    }
}

/// Binds one address; several sockets come of a name with several addresses.
pub(super) async fn bind(address: &ListenerAddress) -> Result<Vec<Bound>, BindError> {
    let listen = |ip: IpAddr, port: u16| {
        let socket = SocketAddr::new(ip, port);
        bind_socket(socket, &address.scheme)
            .map_err(|source| BindError { name: name(socket, &address.scheme), source })
    };
    match &address.host {
        Host::Address(ip) => Ok(vec![listen(*ip, address.port)?]),
        Host::Localhost => {
            let over_ipv4 = listen(Ipv4Addr::LOCALHOST.into(), address.port)?;
            // Both have one port, or a client that is told "localhost" finds the broker by luck.
            let port = over_ipv4.socket.local_addr().map_or(address.port, |address| address.port());
            let mut bound = vec![over_ipv4];
            match listen(Ipv6Addr::LOCALHOST.into(), port) {
                Ok(over_ipv6) => bound.push(over_ipv6),
                Err(error) if is_missing_ipv6(&error.source) => debug!(%error, "no IPv6 on this machine"),
                // Nobody asked for this very port, and so nobody minds who has it.
                Err(error) if address.port == 0 => debug!(%error, "listening over IPv4 only"),
                Err(error) => return Err(error),
            }
            Ok(bound)
        }
        Host::Name(host) => {
            let resolved = tokio::net::lookup_host((host.as_str(), address.port)).await;
            let resolved = resolved.map_err(|source| BindError { name: address.to_string(), source })?;
            let mut ips: Vec<_> = resolved.map(|socket| socket.ip()).collect();
            ips.sort();
            ips.dedup();
            ips.into_iter().map(|ip| listen(ip, address.port)).collect()
        }
    }
}

fn bind_socket(address: SocketAddr, scheme: &Scheme) -> io::Result<Bound> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restarted broker must not wait until the connections of the last one have left TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let socket = socket.listen(BACKLOG)?;
    let name = name(socket.local_addr()?, scheme).into();
    Ok(Bound { socket, scheme: scheme.clone(), name })
}

fn name(address: SocketAddr, scheme: &Scheme) -> String {
    match scheme {
        Scheme::Mqtt => format!("mqtt://{address}"),
        Scheme::WebSocket { path } => format!("ws://{address}{path}"),
    }
}

/// Whether the machine has no IPv6 at all (no such address family), or none on its loopback.
fn is_missing_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}
