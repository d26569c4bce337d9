//! The address of a listener, as the operator writes it: `mqtt://localhost:1883`, `ws://[::1]:8083/mqtt`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The port of MQTT over TCP when the address names none, as registered.
pub const MQTT_PORT: u16 = 1883;
/// The port of MQTT over WebSocket when the address names none.
pub const WEBSOCKET_PORT: u16 = 8083;
/// The path of MQTT over WebSocket when the address names none; client libraries have it as their default.
pub const WEBSOCKET_PATH: &str = "/mqtt";

/// Where to listen, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerAddress {
    /// What is spoken there.
    pub scheme: Scheme,
    /// Where.
    pub host: Host,
    /// TCP port; 0 lets the operating system choose one.
    pub port: u16,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over WebSocket.
    WebSocket {
        /// The path that the handshake must ask for; begins with a slash.
        path: String,
    },
}

/// The host of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// 127.0.0.1 and, where there is IPv6, ::1: clients told "localhost" try either.
    Localhost,
    /// An address of this machine, or 0.0.0.0 or :: for all of them.
    Address(IpAddr),
    /// A name; all addresses it has are listened on.
    Name(String),
}

impl FromStr for ListenerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is not the address of a listener: {why}");
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("it begins with `mqtt://` or `ws://`, as in mqtt://127.0.0.1:1883"))?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (scheme, default_port) = match scheme {
            "mqtt" if path.is_empty() || path == "/" => (Scheme::Mqtt, MQTT_PORT),
            "mqtt" => return Err(wrong("MQTT over TCP has no path")),
            "ws" => (Scheme::WebSocket { path: websocket_path(path).map_err(wrong)? }, WEBSOCKET_PORT),
            "mqtts" | "wss" => return Err(wrong("TLS is not supported")),
            _ => return Err(wrong("the schemes are `mqtt` and `ws`")),
        };
        let (host, port) = host_and_port(authority).map_err(wrong)?;
        Ok(Self { scheme, host, port: port.unwrap_or(default_port) })
    }
}

fn websocket_path(path: &str) -> Result<String, &'static str> {
    match path {
        "" => Ok(WEBSOCKET_PATH.to_owned()),
        path if path.contains(['?', '#']) => Err("a path has no `?` and no `#`"),
        path if path.chars().any(|character| !character.is_ascii_graphic()) => {
            Err("a path is made of printable ASCII")
        }
        path => Ok(path.to_owned()),
    }
}

fn host_and_port(authority: &str) -> Result<(Host, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
            let address = address.parse().map_err(|_| "in brackets stands an IPv6 address")?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or("after the bracket comes `:PORT`")?),
            };
            (Host::Address(IpAddr::V6(address)), port)
        }
        None if authority.matches(':').count() > 1 => {
            return Err("an IPv6 address stands in brackets, as in mqtt://[::1]:1883");
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (named_host(host)?, Some(port)),
            None => (named_host(authority)?, None),
        },
    };
    let port = port.map(str::parse).transpose().map_err(|_| "a port is a number from 0 to 65535")?;
    Ok((host, port))
}

fn named_host(host: &str) -> Result<Host, &'static str> {
    if host.is_empty() {
        return Err("the host is missing; 0.0.0.0 stands for every address of this machine");
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Host::Localhost);
    }
    if let Ok(address) = host.parse() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !host.bytes().all(allowed) || !host.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err("the host is an IP address or a name");
    }
    Ok(Host::Name(host.to_owned()))
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Scheme::Mqtt => write!(formatter, "mqtt://{}:{}", self.host, self.port),
            Scheme::WebSocket { path } => write!(formatter, "ws://{}:{}{path}", self.host, self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => write!(formatter, "localhost"),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Name(name) => write!(formatter, "{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, written) in [
            ("mqtt://localhost:1883", "mqtt://localhost:1883"),
            ("mqtt://LOCALHOST", "mqtt://localhost:1883"),
            ("mqtt://127.0.0.1:0", "mqtt://127.0.0.1:0"),
            ("mqtt://0.0.0.0/", "mqtt://0.0.0.0:1883"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[::]:7", "mqtt://[::]:7"),
            ("ws://localhost", "ws://localhost:8083/mqtt"),
            ("ws://127.0.0.1:80/", "ws://127.0.0.1:80/"),
            ("ws://broker.example:80/a/b", "ws://broker.example:80/a/b"),
        ] {
            let address: ListenerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
        }
    }

    #[test]
    fn wrong_addresses_say_why() {
        for (text, why) in [
            ("", "begins with"),
            ("1883", "begins with"),
            ("localhost:1883", "begins with"),
            ("tcp://localhost", "the schemes are"),
            ("mqtts://localhost", "TLS"),
            ("wss://localhost", "TLS"),
            ("mqtt://", "host is missing"),
            ("mqtt://:1883", "host is missing"),
            ("mqtt://localhost:65536", "a port is"),
            ("mqtt://localhost:", "a port is"),
            ("mqtt://localhost/mqtt", "no path"),
            ("mqtt://::1:1883", "brackets"),
            ("mqtt://[::1:1883", "not closed"),
            ("mqtt://[localhost]:1883", "IPv6"),
            ("mqtt://[::1]1883", "after the bracket"),
            ("mqtt://1.2.3:1883", "IP address or a name"),
            ("mqtt://user@host", "IP address or a name"),
            ("ws://localhost/mqtt?x", "no `?`"),
            ("ws://localhost/m qtt", "printable"),
        ] {
            let error = text.parse::<ListenerAddress>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
