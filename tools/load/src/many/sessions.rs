//! Many offline sessions, each with a filter of its own.

use super::figures::Figures;
use super::{baseline, block_on, load, note_published, publish, start};
use crate::connection::{close, open, read_one};
use crate::options::{Load, Many};
use crate::payload::identify;
use crate::report::latency_histogram;
use crate::watch::{Watch, resident_bytes};
use crate::{During, LoadError};
use barnacle_wire::frames::{FrameBuffer, fill};
use barnacle_wire::{Ack, Connect, Packet, Subscribe, kind};
use hdrhistogram::Histogram;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// Connections that make sessions at the same time.
const HANDS: u32 = 200;
/// Sessions that come back after the restart to have their messages counted.
const SAMPLE: u32 = 1_000;

/// Makes the sessions, publishes to all of them, kills the broker, lets some of them come back.
pub(super) fn run(many: &Many) -> Result<Figures, LoadError> {
    let mut figures = Figures::new(format!("{} sessions, each with a filter of its own", many.sessions));
    let baseline = baseline(many)?;
    let mut broker = start(many)?;
    let process = broker.process_id();
    let mut load = load(many, &broker, many.sessions);
    // As many for one session as for any other.
    load.shape.count = many.messages.next_multiple_of(u64::from(many.sessions));

    let empty = resident_bytes(&process);
    let half = many.sessions / 2;
    let begin = Instant::now();
    let mut waits = block_on(make_sessions(&load, 0, half))?;
    let halfway = resident_bytes(&process);
    waits.add(block_on(make_sessions(&load, half, many.sessions))?).expect("both have the same bounds");
    let seconds = begin.elapsed().as_secs_f64();
    let made = resident_bytes(&process);
    figures.add("made (CONNECT, SUBSCRIBE, DISCONNECT)", f64::from(many.sessions) / seconds, "sessions/s");
    figures.add("longest wait for one", waits.max() as f64 / 1e3, "ms");
    figures.add_mib("memory of the empty broker", empty);
    figures.add_mib("memory with the sessions", made);
    let second_half = f64::from(many.sessions - half);
    figures.add("memory a session, second half", made.saturating_sub(halfway) as f64 / second_half, "B");

    let watch = Watch::begin(process);
    let report = publish(&load)?;
    note_published(&mut figures, &report, Some(baseline));
    figures.add_mib("most memory meanwhile", watch.most());
    drop(watch);
    figures.add_mib("disk", broker.disk_bytes());

    let listening = broker.kill_and_start_again()?;
    figures.add("listening after kill -9", listening.as_secs_f64() * 1e3, "ms");
    figures.add_mib("memory after the restart", resident_bytes(&broker.process_id()));
    let begin = Instant::now();
    let sample = SAMPLE.min(many.sessions);
    let received = block_on(async {
        let mut received = 0;
        for index in 0..sample {
            let session = u32::try_from(u64::from(index) * u64::from(many.sessions) / u64::from(sample));
            received += fetch(&load, session.expect("below the number of sessions")).await?;
        }
        Ok(received)
    })?;
    figures.add(
        "came back one after another",
        f64::from(sample) / begin.elapsed().as_secs_f64(),
        "sessions/s",
    );
    figures.add("messages that they got, all of theirs", received as f64, "");
    Ok(figures)
}

/// Makes sessions `from..to`, each with its filter. Returns how long each took in microseconds.
async fn make_sessions(load: &Load, from: u32, to: u32) -> Result<Histogram<u64>, LoadError> {
    let mut hands = JoinSet::new();
    for hand in 0..HANDS {
        let load = load.clone();
        hands.spawn(async move {
            let mut waits = latency_histogram();
            for session in (from + hand..to).step_by(HANDS as usize) {
                let begin = Instant::now();
                make_session(&load, session).await?;
                waits.saturating_record(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok::<_, LoadError>(waits)
        });
    }
    let mut waits = latency_histogram();
    while let Some(hand) = hands.join_next().await {
        let hand = hand.map_err(|error| LoadError::Unexpected(error.to_string()))??;
        waits.add(hand).expect("both have the same bounds");
    }
    Ok(waits)
}

async fn make_session(load: &Load, session: u32) -> Result<(), LoadError> {
    let shape = &load.shape;
    let version = shape.protocol.version();
    let (mut stream, _) = open(load, &Connect::persistent(version, &client_id(load, session))).await?;
    let subscribe = Subscribe::new(1, &format!("{}/{session}", shape.topic), shape.qos);
    stream.write_all(&subscribe.encode(version)).await.during("sending SUBSCRIBE")?;
    match read_one(&mut stream, version, shape).await? {
        Packet::SubAck(suback) if suback.reasons == [shape.qos] => close(&mut stream, version).await,
        other => Err(LoadError::Unexpected(format!("{other:?} instead of a SUBACK"))),
    }
}

fn client_id(load: &Load, session: u32) -> String {
    format!("{}-{session}", load.shape.session)
}

/// Resumes a session and takes all that is its own: each message once, unless it is repeated with DUP.
async fn fetch(load: &Load, session: u32) -> Result<u64, LoadError> {
    let shape = &load.shape;
    let version = shape.protocol.version();
    let (mut stream, connack) = open(load, &Connect::persistent(version, &client_id(load, session))).await?;
    if !connack.session_present {
        return Err(LoadError::Unexpected(format!("the session of client {session} is gone")));
    }
    let expected = shape.count / u64::from(shape.topics);
    let patience = Duration::from_secs(shape.patience);
    let mut seen = HashSet::new();
    let (mut received, mut acks) = (FrameBuffer::new(64 * 1024), Vec::new());
    while (seen.len() as u64) < expected {
        let read = tokio::time::timeout(patience, fill(&mut stream, &mut received)).await;
        let silence = |_| LoadError::Silence(shape.patience, format!("session {session} waits for messages"));
        if read.map_err(silence)?.during("receiving messages")? == 0 {
            return Err(LoadError::Closed(format!("session {session}")));
        }
        while let Some(frame) = received.next_frame()? {
            if frame.kind() != kind::PUBLISH {
                return Err(LoadError::Unexpected("a packet that is no PUBLISH".to_owned()));
            }
            let publish = frame.publish(version)?;
            let message = identify(publish.payload)
                .filter(|&(publisher, number)| shape.topic_number(publisher, number) == u64::from(session));
            let message =
                message.ok_or_else(|| LoadError::Unexpected("another session's message".to_owned()))?;
            if !seen.insert(message) && !publish.dup {
                return Err(LoadError::Unexpected("a message came twice without DUP".to_owned()));
            }
            acks.extend(Ack::new(publish.packet_id).encode(kind::PUBACK, version));
        }
        stream.write_all(&acks).await.during("acknowledging messages")?;
        acks.clear();
    }
    close(&mut stream, version).await?;
    Ok(expected)
}
