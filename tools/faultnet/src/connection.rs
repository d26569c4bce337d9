//! One connection through the proxy: a pump each way, and the fault of the moment.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use crate::{Fault, Fuse, Shared};

/// Moves bytes until both directions have ended or a fault ends them.
pub(crate) async fn run(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: watch::Receiver<Fault>,
    fuse: &Fuse,
    shared: &Shared,
) {
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Pump {
            from: from_client,
            to: to_server,
            passed: &shared.gauges.to_server,
            fuse: Some(fuse),
            faults: faults.clone(),
        };
        let down = Pump {
            from: from_server,
            to: to_client,
            passed: &shared.gauges.to_client,
            fuse: None,
            faults: faults.clone(),
        };
        let pumps = async { tokio::try_join!(up.run(), down.run()) };
        tokio::select! {
            biased;
            end = watch_for_end(faults, fuse, shared) => Some(end),
            // What has ended in order has been passed on; an end that failed, the other is to see fail.
            ended = pumps => ended.is_err().then_some(End::Failed),
        }
    };
    match end {
        None => {}
        Some(end @ (End::Reset | End::Failed)) => {
            if matches!(end, End::Reset) {
                shared.gauges.resets.fetch_add(1, Relaxed);
            }
            for stream in [client, server] {
                // One that is gone already cannot be reset.
                let _ = stream.set_zero_linger();
            }
        }
        Some(End::Cut) => {
            shared.gauges.cuts.fetch_add(1, Relaxed);
            let _ = tokio::join!(client.shutdown(), server.shutdown());
        }
        Some(End::Left(gone)) => {
            shared.gauges.half_open.fetch_add(1, Relaxed);
            let (mut closed, waiting) = match gone {
                Gone::Client => (client, server),
                Gone::Server => (server, client),
            };
            let _ = closed.shutdown().await;
            shared.state.lock().waiting.push(waiting);
        }
    }
}

enum Gone {
    Client,
    Server,
}

/// How a connection ends before its time.
enum End {
    /// By one of the two ends.
    Failed,
    Reset,
    Cut,
    Left(Gone),
}

/// Counts the faults that come, and returns with one that ends the connection.
async fn watch_for_end(mut faults: watch::Receiver<Fault>, fuse: &Fuse, shared: &Shared) -> End {
    loop {
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::Cut => return End::Cut,
            Fault::ClientGone => return End::Left(Gone::Client),
            Fault::ServerGone => return End::Left(Gone::Server),
            Fault::Stall => {
                shared.gauges.stalls.fetch_add(1, Relaxed);
            }
            Fault::Delay(_) | Fault::Bandwidth { .. } => {
                shared.gauges.slowed.fetch_add(1, Relaxed);
            }
            Fault::Reset { .. } | Fault::None => {}
        }
        loop {
            tokio::select! {
                changed = faults.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return End::Cut,
                },
                // It may have been put out since.
                () = fuse.burnt.notified() => if fuse.left.load(Relaxed) == 0 {
                    return End::Reset;
                },
            }
        }
    }
}

/// One direction.
struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    passed: &'a AtomicU64,
    fuse: Option<&'a Fuse>,
    faults: watch::Receiver<Fault>,
}

impl Pump<'_> {
    /// Until the sender has ended, which is passed on, or either end fails.
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            self.open().await;
            let count = self.from.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            self.pass(&buffer[..count]).await?;
        }
        self.open().await;
        self.to.shutdown().await
    }

    /// Waits while nothing may pass.
    async fn open(&mut self) {
        let may_pass = |fault: &Fault| *fault != Fault::Stall;
        if self.faults.wait_for(may_pass).await.is_err() {
            // The proxy is gone, and so will this be.
            std::future::pending().await
        }
    }

    async fn pass(&mut self, mut data: &[u8]) -> io::Result<()> {
        let fault = *self.faults.borrow();
        if let Fault::Delay(delay) = fault {
            self.wait(delay).await;
        }
        while !data.is_empty() {
            self.open().await;
            let fault = *self.faults.borrow();
            let mut piece = data;
            if let Fault::Bandwidth { bytes_per_second } = fault {
                let rate = bytes_per_second.max(1);
                // A twentieth of a second's worth at a time.
                let count = (rate / 20).max(1);
                piece = &data[..data.len().min(usize::try_from(count).unwrap_or(usize::MAX))];
                self.wait(Duration::from_secs_f64(piece.len() as f64 / rate as f64)).await;
                self.open().await;
            }
            if let Some(left) = self.fuse.map(|fuse| fuse.left.load(Relaxed)) {
                if left == 0 {
                    // Its reset is on the way, or is taken back.
                    let taken_back = |fault: &Fault| !matches!(fault, Fault::Reset { .. });
                    if self.faults.wait_for(taken_back).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    continue;
                }
                piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            }
            let written = self.to.write(piece).await?;
            self.passed.fetch_add(written as u64, Relaxed);
            if let Some(fuse) = self.fuse {
                fuse.burn(written as u64);
            }
            data = &data[written..];
        }
        Ok(())
    }

    /// Waits so long, or until there is another fault.
    async fn wait(&mut self, delay: Duration) {
        let mut faults = self.faults.clone();
        faults.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = faults.changed() => {}
        }
    }
}
