//! Reading the store: all that a session is owed is there, in order, each message once, as it was published.

use std::collections::BTreeMap;

use barnacle_storage::*;
use bytes::{Bytes, BytesMut};

use super::session::Session;
use super::world::{Judged, World, Wrong, ensure, same};
use crate::support::ALL;

impl World {
    /// Every attached session reads everything.
    pub(super) fn read_everything(&mut self) -> Judged {
        for name in self.readers() {
            self.read_all(&name, ALL)?;
            self.read_exchanges(&name)?;
        }
        Ok(())
    }

    /// An attached session reads what waits for it, in passes of that size.
    pub(super) fn read_all(&mut self, name: &str, budget: Budget) -> Judged {
        let mut position = self.model.sessions[name].position;
        let mut entries = Vec::new();
        loop {
            let pass = self.pass(name, position, budget)?;
            position = pass.through;
            entries.extend(pass.entries);
            if !pass.more {
                break;
            }
        }
        same("where reading ends", position, self.model.head.max(self.model.sessions[name].position))?;
        let session = &self.model.sessions[name];
        owed(session, &entries, position)?;
        self.coverage.add("messages read", entries.len() as u64);
        Ok(())
    }

    /// One pass. The tail, if it reaches, gives what the disk gives.
    pub(super) fn pass(&mut self, name: &str, position: Lsn, budget: Budget) -> Judged<Pass> {
        let connection = &self.clients[name];
        let reader = connection.reader.as_ref().expect("only sessions that last are read for");
        let session = &self.model.sessions[name];
        let pass = self
            .store()
            .read(reader, position, budget)
            .map_err(|error| Wrong(format!("{name} cannot read: {error}")))?;
        ensure(|| format!("more than the budget in {pass:?}"), pass.entries.len() <= budget.messages.max(1))?;
        let ascending = pass.entries.windows(2).all(|pair| pair[0].lsn < pair[1].lsn);
        ensure(|| format!("{name} does not read in order: {pass:?}"), ascending)?;
        let inside = |entry: &Entry| entry.lsn > position && entry.lsn <= pass.through;
        ensure(|| format!("{name} reads beyond its pass: {pass:?}"), pass.entries.iter().all(inside))?;
        for entry in &pass.entries {
            let Some(waiting) = session.waiting.get(&entry.lsn) else {
                return Err(Wrong(format!(
                    "{name} reads what it never asked for, or has consumed: {entry:?}"
                )));
            };
            same("a message", encoded(&entry.message), waiting.body.clone())?;
        }
        if let Some(tail) = self.store().read_tail(reader, position, budget) {
            ensure(
                || format!("{name}: the tail has {tail:?}, the store {pass:?}"),
                pass.entries.starts_with(&tail.entries),
            )?;
            self.coverage.count("passes from memory");
        } else {
            self.coverage.count("passes from the disk");
        }
        Ok(pass)
    }

    /// The messages of all exchanges that would have to be sent again.
    pub(super) fn read_exchanges(&mut self, name: &str) -> Judged {
        let id = self.clients[name].fence.0;
        let session = &self.model.sessions[name];
        let mut read: BTreeMap<&'static str, u64> = BTreeMap::new();
        for open in session.open.iter().filter(|open| !open.exchange.received) {
            let exchange = &open.exchange;
            let found = self
                .store()
                .read_exchange(id, exchange)
                .map_err(|error| Wrong(format!("{name} cannot read {exchange:?}: {error}")))?;
            let held = session.held.contains_key(&(exchange.packet_id, exchange.lsn));
            let expected = (held || exchange.log != LogId::RETAINED).then(|| open.body.clone());
            same("the message of an exchange", found.as_ref().map(encoded), expected)?;
            let what = if held { "exchanges read from a copy" } else { "exchanges read from a log" };
            *read.entry(what).or_default() += 1;
        }
        for (what, count) in read {
            self.coverage.add(what, count);
        }
        Ok(())
    }

    /// All retained messages.
    pub(super) fn read_retained(&mut self) -> Judged {
        let mut scan = RetainedScan { through: Lsn(u64::MAX), after_topic: String::new() };
        loop {
            let page = self.retained_page("#", &scan, ALL)?;
            scan.after_topic = page.after_topic;
            if page.done {
                return Ok(());
            }
        }
    }

    /// One page of a scan.
    pub(super) fn retained_page(
        &mut self,
        filter: &str,
        scan: &RetainedScan,
        budget: Budget,
    ) -> Judged<RetainedPage> {
        let page = self
            .store()
            .read_retained(filter, scan, budget)
            .map_err(|error| Wrong(format!("retained messages cannot be read: {error}")))?;
        let behind = self.model.retained_behind(filter, scan);
        let covered = behind.into_iter().filter(|(topic, _, _)| page.done || *topic <= &*page.after_topic);
        let expected: Vec<_> =
            covered.map(|(topic, lsn, body)| (topic.to_owned(), lsn, body.clone())).collect();
        let found: Vec<_> = page
            .messages
            .iter()
            .map(|(lsn, message)| (message.topic.to_string(), *lsn, encoded(message)))
            .collect();
        self.coverage.add("retained messages read", found.len() as u64);
        same("retained messages", found, expected)?;
        Ok(page)
    }

    /// Who has a connection, and a session that lasts.
    pub(super) fn readers(&self) -> Vec<String> {
        let readers = self.clients.iter().filter(|(_, connection)| connection.reader.is_some());
        readers.map(|(name, _)| name.clone()).collect()
    }
}

/// Whatever a subscription asked for that is still there has been read, up to where reading went.
fn owed(session: &Session, entries: &[Entry], through: Lsn) -> Judged {
    let owed = session.waiting.range(..=through).filter(|(_, waiting)| !waiting.wanted_by.is_empty());
    for (lsn, waiting) in owed {
        let read = entries.binary_search_by_key(lsn, |entry| entry.lsn).is_ok();
        ensure(|| format!("{lsn:?}, which {:?} asked for, is lost", waiting.wanted_by), read)?;
    }
    Ok(())
}

fn encoded(message: &Message) -> Bytes {
    encode_message(message, &mut BytesMut::new())
}
