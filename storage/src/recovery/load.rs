//! The catalog, rebuilt from what the engine has.
//!
//! Sessions, subscriptions, filters and positions are read; messages are not: where a log ends is found when it is first
//! needed. So the start takes time for each session, not for what is queued.

use bytestring::ByteString;

use super::SCHEMA;
use crate::catalog::{Catalog, Exchanges, Filter, Routes, Session, SharedLog, StoredSubscription};
use crate::engine::{Engine, EngineError, FailureKind};
use crate::floors::Floors;
use crate::groups::Group;
use crate::keys::{self, Family, Flow};
use crate::migration::{self, MigrationError};
use crate::quotas::Quotas;
use crate::record::{self, State};
use crate::topics::shared_filter;
use crate::{Damaged, DecodeError, Limits, OpenError, Options, SessionId};

/// What is read into memory.
pub(crate) struct Loaded {
    pub(crate) catalog: Catalog,
    pub(crate) routes: Routes,
    pub(crate) state: State,
    /// Nothing has ever been committed.
    pub(crate) new: bool,
}

/// Reads all of it; refuses what a newer version wrote, and what is damaged.
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
    let mut sessions = loader.sessions(state.next_id)?;
    catalog.subscriptions = loader.subscriptions(&mut sessions)?;
    let mut routes = Routes::default();
    loader.filters(&sessions, &mut catalog, &mut routes)?;
    loader.flow(&mut sessions)?;
    loader.hold_filters(&sessions, &mut catalog, &mut routes)?;
    floors.add_all(sessions.iter().map(|(id, _)| id.own_log()).chain(catalog.logs.keys().copied()));
    floors.recovered(catalog.next_id);
    catalog.fill(sessions);
    Ok(Loaded { catalog, routes, state, new })
}

/// Sessions in the order of their numbers, as the rows of each come too. There may be millions, all over the memory: whoever
/// goes by this order finds the next without a search.
type InOrder = Vec<(SessionId, Box<Session>)>;

/// The sessions of rows that come in the order of the sessions' numbers.
struct Walk<'a>(&'a mut [(SessionId, Box<Session>)]);

impl Walk<'_> {
    /// The session of the next row; `None`: there is none with this number.
    fn to(&mut self, id: SessionId) -> Option<&mut Session> {
        let passed = self.0.iter().take_while(|(known, _)| *known < id).count();
        self.0 = &mut std::mem::take(&mut self.0)[passed..];
        self.0.first_mut().filter(|(known, _)| *known == id).map(|(_, session)| &mut **session)
    }
}

/// Whether a session has this number.
fn is_session(sessions: &InOrder, id: u64) -> bool {
    sessions.binary_search_by_key(&SessionId(id), |(known, _)| *known).is_ok()
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

    fn sessions(&self, next_id: u64) -> Result<InOrder, OpenError> {
        let mut sessions = InOrder::new();
        self.each(keys::SESSION, |key, row| {
            let client_id =
                std::str::from_utf8(key).map_err(|_| DecodeError::Malformed("client identifier"))?;
            let row = record::decode_session(row)?;
            let id = SessionId(row.id);
            if id.0 == 0 || id.0 >= next_id {
                return Err(DecodeError::Malformed("session number"));
            }
            sessions.push((id, Box::new(Session::new(client_id.into(), row))));
            Ok(())
        })?;
        sessions.sort_unstable_by_key(|(id, _)| *id);
        let twice = sessions.windows(2).find(|pair| pair[0].0 == pair[1].0);
        match twice {
            Some([(_, session), _]) => {
                let reason = DecodeError::Malformed("session number");
                Err(self.damaged(keys::SESSION, session.client_id.as_bytes(), reason))
            }
            _ => Ok(sessions),
        }
    }

    /// Gives sessions their subscriptions; returns how many there are.
    fn subscriptions(&self, sessions: &mut InOrder) -> Result<usize, OpenError> {
        let mut sessions = Walk(sessions);
        let mut subscriptions = 0;
        self.each(keys::SUBSCRIPTION, |key, row| {
            let (id, filter) =
                keys::parse_subscription(key).ok_or(DecodeError::Malformed("subscription key"))?;
            let row = record::decode_subscription(row)?;
            let session = sessions.to(id).ok_or(DecodeError::Malformed("subscription of no session"))?;
            if session.subscriptions.is_empty() {
                // Most sessions have one.
                session.subscriptions.reserve_exact(1);
            }
            session.subscriptions.push(StoredSubscription::new(filter, row));
            subscriptions += 1;
            Ok(())
        })?;
        Ok(subscriptions)
    }

    fn filters(
        &self,
        sessions: &InOrder,
        catalog: &mut Catalog,
        routes: &mut Routes,
    ) -> Result<(), OpenError> {
        self.each(keys::FILTER, |key, row| {
            let filter = ByteString::try_from(key).map_err(|_| DecodeError::Malformed("filter"))?;
            let group = shared_filter(&filter).map(|_| record::decode_group(row)).transpose()?;
            let log = match &group {
                Some(group) => group.log,
                None => record::decode_filter(row)?,
            };
            if log.0 == 0 || log.0 >= catalog.next_id || is_session(sessions, log.0) {
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

    fn flow(&self, sessions: &mut InOrder) -> Result<(), OpenError> {
        let mut sessions = Walk(sessions);
        self.each(keys::FLOW, |key, row| {
            let (id, kind) = keys::parse_flow(key).ok_or(DecodeError::Malformed("flow key"))?;
            let session = sessions.to(id).ok_or(DecodeError::Malformed("flow of no session"))?;
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
    fn hold_filters(
        &self,
        sessions: &InOrder,
        catalog: &mut Catalog,
        routes: &mut Routes,
    ) -> Result<(), OpenError> {
        let Catalog { logs, groups: known_groups, .. } = catalog;
        for (id, session) in sessions {
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
