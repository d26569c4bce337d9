//! Publishers and subscribers together: the traffic that most scenarios are made of.

use crate::client::connection::{Connection, Endpoint};
use crate::client::credit::Credit;
use crate::client::pace::Pace;
use crate::client::payload::Account;
use crate::client::publisher::{self, Sent, publish};
use crate::client::subscriber::{self, Backlog, Received, Subscriber, make_session};
use crate::error::{During, LoadError};
use crate::measure::recorder::{Recorded, Recorder};
use crate::options::shape::Shape;
use crate::report::progress::Progress;
use barnacle_wire::Version;
use hdrhistogram::Histogram;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that all subscribers together may take with one read each.
const BUFFERS: usize = 16 << 20;

/// What all publishers did.
pub(crate) struct Published {
    pub(crate) recorded: Recorded,
    /// Messages of each publisher.
    pub(crate) sent: Vec<u64>,
    /// The longest that one publisher went without an acknowledgement.
    pub(crate) longest_pause: Duration,
    /// In an open loop: how late messages were written, in microseconds.
    pub(crate) late: Option<Histogram<u64>>,
}

/// What all subscribers received.
pub(crate) struct Delivered {
    pub(crate) recorded: Recorded,
    pub(crate) received: Vec<Received>,
}

/// The load of one run on one broker.
pub(crate) struct Traffic {
    endpoint: Endpoint,
    shape: Shape,
    /// Acknowledgements to publishers.
    pub(crate) acknowledged: Arc<Recorder>,
    /// Messages that came to subscribers.
    pub(crate) delivered: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    backlog: u64,
}

impl Traffic {
    /// The load of `shape` on the broker at `endpoint`.
    pub(crate) fn new(endpoint: &Endpoint, shape: &Shape, progress: &Progress) -> Traffic {
        let bar = |what: &str, count: u64| Arc::new(Recorder::new(Some(progress.bar(what, count))));
        let count = shape.messages();
        Traffic {
            endpoint: endpoint.clone(),
            shape: shape.clone(),
            acknowledged: bar("published", count),
            delivered: bar("delivered", count * u64::from(shape.fan_out())),
            stop: Arc::new(AtomicBool::new(false)),
            backlog: 0,
        }
    }

    /// Subscribers leave so many messages waiting while publishers go on, and publishers wait while there are many more.
    pub(crate) fn leaving(mut self, backlog: u64) -> Traffic {
        self.backlog = backlog;
        self
    }

    /// Ends the publishers before they have sent everything.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Makes the sessions of all subscribers anew; leaves them offline.
    pub(crate) async fn make_sessions(&self) -> Result<(), LoadError> {
        for index in 0..self.shape.subscribers {
            let client_id = self.shape.client_id(index);
            make_session(&self.endpoint, &self.shape, &client_id, &[self.shape.filter(index)]).await?;
        }
        Ok(())
    }

    /// Publishes everything; nobody of ours receives.
    pub(crate) async fn publish(&self) -> Result<Published, LoadError> {
        let connections = self.connect_publishers().await?;
        self.run_publishers(connections, None, None).await
    }

    /// Receives what waits for all subscribers.
    pub(crate) async fn drain(&self) -> Result<Delivered, LoadError> {
        let shared = subscriber::Shared { recorder: Some(Arc::clone(&self.delivered)), ..Default::default() };
        let subscribers = self.connect_subscribers(&shared).await?;
        let mut receiving = JoinSet::new();
        for subscriber in subscribers {
            receiving.spawn(subscriber.receive());
        }
        self.gather(receiving).await
    }

    /// Publishes to subscribers that are connected.
    pub(crate) async fn live(&self) -> Result<(Published, Delivered), LoadError> {
        let shape = &self.shape;
        let is_paced = shape.rate().is_some();
        let credits: Option<Arc<[Arc<Credit>]>> = (shape.qos == 0 && !is_paced).then(|| {
            let credit = || Arc::new(Credit::new(u64::from(shape.fan_out())));
            (0..shape.publishers).map(|_| credit()).collect()
        });
        let (end, ended) = watch::channel(None);
        let mut shared = subscriber::Shared {
            recorder: Some(Arc::clone(&self.delivered)),
            credits: credits.clone(),
            ended: Some(ended),
            ..Default::default()
        };
        if self.backlog > 0 {
            let published = Arc::clone(&self.acknowledged);
            shared.backlog = Some(Arc::new(Backlog { messages: self.backlog, published }));
        }
        let connections = self.connect_publishers().await?;
        // Subscribers have to know the clock, which begins when they are all there.
        let mut subscribers = self.connect_subscribers(&shared).await?;
        let pace = shape.rate().map(|rate| Pace::begin(rate, shape.publishers));
        let mut receiving = JoinSet::new();
        for subscriber in &mut subscribers {
            subscriber.pace(pace.clone());
        }
        for subscriber in subscribers {
            receiving.spawn(subscriber.receive());
        }
        let published = self.run_publishers(connections, pace, credits).await?;
        // Nobody listens if all subscribers failed; they say so.
        let _ = end.send(Some(published.sent.clone()));
        let delivered = self.gather(receiving).await?;
        Ok((published, delivered))
    }

    async fn connect_publishers(&self) -> Result<Vec<(Connection, u16)>, LoadError> {
        let (shape, mut connections) = (&self.shape, Vec::new());
        for index in 0..shape.publishers {
            let connect = self.endpoint.clean(&format!("{}-publisher-{index}", shape.session));
            let (connection, connack) = Connection::open(&self.endpoint, &connect, 16 * 1024).await?;
            let is_told = connect.version == Version::V5;
            let limit = if is_told { connack.receive_maximum() } else { u16::MAX };
            connections.push((connection, shape.inflight.min(limit)));
            self.ramp_up(shape.publishers).await;
        }
        Ok(connections)
    }

    async fn connect_subscribers(&self, shared: &subscriber::Shared) -> Result<Vec<Subscriber>, LoadError> {
        let (shape, endpoint) = (&self.shape, &self.endpoint);
        let buffer = (BUFFERS / shape.subscribers as usize).clamp(4 * 1024, 256 * 1024);
        let mut subscribers = Vec::new();
        for index in 0..shape.subscribers {
            let mut shares = shape.shares();
            if shape.pairs {
                let others =
                    shares.iter_mut().enumerate().filter(|(publisher, _)| *publisher != index as usize);
                others.for_each(|(_, share)| *share = 0);
            }
            let (account, shared) = (Account::new(&shares), shared.clone());
            subscribers.push(if shape.clean {
                Subscriber::begin(endpoint, shape, index, account, buffer, shared).await?
            } else {
                let client_id = shape.client_id(index);
                Subscriber::resume(endpoint, shape, &client_id, account, buffer, shared).await?
            });
            self.ramp_up(shape.subscribers).await;
        }
        Ok(subscribers)
    }

    async fn ramp_up(&self, connections: u32) {
        if self.shape.ramp_up > 0.0 {
            tokio::time::sleep(self.shape.ramp_step(connections)).await;
        }
    }

    /// Lets all publishers go at once.
    async fn run_publishers(
        &self,
        connections: Vec<(Connection, u16)>,
        pace: Option<Arc<Pace>>,
        credits: Option<Arc<[Arc<Credit>]>>,
    ) -> Result<Published, LoadError> {
        let shape = &self.shape;
        let pace = pace.or_else(|| shape.rate().map(|rate| Pace::begin(rate, shape.publishers)));
        let mut publishers: JoinSet<Result<Sent, LoadError>> = JoinSet::new();
        for (index, (connection, window)) in (0..).zip(connections) {
            let shared = publisher::Shared {
                recorder: Arc::clone(&self.acknowledged),
                pace: pace.clone(),
                brake: (self.backlog > 0).then(|| {
                    // A little more than what is to wait: subscribers must not run dry.
                    let most = self.backlog + self.backlog / 10 + 1;
                    let (published, delivered) =
                        (Arc::clone(&self.acknowledged), Arc::clone(&self.delivered));
                    Arc::new(publisher::Brake { published, delivered, most })
                }),
                credit: credits.as_ref().map(|credits| Arc::clone(&credits[index as usize])),
                stop: Arc::clone(&self.stop),
            };
            publishers.spawn(publish(
                connection,
                shape.clone(),
                index,
                window,
                self.endpoint.patience,
                shared,
            ));
        }
        if let Some(seconds) = shape.duration {
            let stop = Arc::clone(&self.stop);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                stop.store(true, Ordering::Relaxed);
            });
        }
        let mut sent = vec![0; shape.publishers as usize];
        let mut longest_pause = Duration::ZERO;
        while let Some(finished) = publishers.join_next().await {
            let one = finished??;
            sent[one.index as usize] = one.messages;
            longest_pause = longest_pause.max(one.longest_pause);
        }
        let late = pace.map(|pace| {
            pace.end();
            pace.late()
        });
        Ok(Published { recorded: self.acknowledged.recorded(), sent, longest_pause, late })
    }

    async fn gather(
        &self,
        mut receiving: JoinSet<Result<Received, LoadError>>,
    ) -> Result<Delivered, LoadError> {
        let mut received = Vec::new();
        while let Some(finished) = receiving.join_next().await {
            received.push(finished??);
        }
        Ok(Delivered { recorded: self.delivered.recorded(), received })
    }
}

/// Runs `future` on so many threads. One, if the load shares the processor with the broker.
pub(crate) fn block_on<T>(
    threads: usize,
    future: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    let mut builder = if threads > 1 {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads);
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build().during("starting tokio")?.block_on(future)
}
