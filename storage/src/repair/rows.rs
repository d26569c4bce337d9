//! Rows that are damaged, or that refer to what is gone: put aside, and the rest made to agree with itself.
//!
//! What is put aside is kept in `quarantine/rows.txt`, a line for each: family, key and record in hexadecimal, the reason.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rocksdb::{WriteBatch, WriteOptions};

use super::{RepairError, table};
use crate::check::access::Access;
use crate::check::rows::{DamagedRow, Model, SessionRows};
use crate::check::scan::{Found, scan};
use crate::check::{CheckReport, FindingKind, logs};
use crate::groups::Group;
use crate::keys::{self, Family, Flow};
use crate::mark::Mark;
use crate::record::{self, Membership, QuarantineRow, SubscriptionRow};
use crate::recovery::SCHEMA;
use crate::topics::shared_filter;
use crate::{DecodeError, Exchange, LogId, Lsn, SessionId};

/// The file for what is put aside.
const ASIDE: &str = "rows.txt";

/// What is to be mended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Everything.
    All,
    /// What refers to rows that batches had which are lost. Damaged rows stay for somebody to decide on.
    References,
}

/// Mends the rows of a store whose files can be read. Gives how many were put aside.
pub(super) fn mend(
    into: &Path,
    before: Option<&CheckReport>,
    what: What,
    steps: &mut Vec<String>,
) -> Result<u64, RepairError> {
    let plan = {
        let access = Access::open(into)?;
        let mut plan = Plan::default();
        plan.mend(&access, into, before, what);
        plan
    };
    steps.extend(plan.steps);
    if plan.changes.is_empty() {
        return Ok(0);
    }
    write_aside(into, &plan.aside).map_err(|error| RepairError::io(into, error))?;
    let db = table::open(into)?;
    let mut batch = WriteBatch::default();
    for Change { family, key, row } in &plan.changes {
        let family = db
            .cf_handle(family.name())
            .ok_or_else(|| RepairError::Engine(format!("the family {} is not there", family.name())))?;
        match row {
            Some(row) => batch.put_cf(family, key, row),
            None => batch.delete_cf(family, key),
        }
    }
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options)?;
    Ok(plan.aside.len() as u64)
}

fn write_aside(into: &Path, rows: &[DamagedRow]) -> std::io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let folder = into.join(table::QUARANTINE);
    std::fs::create_dir_all(&folder)?;
    let mut file = File::options().append(true).create(true).open(folder.join(ASIDE))?;
    let mut text = String::new();
    for row in rows {
        text.push_str(&format!("{} {} {} {}\n", row.family.name(), hex(&row.key), hex(&row.row), row.reason));
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    table::sync(&folder)
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row written, or deleted.
struct Change {
    family: Family,
    key: Vec<u8>,
    row: Option<Vec<u8>>,
}

#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    aside: Vec<DamagedRow>,
    steps: Vec<String>,
}

impl Plan {
    fn mend(&mut self, access: &Access, into: &Path, before: Option<&CheckReport>, what: What) {
        let mut report = CheckReport::default();
        let mut model = Model::read(access, &mut report);
        if what == What::References && !model.damaged.is_empty() {
            return;
        }
        for row in std::mem::take(&mut model.damaged) {
            self.put_aside(row);
        }
        if what == What::All {
            self.damaged_blocks(access, &mut model);
        }
        self.state(&mut model, into);
        self.sessions(&mut model);
        self.filters(&mut model);
        // Only now are the logs that somebody reads known.
        let mut found = CheckReport::default();
        logs::check(access, &model, &mut found);
        self.quarantine(&found, before);
    }

    fn put(&mut self, family: Family, key: Vec<u8>, row: Vec<u8>) {
        self.changes.push(Change { family, key, row: Some(row) });
    }

    fn put_aside(&mut self, row: DamagedRow) {
        let consequence = match (row.family, keys::parse_flow(&row.key)) {
            (keys::SESSION, _) => "; the session is gone, its client has to subscribe again",
            (keys::SUBSCRIPTION, _) => "; the client has to subscribe again",
            (keys::FLOW, Some((_, Flow::Outbound))) => {
                "; what its session had received is not known: all that is still there is delivered again"
            }
            (keys::FLOW, Some((_, Flow::Inbound))) => "; a QoS 2 message under way may be taken twice",
            _ => "",
        };
        let key = row.key.escape_ascii();
        self.steps.push(format!("{}, key {key}: {}, put aside{consequence}", row.family.name(), row.reason));
        self.changes.push(Change { family: row.family, key: row.key.clone(), row: None });
        self.aside.push(row);
    }

    /// Blocks that can be read by RocksDB, and are not what they should be.
    fn damaged_blocks(&mut self, access: &Access, model: &mut Model) {
        let Some(family) = access.family(keys::LOG) else { return };
        let mut damaged = Vec::new();
        scan(&access.db, family, &[], None, |found| {
            let Found::Row(key, row) = found else { return };
            let block = match keys::parse_block(key) {
                Some((_, last)) => logs::read_block(row, last),
                None => Err(DecodeError::Malformed("key")),
            };
            match block {
                Ok(block) => model.state.last = model.state.last.max(block.last),
                Err(reason) => {
                    damaged.push(DamagedRow {
                        family: keys::LOG,
                        key: key.to_vec(),
                        row: row.to_vec(),
                        reason,
                    });
                }
            }
        });
        for row in damaged {
            self.put_aside(row);
        }
    }

    /// The record of the state says no less than what the rows do.
    fn state(&mut self, model: &mut Model, into: &Path) {
        let before = model.state;
        let state = &mut model.state;
        if !model.has_state {
            state.commit = Mark::read(into).map_or(0, Mark::number);
        }
        for (id, session) in &model.sessions {
            state.next_id = state.next_id.max(id.0 + 1);
            state.last = state.last.max(session.outbound.position);
            for (_, row) in &session.subscriptions {
                state.last = state.last.max(row.start);
            }
        }
        for log in model.filters.values() {
            state.next_id = state.next_id.max(log.0 + 1);
        }
        state.next_id = state.next_id.max(1);
        state.clean = false;
        if !model.has_state || state.last != before.last || state.next_id != before.next_id {
            self.steps.push(format!("the record of the state was made anew: head {}", state.last.0));
            self.put(keys::META, keys::STATE.to_vec(), record::encode_state(&model.state));
            self.put(keys::META, keys::SCHEMA.to_vec(), record::encode_schema(SCHEMA));
        }
    }

    fn sessions(&mut self, model: &mut Model) {
        let orphans: Vec<SessionId> =
            model.sessions.iter().filter(|(_, rows)| rows.row.is_none()).map(|(id, _)| *id).collect();
        for id in orphans {
            if let Some(rows) = model.sessions.remove(&id) {
                self.forget(id, &rows);
            }
        }
        let last = model.state.last;
        for (id, rows) in &mut model.sessions {
            let (held, before) = (&rows.held, rows.outbound.open.len());
            let mut seen = HashSet::new();
            rows.outbound
                .open
                .retain(|exchange| is_whole(exchange, held, last) && seen.insert(exchange.packet_id));
            if rows.outbound.open.len() < before {
                let lost = before - rows.outbound.open.len();
                let client_id = rows.row.as_ref().map_or("", |(client_id, _)| client_id);
                self.steps.push(format!("session {client_id}: ended {lost} exchanges whose message is lost"));
                let row = record::encode_outbound(&rows.outbound);
                self.put(keys::FLOW, keys::flow(*id, Flow::Outbound), row);
            }
            for (packet_id, lsn) in &rows.held {
                let open = |exchange: &Exchange| exchange.packet_id == *packet_id && exchange.lsn == *lsn;
                if !rows.outbound.open.iter().any(open) {
                    let key = keys::flow(*id, Flow::Held(*packet_id));
                    self.changes.push(Change { family: keys::FLOW, key, row: None });
                }
            }
        }
    }

    /// Rows of a session that is not there.
    fn forget(&mut self, id: SessionId, rows: &SessionRows) {
        let subscriptions = rows.subscriptions.len();
        self.steps.push(format!("session {} has no record: forgot its {subscriptions} subscriptions", id.0));
        for (filter, row) in &rows.subscriptions {
            let (key, row) = (keys::subscription(id, filter), record::encode_subscription(row));
            self.set_aside(keys::SUBSCRIPTION, key, row);
        }
        let outbound = record::encode_outbound(&rows.outbound);
        self.set_aside(keys::FLOW, keys::flow(id, Flow::Outbound), outbound);
        self.set_aside(keys::FLOW, keys::flow(id, Flow::Inbound), record::encode_inbound(&rows.inbound));
        for (packet_id, _) in &rows.held {
            let key = keys::flow(id, Flow::Held(*packet_id));
            self.changes.push(Change { family: keys::FLOW, key, row: None });
        }
    }

    fn set_aside(&mut self, family: Family, key: Vec<u8>, row: Vec<u8>) {
        self.changes.push(Change { family, key: key.clone(), row: None });
        let reason = DecodeError::Malformed("reference to a session that is gone");
        self.aside.push(DamagedRow { family, key, row, reason });
    }

    /// The log of each filter, as those who read it say.
    fn filters(&mut self, model: &mut Model) {
        let head = model.state.last;
        let mut wanted = model.filters.clone();
        for rows in model.sessions.values() {
            for (filter, row) in &rows.subscriptions {
                if let Some(part) = row.membership {
                    wanted.entry(filter.clone()).or_insert(part.log);
                }
            }
        }
        for (filter, log) in &wanted {
            if model.filters.get(filter) != Some(log) {
                self.steps.push(format!("filter {filter}: its record was made anew, log {}", log.0));
                self.put(keys::FILTER, filter.as_bytes().to_vec(), record::encode_filter(*log));
            }
        }
        let mut holders: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        let rows = model.sessions.values().flat_map(|rows| &rows.subscriptions);
        for (filter, _) in rows.filter(|(filter, row)| row.options.qos > 0 && shared_filter(filter).is_none())
        {
            *holders.entry(filter.clone()).or_default() += 1;
        }
        let mut next_id = model.state.next_id;
        for (id, rows) in &mut model.sessions {
            for (filter, row) in &mut rows.subscriptions {
                if shared_filter(filter).is_some() {
                    if !wanted.contains_key(filter) {
                        let group = Group::new(LogId(next_id), head).row();
                        self.steps.push(format!("group {filter}: begun anew; what waited for it is lost"));
                        self.put(keys::FILTER, filter.as_bytes().to_vec(), record::encode_group(&group));
                        wanted.insert(filter.clone(), group.log);
                        next_id += 1;
                    }
                    continue;
                }
                let holders = holders.get(filter).copied().unwrap_or(0);
                if holders > 1 && !wanted.contains_key(filter) {
                    self.put(keys::FILTER, filter.as_bytes().to_vec(), record::encode_filter(LogId(next_id)));
                    wanted.insert(filter.clone(), LogId(next_id));
                    next_id += 1;
                }
                if let Some(mended) = mended(row, wanted.get(filter).copied(), head) {
                    *row = mended;
                    self.steps.push(format!(
                        "session {}: subscription {filter} reads its filter's log again",
                        id.0
                    ));
                    let row = record::encode_subscription(row);
                    self.put(keys::SUBSCRIPTION, keys::subscription(*id, filter), row);
                }
            }
        }
        if next_id != model.state.next_id {
            model.state.next_id = next_id;
            self.put(keys::META, keys::STATE.to_vec(), record::encode_state(&model.state));
        }
        model.filters = wanted;
    }

    /// Tells readers and later checks what of the logs is lost.
    fn quarantine(&mut self, found: &CheckReport, before: Option<&CheckReport>) {
        let before = before.into_iter().flat_map(|report| &report.findings);
        let before = before.filter(|finding| finding.kind == FindingKind::Unreadable);
        for finding in before.chain(&found.findings) {
            let Some(range) = finding.range.filter(|_| finding.kind.is_damage()) else { continue };
            let row = QuarantineRow {
                log: LogId(range.log),
                after: Lsn(range.after),
                through: Lsn(range.through),
                messages: range.messages,
                reason: finding.what.clone(),
                found_at_millis: now_millis(),
            };
            self.steps.push(format!(
                "log {}: messages above LSN {} and up to {} are lost ({}): {}",
                range.log,
                range.after,
                range.through,
                range
                    .messages
                    .map_or_else(|| "how many is not known".to_owned(), |lost| format!("{lost} of them")),
                finding.what
            ));
            let key = keys::quarantine(row.log, row.through);
            self.put(keys::META, key, record::encode_quarantine(&row));
        }
    }
}

/// Whether an exchange can go on.
fn is_whole(exchange: &Exchange, held: &[(u16, Lsn)], last: Lsn) -> bool {
    let copied = held.contains(&(exchange.packet_id, exchange.lsn));
    exchange.packet_id != 0
        && exchange.lsn <= last
        && (exchange.received || copied || exchange.log != LogId::RETAINED)
}

/// A subscription that reads the log of its filter; `None` if it does already.
fn mended(row: &SubscriptionRow, log: Option<LogId>, head: Lsn) -> Option<SubscriptionRow> {
    let reads = row.membership.map(|part| part.log);
    if reads == log || (row.options.qos == 0 && reads.is_none()) {
        return None;
    }
    // From the beginning of the log: what the session has taken already is below its position.
    let until = if row.options.qos > 0 { Lsn(u64::MAX) } else { head };
    let membership = log.map(|log| Membership { log, from: Lsn(0), until });
    Some(SubscriptionRow { membership, ..row.clone() })
}

/// Milliseconds since the Unix epoch.
fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
