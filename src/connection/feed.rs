//! From the store and the mailbox into the session's window, as far as there is room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use barnacle_storage as storage;

use super::running::{LogFeed, Running};
use crate::broker::{self, Broker};
use crate::session::{Exchange, Request, Scan, Taken, Want};

/// Bytes that may wait for the socket before nothing more is taken.
const UNSENT_BYTES: usize = 256 << 10;

/// So many reads, and the client is heard again: what is read may be nothing that it wants.
const ROUNDS: usize = 32;

/// What one read of the logs brings at most.
const READ_AHEAD: storage::Budget = storage::Budget { messages: 1024, bytes: 256 << 10 };

/// Retained messages of one page at most, in bytes.
const RETAINED_PAGE_BYTES: usize = 64 << 10;

/// When the store could not be read, it is tried again after this time; twice as long each time after that …
const READ_AGAIN: Duration = Duration::from_millis(200);
/// … up to this.
const READ_AGAIN_AT_MOST: Duration = Duration::from_secs(5);

/// Letters taken from the mailbox at once.
const LETTERS: usize = 256;

impl Running {
    /// Fills the window.
    pub(super) async fn feed(&mut self) {
        self.catch_up.begin_turn();
        self.fill().await;
        self.pass_on();
    }

    async fn fill(&mut self) {
        for _ in 0..ROUNDS {
            if self.session.unsent_bytes() >= UNSENT_BYTES {
                return;
            }
            let progress = match self.session.want() {
                Want::Nothing => false,
                Want::Resend(exchanges) => self.resend(exchanges).await,
                Want::Retained { scan, room } => self.send_retained(scan, room).await,
                Want::New { after, room } => {
                    let letters = self.send_letters();
                    let entries = room > 0 && self.send_entries(after).await;
                    letters || entries || (room > 0 && self.send_from_groups(room).await)
                }
            };
            if !progress {
                return;
            }
        }
        // There is more, and meanwhile the client may have said something.
        self.signal.notify_one();
    }

    /// Takes back what may have been sent before the broker died, before the client says a word. `Some`: the disk gives nothing,
    /// and it is to be called again after this time.
    pub(super) async fn take_back(&mut self) -> Option<Duration> {
        let reader = self.log.as_ref()?.reader.clone();
        'all: while let Some((after, through)) = self.session.to_take_back() {
            let reader = reader.clone();
            let read =
                self.broker.read_disk(move |store| store.read(&reader, storage::Lsn(after), READ_AHEAD));
            let pass = match read.await {
                Ok(pass) => pass,
                Err(error) if error.passing().is_some() => return Some(self.cannot_read(&error)),
                Err(error) => {
                    tracing::error!(
                        client_id = &*self.owner.client_id,
                        "the session's logs cannot be read: {error}"
                    );
                    break;
                }
            };
            self.has_read();
            let now = self.broker.clock.now();
            for entry in &pass.entries {
                let delivery = broker::delivery(&entry.message);
                let behind = entry.lsn.0 > through;
                if behind || !self.session.take_back(broker::place(entry), &delivery, now) {
                    break 'all;
                }
            }
            // A pass may bring nothing and end where the session passes something over: it goes on from there.
            self.session.logs_taken_through(pass.through.0.min(through), now);
            if pass.through.0 <= through
                && let Some(log) = &self.log
            {
                let (messages, at_most) = lost(&pass.damaged, &log.reader);
                self.session.passed_damage(messages, at_most, now);
            }
            if !pass.more {
                break;
            }
        }
        self.session.taken_back();
        None
    }

    async fn resend(&mut self, exchanges: Vec<Exchange>) -> bool {
        let Some((session, _)) = self.owner.stored else {
            unreachable!("only a stored session has exchanges from before");
        };
        let read = self.broker.read_disk(move |store| {
            // As much as a read of the logs: a window of large messages is not in memory all at once.
            let (mut messages, mut bytes) = (Vec::new(), 0);
            for exchange in &exchanges {
                let message = store.read_exchange(session, &broker::exchange_to_store(exchange));
                bytes +=
                    message.as_ref().ok().and_then(Option::as_ref).map_or(0, |found| found.payload.len());
                messages.push(message);
                if bytes >= READ_AHEAD.bytes {
                    break;
                }
            }
            messages
        });
        for message in read.await {
            if let Err(error) = &message
                && error.passing().is_some()
            {
                return self.read_again_later(error);
            }
            self.has_read();
            let message = message.unwrap_or_else(|error| {
                tracing::error!(
                    client_id = &*self.owner.client_id,
                    "an open exchange cannot be sent again: {error}"
                );
                None
            });
            let now = self.broker.clock.now();
            self.session.resend(message.as_ref().map(broker::delivery).as_ref(), now);
        }
        true
    }

    async fn send_retained(&mut self, scan: Scan, room: usize) -> bool {
        let after = storage::RetainedScan {
            through: storage::Lsn(scan.through),
            after_topic: scan.after_topic.to_string(),
        };
        let budget = storage::Budget { messages: room, bytes: RETAINED_PAGE_BYTES };
        let filter = scan.filter.clone();
        let read = move |store: &storage::Store| store.read_retained(&filter, &after, budget);
        let page = match self.broker.read_disk(read).await {
            Ok(page) => page,
            Err(error) if error.passing().is_some() => return self.read_again_later(&error),
            Err(error) => {
                tracing::error!(
                    client_id = &*self.owner.client_id,
                    "retained messages cannot be read: {error}"
                );
                self.session.retained_taken(None);
                return true;
            }
        };
        self.has_read();
        let now = self.broker.clock.now();
        let mut taken_through = None;
        for (lsn, message) in &page.messages {
            match self.session.take_retained(lsn.0, &broker::delivery(message), now) {
                Taken::Full => {
                    let any = taken_through.is_some();
                    if any {
                        self.session.retained_taken(taken_through);
                    }
                    return any;
                }
                Taken::Begun(packet_id) if self.owner.stored.is_some() => {
                    let body = storage::encode_message(message, &mut bytes::BytesMut::new());
                    self.session.request(Request::Hold { packet_id, lsn: lsn.0, body });
                }
                _ => {}
            }
            taken_through = Some(message.topic.clone());
        }
        self.session.retained_taken((!page.done).then(|| page.after_topic.into()));
        true
    }

    /// The store is being opened again, or the disk gives nothing just now: what was to be read may still be there, and nothing
    /// of it has been taken.
    pub(super) fn read_again_later(&mut self, error: &storage::ReadError) -> bool {
        let pause = self.cannot_read(error);
        let signal = Arc::clone(&self.signal);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            signal.notify_one();
        });
        false
    }

    /// How long it waits before it reads again.
    fn cannot_read(&mut self, error: &storage::ReadError) -> Duration {
        let client_id = &*self.owner.client_id;
        let pause = self.read_pause.unwrap_or(READ_AGAIN);
        match error {
            // Said once, until something can be read again.
            storage::ReadError::Engine(reason) if self.read_pause.is_none() => {
                tracing::error!(
                    client_id,
                    "the disk gives nothing; it is read again until it does: {reason}"
                );
            }
            error => tracing::debug!(client_id, "{error}"),
        }
        self.read_pause = Some((pause * 2).min(READ_AGAIN_AT_MOST));
        pause
    }

    /// What was to be read was read.
    pub(super) fn has_read(&mut self) {
        if self.read_pause.take().is_some_and(|pause| pause > READ_AGAIN * 2) {
            tracing::info!(client_id = &*self.owner.client_id, "the store can be read again");
        }
    }

    fn send_letters(&mut self) -> bool {
        if self.mailbox.is_empty() {
            return false;
        }
        let now = self.broker.clock.now();
        let mut letters = self.mailbox.take(LETTERS);
        let any = !letters.is_empty();
        while let Some(letter) = letters.front() {
            if self.session.unsent_bytes() >= UNSENT_BYTES
                || self.session.take_from_mailbox(
                    letter.lsn,
                    letter.group.as_deref(),
                    &letter.message.as_delivery(),
                    now,
                ) == Taken::Full
            {
                break;
            }
            letters.pop_front();
        }
        let all = letters.is_empty();
        self.mailbox.put_back(letters);
        any && all
    }

    async fn send_entries(&mut self, after: u64) -> bool {
        let Some(log) = &mut self.log else { return false };
        // What was read before a limit had it dropped.
        while log.ahead.front().is_some_and(|entry| entry.lsn.0 <= after) {
            log.ahead.pop_front();
        }
        if log.ahead.is_empty() {
            match log.read(&self.broker, after).await {
                Ok(true) => self.has_read(),
                Ok(false) => return false,
                Err(error) if error.passing().is_some() => {
                    log.grown.store(true, Ordering::Release);
                    return self.read_again_later(&error);
                }
                Err(error) => {
                    let client_id = &*self.owner.client_id;
                    tracing::error!(client_id, "the session's logs cannot be read: {error}");
                    return false;
                }
            }
        }
        let Some(log) = &mut self.log else { return false };
        let now = self.broker.clock.now();
        let total = &self.broker.catch_up_total;
        let allowance = self.catch_up.allowance(log.ahead.len() as u64, total, now.monotonic_millis);
        let mut taken = 0;
        while let Some(entry) = log.ahead.front().filter(|_| taken < allowance) {
            let delivery = broker::delivery(&entry.message);
            if self.session.take_from_log(broker::place(entry), &delivery, now) == Taken::Full {
                break;
            }
            log.ahead.pop_front();
            taken += 1;
        }
        self.catch_up.taken(taken, allowance, total);
        let all = log.ahead.is_empty();
        if all {
            self.session.logs_taken_through(log.through, now);
            let (messages, at_most) = std::mem::take(&mut log.damaged);
            self.session.passed_damage(messages, at_most, now);
            if !log.grown.load(Ordering::Acquire) {
                self.catch_up.caught_up();
            }
        }
        log.reader.set_taken(storage::Lsn(self.session.position()));
        all
    }

    /// Passes over what waits beyond a limit whose policy is to drop the oldest.
    pub(super) async fn drop_excess(&mut self) {
        if self.session.to_take_back().is_some() {
            return;
        }
        let Some(log) = self.log.as_ref().filter(|log| log.reader.take_over_limit()) else { return };
        let reader = log.reader.clone();
        let position = storage::Lsn(self.session.position());
        match self.broker.read_disk(move |store| store.excess(&reader, position)).await {
            Ok(Some(excess)) => {
                let now = self.broker.clock.now();
                let through = excess.through.0;
                if self.session.drop_through(through, broker::over_limit(&excess), now) {
                    log.reader.set_taken(excess.through);
                    let (client_id, dropped) = (&*self.owner.client_id, excess.dropped.at_most().messages);
                    tracing::debug!(client_id, dropped, "messages beyond a limit are passed over");
                } else {
                    // When what is on its way is kept, there is another turn.
                    log.reader.look_again();
                }
            }
            Ok(None) => {}
            Err(error) if error.passing().is_some() => {
                log.reader.look_again();
                self.read_again_later(&error);
            }
            Err(error) => {
                let client_id = &*self.owner.client_id;
                tracing::error!(client_id, "what is beyond a limit cannot be found: {error}");
            }
        }
    }
}

impl LogFeed {
    /// Reads the next entries; `false` when there are none. From the tail cache when it has them, else from the disk.
    async fn read(&mut self, broker: &Broker, after: u64) -> Result<bool, storage::ReadError> {
        if !self.grown.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let position = storage::Lsn(after);
        let pass = match broker.store.read_tail(&self.reader, position, READ_AHEAD) {
            Some(pass) => pass,
            None => {
                let reader = self.reader.clone();
                broker.read_disk(move |store| store.read(&reader, position, READ_AHEAD)).await?
            }
        };
        if pass.more {
            self.grown.store(true, Ordering::Release);
        }
        self.through = pass.through.0;
        let (messages, at_most) = lost(&pass.damaged, &self.reader);
        self.damaged.0 += messages;
        self.damaged.1 += at_most;
        self.ahead.extend(pass.entries);
        Ok(true)
    }
}

/// How many messages are lost to damaged parts of logs: counted, where it is the session's own log and its ordinals
/// tell, and at most.
fn lost(damaged: &[storage::DamagedRange], reader: &storage::Reader) -> (u64, u64) {
    let (mut messages, mut at_most) = (0, 0);
    for range in damaged {
        match range.messages {
            Some(count) if range.log.0 == reader.session().0 => messages += count,
            count => at_most += count.unwrap_or(range.through.0 - range.after.0),
        }
    }
    (messages, at_most)
}
