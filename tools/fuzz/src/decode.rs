//! Any bytes: packets or an error come of them, the same whether they come in one piece or in many.

use crate::stream::{How, decode_all, parts};

/// Takes one input.
///
/// # Panics
/// When the decoder does, or is wrong.
pub fn run(input: &[u8]) {
    let Some((how, stream)) = parts(input) else { return };
    let whole = decode_all(How { piece: stream.len().max(1), ..how }, stream);
    assert!(whole.packets.len() <= stream.len() / 2, "a packet has two bytes at least");
    if let Some(error) = &whole.error {
        // What was wrong can be said, to the log and to the client.
        assert!(!error.to_string().is_empty());
        assert!(u8::from(error.reason_code()) >= 0x80, "{error}: refused with a reason code of success");
    }
    let in_pieces = decode_all(how, stream);
    assert_eq!(in_pieces, whole, "in pieces of {} bytes it is something else", how.piece);
}
