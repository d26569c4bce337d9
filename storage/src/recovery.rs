//! Opening: the catalog, rebuilt from what the engine has.
//!
//! Sessions, subscriptions, filters and positions are read; messages are not: where a log ends is found when it is first
//! needed. So the start takes time for each session, not for what is queued.

use std::time::Duration;

use bytestring::ByteString;

use crate::catalog::{Catalog, Exchanges, Filter, Routes, Session, SharedLog, StoredSubscription};
use crate::engine::{Engine, EngineError, FailureKind};
use crate::floors::Floors;
use crate::groups::Group;
use crate::keys::{self, Family, Flow};
use crate::migration::{self, MigrationError};
use crate::quotas::Quotas;
use crate::record::{self, State};
use crate::topics::shared_filter;
use crate::{Damaged, DecodeError, EndedSession, Limits, Lsn, OpenError, Options, SessionId};

/// The schema that this version writes.
pub(crate) const SCHEMA: u32 = 2;

/// What opening the store has found.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Stored sessions.
    pub sessions: usize,
    /// Those of them that were connected when the store was last open.
    pub interrupted_sessions: usize,
    /// Subscriptions of stored sessions.
    pub subscriptions: usize,
    /// Filters that they hold with QoS 1 or 2.
    pub filters: usize,
    /// The last LSN that was given out.
    pub head: Lsn,
    /// The number of the last batch: opening writes some of its own.
    pub commit: u64,
    /// The number of the last batch that has come back.
    pub recovered_commit: u64,
    /// The store was closed in an orderly way; nothing had to be replayed.
    pub clean: bool,
    /// First and last of the batches that had been acknowledged and are gone.
    pub lost: Option<(u64, u64)>,
    /// The commit mark could not be read: whether the last batches are there cannot be told.
    pub mark_unreadable: bool,
    /// Damaged parts of the write-ahead log that were left out.
    pub in_doubt: Vec<InDoubt>,
    /// Sessions that ended because they had expired, or ended with a connection that the crash broke.
    pub ended: Vec<EndedSession>,
    /// How long opening took.
    pub elapsed: Duration,
    /// Whether RocksDB computes its checksums in hardware; `None` when it does not say.
    pub fast_checksum: Option<bool>,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} sessions, {} subscriptions, {} filters, head {}, commit {}; {} in {:.3} s",
            self.sessions,
            self.subscriptions,
            self.filters,
            self.head.0,
            self.commit,
            if self.clean { "opened" } else { "recovered after a crash" },
            self.elapsed.as_secs_f64(),
        )?;
        if !self.ended.is_empty() {
            write!(formatter, "; {} sessions had expired or ended", self.ended.len())?;
        }
        if let Some((first, last)) = self.lost {
            write!(formatter, "; ACKNOWLEDGED DATA IS LOST: batches {first} to {last} are missing")?;
        }
        for doubt in &self.in_doubt {
            write!(formatter, "; ACKNOWLEDGED DATA IS IN DOUBT: {doubt}")?;
        }
        if self.mark_unreadable {
            let commit = self.commit;
            write!(
                formatter,
                "; the commit mark is damaged: whether anything behind {commit} is lost is not known"
            )?;
        }
        Ok(())
    }
}

/// A damaged part of the write-ahead log. It was left out, and what stood behind it was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// First and last of the batches that may have been in it. Empty when the first is above the last.
    pub commits: (u64, u64),
    /// First and last of the LSNs that may have been in it.
    pub lsns: (Lsn, Lsn),
    /// The file as it was.
    pub kept: std::path::PathBuf,
}

impl std::fmt::Display for InDoubt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((first, last), (first_lsn, last_lsn)) = (self.commits, self.lsns);
        write!(
            formatter,
            "the write-ahead log was damaged in its middle; batches {first} to {last}, LSN {} to {}; the file is kept as {}",
            first_lsn.0,
            last_lsn.0,
            self.kept.display()
        )
    }
}

/// What is known to be lost to damage.
pub(crate) fn quarantined(engine: &dyn Engine) -> Vec<record::QuarantineRow> {
    let view = engine.view();
    let mut rows = view.cursor(keys::META, keys::QUARANTINE, None);
    rows.seek_to_first();
    let mut known = Vec::new();
    while let Some((_, row)) = rows.item().filter(|(key, _)| key.starts_with(keys::QUARANTINE)) {
        match record::decode_quarantine(row) {
            Ok(row) => known.push(row),
            Err(reason) => tracing::warn!(%reason, "a record of earlier damage is itself damaged"),
        }
        rows.next();
    }
    known
}

/// What is read into memory.
pub(crate) struct Loaded {
    pub(crate) catalog: Catalog,
    pub(crate) routes: Routes,
    pub(crate) state: State,
    /// Nothing has ever been committed.
    pub(crate) new: bool,
}

pub(crate) fn load(engine: &dyn Engine, options: &Options, floors: &Floors) -> Result<Loaded, OpenError> {
    let loader = Loader { engine, options };
    let new = loader.check_schema()?;
    let state = loader.state(new)?;
    let quotas = (options.limits != Limits::default()).then(|| Quotas::new(options.limits));
    let mut catalog = Catalog {
        quotas,
        last: state.last,
        next_id: state.next_id,
        commit: state.commit,
        ..Catalog::default()
    };
    if let Some(row) = loader.get(keys::META, keys::DROPS)? {
        catalog.drops =
            record::decode_drops(&row).map_err(|reason| loader.damaged(keys::META, keys::DROPS, reason))?;
    }
    loader.sessions(&mut catalog)?;
    loader.subscriptions(&mut catalog)?;
    let mut routes = Routes::default();
    loader.filters(&mut catalog, &mut routes)?;
    loader.flow(&mut catalog)?;
    loader.hold_filters(&mut catalog, &mut routes)?;
    let mut sessions: Vec<SessionId> = catalog.sessions.keys().copied().collect();
    sessions.sort_unstable();
    for id in sessions {
        floors.add(id.own_log());
        catalog.set_expiry(id, true);
        let due = catalog.sessions[&id].rare.will_due_at_millis;
        catalog.set_will_due(id, due);
        catalog.moved.insert(id);
    }
    for log in catalog.logs.keys() {
        floors.add(*log);
    }
    floors.recovered(catalog.next_id);
    Ok(Loaded { catalog, routes, state, new })
}

struct Loader<'a> {
    engine: &'a dyn Engine,
    options: &'a Options,
}

impl Loader<'_> {
    /// Whether the store is new; refuses what a newer version wrote, and migrates what an older one did.
    fn check_schema(&self) -> Result<bool, OpenError> {
        let Some(row) = self.get(keys::META, keys::SCHEMA)? else { return Ok(true) };
        let found =
            record::decode_schema(&row).map_err(|reason| self.damaged(keys::META, keys::SCHEMA, reason))?;
        if found > SCHEMA {
            return Err(OpenError::NewerSchema {
                directory: self.options.directory.clone(),
                found,
                known: SCHEMA,
            });
        }
        migration::migrate(self.engine, found).map_err(|error| match error {
            MigrationError::Engine(error) => self.refused(error),
            MigrationError::Damaged(damaged) => {
                OpenError::Damaged { directory: self.options.directory.clone(), damaged }
            }
        })?;
        Ok(false)
    }

    fn state(&self, new: bool) -> Result<State, OpenError> {
        match self.get(keys::META, keys::STATE)? {
            Some(row) => {
                record::decode_state(&row).map_err(|reason| self.damaged(keys::META, keys::STATE, reason))
            }
            // Number 0 is no log and no session: see `LogId::RETAINED`.
            None if new => Ok(State { next_id: 1, ..State::default() }),
            None => Err(self.damaged(keys::META, keys::STATE, DecodeError::Truncated)),
        }
    }

    fn sessions(&self, catalog: &mut Catalog) -> Result<(), OpenError> {
        self.each(keys::SESSION, |key, row| {
            let client_id =
                std::str::from_utf8(key).map_err(|_| DecodeError::Malformed("client identifier"))?;
            let row = record::decode_session(row)?;
            let id = SessionId(row.id);
            if id.0 == 0 || id.0 >= catalog.next_id || catalog.sessions.contains_key(&id) {
                return Err(DecodeError::Malformed("session number"));
            }
            catalog.connected += usize::from(row.connected);
            catalog.insert(id, Session::new(client_id.into(), row));
            Ok(())
        })
    }

    fn subscriptions(&self, catalog: &mut Catalog) -> Result<(), OpenError> {
        self.each(keys::SUBSCRIPTION, |key, row| {
            let (id, filter) =
                keys::parse_subscription(key).ok_or(DecodeError::Malformed("subscription key"))?;
            let row = record::decode_subscription(row)?;
            let session =
                catalog.sessions.get_mut(&id).ok_or(DecodeError::Malformed("subscription of no session"))?;
            if session.subscriptions.is_empty() {
                // Most sessions have one.
                session.subscriptions.reserve_exact(1);
            }
            session.subscriptions.push(StoredSubscription::new(filter, row));
            catalog.subscriptions += 1;
            Ok(())
        })
    }

    fn filters(&self, catalog: &mut Catalog, routes: &mut Routes) -> Result<(), OpenError> {
        self.each(keys::FILTER, |key, row| {
            let filter = ByteString::try_from(key).map_err(|_| DecodeError::Malformed("filter"))?;
            let group = shared_filter(&filter).map(|_| record::decode_group(row)).transpose()?;
            let log = match &group {
                Some(group) => group.log,
                None => record::decode_filter(row)?,
            };
            if log.0 == 0 || log.0 >= catalog.next_id || catalog.sessions.contains_key(&SessionId(log.0)) {
                return Err(DecodeError::Malformed("log number"));
            }
            if let Some(row) = group {
                let group = Group::recovered(row).ok_or(DecodeError::Malformed("group"))?;
                catalog.groups.insert(filter.clone(), group);
            } else {
                routes.recover(&filter, Filter { log, holders: 0, has_log: true });
            }
            catalog.logs.insert(log, SharedLog { filter, members: Default::default() });
            Ok(())
        })
    }

    fn flow(&self, catalog: &mut Catalog) -> Result<(), OpenError> {
        self.each(keys::FLOW, |key, row| {
            let (id, kind) = keys::parse_flow(key).ok_or(DecodeError::Malformed("flow key"))?;
            let session =
                catalog.sessions.get_mut(&id).ok_or(DecodeError::Malformed("flow of no session"))?;
            match kind {
                Flow::Outbound => drop(session.set_outbound(record::decode_outbound(row)?)),
                Flow::Inbound => session.set_inbound(record::decode_inbound(row)?),
                Flow::Gaps => session.rare.gaps = Some(Box::new(record::decode_gaps(row)?)),
                Flow::Drops => session.rare.drops = Some(Box::new(record::decode_drops(row)?)),
                // Behind the outbound state in the order of the keys.
                Flow::Held(packet_id) => {
                    let held = (packet_id, record::decode_held_lsn(row)?);
                    session.rare.exchanges.get_or_insert_with(Box::<Exchanges>::default).held.push(held);
                }
            }
            Ok(())
        })
    }

    /// Who holds which filter, from the subscriptions.
    fn hold_filters(&self, catalog: &mut Catalog, routes: &mut Routes) -> Result<(), OpenError> {
        let Catalog { sessions, logs, groups: known_groups, .. } = catalog;
        for (id, session) in sessions.iter() {
            for subscription in &session.subscriptions {
                let damaged = |reason| {
                    let key = keys::subscription(*id, &subscription.filter);
                    self.damaged(keys::SUBSCRIPTION, &key, DecodeError::Malformed(reason))
                };
                for part in subscription.parts() {
                    let log = logs.get_mut(&part.log).filter(|log| *log.filter == *subscription.filter);
                    log.ok_or_else(|| damaged("log of a filter"))?.members.insert(*id);
                }
                if subscription.is_shared() {
                    let log =
                        known_groups.get(&*subscription.filter).and_then(|group| logs.get_mut(&group.log));
                    log.ok_or_else(|| damaged("group of a shared subscription"))?.members.insert(*id);
                }
                if !subscription.is_holder() {
                    continue;
                }
                let new = Filter { holders: 0, ..Filter::sole(*id) };
                let filter = routes.recover(&subscription.filter, new);
                filter.holders += 1;
                if subscription.membership().map(|membership| membership.log) != filter.own_log()
                    || (!filter.has_log && filter.holders > 1)
                {
                    return Err(damaged("holder of a filter"));
                }
            }
        }
        // What nobody reads is dead: its record is all that is left.
        for (_, dead) in logs.extract_if(|_, log| log.members.is_empty()) {
            routes.set(&dead.filter, None);
        }
        known_groups.retain(|_, group| logs.contains_key(&group.log));
        for (filter, group) in known_groups.iter() {
            routes.add_group(shared_filter(filter).expect("only these have groups"), group.log);
        }
        Ok(())
    }

    fn each(
        &self,
        family: Family,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), OpenError> {
        let view = self.engine.view();
        let mut rows = view.cursor(family, &[], None);
        rows.seek_to_first();
        while let Some((key, row)) = rows.item() {
            take(key, row).map_err(|reason| self.damaged(family, key, reason))?;
            rows.next();
        }
        rows.status().map_err(|error| self.refused(error))
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<bytes::Bytes>, OpenError> {
        self.engine.view().get(family, key).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: EngineError) -> OpenError {
        let (directory, reason) = (self.options.directory.clone(), error.reason);
        match error.kind {
            FailureKind::Corruption => OpenError::Unreadable { directory, reason },
            _ => OpenError::Engine { directory, reason },
        }
    }

    fn damaged(&self, family: Family, key: &[u8], reason: DecodeError) -> OpenError {
        OpenError::Damaged {
            directory: self.options.directory.clone(),
            damaged: Damaged::new(family, key, reason),
        }
    }
}
