//! What a message and its acknowledgement take over TCP here when nothing is done with them: below the sum of that and a synced
//! write no broker can be.

use crate::client::pace::in_time;
use crate::error::{During, LoadError};
use crate::measure::recorder::{latency_histogram, record};
use hdrhistogram::Histogram;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

/// As long as a PUBACK.
const ANSWER: [u8; 4] = [0x5a; 4];

/// Sends `count` messages of `size` bytes to a thread that answers each, `per_second` or one after another. Returns what each took, in
/// microseconds.
pub(crate) fn round_trips(count: u64, size: usize, per_second: f64) -> Result<Histogram<u64>, LoadError> {
    let doing = "sending to an echo";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(doing)?;
    let address = listener.local_addr().during(doing)?;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut peer, _) = listener.accept()?;
        peer.set_nodelay(true)?;
        let mut message = vec![0; size];
        for _ in 0..count {
            peer.read_exact(&mut message)?;
            peer.write_all(&ANSWER)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).during(doing)?;
    stream.set_nodelay(true).during(doing)?;
    let (message, mut answer, mut latency) = (vec![0x5a; size], ANSWER, latency_histogram());
    in_time(count, per_second, || {
        let begin = Instant::now();
        stream.write_all(&message).and_then(|()| stream.read_exact(&mut answer)).during(doing)?;
        record(&mut latency, begin.elapsed());
        Ok(())
    })?;
    let answered = answering.join();
    answered.map_err(|_| LoadError::Unexpected("the echo panicked".to_owned()))?.during(doing)?;
    Ok(latency)
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_round_trip_is_measured() {
        let latency = super::round_trips(20, 300, 2_000.0).expect("the echo answers");
        assert_eq!(latency.len(), 20);
    }
}
