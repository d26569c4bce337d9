//! The parser and the checker on small traces: what is right passes, everything that may be wrong is seen.

use std::fmt::Write;

use barnacle_wire::{Ack, Connect, Publish, RawPacket, Subscribe, Version, kind};

use super::checker::{Findings, check};
use super::trace::{Action, parse};
use super::wal;

const LOG: &str = "14</d/rocksdb/000004.log>";
const OTHER_FILE: &str = "15</d/rocksdb/000009.sst>";
const SOCKET: &str = "25<socket:[7]>";
const CLIENT: &str = "<client>";

/// What a client asks for, the record of it, and the answer.
struct Exchange {
    name: &'static str,
    asked: Vec<u8>,
    record: Vec<u8>,
    answer: Vec<u8>,
}

/// All exchanges, each of which needs the ones before it.
fn exchanges() -> [Exchange; 5] {
    let inbound = [0, 0, 0, 0, 0, 0, 0, 5, 1];
    let version = Version::V5;
    let ack = |packet_id, kind| Ack::new(packet_id).encode(kind, version);
    let publish =
        |qos, packet_id, payload: &str| Publish::new("t", payload).qos(qos, packet_id).encode(version);
    [
        Exchange {
            name: "CONNACK",
            asked: Connect::persistent(version, CLIENT).encode(),
            record: batch(&[(CLIENT.as_bytes(), &[1, 0, 0, 0, 0, 5, 1])]),
            answer: RawPacket::new(kind::CONNACK << 4).bytes(&[0, 0, 0]).finish(),
        },
        Exchange {
            name: "SUBACK",
            asked: Subscribe::new(1, "<filter>", 1).encode(version),
            record: batch(&[(b"\0\0\0\0\0\0\0\x05<filter>", &[1, 0, 0, 0, 0])]),
            answer: RawPacket::new(kind::SUBACK << 4).u16(1).bytes(&[0, 1]).finish(),
        },
        Exchange {
            name: "PUBACK",
            asked: publish(1, 2, "<message-1>"),
            record: batch(&[(b"block", b"body <message-1>")]),
            answer: ack(2, kind::PUBACK),
        },
        Exchange {
            name: "PUBREC",
            asked: publish(2, 300, "<message-2>"),
            record: batch(&[
                (b"block", b"body <message-2>"),
                (&inbound, &[1, 0, 0, 0, 0, 1, 251, 44, 1, 251, 44, 1]),
            ]),
            answer: ack(300, kind::PUBREC),
        },
        Exchange {
            name: "PUBCOMP",
            asked: ack(300, kind::PUBREL),
            record: batch(&[(&inbound, &[1, 0, 0, 0, 0, 0])]),
            answer: ack(300, kind::PUBCOMP),
        },
    ]
}

/// A batch that sets rows.
fn batch(rows: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    for (key, value) in rows {
        bytes.extend([5, 2]);
        for part in [key, value] {
            bytes.push(u8::try_from(part.len()).expect("a sample is short"));
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// The log's form of a record, the first byte of which is to stand at `offset`.
fn framed(record: &[u8], mut offset: usize) -> Vec<u8> {
    let (mut bytes, mut rest, mut first) = (Vec::new(), record, true);
    loop {
        let mut room = 32_768 - offset % 32_768;
        if room < 7 {
            bytes.resize(bytes.len() + room, 0);
            offset += room;
            room = 32_768;
        }
        let (part, behind) = rest.split_at(rest.len().min(room - 7));
        let kind = match (first, behind.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        let length = u16::try_from(part.len()).expect("a block is shorter").to_le_bytes();
        bytes.extend([0, 0, 0, 0, length[0], length[1], kind]);
        bytes.extend_from_slice(part);
        offset += 7 + part.len();
        (rest, first) = (behind, false);
        if rest.is_empty() {
            return bytes;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\x{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Appends the lines of an exchange that goes through these steps. The connection is thread 1, the committer 2; a
/// sync that may overlap the write is of thread 3.
fn play(text: &mut String, exchange: &Exchange, steps: &str) {
    let record = framed(&exchange.record, 0);
    let (asked, answer) = (hex(&exchange.asked), hex(&exchange.answer));
    let (count, length) = (record.len(), exchange.answer.len());
    for step in steps.split(", ") {
        let line = match step {
            "ask" => {
                format!("1 recvfrom({SOCKET}, \"{asked}\", 2048, 0, NULL, NULL) = {}", exchange.asked.len())
            }
            "write" => format!("2 write({LOG}, \"{}\", {count}) = {count}", hex(&record)),
            "write begins" => format!("2 write({LOG}, \"{}\", {count} <unfinished ...>", hex(&record)),
            "write ends" => format!("2 <... write resumed>)             = {count}"),
            "sync" => format!("3 fdatasync({LOG}) = 0"),
            "sync begins" => format!("3 fdatasync({LOG} <unfinished ...>"),
            "sync ends" => "3 <... fdatasync resumed>)             = 0".to_owned(),
            "sync fails" => format!("3 fdatasync({LOG}) = -1 EIO (Input/output error)"),
            "sync of another file" => format!("3 fdatasync({OTHER_FILE}) = 0"),
            "send" => {
                format!("1 writev({SOCKET}, [{{iov_base=\"{answer}\", iov_len={length}}}], 1) = {length}")
            }
            "send begins" => format!(
                "1 writev({SOCKET}, [{{iov_base=\"{answer}\", iov_len={length}}}], 1 <unfinished ...>"
            ),
            "send ends" => format!("1 <... writev resumed>)            = {length}"),
            other => panic!("{other} is no step"),
        };
        text.push_str(&line);
        text.push('\n');
    }
}

/// Plays each exchange with these steps, after the ones that it needs, which are in order.
fn each(steps: &str) -> impl Iterator<Item = (&'static str, Findings)> {
    (0..exchanges().len()).map(move |at| {
        let mut text = String::new();
        let exchanges = exchanges();
        for before in &exchanges[..at] {
            play(&mut text, before, "ask, write, sync, send");
        }
        play(&mut text, &exchanges[at], steps);
        let findings = check(&parse(&text));
        assert_eq!(findings.acknowledgements(), at + 1, "{steps}: {findings:?}");
        assert_eq!(findings.checked[exchanges[at].name], 1);
        (exchanges[at].name, findings)
    })
}

#[test]
fn what_is_in_order_passes() {
    for steps in [
        "ask, write, sync, send",
        "ask, write begins, write ends, sync begins, sync ends, send begins, send ends",
        "ask, sync begins, write, sync ends, sync, send",
        "ask, write, sync of another file, sync, send, sync fails",
    ] {
        for (name, findings) in each(steps) {
            assert!(findings.violations.is_empty(), "{name}: {steps}: {:?}", findings.violations);
        }
    }
}

#[test]
fn what_is_sent_too_early_is_seen() {
    for steps in [
        // Before the sync, before its end, before the write.
        "ask, write, send, sync",
        "ask, write, sync begins, send begins, sync ends, send ends",
        "ask, write, sync begins, send, sync ends",
        "ask, send, write, sync",
        "ask, write begins, send, write ends, sync",
        // The sync began before the write had ended, or before it had begun.
        "ask, write begins, sync begins, write ends, sync ends, send",
        "ask, sync begins, write, sync ends, send",
        "ask, sync, write, send",
        // No sync that counts.
        "ask, write, send",
        "ask, write, sync fails, send",
        "ask, write, sync of another file, send",
        "ask, write, sync fails, send, sync",
        // Nothing written.
        "ask, sync, send",
        "ask, send",
    ] {
        for (name, findings) in each(steps) {
            let [violation] = findings.violations.as_slice() else {
                panic!("{name}: {steps}: {:?}", findings.violations)
            };
            assert!(violation.contains(name), "{violation}");
        }
    }
}

/// A release that was written before its PUBREL was read is another one's.
#[test]
fn pubcomp_needs_a_record_that_follows_its_pubrel() {
    let (name, findings) = each("write, ask, sync, send").last().expect("PUBCOMP is the last");
    assert_eq!((name, findings.violations.len()), ("PUBCOMP", 1));
}

/// Several answers leave with one send, and one leaves with two: the first byte counts.
#[test]
fn a_send_may_hold_several_packets_and_a_part_of_one() {
    let [connack, suback, puback, ..] = exchanges();
    let mut text = String::new();
    play(&mut text, &connack, "ask, write, sync, send");
    play(&mut text, &suback, "ask, write, sync");
    play(&mut text, &puback, "ask, write");
    let answers = [suback.answer.as_slice(), &puback.answer].concat();
    let part = answers.len() - 1;
    // strace shows what was to be sent; what the call returns is how much of it was.
    for (bytes, sent) in [(&answers[..], part), (&answers[part..], 1)] {
        let shown = hex(bytes);
        writeln!(text, "1 sendto({SOCKET}, \"{shown}\", {}, MSG_NOSIGNAL, NULL, 0) = {sent}", bytes.len())
            .expect("a string takes everything");
        play(&mut text, &puback, "sync");
    }
    let findings = check(&parse(&text));
    assert_eq!(findings.acknowledgements(), 3);
    assert_eq!(findings.violations.len(), 1, "{:?}", findings.violations);
    assert!(findings.violations[0].contains("PUBACK"));
}

#[test]
fn lines_of_strace_are_read() {
    let calls = parse(
        "6018  recvfrom(25<\\x73\\x6f\\x63\\x6b\\x65\\x74\\x3a\\x5b\\x37\\x5d>,  <unfinished ...>\n\
         6039  write(14<\\x2f\\x64>, \"\\x22\\x29\\x20\\x3d\\x20\\x35\", 6 <unfinished ...>\n\
         6018  <... recvfrom resumed>\"\\xc0\\x00\", 4096, 0, NULL, NULL) = 2\n\
         6017  --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---\n\
         6039  <... write resumed>)             = 4\n\
         6018  recvfrom(25<socket:[7]>, 0x7f03a4f3af10, 128, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily \
         unavailable)\n\
         6018  writev(25<socket:[7]>, [{iov_base=\"\\x50\", iov_len=1}, {iov_base=\"\\x02\\x03\", iov_len=2}], 2) = 3\n\
         6039  fdatasync(14<\\x2f\\x64> <unfinished ...>\n\
         6018  read(3<\\x2f\\x64>, \"\", 16)         = ?\n\
         6039  +++ killed by SIGKILL +++\n",
    );
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (call.action, call.file.as_str(), call.begin, call.end, call.bytes.as_slice(), call.succeeded)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Action::Read, "socket:[7]", 0, 2, [0xc0, 0].as_slice(), true),
            (Action::Write, "/d", 1, 4, b"\") =", true),
            (Action::Read, "socket:[7]", 5, 5, b"", false),
            (Action::Write, "socket:[7]", 6, 6, &[0x50, 2, 3], true),
        ]
    );
}

/// A record may be split by the log's blocks, by the writes, and by both.
#[test]
fn records_are_put_together() {
    let long = batch(&[(b"key", b"<message-1>")]).into_iter().cycle().take(70_000).collect::<Vec<_>>();
    let short = batch(&[(b"key", b"<message-2>")]);
    let mut bytes = framed(&long, 0);
    let first = bytes.len();
    bytes.extend(framed(&short, first));
    let cuts = [0, 3, 40_000, first - 5, first + 4, bytes.len()];
    let mut text = String::new();
    for cut in cuts.windows(2) {
        let part = &bytes[cut[0]..cut[1]];
        writeln!(text, "2 write({LOG}, \"{}\", {1}) = {1}", hex(part), part.len())
            .expect("a string takes everything");
    }
    let calls = parse(&text);
    let records = wal::records(&calls);
    let seen: Vec<_> = records.iter().map(|record| (record.begin, record.end, &record.bytes)).collect();
    assert_eq!(seen, [(0, 3, &long), (3, 4, &short)]);
}
