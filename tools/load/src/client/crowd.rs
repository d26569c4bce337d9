//! Many sessions with little to do each: made, left, and brought back together.

use crate::client::connection::{Connection, Endpoint};
use crate::client::payload::Account;
use crate::client::subscriber::{Received, Shared, Subscriber};
use crate::error::LoadError;
use crate::measure::recorder::{Recorder, latency_histogram, record};
use crate::options::shape::Shape;
use crate::report::progress::Bar;
use hdrhistogram::Histogram;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Connections that make sessions at the same time.
const HANDS: u32 = 200;

/// The wait before a connection that was refused is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What each session subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filters {
    /// One of its own: PREFIX/0, PREFIX/1, …
    Own,
    /// All the same: PREFIX/#.
    Shared,
}

/// Sessions by number.
#[derive(Clone)]
pub(crate) struct Crowd {
    pub(crate) endpoint: Endpoint,
    /// What is published to them; with a filter of their own, spread over as many topics as there are sessions.
    pub(crate) shape: Shape,
    pub(crate) filters: Filters,
}

/// A session that came back.
pub(crate) struct Returned {
    /// From the first try to its CONNACK.
    pub(crate) connecting: Duration,
    /// Tries that were refused or failed.
    pub(crate) refused: u64,
    /// When its backlog was there.
    pub(crate) complete: Instant,
    pub(crate) received: Received,
}

impl Crowd {
    /// The client identifier of a session.
    pub(crate) fn client_id(&self, session: u32) -> String {
        format!("{}-{session}", self.shape.session)
    }

    /// Makes the sessions of `range`, offline. Returns how long each took in microseconds.
    pub(crate) async fn make(
        &self,
        range: Range<u32>,
        bar: Option<Bar>,
    ) -> Result<Histogram<u64>, LoadError> {
        let bar = Arc::new(bar);
        let mut hands = JoinSet::new();
        for hand in 0..HANDS {
            let (crowd, range, bar) = (self.clone(), range.clone(), Arc::clone(&bar));
            hands.spawn(async move {
                let mut waits = latency_histogram();
                for session in range.skip(hand as usize).step_by(HANDS as usize) {
                    let begin = Instant::now();
                    crowd.make_one(session).await?;
                    record(&mut waits, begin.elapsed());
                    if let Some(bar) = bar.as_ref() {
                        bar.step();
                    }
                }
                Ok::<_, LoadError>(waits)
            });
        }
        let mut waits = latency_histogram();
        while let Some(hand) = hands.join_next().await {
            waits.add(hand??).expect("both have the same bounds");
        }
        Ok(waits)
    }

    async fn make_one(&self, session: u32) -> Result<(), LoadError> {
        let connect = self.endpoint.persistent(&self.client_id(session));
        let (mut connection, _) = Connection::open(&self.endpoint, &connect, 256).await?;
        connection.subscribe(&[self.filter(session)], self.shape.qos).await?;
        connection.close().await
    }

    fn filter(&self, session: u32) -> String {
        match self.filters {
            Filters::Own => format!("{}/{session}", self.shape.topic),
            Filters::Shared => format!("{}/#", self.shape.topic),
        }
    }

    fn account(&self, session: u32) -> Account {
        match self.filters {
            Filters::Own => Account::of_topic(&self.shape, u64::from(session)),
            Filters::Shared => Account::new(&self.shape.shares()),
        }
    }

    /// Lets one session come back and take all that is its own.
    pub(crate) async fn fetch(&self, session: u32) -> Result<Received, LoadError> {
        let (client_id, account) = (self.client_id(session), self.account(session));
        let buffer = 64 * 1024;
        let shared = Shared::default();
        let subscriber =
            Subscriber::resume(&self.endpoint, &self.shape, &client_id, account, buffer, shared).await?;
        subscriber.receive().await
    }

    /// Lets the sessions of `range` come back at once; each keeps its connection when it has everything.
    pub(crate) async fn come_back(
        &self,
        range: Range<u32>,
        recorder: &Arc<Recorder>,
    ) -> Result<Vec<Returned>, LoadError> {
        let mut coming = JoinSet::new();
        for session in range {
            let (crowd, recorder) = (self.clone(), Arc::clone(recorder));
            coming.spawn(async move { crowd.come_back_one(session, recorder).await });
        }
        let mut returned = Vec::new();
        while let Some(one) = coming.join_next().await {
            returned.push(one??);
        }
        Ok(returned)
    }

    async fn come_back_one(&self, session: u32, recorder: Arc<Recorder>) -> Result<Returned, LoadError> {
        let begin = Instant::now();
        let (client_id, mut refused) = (self.client_id(session), 0);
        loop {
            let account = self.account(session);
            let shared = Shared { recorder: Some(Arc::clone(&recorder)), stays: true, ..Shared::default() };
            let subscriber =
                Subscriber::resume(&self.endpoint, &self.shape, &client_id, account, 4 * 1024, shared).await;
            match subscriber {
                Ok(subscriber) => {
                    let connecting = begin.elapsed();
                    let received = subscriber.receive().await?;
                    return Ok(Returned { connecting, refused, complete: Instant::now(), received });
                }
                Err(LoadError::Unexpected(what)) => return Err(LoadError::Unexpected(what)),
                Err(error) if begin.elapsed() > self.endpoint.patience => return Err(error),
                Err(_) => {
                    refused += 1;
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }
}
