//! Tokens: short texts that stand in one payload, one filter or one client identifier and nowhere else.

/// A token, without its brackets.
pub(super) type Token = String;

/// Letters and digits that a token may have.
const LENGTH: usize = 24;

/// The token as it is put into a packet.
pub(super) fn bracketed(token: &str) -> String {
    assert!(is_token(token.as_bytes()), "{token} would not be found");
    format!("<{token}>")
}

/// The tokens in some bytes, in order.
pub(super) fn tokens(bytes: &[u8]) -> Vec<Token> {
    let mut found = Vec::new();
    for begin in (0..bytes.len()).filter(|at| bytes[*at] == b'<') {
        let rest = &bytes[begin + 1..];
        let Some(end) = rest.iter().take(LENGTH + 1).position(|byte| *byte == b'>') else { continue };
        if is_token(&rest[..end]) {
            found.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        }
    }
    found
}

fn is_token(bytes: &[u8]) -> bool {
    let fits = (4..=LENGTH).contains(&bytes.len());
    fits && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}
