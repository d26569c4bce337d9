//! A damaged table file, replaced while the store is open.
//!
//! The engine writes again what can be read of the file, and keeps the file. What cannot be read is treated by what it was:
//! parts of logs are named and passed over like any other damage; sessions, subscriptions, filters and their states
//! are in memory as well, and are written again; retained messages are lost, and the record of that names their topics.
//!
//! What is written again goes into the next batch that the committer writes, before that batch's own changes: memory is
//! ahead of the disk by that batch, and rows of it must not come to the disk by themselves.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Work;
use crate::catalog::{Catalog, Head, Session};
use crate::engine::{EngineError, LostKeys, SetAside, WriteBatch};
use crate::keys::{self, Family, Flow};
use crate::read::{head_behind, log_bounds};
use crate::record::{self, BlockEntries, QuarantineRow};
use crate::recovery::SCHEMA;
use crate::shared::Shared;
use crate::statistics::add;
use crate::{DamagedRange, LogId, Lsn, SessionId};

/// Replaces the file that a failure names. Gives whether the record of the state is among what it took: then the next
/// batch brings it back.
///
/// # Errors
///
/// The file could not be replaced, or the engine does not open; the failure itself when the file is not there any more.
pub(super) fn replace_damaged(shared: &Shared, failure: &EngineError) -> Result<bool, EngineError> {
    let Some(taken) = shared.engine.set_aside(failure)? else { return Err(failure.clone()) };
    add(&shared.counters.damaged_files, 1);
    tracing::error!(
        kept = %taken.kept.display(),
        family = taken.family,
        rows = taken.rows,
        places = taken.lost.len(),
        "a damaged table file was taken out of the database; its other rows were written again"
    );
    let mut catalog = shared.catalog.lock();
    let mut restore = Restore { shared, catalog: &mut catalog, writes: WriteBatch::default() };
    restore.all(&taken)?;
    if !restore.writes.is_empty() {
        let mut restored = shared.restored.lock();
        *restored = restored.followed_by(&restore.writes);
        // There may be no batch under way. A closed queue has its last one behind this.
        drop(shared.queue.push(Work::NoteTime));
    }
    let is_state = |lost: &LostKeys| taken.family == keys::META.name() && lost.contains(keys::STATE);
    Ok(taken.lost.iter().any(is_state))
}

struct Restore<'a> {
    shared: &'a Shared,
    catalog: &'a mut Catalog,
    writes: WriteBatch,
}

impl Restore<'_> {
    fn all(&mut self, taken: &SetAside) -> Result<(), EngineError> {
        let Some(family) = keys::FAMILIES.into_iter().find(|family| family.name() == taken.family) else {
            return Ok(());
        };
        for lost in &taken.lost {
            match family {
                keys::LOG => self.logs(lost)?,
                keys::RETAINED => self.retained(lost),
                _ => self.rows(family, lost)?,
            }
        }
        Ok(())
    }

    /// Everything of a family that memory has is written again, and what it does not have goes: a deleted row that the
    /// file hid may have come to light.
    fn rows(&mut self, family: Family, lost: &LostKeys) -> Result<(), EngineError> {
        let known = match family {
            keys::META => self.meta(),
            keys::SESSION => self.sessions(),
            keys::SUBSCRIPTION => self.subscriptions(),
            keys::FILTER => self.filters(),
            _ => self.flow(lost)?,
        };
        let known: Vec<_> = known.into_iter().filter(|(key, _)| lost.contains(key)).collect();
        let keys: BTreeSet<&[u8]> = known.iter().map(|(key, _)| key.as_slice()).collect();
        let view = self.shared.engine.view();
        let mut rows = view.cursor(family, &lost.from, lost.to.as_deref());
        rows.seek(&lost.from);
        while let Some((key, _)) = rows.item() {
            if family != keys::META && !keys.contains(key) {
                self.writes.delete(family, key);
            }
            rows.next();
        }
        rows.status()?;
        drop(rows);
        tracing::warn!(
            family = family.name(),
            rows = known.len(),
            "rows of the damaged part are written again"
        );
        for (key, row) in known {
            // Held messages are on the disk alone: those that are there stay as they are.
            if let Some(row) = row {
                self.writes.put(family, &key, row);
            }
        }
        Ok(())
    }

    fn meta(&self) -> Vec<Row> {
        let quarantined = self.shared.quarantine.rows().into_iter();
        let mut rows: Vec<Row> = quarantined
            .map(|row| (keys::quarantine(row.log, row.through), Some(record::encode_quarantine(&row))))
            .collect();
        rows.push((keys::SCHEMA.to_vec(), Some(record::encode_schema(SCHEMA))));
        rows.push((keys::DROPS.to_vec(), Some(record::encode_drops(&self.catalog.drops))));
        rows
    }

    fn sessions(&self) -> Vec<Row> {
        let sessions = self.catalog.sessions.iter();
        sessions
            .map(|(id, session)| {
                (session.client_id.as_bytes().to_vec(), Some(record::encode_session(&session.row(*id))))
            })
            .collect()
    }

    fn subscriptions(&self) -> Vec<Row> {
        let all =
            self.catalog.sessions.iter().flat_map(|(id, session)| {
                session.subscriptions.iter().map(|subscription| (*id, subscription))
            });
        all.map(|(id, subscription)| {
            let key = keys::subscription(id, &subscription.filter);
            (key, Some(record::encode_subscription(&subscription.row())))
        })
        .collect()
    }

    fn filters(&self) -> Vec<Row> {
        let is_a_groups = |filter| self.catalog.groups.contains_key(filter);
        let logs = self.catalog.logs.iter().filter(|(_, known)| !is_a_groups(&known.filter));
        let logs =
            logs.map(|(log, known)| (known.filter.as_bytes().to_vec(), Some(record::encode_filter(*log))));
        let groups = self.catalog.groups.iter();
        let groups = groups
            .map(|(filter, group)| (filter.as_bytes().to_vec(), Some(record::encode_group(&group.row()))));
        logs.chain(groups).collect()
    }

    fn flow(&mut self, lost: &LostKeys) -> Result<Vec<Row>, EngineError> {
        let mut rows = Vec::new();
        for (id, session) in &self.catalog.sessions {
            let mut put = |kind, row| rows.push((keys::flow(*id, kind), Some(row)));
            if session.has_outbound() {
                put(Flow::Outbound, record::encode_outbound(&session.outbound()));
            }
            if let Some(inbound) = &session.rare.inbound {
                put(Flow::Inbound, record::encode_inbound(inbound));
            }
            if let Some(drops) = &session.rare.drops {
                put(Flow::Drops, record::encode_drops(drops));
            }
            if let Some(gaps) = &session.rare.gaps {
                put(Flow::Gaps, record::encode_gaps(gaps));
            }
        }
        let mut quarantined = Vec::new();
        for (id, session) in &self.catalog.sessions {
            for (packet_id, lsn) in session.rare.exchanges.iter().flat_map(|exchanges| &exchanges.held) {
                let key = keys::flow(*id, Flow::Held(*packet_id));
                if lost.contains(&key) {
                    let (row, damage) = self.held(*id, session, (*packet_id, *lsn), &key, &lost.reason)?;
                    quarantined.extend(damage);
                    rows.push((key, row));
                }
            }
        }
        quarantined.iter().for_each(|row| self.put_quarantine(row));
        Ok(rows)
    }

    /// The copy that an exchange has of its message: as it is, or from its log, if that still has it.
    fn held(
        &self,
        id: SessionId,
        session: &Session,
        (packet_id, lsn): (u16, Lsn),
        key: &[u8],
        reason: &str,
    ) -> Result<(Option<Vec<u8>>, Option<QuarantineRow>), EngineError> {
        let row = self.shared.engine.view().get(keys::FLOW, key)?;
        let is_whole = |row: &Bytes| record::decode_held(row).is_ok_and(|(known, _)| known == lsn);
        if row.as_ref().is_some_and(is_whole) {
            return Ok((None, None));
        }
        let open = session.rare.exchanges.iter().flat_map(|exchanges| &exchanges.open);
        let exchange =
            open.into_iter().find(|exchange| exchange.packet_id == packet_id && exchange.lsn == lsn);
        let Some(exchange) = exchange.filter(|exchange| !exchange.received) else { return Ok((None, None)) };
        if exchange.log != LogId::RETAINED
            && let Ok(Some(entry)) = self.shared.find_entry(exchange.log, lsn)
        {
            return Ok((Some(record::encode_held(lsn, entry.body())), None));
        }
        tracing::error!(
            session = id.0,
            client_id = &*session.client_id,
            packet_id,
            lsn = lsn.0,
            "the message of an open exchange is lost: {reason}"
        );
        let range =
            DamagedRange { log: exchange.log, after: Lsn(lsn.0 - 1), through: lsn, messages: Some(1) };
        Ok((None, self.shared.note_damage(range, reason)))
    }

    fn put_quarantine(&mut self, row: &QuarantineRow) {
        let key = keys::quarantine(row.log, row.through);
        self.writes.put(keys::META, &key, record::encode_quarantine(row));
    }

    /// Which retained messages there were, nothing tells. Older ones of the same topics may be there instead.
    fn retained(&mut self, lost: &LostKeys) {
        let printable = |key: &[u8]| key.escape_ascii().to_string();
        let to = lost.to.as_deref().map_or_else(|| "the last".to_owned(), printable);
        let from = printable(&lost.from);
        let reason = format!("retained messages of topics from {from} to before {to}: {}", lost.reason);
        tracing::error!("retained messages are lost: {reason}");
        let known = self.shared.quarantine.rows();
        let number = known.iter().filter(|row| row.log == LogId::RETAINED).count() as u64;
        let row = QuarantineRow {
            log: LogId::RETAINED,
            // No log has this number, and none of its LSNs is meant: they only tell one record from the next.
            after: Lsn(number),
            through: Lsn(number + 1),
            messages: None,
            reason,
            found_at_millis: self.shared.clock.now_millis(),
        };
        self.put_quarantine(&row);
        self.shared.quarantine.load(vec![row]);
    }

    /// The parts of logs that are gone: what the ordinals on both sides show to be missing.
    fn logs(&mut self, lost: &LostKeys) -> Result<(), EngineError> {
        let (from, after) = place(&lost.from);
        let behind = lost.to.as_deref().map(place);
        let last_log = behind.map_or(LogId(u64::MAX), |(log, _)| log);
        let own = self.catalog.sessions.keys().map(|id| id.own_log());
        let all: BTreeSet<LogId> = own.chain(self.catalog.logs.keys().copied()).collect();
        for log in all.range(from..=last_log).copied().collect::<Vec<_>>() {
            let after = if log == from { after } else { Lsn(0) };
            let through = behind.filter(|(last, _)| *last == log).map_or(self.catalog.last, |(_, lsn)| lsn);
            for range in self.missing(log, after, through)? {
                if let Some(row) = self.shared.note_damage(range, &lost.reason) {
                    self.put_quarantine(&row);
                }
            }
        }
        Ok(())
    }

    /// What is missing of a log between the block that ends before `after` and the one that begins behind `through`.
    fn missing(&mut self, log: LogId, after: Lsn, through: Lsn) -> Result<Vec<DamagedRange>, EngineError> {
        let floor = self.shared.floors.get(log);
        let (first, end) = log_bounds(log);
        let from = keys::block(log, after, 0);
        // What cannot be read is met, and told, by who reads it.
        let mut before = self.shared.last_block(log, &first, &from).unwrap_or_default();
        let mut found = Vec::new();
        let mut note = |before: Head, through: Lsn, ordinal: Option<u64>| {
            let messages = ordinal.map(|ordinal| ordinal.saturating_sub(before.ordinal));
            let range = DamagedRange { log, after: before.last.max(floor), through, messages };
            if messages != Some(0) && range.after < range.through {
                // Behind a floor, ordinals tell nothing of what was trimmed and what is lost.
                let messages = messages.filter(|_| before.last >= floor);
                found.push(DamagedRange { messages, ..range });
            }
        };
        let view = self.shared.engine.view();
        let mut rows = view.cursor(keys::LOG, &from, Some(&end));
        rows.seek(&from);
        let mut reached = before.last;
        while reached < through {
            let Some((key, value)) = rows.item() else { break };
            reached = keys::parse_block(key).map_or(Lsn(u64::MAX), |(_, last)| last);
            if let Ok(block) = BlockEntries::open(Bytes::copy_from_slice(value)) {
                note(before, block.base(), Some(block.next_ordinal()));
                before = head_behind(block, reached).unwrap_or(before);
            }
            rows.next();
        }
        rows.status()?;
        if reached < through {
            match self.catalog.heads.get(&log) {
                Some(head) => note(before, head.last, Some(head.ordinal)),
                // Where it ended, nothing tells: it goes on as behind damage, so that no ordinal is used twice.
                None => {
                    note(before, self.catalog.last, None);
                    let head = Head { last: self.catalog.last, ordinal: before.ordinal + 1, ..before };
                    self.catalog.heads.insert(log, head);
                }
            }
        }
        Ok(found)
    }
}

/// Log and LSN of a key of the `log` family, or of one that was shortened.
fn place(key: &[u8]) -> (LogId, Lsn) {
    let mut numbers = [[0; 8]; 2];
    numbers.as_flattened_mut().iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let [log, lsn] = numbers.map(u64::from_be_bytes);
    (LogId(log), Lsn(lsn))
}

/// A key, and its row; `None`: it stays as it is.
type Row = (Vec<u8>, Option<Vec<u8>>);
