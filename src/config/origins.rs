//! Which web pages may connect, by the Origin header that browsers send [RFC 6454].
//!
//! A browser lets every page on the web open a WebSocket to localhost. The Origin is what tells a page of ours from
//! anybody's; a program that is not a browser sends none, or what it likes, and is not what this guards against.

use std::net::IpAddr;
use std::str::FromStr;

/// The origins that `websocket.allowed_origins` lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// `*`: every page.
    Any,
    /// `null`: a page that has no origin.
    Null,
    /// `loopback`: http or https on localhost, 127.0.0.1 or `[::1]`, any port.
    Loopback,
    /// Exactly this one, in lower case and without its scheme's own port, as browsers write it.
    Exact(String),
}

impl AllowedOrigins {
    /// Reads the entries of the setting.
    pub(super) fn parse(entries: &[String]) -> Result<Self, String> {
        let entries = entries.iter().map(|entry| entry.parse()).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Whether a handshake with this Origin header may go on.
    pub fn allows(&self, origin: &str) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Any => true,
            Entry::Null => origin == "null",
            Entry::Loopback => is_loopback(origin),
            Entry::Exact(exact) => parse_origin(origin).is_ok_and(|origin| origin.text == *exact),
        })
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Any),
            "null" => Ok(Self::Null),
            "loopback" => Ok(Self::Loopback),
            _ => match parse_origin(text) {
                Ok(origin) => Ok(Self::Exact(origin.text)),
                Err(why) => Err(format!("`{text}` is not an origin: {why}")),
            },
        }
    }
}

fn is_loopback(origin: &str) -> bool {
    parse_origin(origin).is_ok_and(|origin| {
        matches!(origin.scheme.as_str(), "http" | "https")
            && matches!(origin.host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
    })
}

/// An origin in its parts, in lower case.
struct Origin {
    scheme: String,
    host: String,
    /// `scheme://host[:port]`.
    text: String,
}

fn parse_origin(text: &str) -> Result<Origin, &'static str> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) =
        text.split_once("://").ok_or("it is written scheme://host:port, `null`, `loopback` or `*`")?;
    let scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.is_empty() || !scheme.bytes().all(scheme_byte) {
        return Err("the scheme is letters and digits, as in https://app.example");
    }
    if authority.contains(['/', '?', '#']) {
        return Err("it ends after the host and port, without a slash or a path");
    }
    let (host, port) = split_port(authority)?;
    let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| matches!(address.parse(), Ok(IpAddr::V6(_))));
    if host.is_empty() || !(is_ipv6 || host.bytes().all(host_byte)) {
        return Err("the host is a name or an IP address, without wildcards");
    }
    let text = match port {
        Some(port) if (scheme, port) != ("http", 80) && (scheme, port) != ("https", 443) => {
            format!("{scheme}://{host}:{port}")
        }
        _ => format!("{scheme}://{host}"),
    };
    Ok(Origin { scheme: scheme.to_owned(), host: host.to_owned(), text })
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let end_of_host = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[end_of_host..].find(':') {
        None => Ok((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(end_of_host + colon);
            let port = port[1..].parse().map_err(|_| "the port is a number from 0 to 65535")?;
            Ok((host, Some(port)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> AllowedOrigins {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        AllowedOrigins::parse(&entries).expect("the entries of the test are right")
    }

    #[test]
    fn loopback_is_this_machine_on_any_port_and_nothing_that_looks_like_it() {
        let origins = allowed(&["loopback"]);
        for origin in [
            "http://localhost",
            "https://localhost:8443",
            "http://127.0.0.1:3000",
            "http://[::1]",
            "http://[::1]:5173",
        ] {
            assert!(origins.allows(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost.evil.example",
            "http://evil.example",
            "http://localhost@evil.example",
            "http://localhost:1@evil.example",
            "http://evil.example/http://localhost",
            "http://127.0.0.1.evil.example",
            "http://[::1].evil.example",
            "http://[::1]evil.example:80",
            "ftp://localhost",
            "localhost",
            "http://localhost:99999",
            "http://localhost http://evil.example",
        ] {
            assert!(!origins.allows(origin), "{origin}");
        }
    }

    #[test]
    fn exact_origins_are_compared_as_browsers_write_them() {
        let origins = allowed(&["https://App.example", "http://other.example:8080", "capacitor://localhost"]);
        for origin in [
            "https://app.example",
            "https://app.example:443",
            "http://other.example:8080",
            "capacitor://localhost",
        ] {
            assert!(origins.allows(origin), "{origin}");
        }
        for origin in ["http://app.example", "https://app.example:8443", "http://other.example", "null"] {
            assert!(!origins.allows(origin), "{origin}");
        }
    }

    #[test]
    fn star_is_everybody_and_an_empty_list_nobody() {
        assert!(allowed(&["*"]).allows("http://anywhere.example"));
        assert!(allowed(&["null"]).allows("null"));
        assert!(!allowed(&[]).allows("null"));
        assert!(!allowed(&[]).allows("http://localhost"));
    }

    #[test]
    fn what_no_browser_sends_is_refused_as_an_entry() {
        for entry in
            ["app.example", "https://app.example/", "https://*.example", "https://", "", "://x", "http://a:b"]
        {
            assert!(AllowedOrigins::parse(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }
}
