//! The small families: sessions, subscriptions, filters, exchanges, retained messages, and what they say of each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::access::Access;
use super::report::{CheckReport, Finding, FindingKind, LogRange, printable};
use super::scan::{Found, scan};
use crate::groups::Group;
use crate::keys::{self, Family, Flow};
use crate::record::{self, GroupRow, Membership, QuarantineRow, SessionRow, State, SubscriptionRow};
use crate::topics::shared_filter;
use crate::{DecodeError, Drops, LogId, Lsn, Outbound, PacketIdSet, SessionId};

/// What the small families say.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) state: State,
    pub(crate) sessions: BTreeMap<SessionId, SessionRows>,
    pub(crate) filters: BTreeMap<String, LogId>,
    /// The records of groups, by the whole filter.
    pub(crate) groups: BTreeMap<String, GroupRow>,
    pub(crate) quarantine: Vec<QuarantineRow>,
    /// Rows that are not what they should be.
    pub(crate) damaged: Vec<DamagedRow>,
    /// There is a record of the state, and it can be read.
    pub(crate) has_state: bool,
    /// Families of which something could not be read: what they should have said is not known.
    incomplete: HashSet<&'static str>,
}

/// A row as it is on the disk.
pub(crate) struct DamagedRow {
    pub(crate) family: Family,
    pub(crate) key: Vec<u8>,
    pub(crate) row: Vec<u8>,
    pub(crate) reason: DecodeError,
}

/// All rows of one session but its messages.
#[derive(Default)]
pub(crate) struct SessionRows {
    /// `None`: there are rows of a session that has no row itself.
    pub(crate) row: Option<(String, SessionRow)>,
    pub(crate) subscriptions: Vec<(String, SubscriptionRow)>,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: PacketIdSet,
    pub(crate) drops: Drops,
    /// Packet identifier and LSN of exchanges with a copy of their own.
    pub(crate) held: Vec<(u16, Lsn)>,
}

impl SessionRows {
    pub(crate) fn client_id(&self) -> &str {
        self.row.as_ref().map_or("", |(client_id, _)| client_id)
    }

    pub(crate) fn memberships(&self) -> impl Iterator<Item = Membership> {
        self.subscriptions.iter().filter_map(|(_, row)| row.membership)
    }
}

impl Model {
    /// Reads the small families, and reports each row that cannot be read.
    pub(crate) fn read(access: &Access, report: &mut CheckReport) -> Model {
        let mut model = Model::default();
        model.each(access, report, keys::META, Model::meta);
        model.each(access, report, keys::SESSION, Model::session);
        model.each(access, report, keys::SUBSCRIPTION, Model::subscription);
        model.each(access, report, keys::FILTER, Model::filter);
        model.each(access, report, keys::FLOW, Model::flow);
        model.each(access, report, keys::RETAINED, Model::retained);
        report.commit = model.state.commit;
        report.head = model.state.last.0;
        report.clean_shutdown = model.state.clean;
        for row in &model.quarantine {
            report.add(quarantined(row));
        }
        model
    }

    fn each(
        &mut self,
        access: &Access,
        report: &mut CheckReport,
        of: Family,
        take: impl Fn(&mut Model, &[u8], &[u8], &mut CheckReport) -> Result<(), DecodeError>,
    ) {
        let name = of.name();
        let Some(family) = access.family(of) else { return };
        scan(&access.db, family, &[], None, |found| match found {
            Found::Row(key, row) => {
                report.counts.bytes += (key.len() + row.len()) as u64;
                if let Err(reason) = take(self, key, row, report) {
                    self.incomplete.insert(name);
                    self.damaged.push(DamagedRow {
                        family: of,
                        key: key.to_vec(),
                        row: row.to_vec(),
                        reason,
                    });
                    report.row(FindingKind::Damaged, name, key, reason.to_string());
                }
            }
            Found::Unreadable(gap) => {
                self.incomplete.insert(name);
                let before = gap.before.as_deref().map_or_else(|| "the end".to_owned(), printable);
                let what =
                    format!("keys behind {:?} and before {before}: {}", printable(&gap.after), gap.reason);
                report.add(Finding::at(FindingKind::Unreadable, name, what));
            }
        });
    }

    fn meta(&mut self, key: &[u8], row: &[u8], _: &mut CheckReport) -> Result<(), DecodeError> {
        if key == keys::SCHEMA {
            record::decode_schema(row)?;
        } else if key == keys::STATE {
            self.state = record::decode_state(row)?;
            self.has_state = true;
        } else if key.starts_with(keys::QUARANTINE) {
            self.quarantine.push(record::decode_quarantine(row)?);
        }
        Ok(())
    }

    fn session(&mut self, key: &[u8], row: &[u8], report: &mut CheckReport) -> Result<(), DecodeError> {
        report.counts.sessions += 1;
        let client_id = text(key, "client identifier")?;
        let row = record::decode_session(row)?;
        let known = self.sessions.entry(SessionId(row.id)).or_default();
        if row.id == 0 || row.id >= self.state.next_id || known.row.is_some() {
            return Err(DecodeError::Malformed("session number"));
        }
        known.row = Some((client_id, row));
        Ok(())
    }

    fn subscription(&mut self, key: &[u8], row: &[u8], report: &mut CheckReport) -> Result<(), DecodeError> {
        report.counts.subscriptions += 1;
        let (id, filter) = keys::parse_subscription(key).ok_or(DecodeError::Malformed("subscription key"))?;
        let row = record::decode_subscription(row)?;
        self.sessions.entry(id).or_default().subscriptions.push((filter.to_owned(), row));
        Ok(())
    }

    fn filter(&mut self, key: &[u8], row: &[u8], report: &mut CheckReport) -> Result<(), DecodeError> {
        report.counts.filters += 1;
        let filter = text(key, "filter")?;
        let log = match shared_filter(&filter) {
            Some(_) => {
                let row = record::decode_group(row)?;
                let group = Group::recovered(row.clone()).ok_or(DecodeError::Malformed("group"))?;
                self.groups.insert(filter.clone(), row);
                group.log
            }
            None => record::decode_filter(row)?,
        };
        self.filters.insert(filter, log);
        Ok(())
    }

    fn flow(&mut self, key: &[u8], row: &[u8], _: &mut CheckReport) -> Result<(), DecodeError> {
        let (id, kind) = keys::parse_flow(key).ok_or(DecodeError::Malformed("flow key"))?;
        let session = self.sessions.entry(id).or_default();
        match kind {
            Flow::Outbound => session.outbound = record::decode_outbound(row)?,
            Flow::Inbound => session.inbound = record::decode_inbound(row)?,
            Flow::Drops => session.drops = record::decode_drops(row)?,
            Flow::Gaps => drop(record::decode_gaps(row)?),
            Flow::Held(packet_id) => {
                let (lsn, _) = record::decode_held(&Bytes::copy_from_slice(row))?;
                session.held.push((packet_id, lsn));
            }
        }
        Ok(())
    }

    fn retained(&mut self, key: &[u8], row: &[u8], report: &mut CheckReport) -> Result<(), DecodeError> {
        report.counts.retained += 1;
        let topic = text(key, "topic")?;
        let (lsn, message) = record::decode_retained(&Bytes::copy_from_slice(row))?;
        if message.topic != topic {
            return Err(DecodeError::Malformed("topic"));
        }
        if lsn > self.state.last {
            return Err(DecodeError::Malformed("LSN"));
        }
        Ok(())
    }

    /// Whether a family was read whole, so that what is not in it is not there.
    fn is_whole(&self, family: Family) -> bool {
        !self.incomplete.contains(family.name())
    }

    /// What the rows say of each other.
    pub(crate) fn check_references(&self, report: &mut CheckReport) {
        let mut holders: HashMap<&str, Vec<(SessionId, Option<Membership>)>> = HashMap::new();
        for (id, session) in &self.sessions {
            self.check_session(*id, session, report);
            for (filter, row) in &session.subscriptions {
                if row.options.qos > 0 && shared_filter(filter).is_none() {
                    holders.entry(filter).or_default().push((*id, row.membership));
                }
            }
        }
        self.check_holders(&holders, report);
        self.check_filters(report);
    }

    fn check_session(&self, id: SessionId, session: &SessionRows, report: &mut CheckReport) {
        let Some((client_id, _)) = &session.row else {
            if self.is_whole(keys::SESSION) {
                let what = format!("session {} has rows here, and is none", id.0);
                let place = if session.subscriptions.is_empty() { keys::FLOW } else { keys::SUBSCRIPTION };
                report.add(Finding::at(FindingKind::Inconsistent, place.name(), what));
            }
            return;
        };
        let mut wrong = |place: Family, key: &str, what: String| {
            let finding = Finding::at(FindingKind::Inconsistent, place.name(), what);
            report.add(Finding {
                key: Some(printable(key.as_bytes())),
                sessions: vec![client_id.clone()],
                ..finding
            });
        };
        for (filter, row) in &session.subscriptions {
            if row.start > self.state.last {
                wrong(
                    keys::SUBSCRIPTION,
                    filter,
                    format!("begins at LSN {}, which is not given out", row.start.0),
                );
            }
            if shared_filter(filter).is_some()
                && self.is_whole(keys::FILTER)
                && !self.filters.contains_key(filter)
            {
                wrong(keys::SUBSCRIPTION, filter, "its group is not there".to_owned());
            }
            let Some(part) = row.membership else { continue };
            if self.is_whole(keys::FILTER) && self.filters.get(filter) != Some(&part.log) {
                wrong(
                    keys::SUBSCRIPTION,
                    filter,
                    format!("reads log {}, which is not the filter's", part.log.0),
                );
            }
            if part.from > part.until {
                wrong(keys::SUBSCRIPTION, filter, "ends before it begins".to_owned());
            }
        }
        let outbound = &session.outbound;
        if outbound.position > self.state.last {
            wrong(keys::FLOW, client_id, format!("position {} is not given out", outbound.position.0));
        }
        let mut seen = HashSet::new();
        for exchange in &outbound.open {
            let copied = exchange.received || exchange.log != crate::LogId::RETAINED;
            if !copied
                && self.is_whole(keys::FLOW)
                && !session.held.contains(&(exchange.packet_id, exchange.lsn))
            {
                wrong(
                    keys::FLOW,
                    client_id,
                    format!("exchange {} has no copy of its message", exchange.packet_id),
                );
            }
            if exchange.packet_id == 0 || !seen.insert(exchange.packet_id) || exchange.lsn > self.state.last {
                wrong(keys::FLOW, client_id, format!("exchange {} is not one", exchange.packet_id));
            }
        }
        for (packet_id, lsn) in &session.held {
            let open = |exchange: &crate::Exchange| exchange.packet_id == *packet_id && exchange.lsn == *lsn;
            if self.is_whole(keys::FLOW) && !outbound.open.iter().any(open) {
                wrong(
                    keys::FLOW,
                    client_id,
                    format!("a copy is held for exchange {packet_id}, which is not open"),
                );
            }
        }
    }

    /// One holder writes to its own log, several to the filter's.
    fn check_holders(
        &self,
        holders: &HashMap<&str, Vec<(SessionId, Option<Membership>)>>,
        report: &mut CheckReport,
    ) {
        if !self.is_whole(keys::FILTER) || !self.is_whole(keys::SUBSCRIPTION) {
            return;
        }
        for (filter, held_by) in holders {
            let log = self.filters.get(*filter).copied();
            let agree = held_by.iter().all(|(_, part)| part.map(|part| part.log) == log);
            if !agree || (log.is_none() && held_by.len() > 1) {
                let what = format!("its {} holders do not agree on its log", held_by.len());
                report.row(FindingKind::Inconsistent, keys::SUBSCRIPTION.name(), filter.as_bytes(), what);
            }
        }
    }

    fn check_filters(&self, report: &mut CheckReport) {
        let mut logs = HashSet::new();
        for (filter, log) in &self.filters {
            let sessions = self.sessions.contains_key(&SessionId(log.0));
            if log.0 == 0 || log.0 >= self.state.next_id || sessions || !logs.insert(log) {
                let what = format!("log {} cannot be a filter's", log.0);
                report.row(FindingKind::Inconsistent, keys::FILTER.name(), filter.as_bytes(), what);
            }
        }
    }

    /// Client identifiers of up to ten sessions that have not read a log up to `through`.
    pub(crate) fn readers_behind(&self, log: LogId, through: Lsn) -> Vec<String> {
        let reads = |id: &SessionId, session: &SessionRows| {
            let member = |(filter, _): &(String, SubscriptionRow)| {
                shared_filter(filter).is_some() && self.filters.get(filter) == Some(&log)
            };
            id.own_log() == log
                || session.subscriptions.iter().any(member)
                || session.memberships().any(|part| part.log == log && part.from < through)
        };
        self.sessions
            .iter()
            .filter(|(id, session)| session.outbound.position < through && reads(id, session))
            .map(|(_, session)| session.client_id().to_owned())
            .take(10)
            .collect()
    }
}

fn text(key: &[u8], what: &'static str) -> Result<String, DecodeError> {
    String::from_utf8(key.to_vec()).map_err(|_| DecodeError::Malformed(what))
}

fn quarantined(row: &QuarantineRow) -> Finding {
    let what = format!("reported before, and passed over: {}", row.reason);
    if row.log == LogId::RETAINED {
        return Finding::at(FindingKind::Quarantined, keys::RETAINED.name(), what);
    }
    let range =
        LogRange { log: row.log.0, after: row.after.0, through: row.through.0, messages: row.messages };
    Finding { range: Some(range), ..Finding::at(FindingKind::Quarantined, keys::LOG.name(), what) }
}
