//! One packet, read by the broker's decoder and by codecs of others.
//!
//! Each reads the same bytes. Where both accept, theirs is encoded by their own encoder and decoded by ours: it has to be the same
//! packet. Every way in which they may differ stands in [`explained`], with the reason; any other is a failure.

mod explained;
mod peers;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};

use barnacle::protocol::{DecodeError, Packet, PacketType, ProtocolVersion};
use bytes::BytesMut;

use crate::stream::{decoder, parts};
pub use explained::{Difference, EXPLAINED};
use peers::{PEERS, Peer};

/// What another codec makes of a packet.
#[derive(Debug)]
enum Verdict {
    /// It is a packet, and written again it is these bytes.
    Accepts(Vec<u8>),
    /// It is a packet that its own encoder does not write.
    AcceptsUnwritable,
    Refuses(String),
    Incomplete,
    Panics,
}

/// A way in which two codecs differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The other codec.
    pub peer: &'static str,
    /// Whether it is MQTT 5.
    pub v5: bool,
    /// The type of packet; 0 is reserved.
    pub packet_type: u8,
    /// What the broker's decoder says: `accepts`, `incomplete`, or the name of the fault.
    pub ours: String,
    /// What the other says: `accepts`, `unwritable`, `another`, `refuses`, `incomplete`, `panics`.
    pub theirs: &'static str,
    /// In words.
    pub details: String,
}

/// Set, each way to differ that nobody has explained is named once, and the run goes on: to write the list.
const SURVEY: &str = "BARNACLE_FUZZ_SURVEY";

/// Takes one input.
///
/// # Panics
/// When a codec differs from ours, and nobody has said why.
pub fn run(input: &[u8]) {
    for case in differences(input) {
        if EXPLAINED.iter().any(|difference| difference.explains(&case)) {
            continue;
        }
        assert!(std::env::var_os(SURVEY).is_some(), "nobody has said why this differs: {case:?}");
        name_once(case);
    }
}

fn name_once(case: Case) {
    static NAMED: Mutex<BTreeSet<Case>> = Mutex::new(BTreeSet::new());
    let key = Case { details: String::new(), ..case.clone() };
    if NAMED.lock().expect("nobody panics with it locked").insert(key) {
        println!("{case:?}");
    }
}

/// How others differ from us on one packet.
#[must_use]
pub fn differences(input: &[u8]) -> Vec<Case> {
    let Some((how, bytes)) = parts(input) else { return Vec::new() };
    // 3.1 has its own ways in a few places, and only one of the others knows them; a CONNECT of it is read all the same.
    let v5 = how.version == Some(ProtocolVersion::V5);
    let version = if v5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
    let Some(frame) = first_frame(bytes) else { return Vec::new() };
    let ours = read(version, frame);
    PEERS.iter().filter_map(|peer| difference(peer, version, frame, &ours)).collect()
}

/// The first packet's bytes, if they are all there: only whole packets are compared, because others differ in when they look.
fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    for (at, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(..2 + at + length);
        }
    }
    None
}

fn read(version: ProtocolVersion, frame: &[u8]) -> Result<Option<Packet>, DecodeError> {
    let is_connect = frame[0] >> 4 == PacketType::Connect as u8;
    decoder((!is_connect).then_some(version)).decode(&mut BytesMut::from(frame))
}

fn difference(
    peer: &Peer,
    version: ProtocolVersion,
    frame: &[u8],
    ours: &Result<Option<Packet>, DecodeError>,
) -> Option<Case> {
    // A CONNECT is read by the codec of the version that it names.
    let v5 = match ours {
        Ok(Some(Packet::Connect(connect))) => connect.version == ProtocolVersion::V5,
        _ => version == ProtocolVersion::V5,
    };
    let verdict = quietly(|| (peer.read)(v5, frame));
    let (theirs, details) = match (&verdict, ours) {
        (Verdict::Accepts(again), Ok(Some(packet))) => {
            let version = if v5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
            let read_again = read(version, again);
            if read_again.as_ref().is_ok_and(|read| read.as_ref().is_some_and(|read| same(read, packet))) {
                return None;
            }
            ("another", format!("{packet:?} and, from {again:02x?}, {read_again:?}"))
        }
        (Verdict::Refuses(_) | Verdict::Incomplete, Err(_)) => return None,
        (Verdict::Incomplete, Ok(None)) => return None,
        (Verdict::Accepts(_), _) => ("accepts", String::new()),
        (Verdict::AcceptsUnwritable, _) => ("unwritable", String::new()),
        (Verdict::Refuses(why), _) => ("refuses", why.clone()),
        (Verdict::Incomplete, _) => ("incomplete", String::new()),
        (Verdict::Panics, _) => ("panics", String::new()),
    };
    let ours = match ours {
        Ok(Some(_)) => "accepts".to_owned(),
        Ok(None) => "incomplete".to_owned(),
        Err(error) => name(error.fault()),
    };
    let details = format!("{details}; the bytes: {frame:02x?}");
    Some(Case { peer: peer.name, v5, packet_type: frame[0] >> 4, ours, theirs, details })
}

/// The same packet, but for the order of its properties: they are forwarded as they came, and others sort them.
fn same(one: &Packet, other: &Packet) -> bool {
    match (one, other) {
        (Packet::Publish(one), Packet::Publish(other)) => {
            let (mut one, mut other) = (one.clone(), other.clone());
            let same_forwarded =
                read_forwarded(&one.properties.forwarded) == read_forwarded(&other.properties.forwarded);
            one.properties.forwarded.clear();
            other.properties.forwarded.clear();
            same_forwarded && one == other
        }
        (Packet::Connect(one), Packet::Connect(other)) => {
            let (mut one, mut other) = (one.clone(), other.clone());
            let wills = one.will.as_mut().zip(other.will.as_mut());
            let same_forwarded = wills.is_none_or(|(one, other)| {
                let same =
                    read_forwarded(&one.properties.forwarded) == read_forwarded(&other.properties.forwarded);
                one.properties.forwarded.clear();
                other.properties.forwarded.clear();
                same
            });
            same_forwarded && one == other
        }
        _ => one == other,
    }
}

fn read_forwarded(block: &bytes::Bytes) -> barnacle::protocol::ForwardedProperties {
    barnacle::protocol::ForwardedProperties::decode(block).expect("checked when it was decoded")
}

/// The name of a fault, without what it says of this case.
fn name(fault: &barnacle::protocol::Fault) -> String {
    format!("{fault:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Others may panic: that is a way to refuse, and not our failure. libFuzzer would take it for one.
fn quietly(work: impl FnOnce() -> Verdict) -> Verdict {
    thread_local! {
        static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let verdict = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Verdict::Panics);
    QUIET.set(false);
    verdict
}
