//! A notation for packets that is not the encoder's: hexadecimal digits, and
//!
//! - `'text'`: the text's bytes;
//! - `<text>`: a string, its two bytes of length in front;
//! - `[…]`: a part with its length in front as a variable byte integer.

use bytes::BytesMut;

/// The bytes that the notation stands for.
pub(super) fn bytes(notation: &str) -> BytesMut {
    let mut rest = notation;
    let bytes = part(&mut rest);
    assert!(rest.is_empty(), "unbalanced ']' before {rest:?}");
    BytesMut::from(&*bytes)
}

fn part(rest: &mut &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        match next {
            ']' => break,
            '[' => {
                *rest = after;
                let inner = part(rest);
                *rest = rest.strip_prefix(']').expect("a '[' has its ']'");
                bytes.extend(variable_integer(inner.len()));
                bytes.extend(inner);
            }
            '\'' | '<' => {
                let end = if next == '<' { '>' } else { next };
                let (text, after) = after.split_once(end).expect("a text has its end");
                if next == '<' {
                    bytes.extend((text.len() as u16).to_be_bytes());
                }
                bytes.extend(text.as_bytes());
                *rest = after;
            }
            ' ' | '\n' => *rest = after,
            _ => {
                let digits = rest.get(..2).expect("hexadecimal digits go by two");
                bytes.push(
                    u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{digits:?} in {rest:?}")),
                );
                *rest = &rest[2..];
            }
        }
    }
    bytes
}

fn variable_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push((value % 128) as u8 + 128);
        value /= 128;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn notation_stands_for_bytes() {
    assert_eq!(&bytes("C0 00")[..], [0xC0, 0]);
    assert_eq!(&bytes("30[<a> 'xy' [01 02]]")[..], [0x30, 8, 0, 1, b'a', b'x', b'y', 2, 1, 2]);
    let long = format!("30[{}]", "00".repeat(200));
    assert_eq!(&bytes(&long)[..3], [0x30, 0xC8, 1]);
}
