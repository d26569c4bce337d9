//! One connection's first and last packets, and single answers in between.

use crate::options::{Load, Shape};
use crate::{During, LoadError};
use barnacle_wire::{ConnAck, Connect, Disconnect, Packet, Version, parse};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Opens a connection; the CONNACK must accept it.
pub(crate) async fn open(load: &Load, connect: &Connect) -> Result<(TcpStream, ConnAck), LoadError> {
    let stream =
        TcpStream::connect((load.host.as_str(), load.port)).await.during("connecting to the broker")?;
    stream.set_nodelay(true).during("setting TCP_NODELAY")?;
    let mut stream = stream;
    stream.write_all(&connect.encode()).await.during("sending CONNECT")?;
    let Packet::ConnAck(connack) = read_one(&mut stream, connect.version, &load.shape).await? else {
        return Err(LoadError::Unexpected("the first packet is not CONNACK".to_owned()));
    };
    if connack.reason != 0 {
        return Err(LoadError::Refused(connack.reason));
    }
    Ok((stream, connack))
}

/// Reads exactly one packet, byte by byte where its length is not known yet, so that nothing behind it is taken.
pub(crate) async fn read_one(
    stream: &mut TcpStream,
    version: Version,
    shape: &Shape,
) -> Result<Packet, LoadError> {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            bytes.push(stream.read_u8().await.during("waiting for the broker's answer")?);
            if let Some((packet, _)) = parse(version, &bytes)? {
                return Ok(packet);
            }
        }
    };
    let patience = Duration::from_secs(shape.patience);
    let silence = |_| LoadError::Silence(shape.patience, "the broker did not answer".to_owned());
    tokio::time::timeout(patience, read).await.map_err(silence)?
}

/// DISCONNECT, and the broker's end of the connection, so that the session is offline when this returns.
pub(crate) async fn close(stream: &mut TcpStream, version: Version) -> Result<(), LoadError> {
    stream.write_all(&Disconnect::default().encode(version)).await.during("disconnecting")?;
    let mut rest = Vec::new();
    // A broker that resets the connection after DISCONNECT has ended it as well.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    Ok(())
}
