//! The end of a connection: the session's last state, and what becomes of the will, as one transaction.

use std::time::Duration;

use barnacle_storage::{CommitError, Detach, Message, Operation, Outcome, Transaction, Will};
use tokio::sync::oneshot;

use super::running::Running;
use crate::broker::{self, Broker};
use crate::protocol::ReasonCode;
use crate::session::Close;

/// The last transaction of a connection, on its way.
pub(super) struct Farewell {
    told: oneshot::Receiver<Result<Outcome, CommitError>>,
    /// The will, if it is published with it.
    published: Option<Message>,
}

impl Farewell {
    /// Waits until it is kept. A will then goes to the live subscribers: to be called when everything that the connection
    /// published before has gone to them, so that "offline" does not overtake "online".
    pub(super) async fn kept(self, broker: &Broker) {
        if let (Ok(Ok(Outcome::Committed(committed))), Some(message)) = (self.told.await, self.published) {
            broker.deliver_live(message, committed.lsn.0);
        }
    }
}

/// Submits the last transaction of a connection; `None` if there is nothing to keep. What follows it in the store's order
/// sees it.
pub(super) fn say(running: &mut Running, close: Close) -> Option<Farewell> {
    let now = running.broker.clock.now();
    let mut operations = Vec::new();
    if let Some(record) = running.session.last_record() {
        operations.push(Operation::SaveOutbound(broker::outbound_to_store(&record)));
    }
    let will = running.will.take().filter(|_| !close.forget_will);
    let fate = Fate::of(will, close);
    let mut published = None;
    match &fate {
        Fate::None => operations.push(Operation::SaveWill(None)),
        Fate::Publish(will) => {
            let message = broker::will_message(will.clone(), now);
            operations.push(running.broker.publish_operation(&message));
            operations.push(Operation::SaveWill(None));
            published = Some(message);
        }
        Fate::Delay(..) | Fate::Keep => {}
    }
    let stored = running.owner.stored;
    if stored.is_some() {
        let session_expiry_interval = close.session_expiry_interval;
        operations.push(Operation::Detach(Detach { session_expiry_interval, now_millis: now.unix_millis }));
    } else {
        operations.retain(|operation| matches!(operation, Operation::Publish(_)));
    }
    operations.extend(running.last_words_to_groups());
    if let Fate::Delay(will, delay) = fate {
        running.broker.publish_will_later(running.owner.clone(), will, delay);
    }
    if operations.is_empty() {
        return None;
    }
    let (tell, told) = oneshot::channel();
    running.broker.store.submit(Transaction { fence: stored, operations }, move |result| {
        // The transaction stands whether or not anybody waits for it.
        let _ = tell.send(result);
    });
    Some(Farewell { told, published })
}

/// What becomes of a will.
enum Fate {
    /// There is none, or the client said good-bye [MQTT-3.1.2-10].
    None,
    /// It is published now.
    Publish(Will),
    /// It is published later, unless the client returns before.
    Delay(Will, Duration),
    /// The broker is shutting down: it is due after the restart.
    Keep,
}

impl Fate {
    fn of(will: Option<Will>, close: Close) -> Self {
        let Some(will) = will else { return Self::None };
        let shutting_down = close.reason == ReasonCode::ServerShuttingDown && !close.by_client;
        // Published when its delay has passed or the session ends, whichever comes first [MQTT-3.1.3-9].
        let delay = will.delay_interval.min(close.session_expiry_interval);
        if shutting_down && close.session_expiry_interval > 0 {
            Self::Keep
        } else if delay == 0 {
            Self::Publish(will)
        } else {
            Self::Delay(will, Duration::from_secs(delay.into()))
        }
    }
}
